"""Files in, files out: the only room that knows RAS, LPS, NIfTI and DICOM.

Everything read here becomes a :class:`~napari_hirescam.volume.Volume` along (I, P, L).
"""

from __future__ import annotations

from napari_hirescam.io.nifti_write import write_nifti
from napari_hirescam.io.registry import can_read, read_volume

__all__ = ["can_read", "read_volume", "write_nifti"]

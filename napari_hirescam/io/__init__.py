"""Files in, files out: the only room that knows RAS, LPS, NIfTI and DICOM.

Everything read here becomes a :class:`~napari_hirescam.volume.Volume` along (I, P, L).
"""

from __future__ import annotations

from napari_hirescam.io.asking import ChoiceNeededError, ConsentNeededError, Item, Picture
from napari_hirescam.io.dicom.map_write import write_parametric_map
from napari_hirescam.io.dicom.seg_write import write_seg
from napari_hirescam.io.frame import on_source_grid
from napari_hirescam.io.nifti.write import write_nifti
from napari_hirescam.io.nrrd.write import write_nrrd
from napari_hirescam.io.registry import (
    can_read,
    identifying_facts,
    list_items,
    picture_of,
    read_volume,
)
from napari_hirescam.io.write import write_volume

__all__ = [
    "ChoiceNeededError",
    "ConsentNeededError",
    "Item",
    "Picture",
    "can_read",
    "identifying_facts",
    "list_items",
    "on_source_grid",
    "picture_of",
    "read_volume",
    "write_nifti",
    "write_nrrd",
    "write_parametric_map",
    "write_seg",
    "write_volume",
]

"""What a mask's file calls its values, without reading its voxels."""

from __future__ import annotations

from pathlib import Path

from napari_hirescam.source import Segment


def names_in_header(path: Path) -> tuple[Segment, ...] | None:
    """Read the names of a mask's values from its header, or from a file beside it.

    Parameters
    ----------
    path
        The mask.

    Returns
    -------
    The named values; None for a format whose names are only known by reading all of it.

    Raises
    ------
    VolumeError
        It cannot be read.
    """
    from napari_hirescam.io.nifti.header import read_header
    from napari_hirescam.io.segment_names import segments_from_nifti

    if not path.name.lower().endswith((".nii", ".nii.gz")):
        return None
    return segments_from_nifti(read_header(path).fields, path)[0]

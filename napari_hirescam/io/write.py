"""Write a mask or a map in the format that its file name asks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.dicom.map_write import write_parametric_map
from napari_hirescam.io.dicom.seg_write import write_seg
from napari_hirescam.io.nifti.write import write_nifti
from napari_hirescam.io.nrrd.write import write_nrrd
from napari_hirescam.source import Segment, Source
from napari_hirescam.volume import Grid

_DICOM = (".dcm", ".dicom")


def write_volume(
    path: str | Path,
    values: npt.NDArray[Any],
    grid: Grid,
    *,
    like: Source | None = None,
    segments: Sequence[Segment] = (),
    description: str = "",
    provenance: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write an array where a grid says it lies.

    The file appears under its name only when it is complete and has been read back and
    compared.

    Parameters
    ----------
    path
        Ends in ``.nii``, ``.nii.gz``, ``.nrrd`` or ``.dcm``. As DICOM, integers become a
        segmentation and floats a parametric map over the series in `like`.
    values
        [n0, n1, n2] on `grid`.
    grid
        Index to (I, P, L) mm; need not be axis-aligned.
    like
        Where the values come from; a file in the same format lends its geometry fields, and
        DICOM needs its series.
    segments
        What the values of a mask stand for.
    description
        One line on what the file holds.
    provenance
        Anything JSON can hold.
    overwrite
        Whether an existing file may be replaced.

    Returns
    -------
    The path written.

    Raises
    ------
    VolumeError
        If the name is that of no format, the file exists, the place cannot be written to, or
        DICOM is asked for and the values do not come from a DICOM series.
    ValueError
        If `values` and `grid` differ in shape, or the numbers are neither integers nor floats.
    """
    path = Path(path)
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        write: Any = write_nifti
    elif name.endswith(".nrrd"):
        write = write_nrrd
    elif name.endswith(_DICOM):
        if values.dtype.kind == "f":
            return write_parametric_map(
                path,
                values,
                grid,
                like=like,
                description=description,
                provenance=provenance,
                overwrite=overwrite,
            )
        write = write_seg
    else:
        raise VolumeError(
            path,
            "its name does not say in which format to write it",
            "End it in .nii.gz, .nrrd or, over a DICOM series, in .dcm",
        )
    written: Path = write(
        path,
        values,
        grid,
        like=like,
        segments=segments,
        description=description,
        provenance=provenance,
        overwrite=overwrite,
    )
    return written

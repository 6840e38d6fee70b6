"""Organ regions as a label map on the grid of the CT's file."""

from __future__ import annotations

from pathlib import Path

from napari_hirescam.errors import VolumeError
from napari_hirescam.organs.organ_map import OrganMap
from napari_hirescam.organs.organ_segments import organ_segments
from napari_hirescam.volume import Volume

_ENDINGS = (".nii", ".nii.gz", ".nrrd")
_DICOM = (".dcm", ".dicom")


def refuse_place(path: str | Path, *, overwrite: bool) -> None:
    """Refuse what :func:`write_organs` would, as far as the name tells, before anything slow.

    Raises
    ------
    VolumeError
        The name is that of no format, its folder is not there, or the file exists and may not be
        replaced.
    """
    path = Path(path)
    if not path.name.lower().endswith((*_ENDINGS, *_DICOM)):
        raise VolumeError(
            path,
            "its name does not say in which format to write it",
            "End it in .nii.gz, .nrrd or, over a DICOM series, in .dcm",
        )
    if not path.parent.is_dir():
        raise VolumeError(path, "there is no folder for it", "Make the folder, or choose another")
    if path.exists() and not overwrite:
        raise VolumeError(path, "there is a file of this name", "Choose another, or --overwrite")


def refuse_dicom(path: str | Path, ct: Volume) -> None:
    """Refuse a DICOM segmentation over a CT that is no DICOM series.

    Raises
    ------
    VolumeError
        It is asked for.
    """
    if Path(path).name.lower().endswith(_DICOM) and not any(ct.source.frames if ct.source else ()):
        raise VolumeError(
            path,
            "it cannot be written as DICOM, since the CT it lies on was not read from a DICOM "
            "series",
            "Save it as NIfTI (.nii.gz) or NRRD (.nrrd)",
        )


def write_organs(
    organs: OrganMap,
    ct: Volume,
    path: str | Path,
    *,
    software: str = "napari-hirescam",
    overwrite: bool = False,
) -> Path:
    """Write organ regions where the file of their CT has its voxels.

    Each value is named after its organs, so that :func:`read_organs` needs no table; doubts and
    notes go into the file too.

    Parameters
    ----------
    organs
        On the grid of the CT.
    ct
        What they are of.
    path
        Ends in ``.nii``, ``.nii.gz``, ``.nrrd`` or, over a DICOM series, ``.dcm``.
    software
        What wrote it, with its version.
    overwrite
        Whether an existing file may be replaced.

    Raises
    ------
    VolumeError
        The file exists, or cannot be written.
    ValueError
        The regions are not on the grid of the CT.
    """
    from napari_hirescam.io import on_source_grid, write_volume

    about = ct.source.as_provenance() if ct.source else {"ct": ct.name}
    return write_volume(
        path,
        on_source_grid(organs.labels, ct, order=0),
        ct.export_grid,
        like=ct.source,
        segments=organ_segments(organs),
        description=f"organ regions, {organs.origin}",
        provenance={
            "software": software,
            **about,
            "organs": {name: list(values) for name, values in organs.values.items()},
            "drawn_by": organs.origin,
            "doubts": list(organs.doubts),
            "done_to_the_masks": list(organs.notes),
        },
        overwrite=overwrite,
    )

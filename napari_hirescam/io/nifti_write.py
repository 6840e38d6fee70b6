"""Write masks and maps as NIfTI, and make sure that what is on disk is what was meant."""

from __future__ import annotations

import json
import os
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.frame import IPL_TO_RAS
from napari_hirescam.io.nifti_bytes import read_stored
from napari_hirescam.volume import FloatArray, Grid

_SCANNER = 1  # the form code "scanner-based anatomical coordinates"
_COMMENT = 6  # the extension code for plain text
_DESCRIPTION_BYTES = 79  # of 80; the last stays zero
_LONGEST_AXIS = 32767
_FORMS_AGREE_MM = 1e-3


def write_nifti(
    path: str | Path,
    values: npt.NDArray[Any],
    grid: Grid,
    *,
    description: str = "",
    provenance: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write an array as a NIfTI-1 file.

    The file appears under its name only when it is complete and has been read back and
    compared, so a full disk never leaves half a result behind.

    Parameters
    ----------
    path
        Ends in ``.nii`` or ``.nii.gz``.
    values
        [n0, n1, n2] on `grid`; the number type is kept (bool becomes uint8, half precision
        float32).
    grid
        Index to (I, P, L) mm; need not be axis-aligned.
    description
        Goes into the header, cut to 79 bytes.
    provenance
        Anything JSON can hold; goes into a comment extension of the header.
    overwrite
        Whether an existing file may be replaced.

    Returns
    -------
    The path written.

    Raises
    ------
    VolumeError
        If the name is not that of a NIfTI file, the file exists, or the place cannot be
        written to.
    ValueError
        If `values` and `grid` differ in shape, or the numbers are neither integers nor floats.
    """
    path = Path(path)
    values = _storable(values)
    if values.shape != grid.shape:
        raise ValueError(f"values of shape {values.shape} do not lie on a grid of {grid.shape}")
    if not path.name.endswith((".nii", ".nii.gz")):
        raise VolumeError(path, "the name is not that of a NIfTI file", "End it in .nii.gz")
    if path.exists() and not overwrite:
        raise VolumeError(path, "there is a file of this name", "Choose another name or allow it")
    header = _header(values, grid, description, provenance)
    # A name of its own: two writers at once must not share a half-written file.
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        try:
            _write(part, values, header, compressed=path.name.endswith(".gz"))
            _compare(path, part, values, header)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as exc:
        raise VolumeError(
            path,
            f"it cannot be written ({exc.strerror or exc})",
            "Check that the folder exists, may be written to and has room",
        ) from exc
    return path


def _storable(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.dtype == np.bool_:
        return values.astype(np.uint8)
    if values.dtype == np.float16:
        return values.astype(np.float32)
    if values.dtype.kind not in "iuf" or values.dtype.itemsize > 8:
        raise ValueError(f"numbers of type {values.dtype} cannot be written as NIfTI")
    if values.ndim != 3 or max(values.shape) > _LONGEST_AXIS:
        raise ValueError(f"an array of shape {values.shape} cannot be written as NIfTI-1")
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _header(
    values: npt.NDArray[Any], grid: Grid, description: str, provenance: dict[str, Any] | None
) -> Any:
    import nibabel as nib
    from nibabel.nifti1 import Nifti1Extension

    ras = IPL_TO_RAS @ grid.affine
    new: Any = nib.Nifti1Header
    header = new()
    header.set_data_dtype(values.dtype)
    header.set_data_shape(values.shape)
    header.set_slope_inter(1, 0)
    header.set_qform(ras, _SCANNER)
    header.set_sform(ras, _SCANNER)
    # A quaternion cannot hold shear: rather none than one that says something else.
    if not _same_place(grid, header.get_qform()):
        header["qform_code"] = 0
    header.set_xyzt_units("mm")
    text = description.encode("utf-8")[:_DESCRIPTION_BYTES].decode("utf-8", "ignore")
    header["descrip"] = text.encode("utf-8")
    if provenance is not None:
        content = json.dumps(provenance, ensure_ascii=False, sort_keys=True, allow_nan=False)
        header.extensions.append(Nifti1Extension(_COMMENT, content.encode("utf-8")))
    return header


def _same_place(grid: Grid, ras: FloatArray) -> bool:
    other = Grid(grid.shape, IPL_TO_RAS.T @ ras)
    return grid.same_place_as(other, _FORMS_AGREE_MM)


def _write(path: Path, values: npt.NDArray[Any], header: Any, *, compressed: bool) -> None:
    from isal import igzip

    with ExitStack() as stack:
        file = stack.enter_context(path.open("xb"))
        stream: IO[bytes] = file
        if compressed:
            # No name and no time inside, so that equal content gives equal files.
            pack: Any = igzip.IGzipFile
            stream = stack.enter_context(pack(filename="", mode="wb", fileobj=file, mtime=0))
        header.write_to(stream)
        for k in range(values.shape[2]):
            stream.write(values[:, :, k].tobytes(order="F"))
        if compressed:
            stream.close()
        file.flush()
        os.fsync(file.fileno())


def _compare(path: Path, part: Path, values: npt.NDArray[Any], header: Any) -> None:
    stored = read_stored(part)
    same = stored.header.binaryblock == header.binaryblock and np.array_equal(
        stored.voxels, values, equal_nan=values.dtype.kind == "f"
    )
    if not same:
        raise VolumeError(
            path, "what was written reads back differently", "Check the disk, or use another one"
        )

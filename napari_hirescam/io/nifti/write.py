"""Write masks and maps as NIfTI."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt

from napari_hirescam.io.frame import IPL_TO_RAS
from napari_hirescam.io.writing import (
    SAME_PLACE_MM,
    as_json,
    geometry_fields,
    plain_text,
    put,
    storable,
)
from napari_hirescam.safe_write import Section
from napari_hirescam.source import Repair, Repaired, Segment, Source
from napari_hirescam.volume import Grid

_SCANNER = 1  # the form code "scanner-based anatomical coordinates"
_COMMENT = 6  # the extension code for plain text
_CARET = 30  # the extension code of Caret's XML, in which label tables are written
_LABEL_INTENT = 1002
_DESCRIPTION_BYTES = 79  # of 80; the last stays zero
_LONGEST_AXIS = 32767  # what a NIfTI-1 file can count
_NIFTI_2 = 540  # length of its header
_MM_PER_UNIT = {1: 1000.0, 3: 0.001}


def write_nifti(
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
    """Write an array as a NIfTI file.

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
    like
        Where the values come from. If that is a NIfTI file with this grid, the fields that
        place the voxels are taken over bit for bit; of two forms that contradict each other,
        only the one the user chose.
    segments
        What the values of a mask stand for; goes into an extension of the header, in the XML
        that Caret, Connectome Workbench and TotalSegmentator use.
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
        If the file exists, or the place cannot be written to.
    ValueError
        If `values` and `grid` differ in shape, or the numbers are neither integers nor floats.
    """
    path = Path(path)
    values = storable(values, grid)
    header = _header(values, grid, like)
    if segments:
        header["intent_code"] = _LABEL_INTENT
    text = plain_text(description).encode("utf-8")[:_DESCRIPTION_BYTES].decode("utf-8", "ignore")
    header["descrip"] = text.encode("utf-8")
    _extend(header, segments, provenance)
    content = Section(partial(_chunks, header, values), gzipped=path.name.lower().endswith(".gz"))
    return put(path, [content], overwrite=overwrite)


def _header(values: npt.NDArray[Any], grid: Grid, like: Source | None) -> Any:
    import nibabel as nib

    known = geometry_fields(like, "NIfTI")
    large = max(values.shape) > _LONGEST_AXIS or int(known.get("sizeof_hdr", 0)) == _NIFTI_2
    kind: Any = nib.Nifti2Header if large else nib.Nifti1Header
    header = kind(endianness="<")
    header.set_data_dtype(values.dtype)
    header.set_data_shape(values.shape)
    header.set_slope_inter(1, 0)
    if like is not None and known and _take_geometry(header, known, like.repaired, grid):
        return header
    ras = IPL_TO_RAS @ grid.affine
    header.set_qform(ras, _SCANNER)
    header.set_sform(ras, _SCANNER)
    # A quaternion cannot hold shear: rather none than one that says something else.
    if not _places(header.get_qform(), grid):
        header["qform_code"] = 0
    header.set_xyzt_units("mm")
    return header


def _take_geometry(
    header: Any, stored: Mapping[str, Any], repaired: Sequence[Repaired], grid: Grid
) -> bool:
    """Copy the source's fields; False, with the header as it was, if they do not say `grid`."""
    before = header.copy()
    for name, value in stored.items():
        if name != "sizeof_hdr":
            header[name] = value
    if header["pixdim"][0] == 0:
        header["pixdim"][0] = 1  # the standard's meaning of a handedness left at zero
    done = {one.repair for one in repaired}
    if Repair.USE_SFORM in done:
        header["qform_code"] = 0
    if Repair.USE_QFORM in done:
        header["sform_code"] = 0
    factor = _MM_PER_UNIT.get(int(header["xyzt_units"]) & 7, 1.0)
    try:
        ras = header.get_sform() if header["sform_code"] > 0 else header.get_qform()
        if _places(np.diag([factor, factor, factor, 1.0]) @ ras, grid):
            return True
    except ValueError:  # a quaternion or an affine that is none
        pass
    for name in stored:
        header[name] = before[name]
    return False


def _places(ras_mm: npt.NDArray[np.float64], grid: Grid) -> bool:
    return grid.same_place_as(Grid(grid.shape, IPL_TO_RAS.T @ ras_mm), SAME_PLACE_MM)


def _extend(header: Any, segments: Sequence[Segment], provenance: dict[str, Any] | None) -> None:
    from nibabel.nifti1 import Nifti1Extension

    if segments:
        header.extensions.append(Nifti1Extension(_CARET, _label_table(segments)))
    if provenance is not None:
        header.extensions.append(Nifti1Extension(_COMMENT, as_json(provenance).encode("utf-8")))


def _label_table(segments: Sequence[Segment]) -> bytes:
    root = ET.Element("CaretExtension")
    information = ET.SubElement(root, "VolumeInformation", Index="0")
    table = ET.SubElement(information, "LabelTable")
    for segment in segments:
        red, green, blue = segment.colour or (1.0, 1.0, 1.0)
        label = ET.SubElement(
            table,
            "Label",
            Key=str(segment.value),
            Red=f"{red:.6g}",
            Green=f"{green:.6g}",
            Blue=f"{blue:.6g}",
            Alpha="1",
        )
        label.text = plain_text(segment.name)
    ET.SubElement(information, "VolumeType").text = "Label"
    content: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return content


def _chunks(header: Any, values: npt.NDArray[Any]) -> Iterable[bytes]:
    import io

    head = io.BytesIO()
    header.write_to(head)
    yield head.getvalue()
    for k in range(values.shape[2]):
        yield values[:, :, k].tobytes(order="F")

"""Write a mask as a DICOM segmentation over the series it was drawn on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.dicom.organ_codes import Code, codes_of
from napari_hirescam.io.dicom.source import (
    LABEL_ELEMENT,
    PRIVATE_CREATOR,
    PRIVATE_GROUP,
    common_fields,
    long_string,
    put_dataset,
    software_version,
    source_slices,
)
from napari_hirescam.io.quiet import quietly
from napari_hirescam.source import Segment, Source
from napari_hirescam.volume import Grid

_MOST_SEGMENTS = 65535
_ALGORITHMS = {"MANUAL", "SEMIAUTOMATIC", "AUTOMATIC"}


@quietly()
def write_seg(
    path: str | Path,
    mask: npt.NDArray[Any],
    grid: Grid,
    *,
    like: Source | None,
    segments: Sequence[Segment] = (),
    description: str = "",
    provenance: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a mask as a binary DICOM segmentation that lies on a CT series.

    The file belongs to the patient, as DICOM demands: name, number and study are copied from
    the series. It has a frame for each slice of the series that holds something; a mask on
    another grid (resampled, evened out) is sampled at the slices' pixels, nearest voxel.

    Parameters
    ----------
    path
        Ends in ``.dcm``.
    mask
        [n0, n1, n2] on `grid`; whole numbers, 0 is background.
    grid
        Index to (I, P, L) mm.
    like
        Where the CT came from, with the frames of its series.
    segments
        Names, colours and codes (`details`, as reading gives them) of the values. A value
        without any is called "label 7". Segments are numbered from 1 by rising value; the
        value itself is kept in a private element.
    description
        Name of the new series.
    provenance
        Anything JSON can hold; goes into a private element. A "model" or "method" in it makes
        the algorithm automatic; otherwise, and where `details` say nothing, it is manual.
    overwrite
        Whether an existing file may be replaced.

    Returns
    -------
    The path written.

    Raises
    ------
    VolumeError
        If there is no DICOM series to lie on, its files are gone or lack what must be
        repeated, the values do not suit, or the place cannot be written to.
    ValueError
        If `mask` and `grid` differ in shape, or the numbers are not whole.
    """
    import highdicom

    path = Path(path)
    if mask.shape != grid.shape:
        raise ValueError(f"a mask of shape {mask.shape} does not lie on a grid of {grid.shape}")
    if mask.dtype.kind not in "iub":
        raise ValueError(f"a mask has whole numbers, not {mask.dtype}")
    slices = source_slices(path, like)
    mask = mask.view(np.uint8) if mask.dtype == np.bool_ else mask
    known = _all_segments(path, mask, segments)
    pixels = _numbered(slices.sample(mask, grid, 0), known)
    if not pixels.any() and mask.any():
        raise VolumeError(
            path,
            "nothing of the mask lies on the slices of its CT, so the file would be empty",
            "Move it back onto the CT, or save it as NIfTI (.nii.gz) or NRRD (.nrrd)",
        )
    algorithm = _algorithm(provenance)
    return put_dataset(
        path,
        slices,
        lambda: highdicom.seg.Segmentation(
            pixel_array=pixels,
            segmentation_type="BINARY",
            segment_descriptions=[
                _description(number, segment, algorithm)
                for number, segment in enumerate(known, start=1)
            ],
            content_label="SEGMENTATION",
            omit_empty_frames=True,
            **common_fields(slices, description or "Segmentation"),
        ),
        provenance,
        overwrite=overwrite,
    )


def _all_segments(path: Path, mask: npt.NDArray[Any], segments: Sequence[Segment]) -> list[Segment]:
    """Those given and one for each value without, by rising value."""
    low, high = int(mask.min()), int(mask.max())
    if low < 0 or high > _MOST_SEGMENTS:
        raise VolumeError(
            path,
            f"the mask holds values from {low} to {high}, and DICOM takes 1 to {_MOST_SEGMENTS}",
            "Number its labels anew",
        )
    seen = np.zeros(high + 1, dtype=bool)
    for plane in np.moveaxis(mask, int(np.argmax(mask.strides)), 0):
        seen[plane] = True
    present = np.flatnonzero(seen[1:]) + 1
    named = {segment.value: segment for segment in segments if segment.value > 0}
    known = {int(value): Segment(int(value), f"label {value}") for value in present} | named
    if not known:
        raise VolumeError(path, "the mask is empty and names nothing", "Draw something first")
    return [known[value] for value in sorted(known)]


def _numbered(pixels: npt.NDArray[Any], segments: Sequence[Segment]) -> npt.NDArray[Any]:
    """Values replaced by the numbers of their segments."""
    kind: Any = np.uint8 if len(segments) < 256 else np.uint16
    numbers = np.zeros(segments[-1].value + 1, kind)
    numbers[[segment.value for segment in segments]] = np.arange(1, len(segments) + 1)
    found: npt.NDArray[Any] = numbers[pixels]
    return found


def _algorithm(provenance: Mapping[str, Any] | None) -> str:
    """The name of what made the mask, "" if a person did as far as is known."""
    for key in ("method", "model"):
        value = (provenance or {}).get(key)
        name = value.get("name") if isinstance(value, Mapping) else value
        if isinstance(name, str) and name:
            return name
    return ""


def _description(number: int, segment: Segment, algorithm: str) -> Any:
    import highdicom
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code as PydicomCode

    found = codes_of(segment.name)
    name = str(segment.details.get("algorithm_name") or algorithm)
    kind = str(segment.details.get("algorithm_type") or ("AUTOMATIC" if algorithm else "MANUAL"))
    identification = None
    if kind not in _ALGORITHMS:
        kind = "MANUAL"
    if kind != "MANUAL":
        identification = highdicom.AlgorithmIdentificationSequence(
            name=long_string(name or "unknown"),
            family=codes.DCM.ArtificialIntelligence,
            version=software_version() if name == algorithm else "unknown",
        )
    item = highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=long_string(segment.name) or f"label {segment.value}",
        segmented_property_category=PydicomCode(*_code(segment, "category", found.category)),
        segmented_property_type=PydicomCode(*_code(segment, "type", found.kind)),
        algorithm_type=kind,
        algorithm_identification=identification,
        display_color=None if segment.colour is None else _cielab(segment.colour),
    )
    modifier = segment.details.get("modifier")
    if modifier is None and "type" not in segment.details:
        modifier = found.side
    if modifier is not None:
        item.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [
            highdicom.sr.CodedConcept(*modifier)
        ]
    block = item.private_block(PRIVATE_GROUP, PRIVATE_CREATOR, create=True)
    block.add_new(LABEL_ELEMENT, "UL", segment.value)
    return item


def _code(segment: Segment, name: str, otherwise: Code) -> Code:
    given = segment.details.get(name)
    if isinstance(given, (tuple, list)) and len(given) == 3 and all(given):
        return str(given[0]), str(given[1]), str(given[2])
    return otherwise


def _cielab(colour: tuple[float, float, float]) -> Any:
    from highdicom.color import CIELabColor

    red, green, blue = (min(max(x, 0.0), 1.0) * 255 for x in colour)
    return CIELabColor.from_rgb(red, green, blue)

"""What a DICOM series says about itself, for the geometry report."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from napari_hirescam.io.assembling import grid_facts
from napari_hirescam.io.dicom.identity import names_patient
from napari_hirescam.io.dicom.plan import Plan
from napari_hirescam.io.dicom.slice_header import SliceHeader
from napari_hirescam.io.dicom.slice_order import Line
from napari_hirescam.source import DisplayWindow, Fact, Frame
from napari_hirescam.volume import Grid, Quantity

_LOOKS_LIKE_UID = re.compile(r"[0-9.]{12,}|[0-9a-fA-F-]{16,}")
_NOTABLE_ANGLE_DEG = 0.1
_NOTABLE_DIFFERENCE = 0.01
_LOWEST_AIR_HU = -1100

_POSITIONS = {
    "HFS": "head first, on the back",
    "HFP": "head first, face down",
    "FFS": "feet first, on the back",
    "FFP": "feet first, face down",
    "HFDR": "head first, on the right side",
    "HFDL": "head first, on the left side",
    "FFDR": "feet first, on the right side",
    "FFDL": "feet first, on the left side",
}


def name_of(path: Path, plan: Plan) -> str:
    """Name a series for layers and files: never by the patient or by a UID."""
    series = plan.series
    if series.first.description or series.first.series_number or series.count > 1:
        return series.title
    is_zip = path.is_file() and path != series.first.path and path.suffix.lower() == ".zip"
    folder = path.stem if is_zip else path.name if path.is_dir() else path.parent.name
    if not folder or _LOOKS_LIKE_UID.fullmatch(folder) or names_patient(folder, series.first.path):
        return series.kind
    return folder


def facts(
    plan: Plan, grid: Grid, quantity: Quantity, *, n_invalid: int, low: float, high: float
) -> tuple[Fact, ...]:
    """Put together the geometry report.

    Parameters
    ----------
    plan
        What was read, and how.
    grid
        As stored.
    quantity
        What the numbers were found to be.
    n_invalid
        Voxels of the volume that are no measurement.
    low, high
        The least and the greatest number of the volume.
    """
    told = (
        *_file_facts(plan),
        *grid_facts(grid),
        *_slice_facts(plan),
        *_number_facts(plan, quantity, n_invalid, low, high),
        *_acquisition_facts(plan),
    )
    return tuple(fact for fact in told if fact.value)


def _file_facts(plan: Plan) -> Iterable[Fact]:
    series, first = plan.series, plan.series.first
    files = {header.path for header in series.slices}
    yield Fact("File", "Format", "DICOM, multi-frame" if first.frame is not None else "DICOM")
    yield Fact("File", "Series", series.title)
    yield Fact("File", "Series number", first.series_number)
    yield Fact("File", "Files", str(len(files)))
    copies = len(series.phase.copies)
    if copies:
        yield Fact("File", "Copies left out", str(copies), "slices are there twice")
    yield Fact("File", "Encoding", _syntax_name(first.transfer_syntax))
    if any(header.lossy for header in series.slices):
        yield Fact("File", "Compression", "with a loss", "the numbers are not quite as measured")


def _syntax_name(syntax: str) -> str:
    from pydicom.uid import UID

    return UID(syntax).name if syntax else "not stated"


def _slice_facts(plan: Plan) -> Iterable[Fact]:
    stacked, line = plan.stacked, plan.stacked.line
    first = line.slices[0]
    inserted = stacked.n_slices - len(line.slices)
    yield Fact("Slices", "Count", str(len(line.slices)))
    if inserted:
        yield Fact("Slices", "Count of the grid", str(stacked.n_slices), "see what was repaired")
    gaps = line.gaps_mm
    spread = f"{gaps.min():.4g} / {np.median(gaps):.4g} / {gaps.max():.4g} mm"
    yield Fact(
        "Slices",
        "Spacing by position, least / median / greatest",
        spread,
        "the positions are rounded to 0.1 mm" if stacked.is_rounded else "",
    )
    yield from _stated_facts(line)
    yield Fact(
        "Slices",
        "Tilt",
        f"{line.tilt_deg:.1f} degrees",
        "slices are shifted against each other" if line.tilt_deg > _NOTABLE_ANGLE_DEG else "",
    )
    if first.gantry_tilt_deg:
        yield Fact("Slices", "Gantry tilt, as stated", f"{first.gantry_tilt_deg:g} degrees")


def _stated_facts(line: Line) -> Iterable[Fact]:
    """What the headers say of the slices besides their positions, which are believed instead."""
    first, usual = line.slices[0], float(np.median(line.gaps_mm))
    stated = first.spacing_between_mm
    if stated is not None:
        # The sign is a habit of nuclear medicine and says nothing of the distance.
        differs = abs(abs(stated) - usual) > _NOTABLE_DIFFERENCE * usual
        remark = "contradicts the positions, which are believed" if differs else ""
        yield Fact("Slices", "Spacing between slices, as stated", f"{stated:g} mm", remark)
    located = [header.slice_location for header in line.slices]
    if None not in located:
        steps = np.abs(np.diff(np.array(located, dtype=np.float64)))
        # Along the normal for one scanner, along an axis of the patient for another.
        positions = np.array([header.position_mm for header in line.slices], dtype=np.float64)
        moves = np.column_stack([line.gaps_mm, np.abs(np.diff(positions, axis=0))])
        apart = np.abs(steps[:, None] - moves).max(axis=0).min()
        if apart > max(0.1, _NOTABLE_DIFFERENCE * usual):
            yield Fact(
                "Slices",
                "Slice location, as stated",
                f"{min(steps):.4g} to {max(steps):.4g} mm from slice to slice",
                "contradicts the positions, which are believed",
            )
    thick = first.thickness_mm
    if thick:
        overlap = thick - usual
        aside = ""
        if overlap > _NOTABLE_DIFFERENCE * usual:
            aside = f"; the slices overlap by {overlap:.4g} mm"
        elif overlap < -_NOTABLE_DIFFERENCE * usual:
            aside = f"; {-overlap:.4g} mm between the slices were not measured"
        yield Fact("Slices", "Thickness, as stated", f"{thick:g} mm{aside}")


def _number_facts(
    plan: Plan, quantity: Quantity, n_invalid: int, low: float, high: float
) -> Iterable[Fact]:
    slices = plan.stacked.slices
    first = slices[0]
    meaning = "HU" if quantity is Quantity.HU else "not known to be HU"
    remark = "" if quantity is Quantity.HU else "see the remarks"
    yield Fact("Numbers", "Meaning", meaning, remark)
    below_air = quantity is Quantity.HU and low < _LOWEST_AIR_HU
    # A habit of some scanners outside their field of view, so no remark.
    aside = "; reaches below air, like padding that is not declared" if below_air else ""
    yield Fact("Numbers", "Range", f"{low:g} to {high:g}{aside}")
    rescales = [header.rescale for header in slices if header.rescale is not None]
    if rescales:
        slopes, intercepts = zip(*rescales, strict=True)
        varies = len(set(rescales)) > 1
        yield Fact(
            "Numbers",
            "Rescale slope, intercept",
            f"{_span(slopes)}, {_span(intercepts)}",
            "differs from slice to slice" if varies else "",
        )
    else:
        yield Fact("Numbers", "Rescale slope, intercept", "none")
    yield Fact("Numbers", "Rescale type", first.rescale_type)
    kind = "signed" if first.is_signed else "unsigned"
    stored = f"{first.bits_stored} of {first.bits_allocated} bits, {kind}"
    yield Fact(
        "Numbers", "Stored as", f"{first.float_bits} bits, float" if first.float_bits else stored
    )
    if first.padding is not None:
        yield Fact("Numbers", "Padding, as stored", _span(first.padding))
    if n_invalid:
        yield Fact("Numbers", "Voxels that are no measurement", f"{n_invalid:,}")
    if first.photometric == "MONOCHROME1":
        yield Fact("Numbers", "Display, as stated", "inverted (MONOCHROME1); the numbers are not")


def _span(values: Iterable[float]) -> str:
    found = sorted(set(values))
    return f"{found[0]:g}" if len(found) == 1 else f"{found[0]:g} to {found[-1]:g}"


def _acquisition_facts(plan: Plan) -> Iterable[Fact]:
    slices, first = plan.stacked.slices, plan.series.first

    def common(of: Callable[[SliceHeader], str]) -> str:
        ranked = Counter(map(of, slices)).most_common(2)
        return ranked[0][0] + (" and others" if len(ranked) > 1 else "")

    section = "Acquisition"
    yield Fact(section, "Modality", first.modality, "" if first.modality == "CT" else "not CT")
    yield Fact(section, "Manufacturer", first.manufacturer)
    yield Fact(section, "Kernel", common(lambda header: header.kernel.replace("\\", ", ")))
    yield Fact(
        section, "Tube voltage", common(lambda header: f"{header.kvp:g} kV" if header.kvp else "")
    )
    yield Fact(section, "Body part", first.body_part)
    yield Fact(section, "Contrast agent", "given" if first.contrast else "")
    position = first.patient_position
    yield Fact(section, "Patient lies", _POSITIONS.get(position, position))
    yield Fact(section, "Image type", ", ".join(first.image_type).lower())


def windows(slices: Sequence[SliceHeader]) -> tuple[DisplayWindow, ...]:
    """Take the windows of the middle slice: some scanners set them slice by slice."""
    return slices[len(slices) // 2].windows


def frames(plan: Plan) -> tuple[Frame | None, ...]:
    """The slices in the order of the grid; inserted ones are None.

    Where the spacing was evened out, measured slices lie between those of the grid: then all of
    them are listed, in order, without gaps.
    """
    stacked = plan.stacked
    measured = [_frame(header) for header in stacked.slices]
    if stacked.is_evened:
        return tuple(measured)
    placed: list[Frame | None] = [None] * stacked.n_slices
    for k, frame in zip(np.rint(stacked.at).astype(int), measured, strict=True):
        placed[int(k)] = frame
    return tuple(placed)


def _frame(header: SliceHeader) -> Frame:
    x, y, z = header.position_mm or (0.0, 0.0, 0.0)
    return Frame(
        header.path, header.sop_class_uid, header.sop_instance_uid, header.frame, (x, y, z)
    )


def details(plan: Plan) -> dict[str, object]:
    """Further facts that writers and records need; UIDs among them, but nobody's name."""
    first = plan.series.first
    told: dict[str, object] = {
        "slices": len(plan.stacked.slices),
        "description": first.description,
        "number": first.series_number,
        "phase": plan.series.phase.label,
        "modality": first.modality,
        "kernel": first.kernel,
        "manufacturer": first.manufacturer,
        "series_uid": first.series_uid,
        "study_uid": first.study_uid,
        "frame_of_reference_uid": first.frame_of_reference_uid,
    }
    return {name: value for name, value in told.items() if value}

"""Read a CT series from DICOM files, classic or enhanced, in a folder, a zip or a DICOMDIR."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from pathlib import Path

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.asking import ConsentNeededError, Item, Picture
from napari_hirescam.io.assembling import invalid_on_volume_axes
from napari_hirescam.io.dicom import facts as dicom_facts
from napari_hirescam.io.dicom.decode import BadSliceError
from napari_hirescam.io.dicom.files import is_dicom_source
from napari_hirescam.io.dicom.identity import identity
from napari_hirescam.io.dicom.items import choose, list_series, mask_file, refusal
from napari_hirescam.io.dicom.pixels import read_voxels, slice_picture
from napari_hirescam.io.dicom.plan import Place, Plan, place_of, plan
from napari_hirescam.io.dicom.scan import scan
from napari_hirescam.io.dicom.series import Series, why_not
from napari_hirescam.io.dicom.slice_header import SliceHeader
from napari_hirescam.io.dicom.slice_order import line_up, says_its_place
from napari_hirescam.io.dicom.stack import Stack, onto_grid
from napari_hirescam.io.frame import patient_letters, to_volume_axes
from napari_hirescam.io.quantity import AIR_HU
from napari_hirescam.io.reading import Reading, check_memory
from napari_hirescam.source import Fact, Repair, Repaired, Source
from napari_hirescam.volume import Grid, Quantity, Volume

_SCANNING = 0.4  # of the progress bar
_MOST_UNDECODABLE = 0.1  # of the slices; each is found by reading the series once more
_HIGHEST_CT_MINIMUM, _LOWEST_CT_MAXIMUM = -200, -500
_LOWEST_CT, _HIGHEST_CT = -10_000, 40_000

sniff = is_dicom_source


def read(path: Path, reading: Reading) -> Volume:
    """Read the series under a path, or the one a file belongs to.

    Parameters
    ----------
    path
        A folder, searched at any depth, a zip, a DICOMDIR, or one file of the series.
    reading
        May name the series; progress is reported in slices.

    Raises
    ------
    VolumeError
        If there is no sound stack of slices, or it cannot be decoded; `ChoiceNeededError` where
        several could be meant, `ConsentNeededError` where it must be mended first.
    Cancelled
        If the caller asked to stop.
    """
    found = scan(path, reading.share(0.0, _SCANNING))
    series, others = choose(found, reading)
    if series.is_mask:
        file = mask_file(path, series, reading.series)
        from napari_hirescam.io.dicom.seg import read_seg

        return read_seg(file, _for_mask(series, reading))
    undecodable: dict[Place, str] = {}
    while True:
        try:
            planned = plan(path, series, reading.allow, undecodable)
        except ConsentNeededError as question:
            hopeless = refusal(path, series)
            if hopeless is None or isinstance(hopeless, ConsentNeededError):
                raise
            raise hopeless from question
        try:
            return _read(path, planned, reading.share(_SCANNING, 1.0), others)
        except BadSliceError as exc:
            undecodable[place_of(exc.header)] = exc.reason
            if len(undecodable) > max(1, _MOST_UNDECODABLE * len(series.slices)):
                raise
            if Repair.LEAVE_OUT_ODD not in reading.allow:
                raise ConsentNeededError(
                    exc.subject,
                    exc.reason,
                    f"{exc.remedy}; or allow {Repair.LEAVE_OUT_ODD!s}: the slice is left out",
                    (Repair.LEAVE_OUT_ODD,),
                ) from exc


def items(path: Path, reading: Reading) -> tuple[Item, ...]:
    """List the series, phases and masks under a path."""
    return list_series(scan(path, reading), reading)


def picture(path: Path, key: str, reading: Reading) -> Picture:
    """Make a picture of the middle slice of one of the listed items.

    Raises
    ------
    VolumeError
        If there is no such item, or its slice cannot be read.
    """
    found = scan(path, reading)
    mask = key.partition("/")[0]
    for series in found.series:
        if series.is_mask and any(h.sop_instance_uid == mask for h in series.slices):
            from napari_hirescam.io.dicom.seg import seg_picture

            return seg_picture(mask_file(path, series, key), key, reading)
        if series.key == key:
            if series.first.problem or series.first.size is None:
                raise why_not(path, series)
            middle = _middle(path, series)
            return slice_picture(middle, _quantity(series.slices)[0])
    raise VolumeError(path, f"there is no item {key!r} in it", "List its items anew")


def identifying_facts(path: Path, reading: Reading | None = None) -> tuple[Fact, ...]:
    """Whose scan it is: only ever read when somebody asks for it."""
    found = scan(path, reading or Reading())
    named = [one.first for one in found.series if any(h.path == path for h in one.slices)]
    return identity(named or [one.first for one in found.series])


def _for_mask(series: Series, reading: Reading) -> Reading:
    """What the reader of masks takes as `series`: one of its own keys or nothing."""
    uids = {header.sop_instance_uid for header in series.slices}
    named = (reading.series or "").partition("/")[0] in uids
    return reading if named else replace(reading, series=None)


def _middle(path: Path, series: Series) -> SliceHeader:
    slices = series.slices
    if all(map(says_its_place, slices)):
        slices = line_up(path, slices).slices
    return slices[len(slices) // 2]


def _read(path: Path, planned: Plan, reading: Reading, others: tuple[str, ...]) -> Volume:
    series, stacked = planned.series, planned.stacked
    quantity, meaning = _quantity(stacked.slices)
    measured, padding, remarks, low, high = read_voxels(path, stacked.slices, quantity, reading)
    on_grid = (stacked.n_slices, *measured.shape[1:])
    if on_grid != measured.shape or stacked.is_evened:
        check_memory(path, prod(on_grid) * (measured.itemsize + 1))
    blank = AIR_HU if quantity is Quantity.HU else float(measured.min())
    voxels, invalid = onto_grid(measured, padding, stacked, blank)
    # As (column, row, slice), the order in which the affine counts.
    stored = voxels.transpose(2, 1, 0)
    grid = Grid(stored.shape, stacked.affine)
    straight, affine, resampled = to_volume_axes(
        stored, grid.affine, quantity=quantity, subject=path
    )
    invalid = invalid_on_volume_axes(
        None if invalid is None else invalid.transpose(2, 1, 0),
        grid.shape,
        grid.affine,
        Grid(straight.shape, affine),
        path,
        resampled,
    )
    repaired = planned.repaired
    if resampled:
        repaired += (Repaired(Repair.STRAIGHTEN, _straightened(planned, resampled), asked=False),)
    notes = (
        *(one.what for one in repaired),
        *_rounded(stacked),
        *meaning,
        *_implausible(quantity, low, high),
        *remarks,
        *_copies(series),
        *others,
    )
    n_invalid = 0 if invalid is None else int(invalid.sum())
    return Volume(
        straight,
        affine,
        name=dicom_facts.name_of(path, planned),
        quantity=quantity,
        invalid=invalid,
        source=Source(
            path,
            "DICOM",
            grid,
            patient_letters(grid.affine),
            notes,
            dicom_facts.details(planned),
            item=series.key,
            facts=dicom_facts.facts(
                planned, grid, quantity, n_invalid=n_invalid, low=low, high=high
            ),
            repaired=repaired,
            frames=dicom_facts.frames(planned),
            windows=dicom_facts.windows(stacked.slices),
        ),
    )


def _quantity(slices: tuple[SliceHeader, ...]) -> tuple[Quantity, tuple[str, ...]]:
    first = slices[0]
    if first.modality != "CT":
        return Quantity.UNKNOWN, (f"It is {first.modality}, not CT: its numbers are not HU.",)
    if all(header.rescale is None for header in slices):
        note = (
            "The files do not say how stored numbers become HU (no rescale slope and "
            "intercept); the numbers are shown as stored."
        )
        return Quantity.UNKNOWN, (note,)
    kinds = {header.rescale_type for header in slices} - {"", "HU"}
    if kinds:
        named = ", ".join(sorted(kinds))
        return Quantity.UNKNOWN, (f"The files call their numbers {named!r}, not HU.",)
    return Quantity.HU, ()


def _straightened(planned: Plan, resampled: tuple[str, ...]) -> str:
    tilt = planned.stacked.line.tilt_deg
    if tilt < 0.1:
        return resampled[0]
    return f"The gantry was tilted by {tilt:.1f} degrees. {resampled[0]}"


def _rounded(stacked: Stack) -> tuple[str, ...]:
    if not stacked.is_rounded:
        return ()
    gaps = stacked.line.gaps_mm
    step = float(gaps.sum() / stacked.at[-1])
    gaps = gaps[gaps < 1.5 * step]  # where none is missing
    note = (
        f"The slices seem {gaps.min():.1f} to {gaps.max():.1f} mm apart, which comes from "
        f"positions rounded to 0.1 mm; they were taken for {step:.3f} mm apart."
    )
    return (note,)


def _implausible(quantity: Quantity, low: float, high: float) -> tuple[str, ...]:
    if quantity is not Quantity.HU:
        return ()
    if low > _HIGHEST_CT_MINIMUM or high < _LOWEST_CT_MAXIMUM:
        remark = (
            f"Values from {low:g} to {high:g} do not look like HU: a CT has air near -1000 and "
            "tissue near 0."
        )
        return (remark,)
    if low < _LOWEST_CT or high > _HIGHEST_CT:
        return (f"Values from {low:g} to {high:g} are beyond what HU can be.",)
    return ()


def _copies(series: Series) -> tuple[str, ...]:
    copies = series.phase.copies
    if not copies:
        return ()
    count = "1 slice is" if len(copies) == 1 else f"{len(copies)} slices are"
    names = ", ".join(copy.name for copy in copies[:3]) + (", ..." if len(copies) > 3 else "")
    return (f"{count} there twice, with the same pixels; the copies were left out ({names}).",)

"""List the DICOM series under a path, and choose the one that is meant.

Nothing is chosen by guessing: where several could be meant, the caller is asked.
"""

from __future__ import annotations

from pathlib import Path

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.asking import ChoiceNeededError, ConsentNeededError, Item
from napari_hirescam.io.dicom.plan import plan
from napari_hirescam.io.dicom.scan import Scan
from napari_hirescam.io.dicom.series import MASK_KINDS, Series, why_not
from napari_hirescam.io.dicom.slice_order import line_up, says_its_place, usual_gap
from napari_hirescam.io.dicom.stack import SMALLEST_STACK
from napari_hirescam.io.reading import Reading
from napari_hirescam.source import Repair

_MANY_SERIES = 8


def list_series(found: Scan, reading: Reading) -> tuple[Item, ...]:
    """Describe all that was found under a path."""
    listed: list[Item] = []
    for series in found.series:
        reading.check_stop()
        if series.is_mask:
            listed += _mask_items(series, reading)
        else:
            listed.append(item_of(found.path, series))
    return tuple(listed)


def _mask_items(series: Series, reading: Reading) -> list[Item]:
    """A DICOM SEG lists its own segments; several objects may share a series."""
    from napari_hirescam.io.dicom.seg import seg_items

    found: list[Item] = []
    for header in series.slices:
        try:
            found += seg_items(header.path, reading)
        except VolumeError as exc:
            key = header.sop_instance_uid or series.key
            found.append(Item(key, series.title, series.kind, problem=exc.reason))
    return found


def item_of(path: Path, series: Series) -> Item:
    """Describe one series, from its headers."""
    first = series.first
    problem, spacing = "", None
    needs: tuple[Repair, ...] = ()
    refused = refusal(path, series)
    if refused is not None:
        problem = refused.reason
        needs = refused.repairs if isinstance(refused, ConsentNeededError) else ()
    if series.is_stack and all(map(says_its_place, series.slices)) and series.trouble is None:
        line = line_up(path, series.slices)
        gaps = line.gaps_mm[line.gaps_mm > 0]
        if gaps.size:
            rows, columns = line.pixel_mm
            spacing = usual_gap(gaps), float(rows), float(columns)
    facts = {
        "thickness": f"{first.thickness_mm:g} mm" if first.thickness_mm else "",
        "body part": first.body_part,
        "contrast agent": "given" if first.contrast else "",
        "image type": "\\".join(first.image_type),
    }
    return Item(
        key=series.key,
        title=series.title,
        kind=series.kind,
        n_slices=len(series.slices),
        spacing_mm=spacing,
        size=first.size,
        kernel=first.kernel,
        number=first.series_number,
        facts={name: value for name, value in facts.items() if value},
        needs=needs,
        problem=problem,
    )


def choose(found: Scan, reading: Reading) -> tuple[Series, tuple[str, ...]]:
    """Choose the series to read.

    Returns
    -------
    The series, which may be a mask, and notes that name the others.

    Raises
    ------
    ChoiceNeededError
        If several could be meant.
    VolumeError
        If there is none that can be read, or not the one asked for.
    """
    path = found.path
    if reading.series is not None:
        pool = _asked_for(found, reading.series)
    else:
        pool = [one for one in found.series if _holds(one, path)] or list(found.series)
        for error in found.damaged:
            if Path(error.subject) == path:
                raise error
    stacks = [one for one in pool if one.is_stack]
    # A single one is planned by whoever reads it, and need not be twice.
    readable = stacks
    if len(stacks) > 1:
        readable = [one for one in stacks if _is_readable(refusal(path, one))]
    candidates = [one for one in readable if one.kind == "CT"] or readable
    if not stacks:
        candidates = [one for one in pool if one.is_mask]
    if len(candidates) > 1:
        raise _choice(found, pool, candidates, reading)
    if not candidates:
        raise _none(path, pool)
    chosen = candidates[0]
    others = [str(one) for one in found.series if one is not chosen]
    notes = [f"Not read: {one}." for one in others[:_MANY_SERIES]]
    if len(others) > _MANY_SERIES:
        notes.append(f"Not read: {len(others) - _MANY_SERIES} further series.")
    mine = {id(error) for error in chosen.damaged}
    # By its name alone: a path may hold the patient's, and notes go into files.
    notes += [
        f"Not read: {Path(error.subject).name}: {error.reason}."
        for error in found.damaged
        if id(error) not in mine
    ]
    return chosen, tuple(notes)


def _holds(series: Series, path: Path) -> bool:
    ours = (*series.slices, *series.odd)
    return any(header.path == path for header in ours) or path in series.phase.copies


def _asked_for(found: Scan, wanted: str) -> list[Series]:
    series = found.series
    by_key = [one for one in series if one.key == wanted]
    if by_key:
        return by_key
    mask = wanted.partition("/")[0]
    exact = [
        one
        for one in series
        if wanted in {one.first.series_uid, one.first.series_number}
        or (one.is_mask and any(header.sop_instance_uid == mask for header in one.slices))
    ]
    begun = [one for one in series if wanted and one.first.series_uid.startswith(wanted)]
    pool = exact or begun
    numbered_alike = exact and all(one.first.series_number == wanted for one in exact)
    if pool and (numbered_alike or len({one.first.series_uid for one in pool}) == 1):
        return pool
    count = "more than one series" if pool else "no series"
    raise VolumeError(
        found.path,
        f"{count} in it has the key or number {wanted!r} or a UID that begins so",
        "Choose one of these by its key: " + _listing(series),
    )


def _listing(series: tuple[Series, ...] | list[Series]) -> str:
    named = [f"{one.key}: {one}" for one in series[:_MANY_SERIES]]
    more = len(series) - len(named)
    return "; ".join(named) + (f"; and {more} more" if more > 0 else "")


def refusal(path: Path, series: Series) -> VolumeError | None:
    """Why a series cannot be read as it is: a question if a repair would do, or what is wrong."""
    try:
        plan(path, series, frozenset())
    except ConsentNeededError as question:
        # The first question may be followed by another, and that by a refusal.
        try:
            plan(path, series, frozenset(Repair))
        except VolumeError as exc:
            return exc
        return question
    except VolumeError as exc:
        return exc
    return None


def _is_readable(refused: VolumeError | None) -> bool:
    return refused is None or isinstance(refused, ConsentNeededError)


def _choice(
    found: Scan, pool: list[Series], candidates: list[Series], reading: Reading
) -> ChoiceNeededError:
    items = list_series(Scan(found.path, tuple(pool), ()), reading)
    phases = len({one.first.series_uid for one in candidates}) == 1
    things = "stacks of slices in one series" if phases else "series"
    return ChoiceNeededError(
        found.path,
        f"it holds {len(candidates)} {things} that could be meant",
        f"Choose one by its key: {_listing(candidates)}",
        items,
    )


def _none(path: Path, pool: list[Series]) -> VolumeError:
    """Say what is wrong with the most likely one of several that cannot be read."""
    stacks = [one for one in pool if one.is_stack]
    if len(stacks) >= SMALLEST_STACK > max(len(one.slices) for one in stacks):
        return VolumeError(
            path,
            f"it holds {len(stacks)} series of one or two slices each and no whole one; perhaps an "
            "anonymiser gave each slice a series UID of its own",
            "Export or anonymise the series again, so that its slices share one series UID",
        )
    likely = max(pool, key=lambda one: (one.is_stack, one.kind == "CT", len(one.slices)))
    return refusal(path, likely) or why_not(path, likely)


def mask_file(path: Path, series: Series, wanted: str | None) -> Path:
    """The file of the mask that is meant, in a series of masks.

    Parameters
    ----------
    path
        What the user named; may be the very file.
    series
        The masks.
    wanted
        Key of the one that was asked for, perhaps with the number of one of its segments.

    Raises
    ------
    ChoiceNeededError
        If there are several.
    """
    headers = series.slices
    if wanted is None:
        headers = tuple(h for h in headers if h.path == path) or headers
    else:
        mask = wanted.partition("/")[0]
        headers = tuple(h for h in headers if h.sop_instance_uid == mask) or headers
    if len(headers) > 1:
        items = tuple(
            Item(
                header.sop_instance_uid,
                f"{series.title}, {header.path.name}",
                MASK_KINDS[header.sop_class_uid],
            )
            for header in headers
        )
        raise ChoiceNeededError(
            headers[0].path.parent,
            f"the series holds {len(items)} masks",
            "Choose one of the files",
            items,
        )
    return headers[0].path

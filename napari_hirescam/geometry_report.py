"""What was opened and how it lies in the patient, in rows and as text.

The window and the command line show the same rows. Nothing in them identifies the patient.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from napari_hirescam.source import Fact, Repair, Repaired, Source
from napari_hirescam.volume import Grid, Quantity, Volume

_QUANTITIES = {
    Quantity.HU: "Hounsfield units (HU)",
    Quantity.LABELS: "labels",
    Quantity.UNKNOWN: "unknown, not known to be HU",
}

_TITLES = {
    Repair.STRAIGHTEN: "Straighten",
    Repair.INSERT_MISSING: "Insert blank slices",
    Repair.EVEN_SPACING: "Even out the spacing",
    Repair.LEAVE_OUT_ODD: "Leave out the odd slices",
    Repair.ASSUME_PLACE: "Assume its place",
    Repair.USE_SFORM: "Use the sform",
    Repair.USE_QFORM: "Use the qform",
}

_EFFECTS = {
    Repair.STRAIGHTEN: (
        "resamples the scan onto the patient's axes: its values are interpolated; results are "
        "written on the grid of the file"
    ),
    Repair.INSERT_MISSING: (
        "puts a blank slice (air) at each place where one is missing and marks it as not "
        "measured; no anatomy is made up, and a model sees a gap of air there"
    ),
    Repair.EVEN_SPACING: (
        "resamples the slices to their finest spacing: what lies between two measured slices is "
        "interpolated, and marked as not measured"
    ),
    Repair.LEAVE_OUT_ODD: (
        "reads the series without the slices that are damaged or do not fit the others; what "
        "they showed is lost to you"
    ),
    Repair.ASSUME_PLACE: (
        "takes the scan for one along the patient's axes: left and right, front and back, up "
        "and down may be exchanged, and positions in mm mean nothing"
    ),
    Repair.USE_SFORM: (
        "believes the place that the file's sform gives, which registrations usually set"
    ),
    Repair.USE_QFORM: (
        "believes the place that the file's qform gives, which is usually the scanner's"
    ),
}


def title_of(repair: Repair) -> str:
    """Name a repair for a button or a heading: "Insert blank slices"."""
    return _TITLES[repair]


def effect_of(repair: Repair) -> str:
    """Say in a clause what a repair does to the data and what it invents."""
    return _EFFECTS[repair]


def geometry_report(volume: Volume) -> tuple[Fact, ...]:
    """Collect what there is to know of a volume's geometry and numbers.

    Parameters
    ----------
    volume
        As it was read; of one that comes from no file there is less to tell.

    Returns
    -------
    Rows; those of one section stand together: the file, what was repaired, what the reader
    remarked, what it found, the volume as it is shown.
    """
    source = volume.source
    rows: list[Fact] = []
    if source is not None:
        rows += _file(source)
        rows += [_repair(one) for one in source.repaired]
        rows += _remarks(source)
        rows += source.facts or _least(source)
    rows += _shown(volume)
    return _by_section(rows)


def is_doubtful(volume: Volume) -> bool:
    """True if the report of a volume has something its user should see without asking.

    A scan that was only straightened is not: its note says so, and each oblique mask would open
    a report beside that of its CT.
    """
    source = volume.source
    return source is not None and (
        any(one.asked for one in source.repaired) or any(fact.remark for fact in source.facts)
    )


def report_as_text(title: str, facts: Sequence[Fact]) -> str:
    """Lay rows out as plain text, a section after the other, remarks behind an exclamation mark.

    Parameters
    ----------
    title
        First line: the name of the volume.
    facts
        As :func:`geometry_report` returns them.
    """
    lines = [title]
    width = max((len(fact.name) for fact in facts), default=0)
    for section, rows in itertools.groupby(facts, key=lambda fact: fact.section):
        lines += ["", section]
        for fact in rows:
            lines.append(f"  {fact.name:<{width}}  {fact.value}".rstrip())
            if fact.remark:
                lines.append(f"  {'':<{width}}  ! {fact.remark}")
    return "\n".join(lines)


def _file(source: Source) -> list[Fact]:
    rows = [Fact("File", "Name", source.path.name), Fact("File", "Format", source.format)]
    if source.item:
        rows.append(Fact("File", "Item", source.item))
    told = {fact.name for fact in source.facts if fact.section == "File"}
    return [fact for fact in rows if fact.name not in told]


def _remarks(source: Source) -> list[Fact]:
    said = " ".join(
        [*(f"{fact.value} {fact.remark}" for fact in source.facts)]
        + [one.what for one in source.repaired]
    )
    notes = (note for note in source.notes if note not in said)
    return [Fact("Remarks", str(number), note) for number, note in enumerate(notes, start=1)]


def _least(source: Source) -> tuple[Fact, ...]:
    """What every file has, for a reader that tells nothing of its own."""
    return (
        Fact("Stored grid", "Axes grow to", in_words(source.orientation)),
        Fact("Stored grid", "Size", times(source.grid.shape)),
        Fact("Stored grid", "Spacing", f"{times(source.grid.spacing_mm)} mm"),
    )


def _shown(volume: Volume) -> list[Fact]:
    grid = volume.grid
    rows = [
        Fact("As shown", "Slices, rows, columns", times(grid.shape)),
        Fact("As shown", "They grow to", "inferior, posterior, left"),
        Fact("As shown", "Spacing", f"{times(grid.spacing_mm)} mm"),
        Fact("As shown", "First voxel at L, P, S", _first_voxel(grid)),
        Fact("As shown", "Values", f"{_QUANTITIES[volume.quantity]}, {volume.voxels.dtype}"),
    ]
    if volume.segments:
        rows.append(Fact("As shown", "Named segments", str(len(volume.segments))))
    if volume.invalid is not None:
        share = float(volume.invalid.mean())
        rows.append(Fact("As shown", "Not measured", f"{share:.1%} of the voxels"))
    return rows


def _repair(one: Repaired) -> Fact:
    how = "with your consent" if one.asked else "by itself, since it invents nothing"
    return Fact("Repairs", title_of(one.repair), one.what, f"done {how}")


def _by_section(rows: Iterable[Fact]) -> tuple[Fact, ...]:
    sections: dict[str, list[Fact]] = {}
    for fact in rows:
        sections.setdefault(fact.section, []).append(fact)
    return tuple(itertools.chain.from_iterable(sections.values()))


def _first_voxel(grid: Grid) -> str:
    inferior, posterior, left = grid.affine[:3, 3]
    return f"{left:.2f}, {posterior:.2f}, {-inferior:.2f} mm"


_DIRECTIONS = {
    "R": "right",
    "L": "left",
    "A": "anterior",
    "P": "posterior",
    "S": "superior",
    "I": "inferior",
}


def in_words(letters: str) -> str:
    """Write orientation letters out: "LPS (left, posterior, superior)"."""
    words = [_DIRECTIONS[letter] for letter in letters if letter in _DIRECTIONS]
    return f"{letters} ({', '.join(words)})" if len(words) == len(letters) == 3 else letters


def times(values: Iterable[float]) -> str:
    """Write lengths as a product: "512 x 512 x 99", "0.7 x 0.7 x 2.5"."""
    return " x ".join(f"{value:.4g}" if value % 1 else f"{value:.0f}" for value in values)

"""What is judged: one organ's mask, or one label's map, of one scan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from napari_hirescam.review.form import ItemKind


@dataclass(frozen=True)
class Item:
    """One line of the work list: what a reader judges on one screen.

    Parameters
    ----------
    number
        Its place in the work list, from 1 on; its key in the review.
    case
        Name of the scan; items of one scan have the same. Intervals are drawn by it.
    patient
        Whose scan.
    kind
        A mask or a map.
    target
        The organ, or the label of a map.
    ct
        File or folder.
    series
        Which of several series under `ct`; empty if there is one.
    mask
        File with the mask, or folder of one file for each organ; None for a map without one.
    organ_table
        How to find the organ in `mask`: name of a built-in table or a file; empty takes the names
        in the mask's own file.
    attention
        A ready map's file; None if there is none.
    model
        Model folder that makes the map on demand; None if there is none.
    split
        "train", "valid", "test", or empty.
    repeat_of
        Number of the item that this one shows once more; None for all others.
    about
        What else the table told, shown unless names or scores are hidden.
    """

    number: int
    case: str
    patient: str
    kind: ItemKind
    target: str
    ct: Path
    series: str = ""
    mask: Path | None = None
    organ_table: str = ""
    attention: Path | None = None
    model: Path | None = None
    split: str = ""
    repeat_of: int | None = None
    about: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CheckFinding:
    """What an automatic check found in a mask. Never a verdict.

    Parameters
    ----------
    check
        Its name: "empty", "left_right", "leak", ...
    words
        What is wrong, one clause with its figure: "12 mL lie outside the body".
    severity
        0 (worth a look) to 1 (surely wrong); the worst one orders the work list.
    place_mm
        (I, P, L) of the worst spot; None where there is no single one.
    """

    check: str
    words: str
    severity: float
    place_mm: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class MaskFacts:
    """What the checks measured of a mask.

    Parameters
    ----------
    volume_ml, surface_cm2
        Of the organ.
    mean_hu
        Inside it; NaN for an empty mask.
    findings
        Worst first.
    notes
        What was not judged and why, one sentence each.
    """

    volume_ml: float
    surface_cm2: float
    mean_hu: float
    findings: tuple[CheckFinding, ...] = ()
    notes: tuple[str, ...] = ()

"""Put a case to this package's reader and say what became of it."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from napari_hirescam import io
from napari_hirescam.errors import VolumeError
from napari_hirescam.io.asking import ChoiceNeededError, ConsentNeededError
from napari_hirescam.volume import Volume
from torture.cases import Case
from torture.dicom_series import IDENTIFYING
from torture.judge import Answer, Made, Scan, Verdict, fault
from torture.listing import fault_in_listing

_MOST_QUESTIONS = 4
_TECHNICAL = re.compile(r"Traceback|object at 0x|<class|Errno|Error\(|\bNone\b|numpy|KeyError")
# (L, P, S) from our (I, P, L); written down here a second time on purpose.
_IPL_TO_LPS = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1]], dtype=float)


@dataclass(frozen=True)
class Outcome:
    """The verdict on one case.

    Parameters
    ----------
    verdict
        What became of it.
    said
        The reader's words: the reason of a refusal or question, else "".
    complaint
        What the exam finds wrong; "" if nothing.
    repairs
        Those that were agreed to.
    """

    verdict: Verdict
    said: str = ""
    complaint: str = ""
    repairs: tuple[str, ...] = ()


def examine(case: Case, made: Made) -> Outcome:
    """Read a case as a user would, answering what the reader asks."""
    try:
        outcome = _read(case, made)
    except VolumeError as exc:
        outcome = Outcome(Verdict.REFUSED, str(exc), _bad_words(exc))
        if not re.search(case.because or ".", exc.reason) and not outcome.complaint:
            outcome = Outcome(Verdict.REFUSED, str(exc), "the reason is not the true one")
    except Exception:  # noqa: BLE001 - a crash is what is looked for
        return Outcome(Verdict.CRASH, complaint=traceback.format_exc(limit=-4))
    if not outcome.complaint and outcome.verdict not in case.allowed:
        wanted = " or ".join(sorted(case.allowed))
        return replace(outcome, complaint=f"it should be {wanted}")
    if not outcome.complaint:
        listed = fault_in_listing(made, outcome.verdict, outcome.repairs)
        return replace(outcome, complaint=listed)
    return outcome


def _read(case: Case, made: Made) -> Outcome:
    try:
        volume, repairs, said = _read_consenting(case, made, None)
    except ChoiceNeededError as exc:
        return _read_all(case, made, exc)
    if not made.scans:
        return Outcome(Verdict.WRONG, complaint="there was nothing to read in it")
    complaint = _best_fault(volume, made.scans)[0]
    if complaint:
        return Outcome(Verdict.WRONG, said, complaint, repairs)
    verdict = Verdict.REPAIRED if repairs else Verdict.RIGHT
    return Outcome(verdict, said, _untold(case, volume, repairs), repairs)


def _read_consenting(
    case: Case, made: Made, series: str | None
) -> tuple[Volume, tuple[str, ...], str]:
    agreed: list[str] = []
    said = ""
    for _ in range(_MOST_QUESTIONS):
        try:
            return io.read_volume(made.path, series=series, allow=agreed), tuple(agreed), said
        except ConsentNeededError as exc:
            said = str(exc)
            offered = [one for one in case.repairs if one in exc.repairs and one not in agreed]
            if _bad_words(exc) or not offered:
                raise
            agreed.append(offered[0])
    return io.read_volume(made.path, series=series, allow=agreed), tuple(agreed), said


def _read_all(case: Case, made: Made, asked: ChoiceNeededError) -> Outcome:
    said = f"{asked} [" + "; ".join(item.title for item in asked.items) + "]"
    if len({item.key for item in asked.items}) < len(asked.items):
        return Outcome(Verdict.WRONG, said, "two items have the same key")
    left = list(made.scans)
    repairs: tuple[str, ...] = ()
    for item in asked.items:
        if not item.is_readable or item.kind.lower() in {"localizer", "seg"}:
            continue
        try:
            volume, more, _ = _read_consenting(case, made, item.key)
        except VolumeError as exc:
            if item.problem:
                continue
            return Outcome(Verdict.REFUSED, str(exc), f"item {item.title!r} was offered as sound")
        repairs += more
        complaint, scan = _best_fault(volume, (*left, *made.scans))
        if complaint and item.kind in {"CT", "image", ""}:
            return Outcome(Verdict.WRONG, said, f"item {item.title!r}: {complaint}")
        if scan in left:
            left.remove(scan)
        told = _untold(case, volume, more)
        if told:
            return Outcome(Verdict.ASKED, said, f"item {item.title!r}: {told}")
    if len(left) == len(made.scans):
        return Outcome(Verdict.REFUSED, said, "none of what it offers is a scan of the folder")
    must = made.scans if Verdict.ASKED in case.allowed and len(case.allowed) == 1 else ()
    missing = [scan for scan in left if scan in must]
    complaint = f"{len(missing)} scans cannot be reached" if missing else ""
    return Outcome(Verdict.ASKED, said, complaint or _bad_words(asked), repairs)


def _best_fault(volume: Volume, scans: tuple[Scan, ...]) -> tuple[str, Scan | None]:
    answer = Answer(volume.voxels, _IPL_TO_LPS @ volume.affine, volume.invalid, says_invalid=True)
    first = ""
    for scan in scans:
        complaint = fault(answer, scan)
        if not complaint:
            return "", scan
        first = first or complaint
    return first, None


def _words(volume: Volume) -> Iterator[str]:
    source = volume.source
    assert source is not None
    yield volume.name
    yield from source.notes
    yield source.item
    for fact in source.facts:
        yield f"{fact.section} {fact.name} {fact.value} {fact.remark}"
    for repaired in source.repaired:
        yield repaired.what
    yield from (f"{name} {value}" for name, value in source.details.items())
    yield from (segment.name for segment in volume.segments)


def _leak(words: str) -> str:
    for keyword, text in IDENTIFYING.items():
        for part in (text, *text.split("^")):
            if part in words:
                return f"the {keyword} {part!r} is told"
    return ""


def _untold(case: Case, volume: Volume, repairs: tuple[str, ...]) -> str:
    """What a right volume still fails to say, or says and must not."""
    source = volume.source
    assert source is not None
    words = "\n".join(_words(volume))
    made = {repaired.repair.value for repaired in source.repaired if repaired.asked}
    if case.remark and not re.search(case.remark, words):
        return f"it does not say so: {words!r}"
    if volume.quantity.value != case.quantity:
        return f"it is called {volume.quantity.value}, not {case.quantity}"
    kind = volume.voxels.dtype.kind
    if (case.kind == "i" and kind not in "iu") or (case.kind == "f" and kind != "f"):
        resampled = any(repaired.repair == "straighten" for repaired in source.repaired)
        if not (case.kind == "i" and resampled and kind == "f"):
            return f"its voxels are {volume.voxels.dtype}"
    if volume.voxels.dtype.itemsize > 4:
        return f"its voxels are {volume.voxels.dtype}"
    if missing := set(repairs) - made:
        return f"it does not own up to {', '.join(sorted(missing))}"
    if uncalled := made - set(repairs):
        return f"it repaired without being told: {', '.join(sorted(uncalled))}"
    return _leak(words)


def _bad_words(exc: VolumeError) -> str:
    if not exc.reason.strip() or not exc.remedy.strip():
        return "it gives no reason or no remedy"
    text = f"{exc.reason} {exc.remedy}"
    if found := _TECHNICAL.search(text):
        return f"it speaks of {found.group()!r}"
    return _leak(text)

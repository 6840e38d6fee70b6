"""Checks of items as the work list has them: what is wrong with their files is a finding too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from napari_hirescam.errors import HirescamError, OrganError
from napari_hirescam.organs import read_organ_table, read_organs
from napari_hirescam.organs.organ_tables import organ_name
from napari_hirescam.review.checks.against_partition import is_compared
from napari_hirescam.review.checks.mask import check_mask
from napari_hirescam.review.checks.scan import Scan, survey_scan, with_partition
from napari_hirescam.review.checks.subject import finding
from napari_hirescam.review.item import Item, MaskFacts
from napari_hirescam.review.loading import CtKey, LoadedMask, ct_key, load_ct, load_mask
from napari_hirescam.review.words import faulty_part

Progress = Callable[[int, int], None]
ShouldStop = Callable[[], bool]

_NAN = float("nan")
_WHOLE = 1000
_READ, _PLACED, _SURVEYED = 400, 550, 850
#: Beginning of the note by which a mask says that it was brought onto the CT's grid.
_RESAMPLED = "The masks ("


def check_item(
    item: Item, *, progress: Progress | None = None, should_stop: ShouldStop | None = None
) -> MaskFacts:
    """Read CT and mask of an item and check the mask.

    What cannot be read, or does not lie on the CT, is a finding of severity 1 ("unreadable",
    "grid") in facts whose figures are NaN. An item without a mask has no findings.

    Parameters
    ----------
    item
        What to check.
    progress
        Called with (done, total).
    should_stop
        Asked often.

    Raises
    ------
    Cancelled
        `should_stop` said so.
    """
    return _Checker(should_stop).check(item, progress)


def check_items(
    items: Iterable[Item],
    *,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> Iterator[tuple[Item, MaskFacts]]:
    """Check many; items of one CT that follow one another share what is found in it.

    Parameters
    ----------
    items
        What to check, best with the items of each CT together.
    progress
        Called with (items done, items in all).
    should_stop
        Asked often.

    Raises
    ------
    Cancelled
        `should_stop` said so.
    """
    checker = _Checker(should_stop)
    all_items = tuple(items)
    for done, item in enumerate(all_items, start=1):
        yield item, checker.check(item, None)
        if progress is not None:
            progress(done, len(all_items))


class _Checker:
    """Checks one item after the other, and keeps what it found in the last CT."""

    def __init__(self, should_stop: ShouldStop | None) -> None:
        self._should_stop = should_stop
        self._key: CtKey | None = None
        self._scan: Scan | None = None
        #: Whether PARTITION was asked already.
        self._asked = False

    def check(self, item: Item, progress: Progress | None) -> MaskFacts:
        def tell(done: int) -> None:
            if progress is not None:
                progress(done, _WHOLE)

        tell(0)
        if item.mask is None:
            return MaskFacts(_NAN, _NAN, _NAN)
        try:
            if self._key != ct_key(item):
                ct = load_ct(item, should_stop=self._should_stop)
                self._key, self._scan, self._asked = ct_key(item), Scan(ct), False
            if self._scan is None:
                raise AssertionError
            tell(_READ)
            loaded = load_mask(item, self._scan.ct, should_stop=self._should_stop)
        except HirescamError as error:
            if self._key != ct_key(item):
                self._key = None
            return self._fault(item, error)
        tell(_PLACED)
        if loaded.mask is None:
            return MaskFacts(_NAN, _NAN, _NAN)
        scan = self._survey(self._scan, item)
        tell(_SURVEYED)
        facts = check_mask(
            scan.ct,
            loaded.mask,
            item.target,
            others=loaded.others,
            scan=scan,
            should_stop=self._should_stop,
        )
        tell(_WHOLE)
        return _with_resampling(facts, loaded)

    def _survey(self, scan: Scan, item: Item) -> Scan:
        """Find in the CT what this item's checks need and was not found before."""
        find = is_compared(organ_name(item.target)) and not self._asked
        if scan.grid is None and not scan.notes:
            scan = survey_scan(scan.ct, find=find, should_stop=self._should_stop)
        elif find:
            scan = with_partition(scan, should_stop=self._should_stop)
        self._asked |= find
        self._scan = scan
        return scan

    def _fault(self, item: Item, error: HirescamError) -> MaskFacts:
        check = "unreadable"
        if isinstance(error, OrganError) and item.mask is not None:
            check = "grid" if _can_be_read_alone(item) else "unreadable"
        one = finding(check, f"{faulty_part(item, error)}: {error.reason}", 1.0)
        return MaskFacts(_NAN, _NAN, _NAN, (one,))


def _can_be_read_alone(item: Item) -> bool:
    """Whether the mask is sound but for its place, so that the fault is the grid's."""
    if item.mask is None:
        return False
    try:
        table = read_organ_table(item.organ_table) if item.organ_table else None
        organ = organ_name(item.target)
        read_organs(item.mask, table, wanted=[organ], unnamed=organ, lenient=True)
    except HirescamError:
        return False
    return True


def _with_resampling(facts: MaskFacts, loaded: LoadedMask) -> MaskFacts:
    """Say that the mask's own grid was another one."""
    told = [note for note in loaded.notes if note.startswith(_RESAMPLED)]
    if not told:
        return facts
    one = finding("grid", told[0].rstrip(".")[:1].lower() + told[0].rstrip(".")[1:], 0.2)
    found = sorted((*facts.findings, one), key=lambda each: -each.severity)
    return replace(facts, findings=tuple(found))

"""From a table or a folder to what is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_hirescam.errors import Cancelled, HirescamError, ReviewError
from napari_hirescam.organs.mask_files import organ_files
from napari_hirescam.organs.organ_tables import organ_name
from napari_hirescam.review.entries import Entry, Problem
from napari_hirescam.review.folder_rows import find_entries
from napari_hirescam.review.form import ItemKind
from napari_hirescam.review.item import Item
from napari_hirescam.review.mask_organs import MOST_HEADERS, ToldOrgans
from napari_hirescam.review.table_columns import Recognised, Role, recognise
from napari_hirescam.review.table_rows import read_entries

__all__ = ["Problem", "WorkList", "plan_items"]

_MOST_NAMED = 3
_BETWEEN_NEWS = 64


@dataclass(frozen=True)
class WorkList:
    """What there is to judge, in the order of the table.

    Parameters
    ----------
    items
        Numbered from 1 on.
    notes
        What the user should know, one sentence each.
    problems
        What was left out.
    """

    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


def plan_items(
    path: str | Path | Recognised,
    *,
    columns: Mapping[Role, str] | None = None,
    organs: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    organ_table: str | None = None,
    model: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> WorkList:
    """Make the items of a table or folder.

    Parameters
    ----------
    path
        As for :func:`recognise`, or what it answered.
    columns
        As for :func:`recognise`.
    organs
        Organs to judge in every scan; () judges none. None takes those that the masks tell of: by
        their columns, files' names, or table of values; masks are opened only where none of these
        says it.
    labels
        Labels whose maps are judged; () judges none. None takes those that have a map, and, where
        there is a model, those that are present in the scan.
    organ_table
        Which value of a label map is which organ, where the table does not say: a file, or the
        name of a built-in table.
    model
        Model that makes the maps, where the table does not say.
    progress
        Called with (done, total).
    should_stop
        Asked in between.

    Raises
    ------
    ReviewError
        It cannot be read, or nothing in it can be judged; with the first rows' reasons.
    Cancelled
        `should_stop` said so.
    """
    told = path if isinstance(path, Recognised) else recognise(path, columns)
    if told.layout == "folder":
        found = find_entries(told.path, should_stop)
        entries, problems = found.entries, found.problems
    else:
        entries, problems = read_entries(told, progress, should_stop)
    maker = _Maker(organs, labels, organ_table or "", model, should_stop)
    for done, entry in enumerate(entries):
        if should_stop is not None and should_stop():
            raise Cancelled("the work list was stopped")
        if progress is not None and done % _BETWEEN_NEWS == 0:
            progress(done, len(entries))
        maker.add(entry)
    problems = sorted([*problems, *maker.problems], key=lambda one: one.row or 0)
    if not maker.items:
        some = "; ".join(one.words for one in problems[:_MOST_NAMED])
        raise ReviewError(
            told.path,
            f"nothing in it can be judged: {some or 'it has neither masks nor maps'}",
            "Mend the table, or name its columns, the organs or the labels",
        )
    if progress is not None:
        progress(len(entries), len(entries))
    return WorkList(tuple(maker.items), (*told.notes, *maker.notes()), tuple(problems))


class _Maker:
    """Makes items of entries, and says of which it cannot."""

    def __init__(
        self,
        organs: Sequence[str] | None,
        labels: Sequence[str] | None,
        organ_table: str,
        model: Path | None,
        should_stop: Callable[[], bool] | None,
    ) -> None:
        self.items: list[Item] = []
        self.problems: list[Problem] = []
        self._organs = None if organs is None else tuple(dict.fromkeys(map(organ_name, organs)))
        self._labels = None if labels is None else tuple(dict.fromkeys(labels))
        self._table, self._model = organ_table, model
        self._told = ToldOrgans(should_stop)
        if organ_table:
            self._told.check_table(organ_table)
        self._case: dict[str, Entry] = {}
        self._cts: dict[tuple[Path, str], set[str]] = {}
        self._seen: dict[tuple[str, ItemKind, str], Entry] = {}

    def add(self, entry: Entry) -> None:
        """Add what can be judged in one entry."""
        first = self._case.setdefault(entry.case, entry)
        if (first.ct, first.series) != (entry.ct, entry.series):
            where = f"row {first.row}" if first.row is not None else first.ct.name
            self._refuse(entry, f"a case of this name with another CT is in {where}")
            return
        self._cts.setdefault((entry.ct, entry.series), set()).add(entry.case)
        before = len(self.items) + len(self.problems)
        self._add_masks(entry)
        self._add_maps(entry)
        if len(self.items) + len(self.problems) == before and not self._is_left_out(entry):
            self._refuse(entry, "it has neither a mask nor a map")

    def _is_left_out(self, entry: Entry) -> bool:
        """Say whether an entry has something that nobody asked for."""
        masks = entry.mask is not None or bool(entry.organ_masks)
        maps = entry.attention is not None or bool(entry.label_maps) or self._model is not None
        return masks or maps or entry.model is not None

    def _add_masks(self, entry: Entry) -> None:
        if entry.mask is None and not entry.organ_masks:
            return
        try:
            found = self._masks_of(entry)
        except HirescamError as exc:
            # The whole path is not told: folders have names of people.
            self._refuse(entry, f"{Path(exc.subject).name}: {exc.reason}")
            return
        for organ, (mask, table) in found.items():
            self._put(entry, "mask", organ, mask=mask, organ_table=table)

    def _masks_of(self, entry: Entry) -> dict[str, tuple[Path, str]]:
        """Organ -> its mask, and which of its values it is."""
        found = {organ: (path, "") for organ, path in entry.organ_masks.items()}
        if entry.mask is not None:
            table = "" if organ_files(entry.mask) else entry.organ_table or self._table
            if entry.organ:
                told: tuple[str, ...] = (entry.organ,)
            elif self._organs is None:
                told = self._told.of(entry.mask, table)
            else:
                told = self._asked_of(entry, entry.mask, table, found)
            for organ in told:
                found.setdefault(organ, (entry.mask, table))
        if self._organs is None:
            return found
        return {organ: found[organ] for organ in self._organs if organ in found}

    def _asked_of(
        self, entry: Entry, mask: Path, table: str, found: Mapping[str, object]
    ) -> tuple[str, ...]:
        """Those organs that are asked for and a mask may tell of."""
        asked = [organ for organ in self._organs or () if organ not in found]
        possible, lacking = self._told.among(asked, mask, table)
        if lacking:
            what = "table of organs" if table else f"mask {mask.name}"
            self._refuse(entry, f"its {what} has no {', '.join(lacking)}")
        return possible

    def _add_maps(self, entry: Entry) -> None:
        maps = dict(entry.label_maps)
        model = entry.model or self._model
        label = entry.label
        if entry.attention is not None:
            if not label and len(entry.findings) == 1:
                label = next(iter(entry.findings))
            if label:
                maps.setdefault(label, entry.attention)
            elif self._labels != ():
                self._refuse(
                    entry, f"nothing says of which label its map {entry.attention.name} is"
                )
        wanted = self._labels
        if wanted is None:
            present = [label for label, there in entry.findings.items() if there]
            wanted = (*maps, *([label] if label else []), *(present if model is not None else []))
        for target in dict.fromkeys(wanted):
            if target in maps or model is not None:
                self._put(entry, "attention", target, attention=maps.get(target), model=model)
            elif not label:
                self._refuse(entry, f"it has neither a map of {target} nor a model to make one")

    def _put(
        self,
        entry: Entry,
        kind: ItemKind,
        target: str,
        *,
        mask: Path | None = None,
        organ_table: str = "",
        attention: Path | None = None,
        model: Path | None = None,
    ) -> None:
        first = self._seen.setdefault((entry.case, kind, target), entry)
        if first is not entry:
            where = f" in row {first.row}" if first.row is not None else ""
            self._refuse(entry, f"{target} of this case is there already{where}")
            return
        self.items.append(
            Item(
                number=len(self.items) + 1,
                case=entry.case,
                patient=entry.patient,
                kind=kind,
                target=target,
                ct=entry.ct,
                series=entry.series,
                mask=mask,
                organ_table=organ_table,
                attention=attention,
                model=model,
                split=entry.split,
                about=entry.about,
            )
        )

    def _refuse(self, entry: Entry, reason: str) -> None:
        self.problems.append(Problem(entry.row, entry.case, reason))

    def notes(self) -> list[str]:
        """What was noticed, one sentence each."""
        notes = []
        if self._told.opened:
            masks = "a mask" if self._told.opened == 1 else f"{self._told.opened} masks"
            notes.append(
                f"The headers of {masks} were read for what their organs are called; naming the "
                "organs, or a table of values, spares that."
            )
        if self._told.stopped_looking:
            notes.append(
                f"Only the first {MOST_HEADERS} masks were looked at for whether they tell of the "
                "organs; what is missing in others shows when it is opened."
            )
        several = [sorted(names) for names in self._cts.values() if len(names) > 1]
        if several:
            more = f", and {len(several) - 1} more" if len(several) > 1 else ""
            named = several[0][:_MOST_NAMED]
            if len(named) < len(several[0]):
                named.append(f"{len(several[0]) - len(named)} others")
            notes.append(f"Cases {' and '.join(named)} have the same CT{more}.")
        return notes

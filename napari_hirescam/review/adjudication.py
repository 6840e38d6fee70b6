"""Items on which readers differ, and the review in which somebody settles them."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path

from napari_hirescam.errors import ReviewError
from napari_hirescam.review.asked import by_item_and_reader
from napari_hirescam.review.database import is_there
from napari_hirescam.review.edited_masks import edits_folder
from napari_hirescam.review.event import Edit, Verdict
from napari_hirescam.review.form import Blinding
from napari_hirescam.review.item import Item
from napari_hirescam.review.results import known_readers
from napari_hirescam.review.review_file import ReviewFile
from napari_hirescam.review.stored_review import StoredReview
from napari_hirescam.review.words import DECISION_WORDS, verdict_words
from napari_hirescam.safe_write import Section, write_file

#: Ratings this far apart are settled by somebody.
LEAST = 2
_EDIT, _SHA256, _OF_ITEM = " edit", " edit sha256", "of item"


@dataclass(frozen=True)
class Disagreement:
    """An item on which readers differ.

    Parameters
    ----------
    item
        What they judged.
    verdicts
        Of all who have finished it, by name.
    apart
        Steps between the highest and the lowest rating; 0 if fewer than two rated it.
    decisions_differ
        Whether two took different decisions.
    """

    item: Item
    verdicts: tuple[Verdict, ...]
    apart: int
    decisions_differ: bool

    @property
    def words(self) -> str:
        """Why it is one: "ratings 2 and 5; exclude or use"."""
        parts = []
        ratings = [str(v.rating) for v in self.verdicts if v.rating is not None]
        if self.apart:
            parts.append(f"ratings {' and '.join(ratings)}")
        if self.decisions_differ:
            given = (DECISION_WORDS[v.decision] for v in self.verdicts if v.decision is not None)
            parts.append(" or ".join(dict.fromkeys(given)))
        return "; ".join(parts)


def disagreements(
    review: StoredReview, least: int = LEAST, *, readers: Iterable[str] | None = None
) -> tuple[Disagreement, ...]:
    """List the items that two readers have finished and judged differently, in the list's order.

    Hidden repeats are left out: they tell of one reader.

    Parameters
    ----------
    review
        Open; it is not changed.
    least
        Ratings that are at least so many steps apart count; different decisions always do.
    readers
        Whose answers count. Default: all.

    Raises
    ------
    ReviewError
        A reader is unknown, or `least` is below 1.
    """
    if least < 1:
        raise ReviewError(
            "difference of ratings", f"{least} is none", "Give a number of steps from 1 up"
        )
    chosen = known_readers(review, readers)
    verdict_of = by_item_and_reader(review.verdicts(chosen))
    found = []
    for item in review.items():
        if item.repeat_of is not None:
            continue
        finished = tuple(
            verdict
            for reader in chosen
            if (verdict := verdict_of.get((item.number, reader))) is not None
            and verdict.done
            and not verdict.unreadable
        )
        ratings = [verdict.rating for verdict in finished if verdict.rating is not None]
        apart = max((abs(a - b) for a, b in combinations(ratings, 2)), default=0)
        decisions = {verdict.decision for verdict in finished if verdict.decision is not None}
        if apart >= least or len(decisions) > 1:
            found.append(Disagreement(item, finished, apart, len(decisions) > 1))
    return tuple(found)


def adjudication_review(
    review: StoredReview,
    path: str | Path,
    *,
    least: int = LEAST,
    readers: Iterable[str] | None = None,
) -> ReviewFile:
    """Make a new review of the items on which readers differ.

    Each item's `about` holds what the readers answered, as :func:`answers_of` and
    :func:`edits_of` hand it on. Names are hidden: "reader 1" is drawn anew for every item, and
    edited masks are copied beside the new file under names that tell of nobody.

    Parameters
    ----------
    review
        The one whose disagreements are settled.
    path
        Of the new file; nothing may be there.
    least, readers
        See :func:`disagreements`.

    Raises
    ------
    ReviewError
        There is nothing to settle, an edited mask is not there, or the file cannot be written.
    """
    file = Path(path)
    if is_there(file):
        raise ReviewError(file, "there is a file of this name", "Choose another name")
    found = disagreements(review, least, readers=readers)
    if not found:
        raise ReviewError(
            review.path,
            f"no two readers differ by {least} or more, or in their decision",
            "There is nothing to settle; ask for a smaller difference, or wait for more answers",
        )
    plan = replace(
        review.plan,
        name=f"{review.plan.name}, adjudication",
        order="given",
        repeat_share=0.0,
        # Whoever settles a difference has to see what the others said.
        blinding=replace(review.plan.blinding, other_readers=False),
        adjudicates=review.plan.name,
    )
    draw = random.Random(review.plan.seed)  # noqa: S311 - hides names, no secrets
    copies: list[tuple[Path, Path]] = []
    items = []
    for number, each in enumerate(found, start=1):
        said = list(each.verdicts)
        draw.shuffle(said)
        about = _shown_about(each.item, review.plan.blinding)
        about[_OF_ITEM] = str(each.item.number)
        for k, verdict in enumerate(said, start=1):
            about[f"reader {k}"] = verdict_words(each.item, verdict, review.plan.form)
            if verdict.edit is not None:
                copy = edits_folder(file.resolve()) / f"{number:05d}_reader_{k}.nii.gz"
                copies.append((verdict.edit.file, copy))
                about[f"reader {k}{_EDIT}"] = copy.name
                about[f"reader {k}{_SHA256}"] = verdict.edit.sha256
        items.append(replace(each.item, number=number, repeat_of=None, about=about))
    written: list[Path] = []
    try:
        for source, copy in copies:
            _copy(source, copy)
            written.append(copy)
        return ReviewFile.create(file, plan, items)
    except BaseException:
        for copy in written:
            copy.unlink(missing_ok=True)
        folder = edits_folder(file.resolve())
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        raise


def answers_of(item: Item) -> dict[str, str]:
    """What the readers said of an item that is to be settled: "reader 1" -> in words."""
    return {
        key: text
        for key, text in item.about.items()
        if key.startswith("reader ") and key.removeprefix("reader ").isdigit()
    }


def edits_of(review: ReviewFile, item: Item) -> dict[str, Edit]:
    """Edited masks of an item that is to be settled: "reader 1" -> its copy.

    One of them becomes the adjudicator's by ``review.record(reader, item.number, "edit", edit)``.
    """
    folder = edits_folder(review)
    return {
        reader: Edit(folder / item.about[reader + _EDIT], item.about[reader + _SHA256])
        for reader in answers_of(item)
        if reader + _EDIT in item.about
    }


def settles(item: Item) -> int | None:
    """Number that an item to be settled has in the review it comes from; None for any other."""
    number: str | None = item.about.get(_OF_ITEM)
    return int(number) if number is not None and number.isdigit() else None


def _shown_about(item: Item, blinding: Blinding) -> dict[str, str]:
    if blinding.names or blinding.scores:
        return {}
    return {key: text for key, text in item.about.items() if not key.startswith("reader ")}


def _copy(source: Path, copy: Path) -> None:
    try:
        content = source.read_bytes()
    except OSError as exc:
        raise ReviewError(
            source.name, f"this edited mask cannot be read: {exc.strerror}", "Put it back"
        ) from exc
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        write_file(copy, [Section(partial(list, [content]))], overwrite=False)
    except OSError as exc:
        raise ReviewError(
            copy, f"it cannot be written: {exc.strerror or exc}", "Choose another folder"
        ) from exc

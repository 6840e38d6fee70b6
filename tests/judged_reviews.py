"""Reviews whose answers are known, for the tests of what comes of them. No CT is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_hirescam.review.form import Form, Plan, YesNoQuestion
from napari_hirescam.review.item import Item
from napari_hirescam.review.review_file import ReviewFile

FORM = Form(questions=(YesNoQuestion("contrast", "Was contrast given?"),))


@dataclass(frozen=True)
class Said:
    """What a reader says of an item."""

    rating: int | None = None
    decision: str | None = None
    reasons: tuple[str, ...] = ()
    contrast: bool | None = None
    comment: str = ""
    flagged: bool = False
    done: bool = True
    seconds: float = 10.0


def mask_items(cases: Sequence[str], targets: Sequence[str], repeats: int = 0) -> list[Item]:
    """One item for each organ of each case; the first so many come back at the end."""
    items = [
        Item(k, case, f"patient of {case}", "mask", target, Path(f"{case}.nii.gz"),
             mask=Path(f"{case}_mask.nii.gz"), split="test", about={"site": "A"})
        for k, (case, target) in enumerate(((c, t) for c in cases for t in targets), 1)
    ]  # fmt: skip
    again = [
        Item(len(items) + k, one.case, one.patient, "mask", one.target, one.ct, mask=one.mask,
             split=one.split, repeat_of=one.number)
        for k, one in enumerate(items[:repeats], 1)
    ]  # fmt: skip
    return items + again


def new_review(path: Path, items: Sequence[Item], **plan: object) -> ReviewFile:
    """Make a review; who calls closes it."""
    return ReviewFile.create(path, Plan(**{"name": "Lungs", "form": FORM, **plan}), items)


def say(review: ReviewFile, reader: str, answers: Mapping[int, Said]) -> None:
    """Record what a reader says, as the window does."""
    for number, said in answers.items():
        review.record(reader, number, "opened", None)

        def record(kind, value, about="", number=number, said=said):
            review.record(
                reader, number, kind, value, about=about, seconds=said.seconds, mask_sha256="a" * 64
            )

        if said.rating is not None:
            record("rating", said.rating)
        if said.decision is not None:
            record("decision", said.decision)
        if said.reasons:
            record("reasons", said.reasons)
        if said.contrast is not None:
            record("answer", said.contrast, "contrast")
        if said.comment:
            record("comment", said.comment)
        if said.flagged:
            record("flag", True)
        if said.done:
            record("done", None)

"""Small reviews on the disk, whose items need no scans."""

from __future__ import annotations

from pathlib import Path

from napari_hirescam.review.form import Form, Plan, YesNoQuestion
from napari_hirescam.review.item import Item
from napari_hirescam.review.review_file import ReviewFile

SHA = "0123456789abcdef" * 4
PLAN = Plan(
    "lungs",
    Form(
        questions=(
            YesNoQuestion("fissure", "Is the fissure right?"),
            YesNoQuestion("finding", "Does it hit the finding?", about="attention"),
        )
    ),
)


def items_in(folder: Path, n_masks: int = 3) -> list[Item]:
    """Give masks of as many scans, then one map."""
    masks = [
        Item(
            number,
            f"scan{number:03d}",
            f"patient{number:03d}",
            "mask",
            "left lung" if number % 2 else "heart",
            folder / "ct" / f"{number}.nii.gz",
            mask=folder / "masks" / f"{number}.nii.gz",
            split="train" if number % 3 else "test",
        )
        for number in range(1, n_masks + 1)
    ]
    model = Item(
        n_masks + 1, "scan001", "patient001", "attention", "nodule", folder / "ct" / "1.nii.gz",
        model=folder / "model", about={"probability": "0.91"},
    )  # fmt: skip
    return [*masks, model]


def make_review(folder: Path, n_masks: int = 3, plan: Plan = PLAN) -> ReviewFile:
    """Make `review.db` in a folder."""
    return ReviewFile.create(folder / "review.db", plan, items_in(folder, n_masks))

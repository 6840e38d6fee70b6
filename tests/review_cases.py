"""Reviews of small CTs for the tests of the review's window, and a clock that can be turned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from napari_hirescam.io import write_volume
from napari_hirescam.review.form import Blinding, Form, Plan, YesNoQuestion
from napari_hirescam.review.item import Item
from napari_hirescam.review.review_file import ReviewFile
from napari_hirescam.volume import Volume

SHAPE = (24, 40, 40)
SPACING_MM = (6.0, 4.0, 4.0)
ORIGIN_MM = (-300.0, -80.0, -70.0)
#: Where the organ of every case begins and ends: slices, rows, columns.
BOX = (slice(6, 16), slice(10, 26), slice(8, 20))
QUESTIONS = (YesNoQuestion("contrast", "Was contrast given?"),)


def make_case(
    folder: Path,
    name: str,
    seed: int = 0,
    spacing_mm: tuple[float, float, float] = SPACING_MM,
) -> tuple[Path, Path]:
    """Write a CT of noise with a block of another density, and the mask of that block."""
    rng = np.random.default_rng(seed)
    voxels = np.full(SHAPE, -1000, np.int16)
    inside = tuple(slice(n // 8, -(n // 8)) for n in SHAPE)
    voxels[inside] = rng.integers(-100, 200, voxels[inside].shape)
    voxels[BOX] = rng.integers(-850, -750, voxels[BOX].shape)
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = ORIGIN_MM
    ct = Volume(voxels, affine, name)
    mask = np.zeros(SHAPE, np.uint8)
    mask[BOX] = 1
    folder.mkdir(parents=True, exist_ok=True)
    return (
        write_volume(folder / f"{name}_ct.nii.gz", ct.voxels, ct.grid),
        write_volume(folder / f"{name}_mask.nii.gz", mask, ct.grid),
    )


def make_items(folder: Path, n: int, targets: Sequence[str] = ("left_lung",)) -> list[Item]:
    """Write cases and list one item for each target of each."""
    items: list[Item] = []
    for k in range(n):
        name = f"case{k + 1}"
        ct, mask = make_case(folder, name, seed=k)
        items += [
            Item(len(items) + j, name, name, "mask", target, ct, mask=mask)
            for j, target in enumerate(targets, 1)
        ]
    return items


def make_review(path: Path, items: Sequence[Item], **plan: object) -> Path:
    """Make a review of items."""
    given = {"name": "Lungs", "form": Form(), "blinding": Blinding(), **plan}
    with ReviewFile.create(path, Plan(**given), items):
        return path


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

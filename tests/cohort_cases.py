"""A network whose map is the CT itself, and cases drawn cell by cell, for cohorts known by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from networks import classifier_of
from torch import nn

from napari_hirescam.attention.result import Explanation, Guarantee, GuaranteeState
from napari_hirescam.cases import Case, CaseTable
from napari_hirescam.errors import VolumeError
from napari_hirescam.models import Classifier
from napari_hirescam.models.spec import InputSpec
from napari_hirescam.organs import OrganMap
from napari_hirescam.source import Source
from napari_hirescam.volume import Grid, Volume

SHAPE = (2, 3, 4)
LABELS = ("bright", "dark")
#: Rows of 4 mm, columns of 5 mm, slices of 6 mm.
AFFINE = np.diag([6.0, 4.0, 5.0, 1.0])


class BrightAndDark(nn.Module):
    """Logits: the sum of the CT, and of its negative; a voxel is a cell."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.see = nn.Conv3d(1, 2, 1, bias=False)
        with torch.no_grad():
            self.see.weight[:] = torch.tensor([gain, -gain])[:, None, None, None, None]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.see(x).flatten(2).sum(2)


def bright_and_dark(gain: float = 1.0) -> Classifier:
    """Its map of "bright" is the CT in units of 1000 HU, and of "dark" the negative."""
    spec = InputSpec(shape=SHAPE, window_hu=(-1000.0, 1000.0), scale_to=(-1.0, 1.0))
    return classifier_of(
        BrightAndDark(gain), "see", spec, len(LABELS),
        labels=LABELS, organs={"bright": ("left",), "dark": ("right",)},
    )  # fmt: skip


def organ_map(doubts: tuple[str, ...] = ()) -> OrganMap:
    """The patient's right is the columns 0 and 1, the left 2 and 3; something else is outside."""
    column = np.broadcast_to(np.arange(SHAPE[2]), SHAPE)
    masks = {"right": column < 2, "left": column >= 2, "outside": column < 0}
    return OrganMap.from_masks(masks, AFFINE, "drawn by hand", doubts)


@dataclass(frozen=True)
class DrawnCase(Case):
    """Voxels that differ from zero, by index, in units of 1000 HU."""

    drawn: Mapping[tuple[int, int, int], float] = field(default_factory=dict)
    outlined: Mapping[str, tuple[tuple[int, int, int], ...]] = field(default_factory=dict)
    has_organs: bool = True
    doubts: tuple[str, ...] = ()
    broken: str = ""
    mended: str = ""
    read: list[str] = field(default_factory=list, repr=False, compare=False)

    def ct(self) -> Volume:
        self.read.append(self.name)
        if self.broken:
            raise VolumeError(self.name, self.broken, "Mend it")
        voxels = np.zeros(SHAPE, dtype=np.float32)
        for index, value in self.drawn.items():
            voxels[index] = 1000 * value
        return Volume(voxels, AFFINE, name=self.name, source=self._source())

    def _source(self) -> Source | None:
        if not self.mended:
            return None
        grid = Grid(SHAPE, AFFINE)
        return Source(Path("drawn"), "by hand", grid, "IPL", notes=(self.mended,))

    def organs(self, ct: Volume | None = None) -> OrganMap | None:
        drawn = organ_map(self.doubts) if self.has_organs else None
        return replace(drawn, notes=("resampled onto the CT",)) if drawn and self.mended else drawn

    def lesions(self, ct: Volume | None = None) -> dict[str, np.ndarray]:
        found = {}
        for label, indices in self.outlined.items():
            found[label] = np.zeros(SHAPE, dtype=bool)
            for index in indices:
                found[label][index] = True
        return found


def case(name: str, split: str | None, drawn: dict, bright: bool | None, **more) -> DrawnCase:
    """A case that is bright or not (or unknown), and never dark."""
    labels = {} if bright is None else {"bright": bright, "dark": False}
    fields = {"patient": f"patient of {name}", "labels": labels, **more}
    return DrawnCase(name=name, split=split, drawn=drawn, **fields)


def study(*cases: DrawnCase) -> CaseTable:
    return CaseTable("a study", LABELS, cases)


def explanation(
    maps: dict[str, np.ndarray],
    affine: np.ndarray = AFFINE,
    input_grid: Grid | None = None,
    labels: tuple[str, ...] = ("bright",),
) -> Explanation:
    """An explanation whose maps [labels, d, h, w] were made up."""
    some = next(iter(maps.values()))
    sums = some.sum(axis=(1, 2, 3), dtype=np.float64)
    return Explanation(
        labels=labels,
        logits=sums,
        probabilities=1 / (1 + np.exp(-sums)),
        bias=np.zeros(len(labels)),
        maps={key: np.asarray(values, dtype=np.float32) for key, values in maps.items()},
        affines={"receptive_field": affine, "stretch": affine},
        placement_note="",
        receptive_field_mm=None,
        guarantee=Guarantee(GuaranteeState.EXACT, "made up"),
        target_layer="see",
        input_grid=input_grid or Grid(some.shape[1:], affine),
    )

"""The best and the worst map of each label, kept as pictures while a cohort is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_hirescam.attention import AttentionMap
from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.volume import Grid, Shape3D, Volume, resample

#: Longer side of a picture, in pixels.
_SIDE = 288
#: HU beyond the CT.
_AIR = -1024.0


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The axial slice through the strongest cell of a map.

    Parameters
    ----------
    case, label
        Whose map.
    probability
        Of the label.
    organs
        Where the finding may lie.
    shares, chance
        Method -> share of the positive attention inside; that of an even map.
    hu
        The CT, float32 [row, column], square pixels.
    organ, lesion
        On the same pixels; None where nobody outlined a lesion.
    maps
        Method -> positive map on the same pixels, 1 at the maximum of the whole map.
    slice_mm
        Where the slice lies, along I.
    """

    case: str
    label: str
    probability: float
    organs: tuple[str, ...]
    shares: Mapping[str, float]
    chance: float
    hu: npt.NDArray[np.float32]
    organ: BoolArray
    lesion: BoolArray | None
    maps: Mapping[str, npt.NDArray[np.float32]]
    slice_mm: float


class Gallery:
    """Keeps, for each label, the map with the largest and the smallest share inside its organs."""

    def __init__(self) -> None:
        self._best: dict[str, tuple[float, Snapshot]] = {}
        self._worst: dict[str, tuple[float, Snapshot]] = {}

    def offer(self, label: str, share: float, take: Callable[[], Snapshot]) -> None:
        """Consider a map; `take` is called only if its picture is wanted."""
        if np.isnan(share):
            return
        is_best = label not in self._best or share > self._best[label][0]
        is_worst = label not in self._worst or share < self._worst[label][0]
        if not (is_best or is_worst):
            return
        picture = share, take()
        if is_best:
            self._best[label] = picture
        if is_worst:
            self._worst[label] = picture

    def best(self, n: int) -> list[Snapshot]:
        """Return the best of different labels, the best first."""
        ranked = sorted(self._best.values(), key=lambda item: -item[0])
        return [picture for _share, picture in ranked[:n]]

    def worst(self, n: int) -> list[Snapshot]:
        """Return the worst of different labels, the worst first."""
        ranked = sorted(self._worst.values(), key=lambda item: item[0])
        return [picture for _share, picture in ranked[:n]]


def snapshot(
    case: str,
    volume: Volume,
    maps: Mapping[str, AttentionMap],
    organ: BoolArray,
    lesion: BoolArray | None,
    *,
    organs: tuple[str, ...],
    shares: Mapping[str, float],
    chance: float,
) -> Snapshot:
    """Take the picture of one label's maps, at the peak of the first of them.

    Parameters
    ----------
    volume
        The CT.
    maps
        Method -> map of one label.
    organ, lesion
        Masks on the CT's grid.
    """
    first = next(iter(maps.values()))
    peak = np.unravel_index(int(np.argmax(first.values)), first.values.shape)
    middle = first.grid.to_world(np.asarray(peak, dtype=np.float64))
    last = volume.voxels.shape[0] - 1
    nearest = int(np.clip(round(float(volume.grid.to_index(middle)[0])), 0, last))
    view = _view(volume.grid, nearest)

    def seen(mask: BoolArray) -> BoolArray:
        drawn = resample(mask.view(np.uint8), volume.affine, view, order=0, outside=0)
        return np.asarray(drawn[0] > 0)

    return Snapshot(
        case=case,
        label=first.label,
        probability=first.probability,
        organs=organs,
        shares=shares,
        chance=chance,
        hu=_hu(volume, nearest, view),
        organ=seen(organ),
        lesion=None if lesion is None else seen(lesion),
        maps={key: found.on_grid(view, positive=True)[0] for key, found in maps.items()},
        slice_mm=float(view.affine[0, 3]),
    )


def _hu(volume: Volume, index: int, view: Grid) -> npt.NDArray[np.float32]:
    affine = volume.affine.copy()
    affine[:3, 3] = volume.grid.to_world([index, 0, 0])
    one_slice = volume.voxels[index : index + 1].astype(np.float32)
    drawn: npt.NDArray[np.float32] = resample(one_slice, affine, view, outside=_AIR)[0]
    return drawn


def _view(grid: Grid, index: int) -> Grid:
    """One slice on square pixels, as large as the CT's slice and no finer than it."""
    extent = [grid.shape[axis] * grid.spacing_mm[axis] for axis in (1, 2)]
    pixel = max(*extent, 1e-6) / _SIDE
    pixel = max(pixel, min(grid.spacing_mm[1:]))
    shape: Shape3D = (1, max(1, round(extent[0] / pixel)), max(1, round(extent[1] / pixel)))
    affine = np.diag([grid.spacing_mm[0], pixel, pixel, 1.0])
    corner = grid.to_world([index, -0.5, -0.5])
    affine[:3, 3] = corner + np.array([0.0, pixel / 2, pixel / 2])
    return Grid(shape, affine)

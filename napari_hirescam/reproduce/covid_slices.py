"""Slices of a chest as a network sees them, and where lungs and body lie on its cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_hirescam.attention.stopping import Progress
from napari_hirescam.errors import OrganError
from napari_hirescam.reproduce.covid_data import Chest, Lungs

if TYPE_CHECKING:
    from torch import Tensor

_WINDOW_HU = (-1000.0, 400.0)
_BODY_HU = -400
_HALF = 0.5


@dataclass(frozen=True, eq=False)
class Slices:
    """Slices of one patient as a network sees them, and where lungs and body lie on its cells.

    Parameters
    ----------
    images
        float32 [n, 1, side, side].
    infected
        bool [n].
    lungs, body
        Share of each cell inside, [n, h, w].
    """

    images: Tensor
    infected: npt.NDArray[np.bool_]
    lungs: npt.NDArray[np.float64]
    body: npt.NDArray[np.float64]


def with_lungs(
    chests: Sequence[Chest], lungs: Lungs, progress: Progress | None = None
) -> tuple[tuple[Chest, ...], tuple[str, ...]]:
    """Give chests the lungs that are asked for; and say what is in doubt of them.

    Raises
    ------
    OrganError
        PARTITION does not find the lungs of a patient.
    """
    from napari_hirescam.organs import find_organs

    if lungs == "threshold":
        return tuple(chests), ()
    found, doubts = [], []
    for done, chest in enumerate(chests):
        if progress is not None:
            progress(done, len(chests))
        try:
            organs = find_organs(chest.volume())
        except OrganError as exc:
            raise OrganError(
                chest.name, exc.reason, "Take the file's own lungs with --lungs threshold"
            ) from exc
        doubts += [f"{chest.name}: {doubt}" for doubt in organs.doubts]
        found.append(chest.with_lungs(organs.mask(["lungs"])))
    return tuple(found), tuple(doubts)


def slices_of(chest: Chest, side: int, cells: tuple[int, int]) -> Slices:
    """Average a patient's slices down and lay lungs and body over the cells.

    The cells are stretched over the slice, as in the paper.
    """
    import torch
    from scipy import ndimage
    from torch.nn.functional import adaptive_avg_pool2d

    low, high = _WINDOW_HU
    hu = torch.from_numpy(chest.hu.astype(np.float32)).clamp(low, high)
    images = adaptive_avg_pool2d(hu[:, None], side)
    body = np.zeros(chest.hu.shape, dtype=bool)
    for index, plane in enumerate(chest.hu > _BODY_HU):
        parts, count = ndimage.label(plane)
        if count:
            largest = 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
            body[index] = ndimage.binary_fill_holes(parts == largest)

    def on_cells(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        pooled = adaptive_avg_pool2d(torch.from_numpy(mask.astype(np.float64))[:, None], cells)
        shares: npt.NDArray[np.float64] = pooled[:, 0].numpy()
        return shares

    return Slices(
        (images - low) / (high - low) - _HALF,
        chest.infected,
        on_cells(chest.lungs),
        on_cells(body),
    )


def allowed_cells(slices: Slices) -> npt.NDArray[np.bool_]:
    """Cells where attention may lie, [n, 1, 1, h, w]: half in the lungs; none without infection."""
    allowed: npt.NDArray[np.bool_] = (slices.lungs >= _HALF) & slices.infected[:, None, None]
    return allowed[:, None, None]

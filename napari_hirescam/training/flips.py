"""Flips and quarter turns of a CT that its allowed cells go along with.

The augmentation of Draelos & Carin's code (arXiv 2011.08891v2): with even chances a flip along
one of the three axes; then, with even chances, one to three quarter turns in the plane of the
rows and columns. Anatomy is mirrored too. The allowed cells are turned as the CT is, which is
what a network sees whose cells lie alike from both ends.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.models.spec import InputSpec

if TYPE_CHECKING:
    from torch import Tensor

_CHANCE = 0.5
#: The axes of a network's input that run over slices, rows and columns, by layout. A single
#: slice has none to run over slices.
_SPATIAL_AXES: dict[str, tuple[int | None, int, int]] = {
    "volume": (2, 3, 4),
    "axial_triples": (1, 3, 4),
    "slices": (0, 2, 3),
    "slice": (None, 2, 3),
}


@dataclass(frozen=True)
class Flip:
    """A flip along one axis, then quarter turns in the plane of the other two.

    Parameters
    ----------
    axis
        0 slices, 1 rows, 2 columns of the network's input; None for no flip.
    quarter_turns
        From the rows towards the columns, as numpy's and torch's ``rot90`` count; 0 for none.
    """

    axis: int | None = None
    quarter_turns: int = 0

    def of_input(self, tensor: Tensor, spec: InputSpec) -> Tensor:
        """Flip and turn what a network is given.

        Where three slices make one image, a flip along the slices reverses them within the
        images as well, so that the result is what the flipped CT would have been made into.

        Parameters
        ----------
        tensor
            In the layout of `spec`; see :class:`~napari_hirescam.models.preprocess.ModelInput`.
        spec
            How it was prepared.

        Raises
        ------
        ValueError
            For an odd number of quarter turns of an input that is not square.
        """
        slices, rows, columns = _SPATIAL_AXES[spec.layout]
        self._require_square(tensor.shape[rows], tensor.shape[columns])
        if self.axis == 0 and slices is not None:
            tensor = _slices_reversed(tensor, slices, spec)
        elif self.axis is not None and self.axis > 0:
            tensor = tensor.flip(rows if self.axis == 1 else columns)
        return tensor.rot90(self.quarter_turns, (rows, columns))

    def of_cells(self, cells: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Flip and turn cells [..., d, h, w], on the network's own axes, as the input.

        Raises
        ------
        ValueError
            For an odd number of quarter turns of maps that are not square.
        """
        self._require_square(*cells.shape[-2:])
        if self.axis is not None:
            cells = np.flip(cells, self.axis - 3)
        return np.ascontiguousarray(np.rot90(cells, self.quarter_turns, (-2, -1)))

    def _require_square(self, rows: int, columns: int) -> None:
        if self.quarter_turns % 2 and rows != columns:
            raise ValueError(
                f"{rows} rows and {columns} columns cannot be given a quarter turn: draw flips "
                "with square=False"
            )


def draw_flip(seed: int, epoch: int, case: str, *, square: bool = True) -> Flip:
    """Draw how a case is flipped in an epoch.

    The draw depends on its arguments only: not on the order of the cases, nor on which process
    asks, nor on whether the training was interrupted.

    Parameters
    ----------
    seed
        Of the training.
    epoch
        From 0.
    case
        Name of the case.
    square
        Whether rows and columns are equal in number. If not, half turns are drawn only.
    """
    digest = hashlib.sha256(case.encode()).digest()
    words = np.frombuffer(digest, "<u4").tolist()
    draw = np.random.default_rng([seed, epoch, *words])
    flips, axis, turns, quarters = (
        draw.random() < _CHANCE,
        int(draw.integers(3)),
        draw.random() < _CHANCE,
        int(draw.integers(1, 4)) if square else 2,
    )
    return Flip(axis if flips else None, quarters if turns else 0)


def _slices_reversed(tensor: Tensor, slices: int, spec: InputSpec) -> Tensor:
    if spec.layout != "axial_triples":
        return tensor.flip(slices)
    import torch

    # Each channel of a triple may have been normalised by numbers of its own, which stay with
    # the channel while the slices change theirs.
    means, stds = spec.channel_mean or (0.0,), spec.channel_std or (1.0,)
    flipped = tensor.flip(slices, slices + 1)
    if len(set(means)) == len(set(stds)) == 1:
        return flipped
    mean = torch.tensor(means).to(tensor)[:, None, None]
    std = torch.tensor(stds).to(tensor)[:, None, None]
    return (flipped * std.flip(0) + mean.flip(0) - mean) / std

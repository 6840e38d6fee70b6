"""Curves of a label's score while the cells of its map are removed and put back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_hirescam.volume import FloatArray

IntArray = npt.NDArray[np.int64]

#: The largest departure, relative to the numbers involved, that is rounding and nothing more.
_ROUNDING = 1e-4
#: Share of the cells that an even axis shows as hardly more than a point.
_FEW = 0.02


@dataclass(frozen=True, eq=False)
class Scores:
    """One label's score at each point of one or more curves.

    Parameters
    ----------
    logits, probabilities
        float64 [..., P].
    """

    logits: FloatArray
    probabilities: FloatArray

    def mean(self) -> Scores:
        """Average over the curves; [P]."""
        return Scores(self.logits.mean(axis=0), self.probabilities.mean(axis=0))

    def backwards(self) -> Scores:
        """Give the points in the opposite order."""
        return Scores(self.logits[..., ::-1], self.probabilities[..., ::-1])


@dataclass(frozen=True, eq=False)
class RemovalCurves:
    """How one label's score changes as cells are removed and put back.

    Parameters
    ----------
    n_cells
        Cells of the target layer's grid.
    counts
        int64 [P], from 0 to `n_cells`: cells removed (deletion) or put back (insertion). With c
        the list holds `n_cells` - c as well.
    deletion
        The strongest cells set to zero; [P].
    insertion
        All cells zero but the strongest; [P].
    random_deletion
        As `deletion`, in R random orders; [R, P].
    sums
        float64 [P]; sum of the map over the strongest `counts` cells.
    random_sums
        float64 [R, P]; the same for the random orders.
    n_half
        The fewest cells that hold half of the map's positive attention; 0 if no cell is positive.
    replayed
        False if each point took a whole forward pass, for which there are fewer of them.
    """

    n_cells: int
    counts: IntArray
    deletion: Scores
    insertion: Scores
    random_deletion: Scores
    sums: FloatArray
    random_sums: FloatArray
    n_half: int
    replayed: bool

    @property
    def fractions(self) -> FloatArray:
        """Share of the cells removed or put back at each point, [P]."""
        return self.counts / self.n_cells

    @property
    def is_concentrated(self) -> bool:
        """True if so few cells hold half of the attention that an even axis would hide them."""
        return 0 < self.n_half < _FEW * self.n_cells

    @property
    def random_insertion(self) -> Scores:
        """Random cells put back, [R, P]: a random deletion, read from its end."""
        return self.random_deletion.backwards()

    @property
    def predicted_deletion(self) -> FloatArray:
        """What the map says of the deletion's logits: the logit less the sum removed, [P]."""
        predicted: FloatArray = self.deletion.logits[0] - self.sums
        return predicted

    @property
    def predicted_insertion(self) -> FloatArray:
        """What the map says of the insertion's logits: the bias and the sum put back, [P]."""
        predicted: FloatArray = self.insertion.logits[0] + self.sums
        return predicted

    @property
    def largest_departure(self) -> float:
        """Largest difference between a change of the logit and the sum over the cells changed.

        Over the strongest cells removed, the strongest put back, and the random ones removed.
        """
        random = self.random_deletion.logits
        gaps = (
            self.deletion.logits - self.predicted_deletion,
            self.insertion.logits - self.predicted_insertion,
            random[:, :1] - random - self.random_sums,
        )
        return max(float(np.abs(gap).max()) for gap in gaps)

    @property
    def largest_change(self) -> float:
        """Largest change of the logit on any of the curves."""
        curves = (self.deletion, self.insertion, self.random_deletion)
        return max(float(np.ptp(c.logits, axis=-1).max()) for c in curves)

    @property
    def adds_up(self) -> bool:
        """True if removing cells changes the logit by the sum of the map, but for rounding."""
        size = max(
            float(np.abs(self.deletion.logits).max()),
            float(np.abs(self.sums).max()),
            self.largest_change,
            1e-12,
        )
        return self.largest_departure <= _ROUNDING * size

    def area(
        self,
        which: Literal["deletion", "insertion"],
        quantity: Literal["logit", "probability"] = "logit",
    ) -> float:
        """Area between a curve and the mean of the random ones, over the share of cells.

        Positive where the map's order beats chance: its deletion falls faster, its insertion
        rises faster.
        """
        from scipy import integrate

        if which == "deletion":
            better, worse = self.random_deletion.mean(), self.deletion
        else:
            better, worse = self.insertion, self.random_insertion.mean()
        name = "logits" if quantity == "logit" else "probabilities"
        gap = getattr(better, name) - getattr(worse, name)
        return float(integrate.trapezoid(gap, self.fractions))

    def at(self, count: int) -> int:
        """Index of the point at which this many cells are removed.

        Raises
        ------
        ValueError
            There is no such point.
        """
        found = np.flatnonzero(self.counts == count)
        if not len(found):
            raise ValueError(f"no point at {count} cells; there are {self.counts.tolist()}")
        return int(found[0])


def cells_with_half(values: npt.NDArray[np.floating]) -> int:
    """Count the fewest cells that hold half of a map's positive attention; 0 without any."""
    positive = np.sort(np.maximum(values.ravel(), 0).astype(np.float64))[::-1]
    if positive[0] <= 0:
        return 0
    return int(np.searchsorted(np.cumsum(positive), positive.sum() / 2)) + 1

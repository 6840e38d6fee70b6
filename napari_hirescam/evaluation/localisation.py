"""How much of an attention map lies where it may.

The measure is *relevance mass accuracy*: the sum of the positive attention inside a region over
the sum of all positive attention. It needs no threshold, and a map that spends everything
inside scores 1. Beside it stands what a map without knowledge would score.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_hirescam.organs.cells import covered_fraction

__all__ = ["chance_share", "covered_fraction", "share_inside"]


def share_inside(values: npt.NDArray[np.floating], inside: npt.NDArray[np.floating]) -> float:
    """Share of a map's positive attention that lies inside a region.

    ``sum(max(v, 0) * f) / sum(max(v, 0))`` over the cells, with the map's value v of a cell and
    the fraction f of its box inside the region: a cell's attention is taken to be spread evenly
    over its box.

    Parameters
    ----------
    values
        Raw signed map, [d, h, w].
    inside
        Fraction of each cell inside, of the same shape; see
        :func:`~napari_hirescam.organs.cells.covered_fraction`.

    Returns
    -------
    0 to 1, or NaN for a map without a positive cell.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if values.shape != inside.shape:
        raise ValueError(f"a map of {values.shape} cells and a region of {inside.shape}")
    positive = np.maximum(values.astype(np.float64), 0.0)
    total = positive.sum()
    return float((positive * inside).sum() / total) if total > 0 else float("nan")


def chance_share(
    inside: npt.NDArray[np.floating], among: npt.NDArray[np.floating] | None = None
) -> float:
    """Share inside that a map of equal values everywhere would have.

    Without `among` it is the mean of `inside` over all cells of the map. With `among` it is the
    mean over the cells that lie at least half in that region. With the patient's body it is the
    stricter chance, for most of a map's cells hold nothing but air.

    Parameters
    ----------
    inside
        Fraction of each cell inside the region.
    among
        Fraction of each cell inside the region that even a blind guess would keep to.

    Returns
    -------
    0 to 1, or NaN if no cell lies in `among`.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if among is None:
        return float(inside.mean())
    if among.shape != inside.shape:
        raise ValueError(f"regions of {inside.shape} and {among.shape} cells")
    kept = among >= 0.5
    return float(inside[kept].mean()) if kept.any() else float("nan")

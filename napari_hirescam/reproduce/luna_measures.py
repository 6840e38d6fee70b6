"""Where a nodule network looks, against readers' outlines: the measures of one nodule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_hirescam.attention import Explanation, explain
from napari_hirescam.evaluation.localisation import chance_share, covered_fraction, share_inside
from napari_hirescam.models import Classifier
from napari_hirescam.reproduce.luna_data import Nodule, Point
from napari_hirescam.volume import FloatArray, translation

METHODS = ("hirescam", "gradcam")


@dataclass(frozen=True)
class Row:
    """One nodule, layer, method and number of readers.

    Parameters
    ----------
    nodule, kind, layer, method
        What was measured.
    readers
        The outline: voxels that at least so many readers marked.
    shift
        0 for the window centred on the nodule, else the number of the window put beside it.
    probability
        Of the label, by the network.
    share, chance
        Share of positive attention inside the outline, and that of an even map. NaN where the
        map has no positive cell.
    moved_share
        Share inside the outline moved to the window's middle. In a window beside the nodule it
        tells attention that keeps to the middle from attention that follows the nodule.
    hit, hit_chance
        Whether the outline reaches into the box of the highest cell; share of all cells into
        whose box it reaches. NaN where the map has no positive cell.
    residual
        sum(map) + bias - logit; NaN where the guarantee does not hold or the method has none.
    """

    nodule: str
    kind: str
    layer: str
    method: str
    readers: int
    shift: int
    probability: float
    share: float
    chance: float
    moved_share: float
    hit: float
    hit_chance: float
    residual: float


@dataclass(frozen=True, eq=False)
class Look:
    """A nodule's explanation at one layer, with its rows.

    Parameters
    ----------
    rows
        For each method and number of readers.
    explanation
        What they were read off.
    insides
        Number of readers -> share of each cell inside the outline.
    """

    rows: tuple[Row, ...]
    explanation: Explanation
    insides: dict[int, FloatArray]


def look(
    nodule: Nodule,
    classifier: Classifier,
    label: str,
    at_mm: Point,
    shift: int = 0,
) -> Look:
    """Explain a label in the window at a point, and measure its maps against the outlines.

    Each cell's attention is taken to be spread evenly over the cell's box, which lies where the
    cell's receptive field is centred.
    """
    explanation = explain(nodule.ct, classifier, methods=METHODS, at_mm=at_mm)
    cells = explanation.map(label).grid
    to_middle = translation(np.subtract(at_mm, nodule.centre_mm))
    insides, moved = (
        {level: covered_fraction(nodule.outline(level), affine, cells) for level in nodule.levels}
        for affine in (nodule.ct.affine, to_middle @ nodule.ct.affine)
    )
    k = explanation.index(label)
    rows = []
    for method in METHODS:
        values = explanation.maps[method][k]
        positive = bool((values > 0).any())
        peak = np.unravel_index(int(np.argmax(values)), values.shape)
        for level, inside in insides.items():
            reached = inside > 0
            rows.append(
                Row(
                    nodule=nodule.name,
                    kind=nodule.kind,
                    layer=classifier.spec.target_layer,
                    method=method,
                    readers=level,
                    shift=shift,
                    probability=float(explanation.probabilities[k]),
                    share=share_inside(values, inside),
                    chance=chance_share(inside),
                    moved_share=share_inside(values, moved[level]),
                    hit=float(reached[peak]) if positive else float("nan"),
                    hit_chance=float(reached.mean()),
                    residual=explanation.residual(label, method)
                    if explanation.completes(method)
                    else float("nan"),
                )
            )
    return Look(tuple(rows), explanation, insides)


def windows_beside(
    nodule: Nodule, size_mm: Sequence[float], count: int, rng: np.random.Generator
) -> list[Point]:
    """Draw centres of windows that see the nodule away from their middle.

    Up to a quarter of the window's size off along each axis, so that the nodule's middle stays
    well inside.
    """
    reach = np.asarray(size_mm, dtype=np.float64) / 4
    points = np.asarray(nodule.centre_mm) + rng.uniform(-reach, reach, size=(count, 3))
    corners = nodule.ct.grid.corners_mm()
    points = np.clip(points, corners.min(axis=0), corners.max(axis=0))
    return [(float(i), float(p), float(left)) for i, p, left in points]


def share_of_others_maps(
    maps: npt.NDArray[np.floating], insides: npt.NDArray[np.floating]
) -> FloatArray:
    """Share that the maps of the other nodules put inside each nodule's outline, on average.

    Windows are centred on their nodules, so that a map that is high in the middle whatever the
    network sees would lie well; this is how well.

    Parameters
    ----------
    maps
        Raw maps [n, cells].
    insides
        Share of each cell inside the outline, [n, cells].

    Returns
    -------
    float64 [n]; NaN where there is no other nodule's map with a positive cell.
    """
    positive = np.maximum(maps.astype(np.float64), 0.0)
    totals = positive.sum(axis=1)
    known = totals > 0
    spread = np.divide(positive, totals[:, None], out=positive, where=known[:, None])
    shares = insides @ spread.T
    others = known[None, :] & ~np.eye(len(maps), dtype=bool)
    counts = others.sum(axis=1)
    mean: FloatArray = np.full(len(maps), np.nan)
    np.divide((shares * others).sum(axis=1), counts, out=mean, where=counts > 0)
    return mean

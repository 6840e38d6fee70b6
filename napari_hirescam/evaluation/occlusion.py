"""Occlusion of the input: how the score falls when the CT is blanked out where a map points.

Zeiler & Fergus 2014 (arXiv 1311.2901), but in the order of a map's cells, and beside random
cells. Unlike the removal of cells it asks the whole network, and so whether a cell really tells
of the place where it is drawn. What is put in place of the CT is made up, and the network may
answer to that as well: hence the comparison with as many random places.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_hirescam.attention.capture import run_and_capture
from napari_hirescam.attention.stopping import Progress, ShouldStop
from napari_hirescam.evaluation.removal_curves import (
    IntArray,
    Scores,
    cells_with_half,
)
from napari_hirescam.models.borrow import borrowed
from napari_hirescam.volume import FloatArray, Grid

if TYPE_CHECKING:
    from torch import Tensor

    from napari_hirescam.attention import AttentionMap
    from napari_hirescam.models import Classifier
    from napari_hirescam.models.preprocess import ModelInput

Fill = Literal["mean", "lowest"]

_MOST_BOXES = 5000


@dataclass(frozen=True, eq=False)
class OcclusionCurves:
    """How one label's score changes as boxes of the input are blanked out.

    Parameters
    ----------
    counts
        int64 [P]; boxes blanked out, from 0 to a quarter of the cells inside, or to as many as
        hold half of the attention, but no more than 5000.
    strongest
        Around the strongest cells; [P].
    random
        Around random cells, in R orders; [R, P].
    n_cells, n_inside
        Cells of the map, and those whose centre lies in the CT. Of the others nothing is asked:
        their boxes hold padding.
    share_outside
        Share of the map's positive attention in cells outside the CT; 0 without any.
    box_mm
        Extent of a box along (I, P, L): the distance between cells.
    fill
        'mean': the box's own mean, channel by channel. 'lowest': the lowest value of the input,
        which is air.
    n_half
        The fewest of the cells inside that hold half of their positive attention.
    """

    counts: IntArray
    strongest: Scores
    random: Scores
    n_cells: int
    n_inside: int
    share_outside: float
    box_mm: tuple[float, float, float]
    fill: Fill
    n_half: int

    @property
    def fractions(self) -> FloatArray:
        """Share of the cells inside the CT that are blanked out at each point, [P]."""
        return self.counts / self.n_inside

    def mean_gap(self, quantity: Literal["logit", "probability"] = "logit") -> float:
        """Height of the random curves' mean above the map's, averaged over the share of cells.

        Positive: blanking where the map points hurts more than chance.
        """
        from scipy import integrate

        name = "logits" if quantity == "logit" else "probabilities"
        gap = getattr(self.random.mean(), name) - getattr(self.strongest, name)
        return float(integrate.trapezoid(gap, self.fractions) / self.fractions[-1])


def occlusion(
    classifier: Classifier,
    model_input: ModelInput,
    attention: AttentionMap,
    ct: Grid,
    *,
    fill: Fill = "mean",
    steps: int = 5,
    n_random: int = 3,
    seed: int = 0,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> OcclusionCurves:
    """Blank the CT out around the strongest cells of a map, and around random ones.

    Each point takes one forward pass.

    Parameters
    ----------
    classifier
        The model; its network is left as it was.
    model_input
        The CT as :meth:`~napari_hirescam.models.Classifier.prepare` made it; not changed.
    attention
        The map, placed in the patient.
    ct
        The grid of the CT.
    fill
        What takes the place of the CT, see :class:`OcclusionCurves`.
    steps, n_random
        Points of a curve after the first, and random orders.
    seed
        Of the random orders.
    progress, should_stop
        Called with (done, total) after each pass; asked between layers.

    Raises
    ------
    Cancelled
        `should_stop` said so.
    ValueError
        No cell of the map lies in the CT; `steps` or `n_random` is not positive.
    """
    if steps < 1 or n_random < 1:
        raise ValueError(f"a test needs a step and a random order, not {steps} and {n_random}")
    values = attention.values.astype(np.float64).ravel()
    inside = _cells_inside(attention.grid, ct)
    if not len(inside):
        raise ValueError("no cell of the map lies in the CT")
    k = classifier.labels.index(attention.label)
    n_half = cells_with_half(values[inside])
    counts = _points(len(inside), n_half, steps)
    rng = np.random.default_rng(seed)
    orders = [
        inside[np.argsort(-values[inside], kind="stable")],
        *(rng.permutation(inside) for _ in range(n_random)),
    ]
    tell = progress or (lambda _done, _total: None)
    stop = should_stop or (lambda: False)
    total = 1 + (len(counts) - 1) * len(orders)
    done = 0

    def score(cells: IntArray) -> tuple[float, float]:
        nonlocal done
        boxes = _boxes(attention.grid, cells, model_input.voxel_grid)
        blanked = blank_out(model_input, boxes, fill)
        given = classifier.tensor_of(replace(model_input, tensor=blanked))
        logits = _logits(classifier, given, stop)
        done += 1
        tell(done, total)
        return float(logits[k]), float(classifier.probabilities(logits)[k])

    whole = score(inside[:0])
    curves = np.asarray(
        [[whole, *(score(order[:count]) for count in counts[1:])] for order in orders]
    )
    positive = np.maximum(values, 0)
    outside = 1 - positive[inside].sum() / positive.sum() if positive.sum() > 0 else 0.0
    return OcclusionCurves(
        counts=counts,
        strongest=Scores(curves[0, :, 0], curves[0, :, 1]),
        random=Scores(curves[1:, :, 0], curves[1:, :, 1]),
        n_cells=values.size,
        n_inside=len(inside),
        share_outside=max(float(outside), 0.0),
        box_mm=attention.grid.spacing_mm,
        fill=fill,
        n_half=n_half,
    )


Box = tuple[slice, slice, slice]


def _cells_inside(cells: Grid, ct: Grid) -> IntArray:
    """Flat indices of the cells whose centre lies in the CT; both grids are axis-aligned."""
    along = []
    for axis, n in enumerate(cells.shape):
        centres = cells.affine[axis, 3] + cells.affine[axis, axis] * np.arange(n)
        at = (centres - ct.affine[axis, 3]) / ct.affine[axis, axis]
        along.append((at >= -0.5) & (at <= ct.shape[axis] - 0.5))
    return np.flatnonzero(along[0][:, None, None] & along[1][:, None] & along[2])


def _boxes(cells: Grid, chosen: IntArray, voxels: Grid) -> list[Box]:
    """Find the voxels whose centres lie in the box around each cell, at least one each."""
    centres = cells.to_world(np.stack(np.unravel_index(chosen, cells.shape), axis=-1))
    middles = voxels.to_index(centres)
    size_mm = cells.spacing_mm
    half = np.abs(np.linalg.inv(voxels.affine[:3, :3])) @ np.asarray(size_mm) / 2
    # Each voxel belongs to one box: closed below, open above. Away from ties by rounding.
    first = np.ceil(middles - half - 1e-6).astype(np.int64)
    last = np.maximum(np.ceil(middles + half - 1e-6).astype(np.int64), first + 1)
    first, last = np.clip(first, 0, voxels.shape), np.clip(last, 0, voxels.shape)
    return [
        (slice(a[0], b[0]), slice(a[1], b[1]), slice(a[2], b[2]))
        for a, b in zip(first.tolist(), last.tolist(), strict=True)
    ]


def blank_out(model_input: ModelInput, boxes: list[Box], fill: Fill) -> Tensor:
    """Copy the network's input and put something featureless into some boxes of it.

    Parameters
    ----------
    boxes
        Slices along the axes of `model_input.voxel_grid`.
    fill
        'mean': each box's own mean, channel by channel. 'lowest': each channel's lowest value.

    Returns
    -------
    Tensor of the input's shape.
    """
    import torch

    original = _as_voxels(model_input.tensor, model_input)
    changed = model_input.tensor.clone(memory_format=torch.contiguous_format)
    voxels = _as_voxels(changed, model_input)
    lowest = original.flatten(1).amin(dim=1)[:, None, None, None]
    for box in boxes:
        part = original[(slice(None), *box)]
        if part.numel():
            values = lowest if fill == "lowest" else part.mean(dim=(1, 2, 3), keepdim=True)
            voxels[(slice(None), *box)] = values
    return changed


def _as_voxels(tensor: Tensor, model_input: ModelInput) -> Tensor:
    """View the network's input as [channels, d, h, w] on the grid of its voxels."""
    if model_input.layout == "axial_triples":
        return tensor.reshape(1, *model_input.voxel_grid.shape)
    if tensor.ndim == 5:
        return tensor[0]
    return tensor.movedim(0, 1)  # slices as batch, of a 2-D network


def _logits(classifier: Classifier, given: Tensor, should_stop: ShouldStop) -> FloatArray:
    import torch

    spec = classifier.spec
    with torch.inference_mode(False), borrowed(classifier.network, should_stop):
        captured = run_and_capture(
            classifier.network,
            given,
            spec.target_layer,
            output=spec.output,
            slices_per_chunk=spec.slices_per_chunk,
            progress=lambda _done, _total: None,
            should_stop=should_stop,
        )
    logits: FloatArray = captured.logits.detach().double().cpu().numpy()[0]
    return logits


def _points(n_inside: int, n_half: int, steps: int) -> IntArray:
    """Choose how many boxes are blanked out: more and more from point to point.

    With more than a quarter of it gone, the input is no CT any longer whatever the order.
    """
    last = min(max(-(-n_inside // 4), n_half), _MOST_BOXES)
    grown = np.rint(np.geomspace(1, last, steps)).astype(np.int64)
    return np.unique(np.concatenate([[0, min(n_half, last), last], grown]))

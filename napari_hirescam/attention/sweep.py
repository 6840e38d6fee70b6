"""A patch network over the whole CT: every window scored, the best ones listed and mapped."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from napari_hirescam.attention.capture import Progress, ShouldStop
from napari_hirescam.attention.engine import explain
from napari_hirescam.attention.methods import METHODS
from napari_hirescam.attention.result import Float32Array
from napari_hirescam.attention.stitching import StitchedMap, stitch
from napari_hirescam.attention.window_scores import WindowScorer
from napari_hirescam.errors import Cancelled, InputError
from napari_hirescam.models.one_ct import OneCTClassifier
from napari_hirescam.models.placing import Point, along_patient_axes
from napari_hirescam.models.preprocess import PreparedCT
from napari_hirescam.volume import FloatArray, Grid, Shape3D, Volume, scaling, translation

if TYPE_CHECKING:
    from napari_hirescam.models.classifier import Classifier

#: What is less dense than this is air; lung is about -850 HU.
_AIR_HU = -900
#: A window with a smaller share of its voxels above air is skipped.
_LEAST_TISSUE = 0.02


@dataclass(frozen=True)
class SweepHit:
    """One of the windows the network thinks most of.

    Parameters
    ----------
    centre_mm
        (I, P, L) mm; `explain(..., at_mm=centre_mm)` looks at this very window.
    logit, probability
        The label's score there.
    rank
        1 is the best.
    """

    centre_mm: Point
    logit: float
    probability: float
    rank: int


@dataclass(frozen=True, eq=False)
class SweepResult:
    """What a network found all over a CT.

    Parameters
    ----------
    label, method
        What was looked for, and how it was mapped.
    hits
        By rank. Of windows that lie around one spot only the best is a hit: a window is left
        out if its centre lies within half a window (and at least one stride) of a better one,
        along all three axes.
    lattice
        Where the windows' centres lie, along (I, P, L).
    probabilities, logits
        float32 of the lattice's shape; NaN for windows that were skipped.
    scored, skipped
        Windows that were scored, and that were left out as they hold hardly anything but air.
    window_mm
        Extent of a window along (I, P, L).
    stitched
        The maps of the best windows on one grid; None if none was asked for.
    provenance
        Model, weights' hash, CT, settings; plain JSON values.
    """

    label: str
    method: str
    hits: tuple[SweepHit, ...]
    lattice: Grid
    probabilities: Float32Array
    logits: Float32Array
    scored: int
    skipped: int
    window_mm: tuple[float, float, float]
    stitched: StitchedMap | None
    provenance: dict[str, Any] = field(default_factory=dict)

    def score_map(self, grid: Grid, *, unscored: float = -1.0) -> Float32Array:
        """Give each point of a grid the probability of the window centred nearest to it.

        `unscored` stands where that window was skipped, or where no window is near.
        """
        from napari_hirescam.volume import resample

        values = np.where(np.isnan(self.probabilities), unscored, self.probabilities)
        sampled: Float32Array = resample(
            values.astype(np.float32), self.lattice.affine, grid, order=0, outside=unscored
        )
        return sampled


def sweep(
    volume: Volume,
    classifier: Classifier,
    label: str,
    *,
    method: str = "hirescam",
    stride_mm: float | None = None,
    maps_for_top: int | Literal["all"] = 64,
    batch: int = 8,
    inside_body: bool = True,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> SweepResult:
    """Score a patch network's window all over a CT, and map the best windows.

    Every voxel of the CT lies within half a stride of the centre of a window, so windows at
    the border reach beyond the CT and are padded as the model says.

    Parameters
    ----------
    volume
        A CT in HU.
    classifier
        A model that sees a window, or one slice, of the CT.
    label
        What to look for; hits are ranked by its odds.
    method
        Key of :data:`napari_hirescam.attention.METHODS` for the maps.
    stride_mm
        Distance between neighbouring windows; None takes half a window.
    maps_for_top
        How many windows, from the best down, go into the stitched map.
    batch
        Windows the network is given at once, if it was seen to answer the same then.
    inside_body
        Skip windows in which at most 2 % of the CT's voxels are above -900 HU.
    progress, should_stop
        Called with (done, total) windows; asked between windows and between layers.

    Raises
    ------
    InputError
        The model sees the whole CT, or the CT does not suit it.
    AttributionError
        The network failed, ran out of memory or gave scores that are not numbers.
    Cancelled
        `should_stop` said so.
    ValueError
        An unknown label or method, a stride that is not positive.
    """
    if label not in classifier.labels:
        raise ValueError(f"no label {label!r}; the model has: {', '.join(classifier.labels)}")
    if method not in METHODS or (stride_mm is not None and not stride_mm > 0):
        raise ValueError(f"unknown method {method!r}, or a stride of {stride_mm} mm")
    if not classifier.spec.input.needs_point:
        raise InputError(
            classifier.spec.name,
            "it sees the whole CT at once, so there is nothing to search",
            "Run it on the CT instead",
        )
    stop = should_stop or (lambda: False)
    tell = progress or (lambda _done, _total: None)
    model = OneCTClassifier(classifier, volume, stop)
    lattice = _lattice(model.prepared, stride_mm)
    seen = [
        (index, place)
        for index, place in _places(lattice)
        if not (inside_body and _is_air(model.prepared, place))
    ]
    n_maps = len(seen) if maps_for_top == "all" else min(maps_for_top, len(seen))
    total = len(seen) + n_maps
    scorer = WindowScorer(model, volume, batch)
    scores = scorer.scores(
        [place for _, place in seen], lambda done, _: tell(done, total), stop
    )
    k = classifier.labels.index(label)
    order = np.argsort(-_log_odds(scores, k, classifier.spec.activation), kind="stable")
    probabilities = np.array([classifier.probabilities(row)[k] for row in scores])
    on_lattice = [np.full(lattice.shape, np.nan, np.float32) for _ in range(2)]
    for (index, _), p, logit in zip(seen, probabilities, scores[:, k], strict=True):
        on_lattice[0][index], on_lattice[1][index] = p, logit
    maps = []
    for done, at in enumerate(order[:n_maps]):
        if stop():
            raise Cancelled("the search was cancelled")
        explained = explain(
            volume, model, methods=[method], at_mm=seen[at][1], should_stop=stop
        )
        maps.append(explained.map(label, method))
        tell(len(seen) + done + 1, total)
    window = _window_shape(model.prepared)
    best = _best_of_each_spot(
        [seen[at][0] for at in order], lattice, np.asarray(window) / 2, model.prepared.grid
    )
    p_map, affine = along_patient_axes(on_lattice[0], lattice.affine)
    logit_map, _ = along_patient_axes(on_lattice[1], lattice.affine)
    return SweepResult(
        label=label,
        method=method,
        hits=tuple(
            SweepHit(
                centre_mm=seen[order[position]][1],
                logit=float(scores[order[position], k]),
                probability=float(probabilities[order[position]]),
                rank=rank,
            )
            for rank, position in enumerate(best, start=1)
        ),
        lattice=Grid(p_map.shape, affine),
        probabilities=np.ascontiguousarray(p_map),
        logits=np.ascontiguousarray(logit_map),
        scored=len(seen),
        skipped=int(np.prod(lattice.shape)) - len(seen),
        window_mm=_triple(np.abs(model.prepared.grid.affine[:3, :3]) @ window),
        stitched=stitch(maps) if maps else None,
        provenance=_provenance(volume, classifier, label, lattice, scorer),
    )

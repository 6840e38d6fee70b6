"""A patch network over the whole CT: every window scored, the best ones listed and mapped."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_hirescam import __version__
from napari_hirescam.attention.engine import explain
from napari_hirescam.attention.methods import METHODS
from napari_hirescam.attention.prompt_cancel import cancel_promptly
from napari_hirescam.attention.result import Float32Array
from napari_hirescam.attention.stitching import StitchedMap, stitch
from napari_hirescam.attention.stopping import Progress, ShouldStop
from napari_hirescam.attention.window_lattice import lay_lattice, windows_to_score
from napari_hirescam.attention.window_scores import WindowScorer
from napari_hirescam.errors import InputError
from napari_hirescam.models.one_ct import OneCTClassifier
from napari_hirescam.models.placing import Point, along_patient_axes
from napari_hirescam.volume import FloatArray, Grid, Shape3D, Volume, resample

if TYPE_CHECKING:
    from napari_hirescam.models.classifier import Classifier


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
        Called with (done, total) windows; asked every 50 ms. Both in the caller's thread.

    Raises
    ------
    InputError
        The model sees the whole CT, or the CT does not suit it.
    AttributionError
        The network failed, ran out of memory or gave scores that are not numbers.
    Cancelled
        `should_stop` said so; within half a second.
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

    def work(tell: Progress, stop: ShouldStop) -> SweepResult:
        return _swept(
            volume,
            classifier,
            label,
            method=method,
            stride_mm=stride_mm,
            maps_for_top=maps_for_top,
            batch=batch,
            inside_body=inside_body,
            tell=tell,
            stop=stop,
        )

    return cancel_promptly(work, progress, should_stop)


def _swept(
    volume: Volume,
    classifier: Classifier,
    label: str,
    *,
    method: str,
    stride_mm: float | None,
    maps_for_top: int | Literal["all"],
    batch: int,
    inside_body: bool,
    tell: Progress,
    stop: ShouldStop,
) -> SweepResult:
    model = OneCTClassifier(classifier, volume, stop)
    lattice = lay_lattice(model.prepared, stride_mm)
    windows = list(
        windows_to_score(model.prepared, lattice, inside_body=inside_body, should_stop=stop)
    )
    n_maps = len(windows) if maps_for_top == "all" else min(maps_for_top, len(windows))
    total = len(windows) + n_maps
    scorer = WindowScorer(model, batch)
    scores = scorer.scores([w.place for w in windows], lambda done: tell(done, total), stop)
    k = classifier.labels.index(label)
    ranked = np.argsort(-_log_odds(scores, k, classifier.spec.activation), kind="stable")
    probabilities = np.array([classifier.probabilities(row)[k] for row in scores])
    maps = []
    for done, at in enumerate(ranked[:n_maps], start=len(windows) + 1):
        place = windows[at].place
        explained = explain(volume, model, methods=[method], at_mm=place, should_stop=stop)
        maps.append(explained.map(label, method))
        tell(done, total)
    kept = _best_of_each_spot([windows[at].voxel for at in ranked], lattice.reach)
    shape = lattice.shape
    on_lattice = np.full((2, *shape), np.nan, np.float32)
    for at, window in enumerate(windows):
        on_lattice[(slice(None), *window.index)] = probabilities[at], scores[at, k]
    p_map, affine = along_patient_axes(on_lattice[0], lattice.affine)
    logit_map, _ = along_patient_axes(on_lattice[1], lattice.affine)
    extent = np.abs(model.prepared.grid.affine[:3, :3]) @ lattice.window
    return SweepResult(
        label=label,
        method=method,
        hits=tuple(
            SweepHit(windows[at].place, float(scores[at, k]), float(probabilities[at]), rank)
            for rank, at in enumerate(ranked[kept], start=1)
        ),
        lattice=Grid(p_map.shape, affine),
        probabilities=np.ascontiguousarray(p_map),
        logits=np.ascontiguousarray(logit_map),
        scored=len(windows),
        skipped=int(np.prod(shape)) - len(windows),
        window_mm=(float(extent[0]), float(extent[1]), float(extent[2])),
        stitched=stitch(maps) if maps else None,
        provenance={
            **_provenance(volume, classifier),
            "label": label,
            "method": method,
            "window_voxels": list(lattice.window),
            "stride_voxels": list(lattice.stride),
            "windows_scored": len(windows),
            "windows_skipped_as_air": int(np.prod(shape)) - len(windows),
            "windows_at_once": scorer.at_once,
        },
    )


def _log_odds(scores: FloatArray, k: int, activation: str) -> FloatArray:
    """The logarithm of p / (1 - p), which still tells windows apart where p is 1.0000."""
    if activation == "sigmoid" or scores.shape[1] == 1:
        return scores[:, k]
    from scipy import special

    others: FloatArray = special.logsumexp(np.delete(scores, k, axis=1), axis=1)
    return scores[:, k] - others


def _best_of_each_spot(voxels: list[Shape3D], reach: FloatArray) -> list[int]:
    """Go from the best down and keep what is not within reach of one that was kept."""
    kept: list[int] = []
    places = np.array(voxels, dtype=np.float64).reshape(-1, 3)
    free = np.ones(len(places), dtype=bool)
    for position, place in enumerate(places):
        if free[position]:
            kept.append(position)
            free &= (np.abs(places - place) > reach + 1e-6).any(axis=1)
    return kept


def _provenance(volume: Volume, classifier: Classifier) -> dict[str, Any]:
    return {
        "software": f"napari-hirescam {__version__}",
        "torch": version("torch"),
        "model": classifier.spec.name,
        "weights_sha256": classifier.weights_sha256,
        **(volume.source.as_provenance() if volume.source else {"ct": volume.name, "notes": []}),
        "device": classifier.device,
        "target_layer": classifier.spec.target_layer,
    }

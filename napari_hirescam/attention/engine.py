"""From a CT and a model to scores, maps and the check of the guarantee, in one forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hirescam import __version__
from napari_hirescam.attention.capture import Progress, ShouldStop
from napari_hirescam.attention.faithfulness import examine_head
from napari_hirescam.attention.methods import METHODS
from napari_hirescam.attention.placement import (
    PlacementUnknownError,
    cells_by_receptive_field,
    cells_by_stretch,
    receptive_field,
)
from napari_hirescam.attention.raw import attention_maps
from napari_hirescam.attention.result import (
    Explanation,
    Float32Array,
    Guarantee,
    PlacementName,
)
from napari_hirescam.errors import AttributionError, Cancelled, HirescamError
from napari_hirescam.volume import FloatArray, Grid, Volume

if TYPE_CHECKING:
    from napari_hirescam.models.classifier import Classifier
    from napari_hirescam.models.preprocess import ModelInput


@dataclass(frozen=True)
class TargetReport:
    """What can be said of a model's target layer before any CT is scored.

    Parameters
    ----------
    guarantee
        Whether sum(HiResCAM) + bias must equal the logit.
    channels, cells
        Feature maps of the layer, and cells of its grid along the tensor's axes.
    cell_mm, receptive_field_mm
        Pitch of the cells and extent of what one sees, per tensor axis; None where the model
        keeps each CT's spacing, or the arithmetic does not know.
    placement_note
        Why the receptive field is not known, or "".
    """

    guarantee: Guarantee
    channels: int
    cells: tuple[int, int, int]
    cell_mm: tuple[float, float, float] | None
    receptive_field_mm: tuple[float, float, float] | None
    placement_note: str


def examine_target_layer(classifier: Classifier) -> TargetReport:
    """Say what holds at the model's target layer, from a pass without arithmetic."""
    run = classifier.dry_run
    spec = classifier.spec
    shape = run.activation_shape
    cells = (shape[0], *shape[2:]) if len(shape) == 4 else shape[2:]
    cell_mm = field_mm = None
    note = ""
    try:
        reaches = receptive_field(run)
    except PlacementUnknownError as exc:
        note = str(exc)
    else:
        if spec.input.spacing_mm is not None:
            group = 3 if spec.input.layout == "axial_triples" else 1
            steps = np.asarray(spec.input.spacing_mm) * (group, 1, 1)
            cell_mm = _triple(steps * [reach.stride for reach in reaches])
            field_mm = _triple(steps * [reach.size for reach in reaches])
    return TargetReport(
        guarantee=examine_head(run, spec.target_layer),
        channels=shape[1],
        cells=(cells[0], cells[1], cells[2]),
        cell_mm=cell_mm,
        receptive_field_mm=field_mm,
        placement_note=note,
    )


def explain(
    volume: Volume,
    classifier: Classifier,
    *,
    methods: Sequence[str] = ("hirescam", "gradcam"),
    at_mm: tuple[float, float, float] | None = None,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> Explanation:
    """Score a CT and map the attention of every label by every asked method.

    One forward pass serves all labels and methods; gradients are taken only from the target
    layer on. The network is left as it was: mode, parameters, gradients, hooks.

    Parameters
    ----------
    volume
        A CT in HU.
    classifier
        The model, from :func:`napari_hirescam.models.load_model`.
    methods
        Keys of :data:`napari_hirescam.attention.METHODS`.
    at_mm
        (I, P, L) mm of the window's centre, for a patch network.
    progress, should_stop
        Called with (done, total); asked between layers and between labels.

    Returns
    -------
    Scores, raw maps and their places, bias, residual and guarantee.

    Raises
    ------
    InputError
        The CT does not suit the model.
    AttributionError
        The network failed, ran out of memory or gave scores that are not numbers.
    Cancelled
        `should_stop` said so.
    ValueError
        An unknown method.
    """
    import torch

    unknown = [key for key in methods if key not in METHODS]
    if unknown or not methods:
        raise ValueError(f"unknown method {unknown}; known are {', '.join(METHODS)}")
    stop = should_stop or (lambda: False)
    tell = progress or (lambda _done, _total: None)
    try:
        with torch.inference_mode(False):
            model_input = classifier.prepare(volume, at_mm, stop)
            return _explain_input(volume, classifier, model_input, methods, tell, stop)
    except (MemoryError, torch.OutOfMemoryError) as exc:
        raise _out_of_memory(volume) from exc


@contextmanager
def _network_faults_named(classifier: Classifier, volume: Volume) -> Iterator[None]:
    """Turn whatever a network raises into one sentence (and never a RuntimeError)."""
    import torch

    try:
        yield
    except (Cancelled, HirescamError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as exc:  # the user's own network can fail in any way
        # torch's CPU allocator has no exception type of its own.
        if "DefaultCPUAllocator" in str(exc):
            raise _out_of_memory(volume) from exc
        raise AttributionError(
            classifier.spec.name,
            f"the network failed on {volume.name}: {type(exc).__name__}: "
            f"{' '.join(str(exc).split())}",
            "Check that the model's input section describes what the network expects",
        ) from exc


def _out_of_memory(volume: Volume) -> AttributionError:
    return AttributionError(
        volume.name,
        "the memory ran out while the model was computing",
        "Close other programs, or lower slices_per_chunk in model.yaml",
    )


def _explain_input(
    volume: Volume,
    classifier: Classifier,
    model_input: ModelInput,
    methods: Sequence[str],
    progress: Progress,
    should_stop: ShouldStop,
) -> Explanation:
    spec = classifier.spec
    with _network_faults_named(classifier, volume):
        raw = attention_maps(
            classifier.network,
            classifier.tensor_of(model_input),
            spec.target_layer,
            methods=methods,
            slices_per_chunk=spec.slices_per_chunk,
            progress=progress,
            should_stop=should_stop,
        )
    _check_logits(raw.logits, classifier, volume)
    cells = next(iter(raw.maps.values())).shape[1:]
    affines, note, field_mm = _place(classifier, model_input, (cells[0], cells[1], cells[2]))
    turned = {key: _to_patient_axes(stack, affines["stretch"]) for key, stack in raw.maps.items()}
    return Explanation(
        labels=spec.labels,
        logits=raw.logits,
        probabilities=classifier.probabilities(raw.logits),
        bias=raw.bias,
        maps=turned,
        affines={name: _patient_affine(a, cells) for name, a in affines.items()},
        placement_note=note,
        receptive_field_mm=field_mm,
        guarantee=raw.guarantee,
        target_layer=spec.target_layer,
        input_grid=model_input.voxel_grid,
        provenance=_provenance(volume, classifier, model_input),
    )


def _check_logits(scores: FloatArray, classifier: Classifier, volume: Volume) -> None:
    if len(scores) != len(classifier.labels):
        raise AttributionError(
            classifier.spec.name,
            f"the network gave {len(scores)} scores for {len(classifier.labels)} labels",
            "List one label per output in model.yaml",
        )
    if not np.isfinite(scores).all():
        raise AttributionError(
            classifier.spec.name,
            f"its scores for {volume.name} are not numbers (NaN or infinite)",
            "Check the weights, and that the CT is in HU",
        )


def _place(
    classifier: Classifier, model_input: ModelInput, cells: tuple[int, int, int]
) -> tuple[dict[PlacementName, FloatArray], str, tuple[float, float, float] | None]:
    stretch = cells_by_stretch(cells, model_input.spatial_shape)
    affines: dict[PlacementName, FloatArray] = {"stretch": model_input.affine @ stretch}
    try:
        reaches = receptive_field(classifier.dry_run)
    except PlacementUnknownError as exc:
        return affines, f"{exc}, so the cells are stretched over the input", None
    affines = {
        "receptive_field": model_input.affine @ cells_by_receptive_field(reaches),
        **affines,
    }
    # Extents along the tensor's axes, handed on in patient order.
    extents = np.abs(model_input.affine[:3, :3]) @ [reach.size for reach in reaches]
    return affines, "", _triple(extents)


def _triple(values: FloatArray) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


def _axis_order(affine: FloatArray) -> tuple[list[int], list[bool]]:
    """For each of I, P, L: the index axis along it, and whether that axis runs backwards."""
    linear = affine[:3, :3]
    order = [int(np.argmax(np.abs(linear[axis]))) for axis in range(3)]
    return order, [bool(linear[axis, order[axis]] < 0) for axis in range(3)]


def _to_patient_axes(stack: Float32Array, affine: FloatArray) -> Float32Array:
    """Turn maps [K, ...] on the network's axes into [K, d, h, w] along (I, P, L)."""
    order, backwards = _axis_order(affine)
    turned = stack.transpose(0, *(1 + axis for axis in order))
    flips = tuple(1 + axis for axis in range(3) if backwards[axis])
    return np.ascontiguousarray(np.flip(turned, flips))


def _patient_affine(affine: FloatArray, cells: tuple[int, ...]) -> FloatArray:
    """Return the affine that belongs to maps turned by :func:`_to_patient_axes`."""
    order, backwards = _axis_order(affine)
    result = np.eye(4)
    result[:3, 3] = affine[:3, 3]
    for axis, (index_axis, flipped) in enumerate(zip(order, backwards, strict=True)):
        step = affine[axis, index_axis]
        result[axis, axis] = abs(step)
        if flipped:
            result[axis, 3] += step * (cells[index_axis] - 1)
    return Grid((1, 1, 1), result).affine


def _provenance(volume: Volume, classifier: Classifier, model_input: ModelInput) -> dict[str, Any]:
    return {
        "software": f"napari-hirescam {__version__}",
        "torch": version("torch"),
        "model": classifier.spec.name,
        "weights_sha256": classifier.weights_sha256,
        "ct": str(volume.source.path) if volume.source else volume.name,
        "device": classifier.device,
        "notes": [*(volume.source.notes if volume.source else ()), *model_input.notes],
    }

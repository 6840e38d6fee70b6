"""Which layer to explain: what holds at each of them, from a pass without arithmetic."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hirescam.attention.faithfulness import examine_head, examine_path
from napari_hirescam.attention.placement import (
    NoGridError,
    PlacementUnknownError,
    ReceptiveField,
    receptive_field,
    trace_field,
)
from napari_hirescam.attention.prompt_cancel import cancel_promptly
from napari_hirescam.attention.result import Guarantee
from napari_hirescam.attention.share_seen import share_seen
from napari_hirescam.attention.stopping import Progress, ShouldStop
from napari_hirescam.errors import AttributionError, Cancelled
from napari_hirescam.models.borrow import SplitNetwork
from napari_hirescam.models.dry_run import INPUT_LAYER
from napari_hirescam.models.layer_trace import LayerCall, LayerTrace, trace_layers
from napari_hirescam.volume import FloatArray, Volume

if TYPE_CHECKING:
    from napari_hirescam.models.classifier import Classifier
    from napari_hirescam.models.spec import InputSpec

logger = logging.getLogger(__name__)

#: Larger inputs are traced without arithmetic only: with it they take the memory of training.
_LARGEST_REAL_INPUT = 2**25
_PATIENT_AXIS = {"I": 0, "S": 0, "P": 1, "A": 1, "L": 2, "R": 2}
_TRIPLE = 3

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class TargetReport:
    """What can be said of a target layer before any CT is scored.

    Parameters
    ----------
    guarantee
        Whether sum(HiResCAM) + bias must equal the logit.
    channels, cells
        Feature maps of the layer, and cells of its grid along the tensor's axes.
    cell_mm, receptive_field_mm
        Pitch of the cells and extent of what one sees, per tensor axis; None where they depend
        on a CT that is not there yet, or the arithmetic does not know.
    placement_note
        Why the receptive field is not known or what it leaves out, or "".
    share_seen
        Share of the input that every cell sees, 0 to 1, or None where that is not known.
    """

    guarantee: Guarantee
    channels: int
    cells: tuple[int, int, int]
    cell_mm: Triple | None
    receptive_field_mm: Triple | None
    placement_note: str
    share_seen: float | None = None


@dataclass(frozen=True)
class LayerCandidate(TargetReport):
    """A layer that can be explained; see :class:`TargetReport`.

    Parameters
    ----------
    name
        Dotted name, with the number of the call ("act#2") where the layer runs more than once.
    kind
        Name of the module's class.
    preferred
        True for the one layer that is offered first: of those where the guarantee holds, the
        one with the finest grid; where it holds nowhere, the last layer that tells places in a
        slice apart. A layer whose axes are not those of the image comes after all others.
    """

    name: str = ""
    kind: str = ""
    preferred: bool = False


def examine_target_layer(classifier: Classifier, volume: Volume | None = None) -> TargetReport:
    """Say what holds at the model's target layer.

    Parameters
    ----------
    classifier
        The model.
    volume
        A CT, whose spacing gives the cells their size in mm if the model keeps it.
    """
    run = classifier.dry_run
    spec = classifier.spec
    shape = run.activation_shape
    field, note = _known(lambda: receptive_field(run))
    steps = _steps_mm(spec.input, volume)
    return TargetReport(
        guarantee=examine_head(run, spec.target_layer),
        channels=shape[1],
        cells=cells_of(shape),
        cell_mm=_in_mm(field, steps, "stride"),
        receptive_field_mm=_in_mm(field, steps, "size"),
        placement_note=note,
        share_seen=share_seen(field, cells_of(shape), spec.input),
    )


def target_layers(
    classifier: Classifier,
    volume: Volume | None = None,
    should_stop: ShouldStop | None = None,
) -> tuple[LayerCandidate, ...]:
    """List the layers that can be explained, in the order they run, the input first.

    Layers that hand on the same tensor (a block and its last layer) are listed once, by the
    outermost name.

    Parameters
    ----------
    classifier
        The model.
    volume
        A CT, whose spacing gives the cells their size in mm if the model keeps it.
    should_stop
        Asked every 50 ms.

    Raises
    ------
    AttributionError
        The network cannot be traced.
    Cancelled
        `should_stop` said so.
    """

    def work(_tell: Progress, stop: ShouldStop) -> tuple[LayerCandidate, ...]:
        return _listed(classifier, volume, stop)

    return cancel_promptly(work, None, should_stop)


def _listed(
    classifier: Classifier, volume: Volume | None, stop: ShouldStop
) -> tuple[LayerCandidate, ...]:
    trace = _trace(classifier)
    steps = _steps_mm(classifier.spec.input, volume)
    found, gridless = [], []
    for call in _distinct(trace, classifier):
        if stop():
            raise Cancelled("the layers were not listed")
        candidate, has_grid = _candidate(call, trace, classifier.spec.input, steps)
        if trace.numbers_read and candidate.guarantee.holds:
            # Where the numbers go is found out for one layer at a time.
            report = examine_target_layer(classifier.with_target_layer(call.name))
            candidate = replace(candidate, guarantee=report.guarantee)
        found.append(candidate)
        if not has_grid:
            gridless.append(candidate)
    found += _behind_no_grad(trace, classifier)
    best = _preferred(found, gridless)
    return tuple(
        LayerCandidate(**{**vars(candidate), "preferred": candidate is best}) for candidate in found
    )


def cells_of(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return the grid [d, h, w] of an activation [1, F, d, h, w] or [S, F, h, w]."""
    depth, rows, columns = (shape[0], *shape[2:]) if len(shape) == 4 else shape[2:]
    return depth, rows, columns


def _trace(classifier: Classifier) -> LayerTrace:
    shape, output = classifier.input_shape, classifier.spec.output
    try:
        return trace_layers(classifier.network, shape, output)
    except Exception as exc:  # most failures are real and come again; some are of meta only
        logger.info("no trace on the meta device: %s", exc)
        if int(np.prod(shape)) > _LARGEST_REAL_INPUT:
            raise AttributionError(
                classifier.spec.name,
                f"its layers cannot be listed without running it on an input of {shape}, which "
                "would take the memory of training",
                "Name the target layer yourself",
            ) from exc
    try:
        return trace_layers(classifier.network, shape, output, on_meta=False)
    except Exception as exc:  # a forward can fail in any way
        raise AttributionError(
            classifier.spec.name,
            f"the network failed on an input of shape {list(shape)}: {' '.join(str(exc).split())}",
            "Check that the model's input section describes what the network expects",
        ) from exc


def _distinct(trace: LayerTrace, classifier: Classifier) -> Iterator[LayerCall]:
    shape = trace.input_shape
    grouped = len(shape) == 5 and classifier.spec.input.layout == "axial_triples"
    # [1, S, 3, h, w] is 3 channels of S images for the eye of the table.
    as_maps = (shape[0], shape[2], shape[1], *shape[3:]) if grouped else shape
    if not grouped or isinstance(classifier.network, SplitNetwork):
        yield LayerCall(INPUT_LAYER, "CT as the network sees it", as_maps, trace.input_node, 0)
    groups: dict[Any, list[LayerCall]] = {}
    for call in trace.calls:
        if call.node is not None and _has_grid(call.shape):
            groups.setdefault(call.node, []).append(call)
    for calls in groups.values():
        yield min(calls, key=lambda call: _rank_of_name(call.name, classifier))


def _rank_of_name(name: str, classifier: Classifier) -> tuple[bool, bool, int, int]:
    network = classifier.network
    cuts = isinstance(network, SplitNetwork) and network.halves(name) is not None
    return name != classifier.spec.target_layer, not cuts, name.count("."), len(name)


def _has_grid(shape: tuple[int, ...]) -> bool:
    if len(shape) == 5 and shape[0] != 1:
        return False
    return len(shape) in (4, 5) and int(np.prod(cells_of(shape))) > 1


def _candidate(
    call: LayerCall, trace: LayerTrace, spec: InputSpec, steps: FloatArray | None
) -> tuple[LayerCandidate, bool]:
    """Describe a layer; also say whether its axes are those of the image, as far as is known."""
    field, note, has_grid = None, "", True
    try:
        field = trace_field(trace.input_node, trace.input_shape, call.node, call.shape)
        note = field.note
    except PlacementUnknownError as exc:
        note, has_grid = str(exc), not isinstance(exc, NoGridError)
    hidden = [name for order, name in trace.hidden if order > call.order]
    candidate = LayerCandidate(
        guarantee=examine_path(
            trace.logits_node,
            call.node,
            call.name,
            hidden,
            trace.input_node,
            around=call.goes_around,
        ),
        channels=call.shape[1],
        cells=cells_of(call.shape),
        cell_mm=_in_mm(field, steps, "stride"),
        receptive_field_mm=_in_mm(field, steps, "size"),
        placement_note=note,
        share_seen=share_seen(field, cells_of(call.shape), spec),
        name=call.name,
        kind=call.kind,
    )
    return candidate, has_grid


def _behind_no_grad(trace: LayerTrace, classifier: Classifier) -> Iterator[LayerCandidate]:
    """Describe the last layer of a trunk that switches gradients off by itself.

    The trace holds no graph of it; cut there, the head is carried out again with gradients.
    """
    calls = [call for call in trace.calls if call.node is None and _has_grid(call.shape)]
    if not calls:
        return
    last = calls[-1]
    report = examine_target_layer(classifier.with_target_layer(last.name))
    yield LayerCandidate(**vars(report), name=last.name, kind=last.kind)


def _preferred(
    found: list[LayerCandidate], gridless: list[LayerCandidate]
) -> LayerCandidate | None:
    layers = [candidate for candidate in found if candidate.name != INPUT_LAYER]
    layers = [candidate for candidate in layers if candidate not in gridless] or layers
    exact = [candidate for candidate in layers if candidate.guarantee.holds]
    if exact:
        return max(exact, key=lambda candidate: int(np.prod(candidate.cells)))
    in_plane = [candidate for candidate in layers if max(candidate.cells[1:]) > 1]
    return next(reversed(in_plane or layers), None)


def _known(trace: Callable[[], ReceptiveField]) -> tuple[ReceptiveField | None, str]:
    try:
        field = trace()
    except PlacementUnknownError as exc:
        return None, str(exc)
    return field, field.note


def _steps_mm(spec: InputSpec, volume: Volume | None) -> FloatArray | None:
    """Millimetres between neighbouring places of the input, along the tensor's axes."""
    axes = [_PATIENT_AXIS[letter] for letter in spec.orientation]
    if spec.fit == "resize" and volume is not None:
        extent = np.asarray(volume.grid.spacing_mm) * volume.voxels.shape
        shape = [n or volume.voxels.shape[a] for n, a in zip(spec.shape, axes, strict=True)]
        steps = extent[axes] / shape
        if spec.layout == "slice":
            steps[0] = volume.grid.spacing_mm[axes[0]]
    elif spec.fit == "resize":
        return None
    elif spec.spacing_mm is not None:
        steps = np.asarray(spec.spacing_mm)
    elif volume is not None:
        steps = np.asarray(volume.grid.spacing_mm)[axes]
    else:
        return None
    group = _TRIPLE if spec.layout == "axial_triples" else 1
    grouped: FloatArray = steps * np.asarray((group, 1.0, 1.0))
    return grouped


def _in_mm(field: ReceptiveField | None, steps: FloatArray | None, what: str) -> Triple | None:
    if field is None or steps is None:
        return None
    d, r, c = (
        float(step * getattr(axis, what)) for step, axis in zip(steps, field.axes, strict=True)
    )
    return d, r, c

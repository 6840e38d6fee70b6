"""Proof of a drafted model: one real forward pass, and what is wrong with it in words."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hirescam.errors import Cancelled, InputError
from napari_hirescam.models.borrow import SplitNetwork, borrowed
from napari_hirescam.models.classifier import Classifier
from napari_hirescam.models.dry_run import UnknownLayerError, find_layer, is_input
from napari_hirescam.models.scores import (
    NoScoresError,
    read_scores,
    run_network,
    scores_of_ct,
)
from napari_hirescam.models.spec import ModelSpec
from napari_hirescam.models.traced_pass import floating_type
from napari_hirescam.models.watched_pass import shapes_noted, watched
from napari_hirescam.volume import FloatArray, Volume

if TYPE_CHECKING:
    import torch
    from torch import nn

# batch, channel and at least two spatial axes
_LEAST_ACTIVATION_AXES = 4
_REASON_LENGTH = 300
_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Problem:
    """What is wrong with a draft.

    Parameters
    ----------
    field
        The field of the draft it belongs to: 'labels', 'input', 'output' or 'target_layer'.
    text
        One sentence.
    """

    field: str
    text: str


@dataclass(frozen=True, eq=False)
class Proof:
    """Outcome of a forward pass.

    Parameters
    ----------
    given
        What the network was given, in words.
    on_ct
        True if that was a CT.
    problems
        What is wrong; none if the proof holds.
    input_shape, logits_shape, activation_shape
        Shapes of the network's input, its logits and the target layer's output; None where the
        pass did not come that far.
    logits, probabilities
        [K] in the order of the labels; empty where there are none.
    seconds
        Wall-clock time of the forward pass.
    notes
        What the user should know of: padding, a layer that is slow.
    """

    given: str
    on_ct: bool
    problems: tuple[Problem, ...]
    input_shape: tuple[int, ...] | None = None
    logits_shape: tuple[int, ...] | None = None
    activation_shape: tuple[int, ...] | None = None
    logits: tuple[float, ...] = ()
    probabilities: tuple[float, ...] = ()
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """True if nothing is wrong."""
        return not self.problems


def prove(
    spec: ModelSpec,
    network: nn.Module,
    volume: Volume | None,
    at_mm: tuple[float, float, float] | None = None,
    *,
    device: str | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Proof:
    """Run a network once as its specification says.

    Parameters
    ----------
    spec
        The draft.
    network
        With its weights; it is left as it is, but moved to `device`.
    volume
        The CT to run on; None takes noise of the input's size, from a fixed seed.
    at_mm
        (I, P, L) mm to look at, for a network that sees a part; None takes the CT's middle.
    device
        As for :class:`Classifier`.
    progress
        Told (layers done, layers in all).
    should_stop
        Asked ahead of each layer.

    Raises
    ------
    Cancelled
        `should_stop` said so.
    """
    import torch

    classifier = Classifier(spec, network, device=device)
    try:
        tensor, given, notes = _input(classifier, volume, at_mm, should_stop)
    except InputError as exc:
        return Proof(str(exc.subject), True, (Problem("input", f"{exc.reason}. {exc.remedy}."),))
    about = (given, volume is not None, notes)
    try:
        return _run(classifier, tensor, about, progress, should_stop)
    except torch.OutOfMemoryError:
        words = f"The memory of {classifier.device} ran out, so the proof ran on the CPU."
        on_cpu = Classifier(spec, network, device="cpu")
        return _run(on_cpu, tensor, (*about[:2], (*notes, words)), progress, should_stop)


def _input(
    classifier: Classifier,
    volume: Volume | None,
    at_mm: tuple[float, float, float] | None,
    should_stop: Callable[[], bool],
) -> tuple[torch.Tensor, str, tuple[str, ...]]:
    import torch

    if volume is None:
        generator = torch.Generator().manual_seed(0)
        noise = torch.rand(classifier.input_shape, generator=generator)
        low, high = classifier.spec.input.scale_to or classifier.spec.input.window_hu
        tensor = low + (high - low) * noise - classifier.spec.input.subtract
        return tensor, "noise, since no CT is open", ()
    if not classifier.spec.input.needs_point:
        at_mm = None
    elif at_mm is None:
        inferior, posterior, left = volume.grid.to_world((np.asarray(volume.voxels.shape) - 1) / 2)
        at_mm = float(inferior), float(posterior), float(left)
    prepared = classifier.prepare(volume, at_mm, should_stop)
    where = " at its middle" if at_mm is not None else ""
    return prepared.tensor, f"the CT {volume.name!r}{where}", prepared.notes


def _run(
    classifier: Classifier,
    tensor: torch.Tensor,
    about: tuple[str, bool, tuple[str, ...]],
    progress: Callable[[int, int], None],
    should_stop: Callable[[], bool],
) -> Proof:
    import torch

    spec, network = classifier.spec, classifier.network
    given, on_ct, notes = about
    shape = tuple(tensor.shape)
    tensor = tensor.to(classifier.device, floating_type(network))
    try:
        at_input = is_input(network, spec.target_layer)
        layer = None if at_input else find_layer(network, spec.target_layer)
    except UnknownLayerError as exc:
        problem = Problem("target_layer", f"{_upper(str(exc))}.")
        return Proof(given, on_ct, (problem,), shape, notes=notes)
    seen: list[Any] = []
    with borrowed(network, should_stop), torch.inference_mode():
        start = time.perf_counter()
        try:
            with shapes_noted(layer, seen):
                logits = _forward(classifier, tensor, seen, progress, should_stop)
        except Cancelled:
            raise
        except NoScoresError as exc:
            problem = Problem("output", f"{_upper(str(exc))}.")
            return Proof(given, on_ct, (problem,), shape, notes=notes)
        except Exception as exc:
            if isinstance(exc, torch.OutOfMemoryError) and classifier.device != "cpu":
                raise
            reason = " ".join(str(exc).split())[:_REASON_LENGTH]
            words = (
                f"The network failed on an input of shape {list(shape)}: {reason}. "
                "Most often size, channels or layout are not those it was trained with."
            )
            return Proof(given, on_ct, (Problem("input", words),), shape, notes=notes)
        seconds = time.perf_counter() - start
    values: FloatArray = logits.double().cpu().numpy()
    activation = None if layer is not None and not seen else tuple(seen[-1] if seen else shape)
    problems = (
        *_label_problems(spec, values),
        *_layer_problems(spec, activation),
    )
    row = values[0]
    return Proof(
        given,
        on_ct,
        problems,
        shape,
        tuple(values.shape),
        activation,
        tuple(row.tolist()),
        tuple(classifier.probabilities(row).tolist()),
        seconds,
        (*notes, *_probability_notes(spec, values)),
    )


def _probability_notes(spec: ModelSpec, scores: FloatArray) -> Iterator[str]:
    """Say that scores look like probabilities already; a map explains logits."""
    if spec.output.layer is not None or not ((scores >= 0) & (scores <= 1)).all():
        return
    summed = scores.shape[-1] > 1 and abs(float(scores.sum()) - 1) < _SUM_TOLERANCE
    yield (
        f"All scores lie between 0 and 1{' and sum to 1' if summed else ''}, as after a "
        f"{'softmax' if summed else 'sigmoid'}. If the network applies one itself, name the layer "
        "ahead of it as the one that gives the logits (output.layer)."
    )


def _forward(
    classifier: Classifier,
    tensor: torch.Tensor,
    seen: list[Any],
    progress: Callable[[int, int], None],
    should_stop: Callable[[], bool],
) -> torch.Tensor:
    """Run the network to the logits of the CT, in chunks of slices where it can be."""
    import torch

    spec, network = classifier.spec, classifier.network
    halves = network.halves(spec.target_layer) if isinstance(network, SplitNetwork) else None
    if halves is None:
        with watched(network, progress, should_stop):
            return scores_of_ct(run_network(network, tensor, spec.output), spec.output)
    trunk, head = halves
    chunks = torch.split(tensor[0], spec.slices_per_chunk)
    with watched(network, progress, should_stop, passes=len(chunks)):
        activation = torch.cat([trunk(images) for images in chunks])
        seen.append(activation.shape)
        return read_scores(head(activation), spec.output)


def _label_problems(spec: ModelSpec, logits: FloatArray) -> Iterator[Problem]:
    width = logits.shape[-1]
    if width != len(spec.labels):
        yield Problem(
            "labels",
            f"The network has {width} outputs, and there are {len(spec.labels)} labels. "
            "Give one label per output.",
        )
    if width > len(spec.labels) and width % len(spec.labels) == 0:
        yield Problem(
            "input",
            f"If {len(spec.labels)} labels are right, the input is too large for the network's "
            "last layer, which then answers at several places.",
        )
    if not np.isfinite(logits).all():
        bad = int((~np.isfinite(logits)).sum())
        yield Problem(
            "input",
            f"{bad} of {width} scores are not finite numbers. Check the window and the scaling, "
            "and that the weights are not damaged.",
        )


def _layer_problems(spec: ModelSpec, activation: tuple[int, ...] | None) -> Iterator[Problem]:
    name = spec.target_layer
    if activation is None:
        yield Problem(
            "target_layer", f"The layer {name!r} takes no part in the forward pass. Choose another."
        )
    elif len(activation) < _LEAST_ACTIVATION_AXES:
        yield Problem(
            "target_layer",
            f"The output of {name!r} has shape {list(activation)}, without spatial axes. Choose "
            "a layer ahead of the flattening.",
        )


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]

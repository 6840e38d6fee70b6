"""From a CT and a model to scores, maps and the check of the guarantee, in one forward pass."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hirescam import __version__
from napari_hirescam.attention.cells import patient_affine, place_cells, to_patient_axes
from napari_hirescam.attention.faithfulness import examine_head
from napari_hirescam.attention.memory import Attempt, attempts, on_device, ran_out_of_memory
from napari_hirescam.attention.methods import METHODS
from napari_hirescam.attention.prompt_cancel import cancel_promptly
from napari_hirescam.attention.raw import RawAttention, attention_maps
from napari_hirescam.attention.result import (
    DEFAULT_TOLERANCE,
    Explanation,
    Guarantee,
    GuaranteeState,
)
from napari_hirescam.attention.stopping import Progress, ShouldStop
from napari_hirescam.errors import AttributionError, Cancelled, HirescamError
from napari_hirescam.volume import FloatArray, Volume

if TYPE_CHECKING:
    from torch import Tensor, nn

    from napari_hirescam.models.classifier import Classifier
    from napari_hirescam.models.preprocess import ModelInput

logger = logging.getLogger(__name__)

#: Rounding of half precision, relative; see Explanation.verified.
_MIXED_TOLERANCE = 2e-2


def explain(
    volume: Volume,
    classifier: Classifier,
    *,
    methods: Sequence[str] = ("hirescam", "gradcam"),
    at_mm: tuple[float, float, float] | None = None,
    mixed_precision: bool = False,
    prepared: bool = False,
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
    mixed_precision
        Run under torch's autocast: faster on some devices, and the residual grows to that
        precision.
    prepared
        Run a copy of the network that was made faster once (batch norms folded, weights
        reordered) and gives the same maps to 1e-5. Pays from the second run on.
    progress, should_stop
        Called with (done, total); asked every 50 ms. Both in the caller's thread.

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
        `should_stop` said so; within half a second.
    ValueError
        An unknown method.
    """
    import torch

    unknown = [key for key in methods if key not in METHODS]
    if unknown or not methods:
        raise ValueError(f"unknown method {unknown}; known are {', '.join(METHODS)}")

    def work(tell: Progress, stop: ShouldStop) -> Explanation:
        with torch.inference_mode(False):
            try:
                model_input = classifier.prepare(volume, at_mm, stop)
            except MemoryError as exc:
                raise _out_of_memory(volume) from exc
            return _first_that_fits(
                _Request(
                    volume,
                    classifier,
                    model_input,
                    tuple(methods),
                    mixed_precision,
                    prepared,
                    tell,
                    stop,
                )
            )

    return cancel_promptly(work, progress, should_stop)


def _first_that_fits(request: _Request) -> Explanation:
    """Run the network in the first way for which the memory suffices."""
    import torch

    failed: BaseException | None = None
    for attempt in attempts(request.classifier):
        try:
            with on_device(request.classifier, attempt.device):
                return _explain_input(request, attempt)
        except Exception as exc:  # allocators say it in several types, some of them plain
            if not ran_out_of_memory(exc):
                raise
            # Without the frames: they hold the tensors that filled the memory.
            failed = exc.with_traceback(None)
            logger.info("out of memory on %s: %s", attempt.device, exc)
        if attempt.device == "cuda":
            torch.cuda.empty_cache()
    raise _out_of_memory(request.volume) from failed


@dataclass(frozen=True)
class _Request:
    """What was asked for, and the CT as the network sees it."""

    volume: Volume
    classifier: Classifier
    model_input: ModelInput
    methods: tuple[str, ...]
    mixed_precision: bool
    prepared: bool
    progress: Progress
    should_stop: ShouldStop


@contextmanager
def _network_faults_named(classifier: Classifier, volume: Volume) -> Iterator[None]:
    """Turn whatever a network raises into one sentence (and never a RuntimeError)."""
    try:
        yield
    except (Cancelled, HirescamError):
        raise
    except Exception as exc:  # the user's own network can fail in any way
        if ran_out_of_memory(exc):
            raise
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


def _explain_input(request: _Request, attempt: Attempt) -> Explanation:
    classifier, model_input = request.classifier, request.model_input
    spec = classifier.spec
    given = classifier.tensor_of(model_input).to(attempt.device)
    with _network_faults_named(classifier, request.volume):
        network, note_on_network = _network_for(request, attempt, given)
        raw = attention_maps(
            network,
            given,
            spec.target_layer,
            methods=request.methods,
            output=spec.output,
            slices_per_chunk=attempt.slices_per_chunk,
            mixed_precision=request.mixed_precision,
            progress=request.progress,
            should_stop=request.should_stop,
        )
    _check_logits(raw.logits, classifier, request.volume)
    guarantee = _of_whole_score(raw.guarantee, classifier)
    cells = next(iter(raw.maps.values())).shape[1:]
    affines, note, field_mm = place_cells(classifier, model_input, (cells[0], cells[1], cells[2]))
    turned = {key: to_patient_axes(stack, affines["stretch"]) for key, stack in raw.maps.items()}
    return Explanation(
        labels=spec.labels,
        logits=raw.logits,
        probabilities=classifier.probabilities(raw.logits),
        bias=raw.bias if guarantee.holds else np.full_like(raw.bias, np.nan),
        maps=turned,
        affines={name: patient_affine(a, cells) for name, a in affines.items()},
        placement_note=note,
        receptive_field_mm=field_mm,
        guarantee=guarantee,
        target_layer=spec.target_layer,
        input_grid=model_input.voxel_grid,
        provenance=_provenance(
            request, attempt, note_on_network, _note_on_methods(request.methods, raw)
        ),
        tolerance=_MIXED_TOLERANCE if request.mixed_precision else DEFAULT_TOLERANCE,
    )


def _note_on_methods(asked: Sequence[str], raw: RawAttention) -> str:
    missing = [METHODS[key].title for key in asked if key not in raw.maps]
    return f"Only a linear head has: {', '.join(missing)}." if missing else ""


def _network_for(request: _Request, attempt: Attempt, given: Tensor) -> tuple[nn.Module, str]:
    """Choose between the network and its prepared copy; say what became of the latter."""
    classifier = request.classifier
    if not request.prepared or request.mixed_precision or attempt.device != classifier.device:
        return classifier.network, ""
    preparation = classifier.prepared_network(given, request.should_stop)
    if not preparation.is_prepared:
        return (
            classifier.network,
            f"The network was not made faster: {'; '.join(preparation.notes)}.",
        )
    return preparation.network, (
        f"Computed by a faster copy of the network ({preparation.folded} batch norms folded, "
        f"{preparation.packed} convolutions reordered, {preparation.in_slabs} run in slabs), "
        "proven to give the same."
    )


def _of_whole_score(found: Guarantee, classifier: Classifier) -> Guarantee:
    """Withdraw a guarantee if part of the score goes around the target layer.

    The pass that made the maps recorded nothing ahead of the layer; the trace did.
    """
    if not found.holds:
        return found
    try:
        traced = examine_head(classifier.dry_run, classifier.spec.target_layer)
    except Exception as exc:  # noqa: BLE001 - which networks can be traced cannot be known
        logger.info("the network could not be traced: %s", exc)
        return Guarantee(
            GuaranteeState.LOCAL,
            "the network could not be traced, so whether part of the scores goes around "
            f"{classifier.spec.target_layer} is not known: take the maps for a local approximation",
            same_picture=found.same_picture,
        )
    return found if traced.holds else traced


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


def _provenance(request: _Request, attempt: Attempt, *more: str) -> dict[str, Any]:
    volume, classifier = request.volume, request.classifier
    origin = volume.source.as_provenance() if volume.source else {"ct": volume.name, "notes": []}
    notes = [*origin["notes"], *request.model_input.notes]
    notes += [note for note in (attempt.note, *more) if note]
    return {
        "software": f"napari-hirescam {__version__}",
        "torch": version("torch"),
        "model": classifier.spec.name,
        "weights_sha256": classifier.weights_sha256,
        **origin,
        "device": attempt.device,
        "mixed_precision": request.mixed_precision,
        "notes": notes,
    }

"""A loaded model: prepares a CT, scores it, and knows its labels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hirescam.models.borrow import borrowed
from napari_hirescam.models.dry_run import DryRun, dry_run, find_layer, is_input
from napari_hirescam.models.preprocess import ModelInput, prepare
from napari_hirescam.models.scores import run_network, scores_of_ct
from napari_hirescam.models.spec import ModelSpec
from napari_hirescam.models.traced_pass import floating_type
from napari_hirescam.volume import FloatArray, Volume

if TYPE_CHECKING:
    import torch
    from torch import nn

    from napari_hirescam.models.prepared import Preparation

logger = logging.getLogger(__name__)

# Slices a model that takes any number is dry-run with; their number changes no answer.
_SLICES_WHEN_FREE = 48


def devices() -> list[str]:
    """Name torch's devices on this machine, the fastest first."""
    import torch

    found = [name for name, there in _accelerators(torch) if there]
    return [*found, "cpu"]


def _accelerators(torch: Any) -> Iterator[tuple[str, bool]]:
    yield "cuda", torch.cuda.is_available()
    yield "mps", torch.backends.mps.is_available()


class Classifier:
    """A network with its specification.

    Parameters
    ----------
    spec
        What the model file says.
    network
        The network; returns logits [1, K] in the order of `spec.labels`.
    folder
        Where it was loaded from, if from a folder.
    weights_sha256
        Digest of the weights file, for provenance.
    device
        'cpu', 'cuda' or 'mps'; None takes the first of :func:`devices`.
    """

    def __init__(
        self,
        spec: ModelSpec,
        network: nn.Module,
        *,
        folder: Path | None = None,
        weights_sha256: str = "",
        device: str | None = None,
    ) -> None:
        self.spec = spec
        self.device = device or devices()[0]
        self.network = network.to(self.device)
        self.folder = folder
        self.weights_sha256 = weights_sha256
        self._preparation: Preparation | None = None

    def with_target_layer(self, name: str) -> Classifier:
        """Make a classifier of the same network that explains another layer.

        Raises
        ------
        UnknownLayerError
            The network has no such layer; the message offers the nearest names.
        """
        if not is_input(self.network, name):
            find_layer(self.network, name)
        spec = self.spec.model_copy(update={"target_layer": name})
        return Classifier(
            spec,
            self.network,
            folder=self.folder,
            weights_sha256=self.weights_sha256,
            device=self.device,
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names in the order of the outputs."""
        return self.spec.labels

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the tensor :meth:`prepare` makes (for 48 slices where any number will do)."""
        slices, rows, columns = self.spec.input.shape
        slices = slices or _SLICES_WHEN_FREE
        if self.spec.input.layout == "axial_triples":
            return 1, slices // 3, 3, rows, columns
        if self.spec.input.layout == "slice":
            return 1, self.spec.input.channels, rows, columns
        if self.spec.input.layout == "slices":
            return slices, self.spec.input.channels, rows, columns
        return 1, self.spec.input.channels, slices, rows, columns

    @cached_property
    def dry_run(self) -> DryRun:
        """The network traced at its target layer; see :func:`models.dry_run.dry_run`."""
        layer = self.spec.target_layer
        output = self.spec.output
        if not is_input(self.network, layer):
            find_layer(self.network, layer)
        try:
            return dry_run(self.network, self.input_shape, layer, output)
        except Exception as exc:  # noqa: BLE001 - which networks run on meta cannot be known
            # Most failures are real and come again; some are of the meta device only.
            logger.info("no dry run on the meta device: %s", exc)
            return dry_run(self.network, self.input_shape, layer, output, on_meta=False)

    def prepare(
        self,
        volume: Volume,
        at_mm: tuple[float, float, float] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> ModelInput:
        """Turn a CT into the network's input; see :func:`models.preprocess.prepare`."""
        return prepare(volume, self.spec.input, at_mm, should_stop)

    def prepared_network(
        self, given: torch.Tensor, should_stop: Callable[[], bool] | None = None
    ) -> Preparation:
        """Return a faster copy of the network, or the network itself with the reason.

        Made when it is first asked for, and again when the weights have changed; it takes a few
        passes of time and the memory of a second copy of the convolutions.

        Parameters
        ----------
        given
            The network's input; the copy has to prove itself on it.
        should_stop
            Asked before each layer.
        """
        from napari_hirescam.models.prepared import prepare_network

        known = self._preparation
        if known is None or not known.is_current(self.network):
            known = prepare_network(
                self.network,
                given,
                self.spec.target_layer,
                self.spec.output,
                should_stop=should_stop,
            )
            self._preparation = known
        return known

    def logits(self, model_input: ModelInput) -> torch.Tensor:
        """Score a prepared CT: raw logits [K] before any sigmoid, on the CPU.

        Runs in inference mode and in one piece; :func:`attention.explain` gives the same
        scores, in chunks, and the maps with them.
        """
        import torch

        with borrowed(self.network), torch.inference_mode():
            scores = run_network(self.network, self.tensor_of(model_input), self.spec.output)
            logits = scores_of_ct(scores, self.spec.output)
        return logits[0].float().cpu()

    def tensor_of(self, model_input: ModelInput) -> torch.Tensor:
        """Bring a prepared CT to the network's device and precision."""
        return model_input.tensor.to(self.device, floating_type(self.network))

    def probabilities(self, logits: FloatArray) -> FloatArray:
        """Turn logits [..., K] into probabilities as the model file says (float64)."""
        from scipy import special

        result: FloatArray = (
            special.softmax(logits, axis=-1)
            if self.spec.activation == "softmax"
            else special.expit(logits)
        )
        return result

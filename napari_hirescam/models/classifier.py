"""A loaded model: prepares a CT, scores it, and knows its labels."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hirescam.models.borrow import borrowed
from napari_hirescam.models.dry_run import DryRun, dry_run
from napari_hirescam.models.preprocess import ModelInput, prepare
from napari_hirescam.models.spec import ModelSpec
from napari_hirescam.volume import FloatArray, Volume

if TYPE_CHECKING:
    import torch
    from torch import nn

# Slices a model that takes any number is dry-run with; their number changes no answer.
_SLICES_WHEN_FREE = 48


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
        'cpu' or 'cuda'; None takes CUDA where there is one.
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
        import torch

        self.spec = spec
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.network = network.to(self.device)
        self.folder = folder
        self.weights_sha256 = weights_sha256

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
        return 1, self.spec.input.channels, slices, rows, columns

    @cached_property
    def dry_run(self) -> DryRun:
        """The network traced at its target layer; see :func:`models.dry_run.dry_run`."""
        return dry_run(self.network, self.input_shape, self.spec.target_layer)

    def prepare(
        self, volume: Volume, at_mm: tuple[float, float, float] | None = None
    ) -> ModelInput:
        """Turn a CT into the network's input; see :func:`models.preprocess.prepare`."""
        return prepare(volume, self.spec.input, at_mm)

    def logits(self, model_input: ModelInput) -> torch.Tensor:
        """Score a prepared CT: raw logits [K] before any sigmoid, on the CPU.

        Runs in inference mode and in one piece; :func:`attention.explain` gives the same
        scores, in chunks, and the maps with them.
        """
        import torch

        with borrowed(self.network), torch.inference_mode():
            logits: torch.Tensor = self.network(model_input.tensor.to(self.device))
        return logits[0].float().cpu()

    def probabilities(self, logits: FloatArray) -> FloatArray:
        """Turn logits [K] into probabilities [K] as the model file says (float64)."""
        from scipy import special

        function: Any = special.softmax if self.spec.activation == "softmax" else special.expit
        result: FloatArray = function(logits)
        return result

"""The map that a test is about: one label, one method, one CT, one model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeGuard

import numpy as np
import numpy.typing as npt

from napari_hirescam.attention import METHODS, AttentionMap, Explanation, explain
from napari_hirescam.attention.memory import ran_out_of_memory
from napari_hirescam.attention.stopping import Progress, ShouldStop
from napari_hirescam.errors import AttributionError, Cancelled, HirescamError, InputError
from napari_hirescam.evaluation.findings import MapFacts
from napari_hirescam.volume import FloatArray, Grid, Volume

if TYPE_CHECKING:
    from torch import Tensor

    from napari_hirescam.models import Classifier
    from napari_hirescam.models.preprocess import ModelInput

Point = tuple[float, float, float]

#: Scores of the same CT by the same network may differ by this much, relative to the larger.
_SAME_SCORE = 1e-2


@dataclass(frozen=True, eq=False)
class MapUnderTest:
    """A map, with what is needed to ask its network again.

    Parameters
    ----------
    volume, classifier, explanation
        The CT, the model, and what :func:`~napari_hirescam.attention.explain` made of them.
    model_input
        The CT as the network was given it.
    label, method
        Which of the explanation's maps.
    """

    volume: Volume
    classifier: Classifier
    explanation: Explanation
    model_input: ModelInput
    label: str
    method: str

    @property
    def label_index(self) -> int:
        """Which logit."""
        return self.explanation.index(self.label)

    @property
    def logit(self) -> float:
        """The label's score."""
        return float(self.explanation.logits[self.label_index])

    @property
    def method_title(self) -> str:
        """Name of the method, as people write it."""
        return METHODS[self.method].title

    @property
    def attention(self) -> AttentionMap:
        """The map, placed in the patient."""
        return self.explanation.map(self.label, self.method)

    @property
    def cells(self) -> npt.NDArray[np.float32]:
        """The map on the network's own axes, float32 [d, h, w]."""
        return to_network_axes(
            self.explanation.maps[self.method][self.label_index], self.model_input.affine
        )

    @property
    def given(self) -> Tensor:
        """The network's input, on its device."""
        return self.classifier.tensor_of(self.model_input)

    def facts(self, *, seed: int) -> MapFacts:
        """Say which map this is, for those who read the findings."""
        explanation = self.explanation
        promised = explanation.completes(self.method)
        reason = explanation.guarantee.reason
        if explanation.guarantee.holds and not promised:
            reason = f"the cells of a {self.method_title} map are not shares of the logit"
        return MapFacts(
            label=self.label,
            method=self.method,
            method_title=self.method_title,
            ct=self.volume.name,
            model=self.classifier.spec.name,
            target_layer=explanation.target_layer,
            logit=self.logit,
            probability=float(explanation.probabilities[self.label_index]),
            promised=promised,
            reason=reason,
            seed=seed,
            provenance=explanation.provenance,
        )

    def check_score(self, logit: float) -> None:
        """Raise InputError if the network's score is not the explained one."""
        if abs(logit - self.logit) > _SAME_SCORE * max(abs(logit), abs(self.logit), 1.0):
            raise InputError(
                self.volume.name,
                f"the model's logit of {self.label} is {logit:.4g} now and was {self.logit:.4g} "
                "when it was explained",
                "Explain the CT again, and test that map",
            )


def prepare_test(
    volume: Volume,
    classifier: Classifier,
    label: str,
    method: str = "hirescam",
    *,
    explanation: Explanation | None = None,
    at_mm: Point | None = None,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> MapUnderTest:
    """Bring together what a test needs, and make sure that it belongs together.

    Parameters
    ----------
    volume, classifier
        The CT and the model.
    label, method
        Which map.
    explanation
        What was made of them before; None explains the CT now. So does one without this method,
        or in mixed precision, whose maps add up only to that precision.
    at_mm
        (I, P, L) mm of the window's centre, for a patch network. May be left out beside an
        explanation, which knows its window.
    progress, should_stop
        For the case that the CT has to be explained.

    Raises
    ------
    InputError
        The label or the method is unknown, or the explanation is of something else.
    AttributionError, Cancelled
        As for :func:`~napari_hirescam.attention.explain`.
    """
    if label not in classifier.labels:
        raise InputError(label, "the model has no such label", _known(classifier.labels))
    if method not in METHODS:
        raise InputError(method, "there is no such method", _known(METHODS))
    if explanation is not None:
        _check_model(explanation, classifier)
        if at_mm is None and classifier.spec.input.needs_point:
            at_mm = _centre_of_window(explanation.input_grid, volume)
    if not can_be_tested(explanation, method):
        explanation = explain(
            volume,
            classifier,
            methods=(method,),
            at_mm=at_mm,
            progress=progress,
            should_stop=should_stop,
        )
    model_input = classifier.prepare(volume, at_mm, should_stop)
    if not model_input.voxel_grid.same_place_as(explanation.input_grid):
        raise InputError(
            volume.name,
            "the explanation is of another CT, or of another window of it",
            "Explain this CT again, and test that map",
        )
    return MapUnderTest(volume, classifier, explanation, model_input, label, method)


def can_be_tested(explanation: Explanation | None, method: str) -> TypeGuard[Explanation]:
    """False if the CT has to be explained anew: the tests are run in full precision."""
    return (
        explanation is not None
        and method in explanation.maps
        and not explanation.provenance.get("mixed_precision", False)
    )


def _known(names: Iterable[str]) -> str:
    return f"Known: {', '.join(names)}"


def _check_model(explanation: Explanation, classifier: Classifier) -> None:
    weights = explanation.provenance.get("weights_sha256", classifier.weights_sha256)
    if (
        explanation.labels != classifier.labels
        or explanation.target_layer != classifier.spec.target_layer
        or weights != classifier.weights_sha256
    ):
        raise InputError(
            classifier.spec.name,
            "the explanation was made with another model or another target layer",
            "Explain the CT again, and test that map",
        )


def _centre_of_window(window: Grid, volume: Volume) -> Point:
    """Give the point that a window was cut around, to within the rounding of the cut."""
    # A quarter of a voxel short of the middle: well away from where rounding goes either way,
    # for windows and for single slices.
    index = volume.grid.to_index(window.to_world(np.asarray(window.shape) / 2 - 0.25))
    # A window at the CT's border: its middle may have been rounded out of the CT.
    inside = np.clip(index, 0, np.asarray(volume.voxels.shape) - 1)
    near = np.where(np.abs(index - inside) <= 1.0, inside, index)
    inferior, posterior, left = volume.grid.to_world(near)
    return float(inferior), float(posterior), float(left)


def to_network_axes(cells: npt.NDArray[np.float32], affine: FloatArray) -> npt.NDArray[np.float32]:
    """Turn a map along (I, P, L) back onto the axes of the network's tensor.

    Parameters
    ----------
    cells
        [d, h, w] along (I, P, L).
    affine
        4x4, index along the tensor's axes to (I, P, L) mm.
    """
    # For each patient axis the tensor's axis that runs along it, and whether backwards.
    along = [int(np.argmax(np.abs(affine[axis, :3]))) for axis in range(3)]
    flips = tuple(axis for axis in range(3) if affine[axis, along[axis]] < 0)
    turned = np.flip(cells, flips).transpose(np.argsort(along))
    return np.ascontiguousarray(turned)


@contextmanager
def faults_named(classifier: Classifier, volume: Volume) -> Iterator[None]:
    """Turn whatever a network raises while it is tested into one sentence."""
    import torch

    try:
        with torch.inference_mode(False):
            yield
    except (Cancelled, HirescamError):
        raise
    except Exception as exc:  # the user's own network can fail in any way
        if ran_out_of_memory(exc):
            raise AttributionError(
                volume.name,
                "the memory ran out while the explanation was tested",
                "Close other programs, or lower slices_per_chunk in model.yaml",
            ) from exc
        raise AttributionError(
            classifier.spec.name,
            f"the explanation of {volume.name} cannot be tested: {' '.join(str(exc).split())}",
            "Check that the network can be run again and again on the same CT",
        ) from exc

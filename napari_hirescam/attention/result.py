"""What an explanation is: raw maps that know where they lie, and the proof beside them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_hirescam.attention.methods import METHODS
from napari_hirescam.volume import FloatArray, Grid, resample

Float32Array = npt.NDArray[np.float32]
PlacementName = Literal["receptive_field", "stretch"]
#: Relative residual that is taken for rounding of single precision.
DEFAULT_TOLERANCE = 2e-5


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """The attention of one label by one method, raw and signed, on the target layer's own grid.

    Parameters
    ----------
    values
        float32 [d, h, w] along (I, P, L); never rectified, scaled or smoothed.
    affine
        4x4, cell index to (I, P, L) mm; axis-aligned.
    label, method
        Which label's logit, and the key of the method in the method table.
    logit, probability
        The label's score.
    """

    values: Float32Array
    affine: FloatArray
    label: str
    method: str
    logit: float
    probability: float
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def grid(self) -> Grid:
        """The grid of the cells."""
        return Grid(self.values.shape, self.affine)

    @property
    def maximum(self) -> float:
        """Largest positive value of the whole map; 0 if no cell speaks for the label."""
        return max(float(self.values.max()), 0.0)

    def positive(self) -> Float32Array:
        """ReLU after the sum over features, then scaled by the maximum of the whole 3-D map.

        Section 1.1 of the paper's post-processing; all zero where no cell is positive.
        """
        rectified: Float32Array = np.maximum(self.values, np.float32(0))
        if self.maximum > 0:
            rectified /= np.float32(self.maximum)
        return rectified

    def on_grid(self, grid: Grid, *, positive: bool = False) -> Float32Array:
        """Sample the map (raw, or as by :meth:`positive`) at the points of another grid."""
        values = self.positive() if positive else self.values
        return resample(values, self.affine, grid, order=1, outside=0.0)


class GuaranteeState(StrEnum):
    """What is known of sum(HiResCAM) + bias = logit.

    EXACT: it holds. IDENTICAL: it holds, and Grad-CAM is the same map by construction (global
    average pooling, then one linear layer). LOCAL: it does not; the maps follow the network's
    slope at this one input.
    """

    EXACT = "exact"
    IDENTICAL = "identical by construction"
    LOCAL = "local approximation"


@dataclass(frozen=True)
class Guarantee:
    """Whether sum(HiResCAM) + bias equals the logit, and why (or why not).

    `same_picture` is True where the gradient is uniform over each feature map (global average
    pooling), so that Grad-CAM and HiResCAM are one map.
    """

    state: GuaranteeState
    reason: str
    same_picture: bool = False

    def with_same_picture(self) -> Guarantee:
        """Note that the gradient is uniform over each feature map."""
        if not self.holds:
            return replace(self, same_picture=True)
        return Guarantee(GuaranteeState.IDENTICAL, self.reason, same_picture=True)

    def with_two_pictures(self) -> Guarantee:
        """Note that the gradient differs over the cells, whatever was thought before."""
        if not self.same_picture:
            return self
        state = GuaranteeState.EXACT if self.holds else self.state
        return Guarantee(state, self.reason)

    @property
    def holds(self) -> bool:
        """True if the head was shown to be affine in the target layer's activation."""
        return self.state is not GuaranteeState.LOCAL


@dataclass(frozen=True, eq=False)
class Explanation:
    """Scores of all labels, their maps by every asked method, and the check of the guarantee.

    Parameters
    ----------
    labels
        K label names.
    logits, probabilities
        float64 [K].
    bias
        float64 [K]; what the head adds to the sum of the map. NaN where the head is not affine.
    maps
        Method key -> float32 [K, d, h, w] along (I, P, L).
    affines
        Placement -> 4x4, cell index to (I, P, L) mm. 'receptive_field' may be missing.
    placement_note
        Why the receptive field is not known, or what it leaves out; "" where neither.
    receptive_field_mm
        Extent of what one cell sees per axis, or None where it is not known.
    guarantee
        Whether sum(HiResCAM) + bias must equal the logit.
    target_layer
        Dotted name of the explained layer.
    input_grid
        Where the voxels the network saw lie in the patient; it saw nothing outside.
    provenance
        Model, weights' hash, CT, versions; plain JSON values.
    tolerance
        Relative residual that is still rounding, in the precision the network ran in.
    """

    labels: tuple[str, ...]
    logits: FloatArray
    probabilities: FloatArray
    bias: FloatArray
    maps: dict[str, Float32Array]
    affines: dict[PlacementName, FloatArray]
    placement_note: str
    receptive_field_mm: tuple[float, float, float] | None
    guarantee: Guarantee
    target_layer: str
    input_grid: Grid
    provenance: dict[str, Any] = field(default_factory=dict)
    tolerance: float = DEFAULT_TOLERANCE

    @property
    def default_placement(self) -> PlacementName:
        """The receptive field where it is known, else the paper's stretch."""
        return "receptive_field" if "receptive_field" in self.affines else "stretch"

    def cell_mm(self, placement: PlacementName | None = None) -> tuple[float, float, float]:
        """Distance between neighbouring cells along (I, P, L), in mm."""
        shape = next(iter(self.maps.values())).shape[1:]
        return Grid(shape, self.affines[placement or self.default_placement]).spacing_mm

    def index(self, label: str) -> int:
        """Position of a label; ValueError names the known labels."""
        try:
            return self.labels.index(label)
        except ValueError:
            known = ", ".join(self.labels)
            raise ValueError(f"no label {label!r}; the model has: {known}") from None

    def map(
        self, label: str, method: str = "hirescam", placement: PlacementName | None = None
    ) -> AttentionMap:
        """Build the map of one label by one method, placed in the patient."""
        k = self.index(label)
        placement = placement or self.default_placement
        return AttentionMap(
            values=self.maps[method][k],
            affine=self.affines[placement],
            label=label,
            method=method,
            logit=float(self.logits[k]),
            probability=float(self.probabilities[k]),
            provenance={
                **self.provenance,
                "label": label,
                "method": method,
                "method_formula": METHODS[method].formula,
                "method_source": METHODS[method].source,
                "placement": placement,
                "target_layer": self.target_layer,
                "logit": float(self.logits[k]),
                "probability": float(self.probabilities[k]),
                "sum_of_map": self.total(label, method),
                **self._proof(label, method),
            },
        )

    def completes(self, method: str) -> bool:
        """True if the sum of this method's maps and the bias must be the logit."""
        return self.guarantee.holds and (
            METHODS[method].completes or (method == "gradcam" and self.guarantee.same_picture)
        )

    def _proof(self, label: str, method: str) -> dict[str, Any]:
        """What a map's file says of its guarantee; plain JSON, so no NaN."""
        if not self.guarantee.holds:
            return {
                "guarantee": self.guarantee.state.value,
                "guarantee_reason": self.guarantee.reason,
            }
        if not self.completes(method):
            return {
                "guarantee": "not for this method",
                "guarantee_reason": "a cell of this method's map is not what it adds to the score",
            }
        return {
            "guarantee": self.guarantee.state.value,
            "guarantee_reason": self.guarantee.reason,
            "bias": float(self.bias[self.index(label)]),
            "residual": self.residual(label, method),
        }

    def total(self, label: str, method: str = "hirescam") -> float:
        """Sum of the raw map over all cells."""
        return float(self.maps[method][self.index(label)].sum(dtype=np.float64))

    def residual(self, label: str, method: str = "hirescam") -> float:
        """sum(map) + bias - logit; zero but for rounding where the guarantee holds."""
        k = self.index(label)
        return self.total(label, method) + float(self.bias[k] - self.logits[k])

    def ranked(self) -> list[str]:
        """Labels by falling probability."""
        return [self.labels[k] for k in np.argsort(-self.probabilities, kind="stable")]

    def verified(self, label: str, method: str = "hirescam") -> bool:
        """True if the guarantee holds and this label's residual is rounding only.

        The residual is judged relative to the largest of |logit|, |bias| and the sum of all
        |cells|, each of which is rounded: a logit near zero is the difference of large numbers.
        """
        k = self.index(label)
        cells = float(np.abs(self.maps[method][k]).sum(dtype=np.float64))
        scale = max(abs(self.logits[k]), abs(self.bias[k]), cells, 1e-12)
        return self.completes(method) and bool(
            abs(self.residual(label, method)) <= self.tolerance * float(scale)
        )

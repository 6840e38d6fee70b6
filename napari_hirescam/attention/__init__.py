"""The attention engine: scores, maps, their place in the patient, and the proof."""

from napari_hirescam.attention.engine import explain
from napari_hirescam.attention.layers import (
    LayerCandidate,
    TargetReport,
    examine_target_layer,
    target_layers,
)
from napari_hirescam.attention.methods import METHODS, Method, attention_method
from napari_hirescam.attention.raw import RawAttention, attention_maps
from napari_hirescam.attention.result import (
    AttentionMap,
    Explanation,
    Guarantee,
    GuaranteeState,
)

__all__ = [
    "METHODS",
    "AttentionMap",
    "Explanation",
    "Guarantee",
    "GuaranteeState",
    "LayerCandidate",
    "Method",
    "RawAttention",
    "TargetReport",
    "attention_maps",
    "attention_method",
    "examine_target_layer",
    "explain",
    "target_layers",
]

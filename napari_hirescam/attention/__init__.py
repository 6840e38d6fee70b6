"""The attention engine: scores, maps, their place in the patient, and the proof."""

from napari_hirescam.attention.engine import TargetReport, examine_target_layer, explain
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
    "Method",
    "RawAttention",
    "TargetReport",
    "attention_maps",
    "attention_method",
    "examine_target_layer",
    "explain",
]

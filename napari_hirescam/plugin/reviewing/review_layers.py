"""Which layers of a viewer belong to the review, and how they are told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels, Layer

from napari_hirescam.plugin.ct_layers import METADATA_KEY, is_review_layer
from napari_hirescam.plugin.patient_layers import lies_straight

if TYPE_CHECKING:
    from collections.abc import Iterable

_N_AXES = 3


def review_metadata(kind: str, **more: Any) -> dict[str, Any]:
    """Make the metadata of a layer of the review; what is in it names no case and no file."""
    return {METADATA_KEY: {"kind": kind, "review": True, **more}}


def drawn_in_planes(layers: Iterable[Layer]) -> list[Image | Labels]:
    """Those layers of the review that can be cut along the patient's axes, in their order."""
    return [
        layer
        for layer in layers
        if isinstance(layer, Image | Labels)
        and is_review_layer(layer)
        and layer.ndim == _N_AXES
        and not layer.multiscale
        and lies_straight(layer)
    ]

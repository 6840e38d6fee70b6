"""What is expected of one network of the zoo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from zoo_networks import LABELS

from napari_hirescam.attention import GuaranteeState
from napari_hirescam.models.spec import OutputSpec

EXACT, SAME, LOCAL = GuaranteeState.EXACT, GuaranteeState.IDENTICAL, GuaranteeState.LOCAL
ARITHMETIC, MEASURED, UNKNOWN = "arithmetic", "measured", "not known"


@dataclass(frozen=True)
class Inhabitant:
    """One network of the zoo.

    Parameters
    ----------
    build
        Makes the network, in eval mode.
    shape
        Of its input, batch axis included.
    layer
        Target layer.
    state, because
        Expected guarantee; for a local approximation a word of the reason.
    preferred
        Layer that the table should offer first; "" where that is `layer`.
    placed
        How the cells' places are known.
    output, read
        Where the logits are: for the engine, and for the independent oracle (None: at the layer
        `output.layer`).
    layout
        Of the model's input section.
    no_captum
        Why captum cannot serve as an oracle; "" where it can.
    n_labels
        Width of the output.
    """

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    layer: str
    state: GuaranteeState
    because: str = ""
    preferred: str = ""
    placed: str = ARITHMETIC
    output: OutputSpec = field(default_factory=OutputSpec)
    read: Callable[[Any], Tensor] | None = lambda returned: returned
    layout: str = "volume"
    no_captum: str = ""
    n_labels: int = LABELS

"""The zoo: networks the engine must explain, each with what is expected of it.

Every entry says how to build the network, what goes in, the layer to explain, and what is true
of it: whether the guarantee holds there (and if not, a word of the reason), which layer the table
of layers should offer, and how the places of its cells are known.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from networks import classifier_of, plain_input
from torch import Tensor, nn
from zoo_hand_made import HAND_MADE
from zoo_inhabitant import Inhabitant
from zoo_networks import random_statistics
from zoo_published import MONAI, PAPER_FAMILY

from napari_hirescam.models import Classifier

ZOO: dict[str, Inhabitant] = {**PAPER_FAMILY, **MONAI, **HAND_MADE}


@cache
def network_of(name: str) -> nn.Module:
    """Build a network once; the engine leaves it as it is, and so do the tests."""
    torch.manual_seed(0)
    return random_statistics(ZOO[name].build())


def input_of(name: str, seed: int = 1) -> Tensor:
    """Make an input in the network's precision."""
    shape = ZOO[name].shape
    generator = torch.Generator().manual_seed(seed)
    kind = next((p.dtype for p in network_of(name).parameters()), torch.float32)
    return torch.randn(shape, generator=generator).to(kind)


@cache
def classifier_named(name: str) -> Classifier:
    """Wrap a network as if it had come from a model folder."""
    here = ZOO[name]
    more: dict[str, Any] = {"layout": here.layout, "scale_to": (-1.0, 1.0), "spacing_mm": (1, 1, 1)}
    if here.layout == "axial_triples":
        shape = (here.shape[1] * 3, *here.shape[3:])
    elif here.layout == "volume":
        shape = here.shape[2:]
    else:
        shape = (1 if here.layout == "slice" else here.shape[0], *here.shape[2:])
        more["channels"] = here.shape[1]
    return classifier_of(
        network_of(name), here.layer, plain_input(shape, **more), here.n_labels, output=here.output
    )

"""``reproduce covid``: what the mask loss costs and what it buys, on real chest slices.

A small network tells infected slices from others, trained with several weights of the mask loss
and tested on a patient that it has not seen. Is attention outside the lungs given up for free?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_hirescam.attention.stopping import Progress, ShouldStop
from napari_hirescam.errors import Cancelled
from napari_hirescam.evaluation.localisation import chance_share, share_inside
from napari_hirescam.reproduce.covid_data import Chest
from napari_hirescam.reproduce.covid_slices import Slices, allowed_cells, slices_of

if TYPE_CHECKING:
    from torch import nn

    from napari_hirescam.training.attention import (
        AttentionScale,
        TrainableAttention,
        TrainableMethod,
    )

METHODS = ("hirescam", "gradcam")
#: Weights of the mask loss that are compared.
LAMBDAS = (0.0, 0.02, 0.1, 0.3)
LABEL = "infected"
_ARCHITECTURE = "monai.Classifier"
_ARGUMENTS = {
    "channels": [16, 32, 32],
    "strides": [2, 2, 2],
    "num_res_units": 0,
    "act": "RELU",
    "norm": "BATCH",
}
#: A map's cells sum to the score, so each is small where they are many, and the softplus of all
#: lies near ln 2 whatever the network does; times their number it has something to pull at.
_SCALE: AttentionScale = "per_cell"


@dataclass(frozen=True)
class CovidSettings:
    """How the networks are trained.

    Parameters
    ----------
    lambdas
        Weights of the mask loss.
    seeds
        Each draws other first weights and another order of the slices.
    side
        Rows and columns that slices are averaged down to.
    epochs, batch_size, learning_rate
        Fixed beforehand and the same for all: no patient is left to stop early by.
    """

    lambdas: tuple[float, ...] = LAMBDAS
    seeds: tuple[int, ...] = (0, 1, 2)
    side: int = 64
    epochs: int = 8
    batch_size: int = 32
    learning_rate: float = 1e-3


@dataclass(frozen=True)
class SliceRow:
    """One slice of the patient left out, seen by one network.

    Parameters
    ----------
    patient, index, mask_weight, seed
        Which slice, which network.
    infected, logit
        The truth, and the score.
    hirescam, gradcam
        Share of the map's positive attention inside the lungs; NaN without a positive cell.
    chance, chance_in_body
        Share of an even map over the slice, and over the body's cells.
    residual
        sum(HiResCAM) + bias - logit.
    """

    patient: str
    index: int
    mask_weight: float
    seed: int
    infected: bool
    logit: float
    hirescam: float
    gradcam: float
    chance: float
    chance_in_body: float
    residual: float


@dataclass(frozen=True, eq=False)
class Seen:
    """A slice to be drawn: its maps by mask weight and method, positive, 0 to 1."""

    chest: Chest
    index: int
    maps: dict[tuple[float, str], npt.NDArray[np.floating]] = field(default_factory=dict)


def make_network(side: int, seed: int) -> nn.Module:
    """Build the small network, its first weights drawn from the seed."""
    import torch

    from napari_hirescam.models.architectures import build_by_name
    from napari_hirescam.models.spec import InputSpec

    given = InputSpec(shape=(1, side, side), layout="slice")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build_by_name(_ARCHITECTURE, 1, dict(_ARGUMENTS), Path(_ARCHITECTURE), given)


def attention_of(
    network: nn.Module,
    side: int,
    *,
    method: TrainableMethod = "hirescam",
    scale: AttentionScale = "logit",
) -> TrainableAttention:
    """Attention of the small network at the layer that its linear layer reads."""
    from napari_hirescam.models.architectures import default_target_layer
    from napari_hirescam.training.attention import TrainableAttention

    layer = default_target_layer(network)
    if layer is None:
        raise ValueError(f"the layer to explain of {_ARCHITECTURE} is not known")
    return TrainableAttention(network, layer, (1, 1, side, side), method=method, scale=scale)


def leave_one_out(
    chests: Sequence[Chest],
    settings: CovidSettings,
    *,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> tuple[tuple[SliceRow, ...], tuple[Seen, ...], str]:
    """Train on all patients but one, test on that one; for each, each lambda and each seed.

    Patients without slices of both kinds are never left out: they tell nothing of the area under
    the curve.

    Returns
    -------
    A row for each slice and network; a slice of each patient with its maps by the networks of
    the first seed; the guarantee in words.

    Raises
    ------
    Cancelled
        `should_stop` said so.
    AttributionError
        A loss became infinite.
    """
    attention = attention_of(make_network(settings.side, 0), settings.side)
    cells = (attention.cells[1], attention.cells[2])
    prepared = {chest.name: slices_of(chest, settings.side, cells) for chest in chests}
    left_out = [chest for chest in chests if chest.is_labelled]
    seen = {chest.name: Seen(chest, _most_lung(prepared[chest.name])) for chest in left_out}
    runs = [(c, w, s) for c in left_out for w in settings.lambdas for s in settings.seeds]
    rows: list[SliceRow] = []
    for done, (chest, weight, seed) in enumerate(runs):
        if should_stop is not None and should_stop():
            raise Cancelled("the experiment was cancelled")
        network = make_network(settings.side, seed)
        others = [prepared[other.name] for other in chests if other is not chest]
        _train(network, others, weight, seed, settings, should_stop)
        found, maps = _test(network, chest.name, prepared[chest.name], weight, seed)
        rows += found
        if seed == settings.seeds[0]:
            for method, stack in maps.items():
                seen[chest.name].maps[weight, method] = stack[seen[chest.name].index]
        if progress is not None:
            progress(done + 1, len(runs))
    state = attention.guarantee.state.value
    return tuple(rows), tuple(seen.values()), f"{state}: {attention.guarantee.reason}"


def _most_lung(slices: Slices) -> int:
    lung = np.where(slices.infected, slices.lungs.sum(axis=(1, 2)), -1.0)
    return int(np.argmax(lung))


def _train(
    network: nn.Module,
    patients: Sequence[Slices],
    weight: float,
    seed: int,
    settings: CovidSettings,
    should_stop: ShouldStop | None,
) -> None:
    import torch
    from torch.utils.data import TensorDataset

    from napari_hirescam.reproduce.image_training import ImageTraining, train_on_images

    images = torch.cat([part.images for part in patients])
    infected = np.concatenate([part.infected for part in patients])
    allowed = np.concatenate([allowed_cells(part) for part in patients])
    train_on_images(
        network,
        TensorDataset(
            images, torch.from_numpy(infected[:, None]).float(), torch.from_numpy(allowed)
        ),
        ImageTraining(
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            mask_weight=weight,
            flips=True,
            seed=seed,
        ),
        attention=attention_of(network, settings.side, scale=_SCALE),
        should_stop=should_stop,
    )


def _test(
    network: nn.Module,
    name: str,
    slices: Slices,
    weight: float,
    seed: int,
) -> tuple[list[SliceRow], dict[str, npt.NDArray[np.floating]]]:
    """Measure the maps of all slices of a patient; the maps too, positive and 0 to 1."""
    import torch

    from napari_hirescam.attention import attention_maps

    network.eval()
    images = slices.images
    side = images.shape[-1]
    attention = attention_of(network, side)
    averaged = attention_of(network, side, method="gradcam")
    with torch.no_grad():
        logits, hirescam = attention(images)
        maps = {"hirescam": hirescam, "gradcam": averaged(images)[1]}
    # The head's bias is the same for every slice.
    bias = float(attention_maps(network, images[:1], attention.target_layer).bias[0])
    stacks = {method: stack[:, 0, 0].numpy() for method, stack in maps.items()}
    scores = logits[:, 0].double().numpy()
    sums = stacks["hirescam"].sum(axis=(1, 2), dtype=np.float64)
    rows = [
        SliceRow(
            patient=name,
            index=index,
            mask_weight=weight,
            seed=seed,
            infected=bool(slices.infected[index]),
            logit=float(scores[index]),
            hirescam=share_inside(stacks["hirescam"][index], lungs),
            gradcam=share_inside(stacks["gradcam"][index], lungs),
            chance=chance_share(lungs),
            chance_in_body=chance_share(lungs, slices.body[index]),
            residual=float(sums[index] + bias - scores[index]),
        )
        for index, lungs in enumerate(slices.lungs)
    ]
    return rows, {method: _scaled(stack) for method, stack in stacks.items()}


def _scaled(stack: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Each slice's positive map as a share of its own maximum."""
    positive = np.maximum(stack, 0)
    largest = positive.max(axis=(1, 2), keepdims=True)
    scaled: npt.NDArray[np.floating] = np.zeros_like(positive)
    np.divide(positive, largest, out=scaled, where=largest > 0)
    return scaled

"""Weight randomisation: whether the picture depends on what the network has learned.

Cascading randomisation after Adebayo et al. 2018 (arXiv 1810.03292): a copy of the network
forgets layer after layer, from the output down, and its map is compared with the original one.
A map that stays the same would look so for an untrained network too.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_hirescam.attention.raw import attention_maps
from napari_hirescam.attention.stopping import Progress, ShouldStop
from napari_hirescam.errors import Cancelled
from napari_hirescam.evaluation.forgetting import LayerOrder, copied, randomise_layer, seed_of
from napari_hirescam.models.scores import PLAIN_OUTPUT
from napari_hirescam.models.spec import OutputSpec
from napari_hirescam.volume import FloatArray

if TYPE_CHECKING:
    from torch import Tensor, nn

IntArray = npt.NDArray[np.int64]

#: A mean correlation from here on at every point: the weights do not matter to the picture.
SAME_PICTURE = 0.9
#: A mean correlation below this with all weights random: the picture is another one.
OTHER_PICTURE = 0.5
#: The places of strong and weak attention stay, whatever their sign.
SAME_PLACES = 0.7


@dataclass(frozen=True, eq=False)
class Randomisation:
    """How like the original a map stays while the network forgets.

    Parameters
    ----------
    layers
        Dotted names of the layers with weights, from the output down.
    counts
        int64 [P]; how many of `layers` were random at each point, from 0 to all.
    above
        How many of `layers` lie above the target layer: they change the weights that a map
        gives to the feature maps, those below change the feature maps themselves.
    n_cells
        Cells of the map.
    spearman, pearson
        float64 [R, P]; correlation of the signed map with the original, by rank and plain, in R
        runs with random weights of their own. NaN where a map is the same everywhere.
    spearman_absolute, pearson_absolute
        The same of the maps without their sign.
    """

    layers: tuple[str, ...]
    counts: IntArray
    above: int
    n_cells: int
    spearman: FloatArray
    pearson: FloatArray
    spearman_absolute: FloatArray
    pearson_absolute: FloatArray

    @property
    def by_chance(self) -> float:
        """Rank correlation that two unrelated maps stay below in 19 of 20 cases.

        1.96 / sqrt(n - 1) for n independent cells; those of real maps are alike where they are
        neighbours, so theirs is larger.
        """
        return min(1.0, 1.96 / float(np.sqrt(max(self.n_cells - 1, 1))))

    @property
    def ends_at(self) -> float:
        """Mean rank correlation with every weight random; 0 where no such map varies."""
        return _mean_at_end(self.spearman)

    @property
    def ends_at_absolute(self) -> float:
        """The same without the sign."""
        return _mean_at_end(self.spearman_absolute)

    @property
    def ignores_weights(self) -> bool:
        """True if the map stays the same picture at every point."""
        return bool(
            np.isfinite(self.spearman).all() and (self.spearman.mean(axis=0) >= SAME_PICTURE).all()
        )

    @property
    def follows_weights(self) -> bool:
        """True if little is left of the map when every weight is random."""
        return self.ends_at < OTHER_PICTURE


def _mean_at_end(correlations: FloatArray) -> float:
    last = correlations[:, -1]
    varied = last[np.isfinite(last)]
    return float(varied.mean()) if len(varied) else 0.0


def randomise_weights(
    network: nn.Module,
    given: Tensor,
    target_layer: str,
    label_index: int,
    *,
    method: str = "hirescam",
    output: OutputSpec = PLAIN_OUTPUT,
    slices_per_chunk: int = 8,
    max_points: int = 12,
    repeats: int = 3,
    seed: int = 0,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> Randomisation:
    """Make a copy of a network forget, layer by layer from the output down, and compare maps.

    Parameters
    ----------
    network
        Any torch module; only a copy of it is changed.
    given
        Its input, batch axis included, on the network's device.
    target_layer
        Dotted name of the layer the map is of.
    label_index
        Which label's map.
    method
        Key of :data:`~napari_hirescam.attention.METHODS`.
    output
        Where the logits are in what the network returns.
    slices_per_chunk
        How many slices a network with a 2-D trunk runs at once.
    max_points
        Of a deep network several layers forget between one map and the next, so that there are
        about as many maps as this; the layers above the target layer come one by one.
    repeats
        Runs, each with random weights of its own.
    seed
        Of the random weights.
    progress, should_stop
        Called with (done, total) in parts of the whole; asked between layers and labels.

    Raises
    ------
    Cancelled
        `should_stop` said so.
    CannotBeCopiedError
        The network cannot be copied.
    ValueError
        `max_points` or `repeats` is not positive; the network has no weights; as for
        :func:`~napari_hirescam.attention.attention_maps`.
    """
    if max_points < 1 or repeats < 1:
        raise ValueError(f"a test needs a point and a run, not {max_points} and {repeats}")
    stop = should_stop or (lambda: False)
    tell = progress or (lambda _done, _total: None)
    done, total = 0, 1 + repeats * (max_points + 1)

    def map_of(subject: nn.Module) -> npt.NDArray[np.float32]:
        nonlocal done
        raw = attention_maps(
            subject,
            given.clone(),  # a network may write into it
            target_layer,
            methods=(method,),
            output=output,
            slices_per_chunk=slices_per_chunk,
            progress=lambda part, parts: tell(1000 * done + 1000 * part // parts, 1000 * total),
            should_stop=stop,
        )
        done += 1
        chosen: npt.NDArray[np.float32] = raw.maps[method][label_index]
        return chosen

    learned = copied(network, stop)
    with LayerOrder(learned) as order:
        original = map_of(learned)
    layers, above = order.from_output_down(target_layer)
    if not layers:
        raise ValueError("the network has no weights that could be randomised")
    counts = _points(len(layers), above, max_points)
    total = 1 + repeats * (len(counts) - 1)
    runs = []
    for repeat in range(repeats):
        forgetful = copied(learned, stop)
        modules = dict(forgetful.named_modules())
        alike = [_similarity(original, original)]
        for first, last in itertools.pairwise(counts.tolist()):
            for number in range(first, last):
                if stop():
                    raise Cancelled("the computation was cancelled")
                # A seed for each layer: how many are made random at once changes nothing.
                randomise_layer(modules[layers[number]], seed_of(seed, repeat, number))
            alike.append(_similarity(original, map_of(forgetful)))
        runs.append(alike)
    table = np.asarray(runs, dtype=np.float64)
    return Randomisation(
        layers=layers,
        counts=counts,
        above=above,
        n_cells=original.size,
        spearman=table[..., 0],
        pearson=table[..., 1],
        spearman_absolute=table[..., 2],
        pearson_absolute=table[..., 3],
    )


def _points(n_layers: int, above: int, max_points: int) -> IntArray:
    """Choose after how many random layers a map is made; from 0 to all of them."""
    if n_layers <= max_points:
        return np.arange(n_layers + 1)
    first = max(1, min(above, max_points // 2))
    upper = np.rint(np.linspace(0, max(above, 1), first + 1))
    lower = np.rint(np.linspace(max(above, 1), n_layers, max_points - first + 1))
    return np.unique(np.concatenate([upper, lower]).astype(np.int64))


def _similarity(
    original: npt.NDArray[np.float32], other: npt.NDArray[np.float32]
) -> tuple[float, float, float, float]:
    """Rank and plain correlation of two maps, with and without their sign."""
    from scipy import stats

    a, b = original.ravel().astype(np.float64), other.ravel().astype(np.float64)
    found = []
    for x, y in ((a, b), (np.abs(a), np.abs(b))):
        # What is left of a map by rounding would make ranks out of nothing.
        if _is_flat(x) or _is_flat(y):
            found += [float("nan"), float("nan")]
        else:
            found += [float(stats.spearmanr(x, y)[0]), float(stats.pearsonr(x, y)[0])]
    return found[0], found[1], found[2], found[3]


def _is_flat(values: FloatArray) -> bool:
    if not np.isfinite(values).all():
        return True
    return bool(np.ptp(values) <= 1e-6 * np.abs(values).max())

"""``reproduce voc``: HiResCAM against Grad-CAM on photographs with segmented objects.

The paper's claim is that Grad-CAM tends to larger and smoother maps than what the network used.
Measured at the layer where HiResCAM is exact and at an earlier one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.attention import METHODS as ALL_METHODS
from napari_hirescam.attention import attention_maps
from napari_hirescam.attention.stopping import Progress, ShouldStop
from napari_hirescam.errors import Cancelled, CaseTableError
from napari_hirescam.evaluation.localisation import share_inside
from napari_hirescam.reproduce.overlays import Overlay
from napari_hirescam.reproduce.voc_data import VocFolder, VocImage
from napari_hirescam.reproduce.voc_network import ImageNetwork
from napari_hirescam.volume import FloatArray

METHODS = ("hirescam", "gradcam")
#: At which a map is cut off, as shares of its maximum.
THRESHOLDS = tuple(round(0.05 * k, 2) for k in range(1, 20))
_HALF_MAXIMUM = 0.5
_DRAWN = 12


@dataclass(frozen=True)
class VocRow:
    """One object class of one image, by one method at one layer.

    Parameters
    ----------
    image, label, layer, method
        What was measured.
    output
        The network's output that was explained: the highest of those of the class.
    rank
        Its place among all outputs, 1 for the highest.
    share, chance
        Share of positive attention inside the object, and that of an even map; void pixels
        count as nowhere. NaN where the map has no positive cell.
    extent
        Share of cells above half of the map's maximum; NaN without a positive cell.
    hit, hit_chance
        Whether the object reaches into the highest cell; share of cells that it reaches into.
    ious
        IoU with the object at each of THRESHOLDS, of the map stretched over the image.
    residual
        sum(map) + bias - logit; NaN where the guarantee does not hold or the method has none.
    difference
        Largest difference from HiResCAM's map, as a share of that map's largest value.
    """

    image: str
    label: str
    layer: str
    method: str
    output: int
    rank: int
    share: float
    chance: float
    extent: float
    hit: float
    hit_chance: float
    ious: tuple[float, ...]
    residual: float
    difference: float


@dataclass(frozen=True, eq=False)
class VocFindings:
    """All that was measured.

    Parameters
    ----------
    rows
        Of each image, class, layer and method.
    guarantees
        Layer -> guarantee in words.
    skipped
        Classes of images for which the network has no output: class -> images.
    panels
        Image and class -> pictures.
    """

    rows: tuple[VocRow, ...]
    guarantees: dict[str, str]
    skipped: dict[str, int]
    panels: dict[str, list[list[Overlay]]]


def measure_voc(
    folder: VocFolder,
    network: ImageNetwork,
    *,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> VocFindings:
    """Explain each object class of each image and measure its maps.

    Raises
    ------
    CaseTableError
        An image cannot be read, or none has a class that the network knows.
    Cancelled
        `should_stop` said so.
    """
    rows: list[VocRow] = []
    guarantees: dict[str, str] = {}
    skipped: dict[str, int] = {}
    panels: dict[str, list[list[Overlay]]] = {}
    for done, image in enumerate(folder.read(*network.size)):
        if should_stop is not None and should_stop():
            raise Cancelled("the experiment was cancelled")
        if progress is not None:
            progress(done, len(folder.names))
        known = [name for name in image.classes if network.outputs.get(name)]
        for name in set(image.classes) - set(known):
            skipped[name] = skipped.get(name, 0) + 1
        if not known:
            continue
        found, maps = _explain(image, known, network, guarantees)
        rows += found
        for k, name in enumerate(known):
            if len(panels) < _DRAWN:
                panels[f"{image.name} {name}"] = [_panels(image, name, k, maps, found)]
    if not rows:
        raise CaseTableError(
            folder.folder,
            "no image has a class that the network knows",
            "Give a network of VOC's classes, or other images",
        )
    if progress is not None:
        progress(len(folder.names), len(folder.names))
    return VocFindings(tuple(rows), guarantees, skipped, panels)


Maps = dict[tuple[str, str], npt.NDArray[np.float32]]


def _explain(
    image: VocImage, classes: Sequence[str], network: ImageNetwork, guarantees: dict[str, str]
) -> tuple[list[VocRow], Maps]:
    import torch

    tensor = network.tensor_of(image.pixels)
    with torch.inference_mode():
        scores = network.chosen(range(_width(network, tensor)))(tensor)[0]
    falling = torch.argsort(scores, descending=True).tolist()
    outputs = [max(network.outputs[name], key=lambda k: float(scores[k])) for name in classes]
    rows: list[VocRow] = []
    all_maps: Maps = {}
    for layer in network.layers:
        raw = attention_maps(network.chosen(outputs), tensor, f"network.{layer}", methods=METHODS)
        guarantee = raw.guarantee
        same = "; Grad-CAM is the same map" if guarantee.same_picture else ""
        reason = guarantee.reason.replace("network.", "")
        guarantees[layer] = f"{guarantee.state.value}: {reason}{same}"
        for method in METHODS:
            maps = all_maps[layer, method] = raw.maps[method][:, 0]
            complete = guarantee.holds and (ALL_METHODS[method].completes or guarantee.same_picture)
            for k, name in enumerate(classes):
                exact = raw.maps["hirescam"][k, 0]
                total = maps[k].sum(dtype=np.float64) + raw.bias[k] - raw.logits[k]
                rows.append(
                    VocRow(
                        image=image.name,
                        label=name,
                        layer=layer,
                        method=method,
                        output=outputs[k],
                        rank=1 + falling.index(outputs[k]),
                        **measures(maps[k], image.pixels_of(name), image.void),
                        residual=float(total) if complete else float("nan"),
                        difference=float(
                            np.abs(maps[k] - exact).max() / max(np.abs(exact).max(), 1e-30)
                        ),
                    )
                )
    return rows, all_maps


def _width(network: ImageNetwork, tensor: Any) -> int:
    from napari_hirescam.models.scores import run_network

    return int(run_network(network.network, tensor, network.output).shape[1])


def measures(
    values: npt.NDArray[np.floating],
    inside: npt.NDArray[np.bool_],
    void: npt.NDArray[np.bool_],
) -> dict[str, Any]:
    """Measure a map [h, w] of cells against an object [rows, columns] of pixels.

    The cells are stretched over the image, as in the paper.

    Returns
    -------
    The fields of :class:`VocRow` from `share` to `ious`.
    """
    object_share, void_share = (_on_cells(mask, values.shape) for mask in (inside, void))
    counted = 1 - void_share
    of_counted = np.divide(
        object_share, counted, out=np.zeros_like(object_share), where=counted > 0
    )
    positive = np.maximum(values, 0).astype(np.float64)
    largest = float(positive.max())
    has_map = largest > 0
    peak = np.unravel_index(int(np.argmax(values)), values.shape)
    nothing = float("nan")
    return {
        "share": share_inside(positive * counted, of_counted),
        "chance": float(object_share.sum() / counted.sum()),
        "extent": float((positive > _HALF_MAXIMUM * largest).mean()) if has_map else nothing,
        "hit": float(object_share[peak] > 0) if has_map else nothing,
        "hit_chance": float((object_share > 0).mean()),
        "ious": _ious(stretched(values, inside.shape), inside, void),
    }


def _on_cells(mask: npt.NDArray[np.bool_], cells: Sequence[int]) -> FloatArray:
    """Share of each cell that a mask covers."""
    import torch
    from torch.nn.functional import adaptive_avg_pool2d

    given = torch.from_numpy(mask.astype(np.float64))[None, None]
    shares: FloatArray = adaptive_avg_pool2d(given, (cells[0], cells[1]))[0, 0].numpy()
    return shares


def stretched(values: npt.NDArray[np.floating], shape: Sequence[int]) -> FloatArray:
    """Positive map as a share of its maximum, stretched bilinearly over pixels (paper.md 1.3)."""
    import torch
    from torch.nn.functional import interpolate

    positive = np.maximum(values, 0).astype(np.float64)
    if positive.max() > 0:
        positive /= positive.max()
    given = torch.from_numpy(positive)[None, None]
    result: FloatArray = interpolate(given, size=tuple(shape), mode="bilinear")[0, 0].numpy()
    return result


def _ious(
    heat: FloatArray, inside: npt.NDArray[np.bool_], void: npt.NDArray[np.bool_]
) -> tuple[float, ...]:
    ious = []
    for threshold in THRESHOLDS:
        above = (heat > threshold) & ~void
        either = float((above | inside).sum())
        ious.append(float((above & inside).sum()) / either if either else float("nan"))
    return tuple(ious)


def tuned_iou(rows: Sequence[VocRow]) -> tuple[FloatArray, FloatArray]:
    """IoU of each row at the threshold that is best on average for all other images.

    Returns
    -------
    IoUs and thresholds, [rows]; NaN where there is no other image.
    """
    ious = np.array([row.ious for row in rows])
    images = np.array([row.image for row in rows])
    tuned, thresholds = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    for image in dict.fromkeys(images.tolist()):
        others = images != image
        if others.any():
            best = int(np.argmax(ious[others].mean(axis=0)))
            tuned[~others] = ious[~others, best]
            thresholds[~others] = THRESHOLDS[best]
    return tuned, thresholds


def _panels(
    image: VocImage, name: str, k: int, maps: Maps, rows: Sequence[VocRow]
) -> list[Overlay]:
    outline = image.pixels_of(name)
    drawn = [Overlay(f"{image.name}: {name}", image.pixels, None, (outline,))]
    for (layer, method), stack in maps.items():
        row = next(r for r in rows if (r.label, r.layer, r.method) == (name, layer, method))
        said = "no positive cell" if np.isnan(row.share) else f"{100 * row.share:.0f} % inside"
        drawn.append(
            Overlay(
                f"{ALL_METHODS[method].title}, {layer}: {said}",
                image.pixels,
                stretched(stack[k], outline.shape),
                (outline,),
            )
        )
    return drawn

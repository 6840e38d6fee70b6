"""``reproduce luna``: where a lung nodule network looks, against radiologists' outlines.

At the layer that the linear head reads, HiResCAM's sum is the score but the cells are large; one
block earlier they are finer and the guarantee is lost. Both are measured, with what chance and
the other nodules' maps would give beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_hirescam.attention import METHODS as ALL_METHODS
from napari_hirescam.attention.stopping import Progress, ShouldStop
from napari_hirescam.errors import Cancelled, InputError
from napari_hirescam.models import Classifier, load_model
from napari_hirescam.models.dry_run import UnknownLayerError
from napari_hirescam.reproduce.luna_data import Nodule, NoduleFiles
from napari_hirescam.reproduce.luna_measures import (
    METHODS,
    Look,
    Row,
    look,
    share_of_others_maps,
    windows_beside,
)
from napari_hirescam.reproduce.overlays import Overlay

if TYPE_CHECKING:
    from napari_hirescam.models.trust import AskTrust
    from napari_hirescam.volume import FloatArray

#: From the layer the head reads to finer ones.
LUNA_LAYERS = ("block4", "block3")
_ARCHITECTURE = "luna-nodule"
_DRAWN_CROPS = 6
_FOUND = 0.5
_GREY_HU = (-1000.0, 400.0)


@dataclass(frozen=True, eq=False)
class LunaFindings:
    """All that was measured.

    Parameters
    ----------
    rows
        Of every nodule, layer, method, number of readers and window.
    others
        (layer, method) -> share that the other crops' maps put inside each crop's outline, [n].
    guarantees
        Layer -> whether sum(map) + bias is the logit there, and why.
    left_out
        Crops that were not measured, with the reason.
    panels
        Name of a nodule -> rows of pictures.
    """

    rows: tuple[Row, ...]
    others: dict[tuple[str, str], FloatArray]
    guarantees: dict[str, str]
    left_out: tuple[str, ...]
    panels: dict[str, list[list[Overlay]]]


def nodule_classifier(
    path: Path, *, trust: AskTrust | None = None, device: str | None = None
) -> Classifier:
    """Load a nodule network: a model folder, or the bare weights of the published one.

    Raises
    ------
    ModelFileError
        It cannot be loaded.
    InputError
        It is no patch network.
    """
    if path.is_file() and path.suffix.lower() not in (".zip", ".yaml"):
        return _published(path, device)
    classifier = load_model(path, trust=trust, device=device)
    if classifier.spec.input.fit != "window" or classifier.spec.input.layout != "volume":
        raise InputError(
            classifier.spec.name,
            "it does not look at patches of a CT",
            "Give a model whose input has fit 'window' and layout 'volume'",
        )
    return classifier


def _published(weights: Path, device: str | None) -> Classifier:
    from napari_hirescam.models.architectures import build_by_name
    from napari_hirescam.models.spec import Architecture, InputSpec, ModelSpec
    from napari_hirescam.models.weights import load_into, read_state_dict, sha256_of

    state = read_state_dict(weights)
    spec = ModelSpec(
        name=weights.stem,
        architecture=Architecture(name=_ARCHITECTURE),
        weights=weights.name,
        labels=("no nodule", "nodule"),
        activation="softmax",
        target_layer=LUNA_LAYERS[0],
        input=InputSpec(
            orientation="SPL",
            shape=(32, 48, 48),
            fit="window",
            padding="edge",
            window_hu=(-1000.0, 1000.0),
            scale_to=None,
        ),
    )
    network = build_by_name(_ARCHITECTURE, len(spec.labels), {}, weights, spec.input)
    load_into(network, state, weights)
    return Classifier(spec, network, weights_sha256=sha256_of(weights), device=device)


def at_layers(classifier: Classifier, layers: Sequence[str]) -> dict[str, Classifier]:
    """Explain each of some layers.

    Raises
    ------
    InputError
        The network has no such layer.
    """
    try:
        return {layer: classifier.with_target_layer(layer) for layer in layers}
    except UnknownLayerError as exc:
        raise InputError(classifier.spec.name, str(exc), "Name layers that it has") from exc


def nodule_label(classifier: Classifier, asked: str | None) -> str:
    """Choose the label to explain: the one asked for, or the one that tells of nodules.

    Raises
    ------
    InputError
        There is no such label, or it cannot be told which one it is.
    """
    labels = classifier.labels
    known = f"Name one of its labels: {', '.join(labels)}"
    if asked is not None:
        if asked not in labels:
            raise InputError(classifier.spec.name, f"it has no label {asked!r}", known)
        return asked
    if "nodule" in labels:
        return "nodule"
    if len(labels) == 1:
        return labels[0]
    raise InputError(classifier.spec.name, "none of its labels is 'nodule'", known)


def look_at_nodules(
    files: NoduleFiles,
    classifiers: dict[str, Classifier],
    label: str,
    *,
    at_most_crops: int | None = None,
    shifts: int = 1,
    seed: int = 0,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> LunaFindings:
    """Explain every nodule at every layer and measure its maps.

    Parameters
    ----------
    files
        Scans and crops.
    classifiers
        Layer -> the network that explains it.
    label
        What is explained.
    at_most_crops
        How many crops, drawn at random; None is all.
    shifts
        Windows put beside each nodule, besides the one centred on it.
    seed
        Of the choice of crops and of those windows.
    progress, should_stop
        As for :func:`napari_hirescam.attention.explain`.

    Raises
    ------
    Cancelled
        `should_stop` said so.
    HirescamError
        A nodule cannot be read or explained.
    """
    rng = np.random.default_rng(seed)
    crops = files.n_crops if at_most_crops is None else min(files.n_crops, at_most_crops)
    total = len(files.scans) + crops
    rows: list[Row] = []
    of_crops: dict[tuple[str, str], list[tuple[FloatArray, FloatArray]]] = {}
    guarantees: dict[str, str] = {}
    left_out: list[str] = []
    panels: dict[str, list[list[Overlay]]] = {}
    for done, nodule in enumerate(_nodules(files, at_most_crops, seed)):
        if should_stop is not None and should_stop():
            raise Cancelled("the experiment was cancelled")
        if progress is not None:
            progress(done, total)
        reason = _unfit(nodule)
        if reason:
            left_out.append(f"{nodule.name}: {reason}")
            continue
        size = np.asarray(next(iter(classifiers.values())).spec.input.shape) * np.asarray(
            nodule.ct.spacing_mm
        )
        beside = windows_beside(nodule, [float(part) for part in size], shifts, rng)
        looks: list[Look] = []
        for layer, classifier in classifiers.items():
            for shift, point in enumerate((nodule.centre_mm, *beside)):
                found = look(nodule, classifier, label, point, shift)
                rows += found.rows
                if shift == 0:
                    looks.append(found)
            centred = looks[-1]
            guarantees[layer] = _in_words(centred)
            if nodule.kind == "crop":
                k = centred.explanation.index(label)
                for method in METHODS:
                    values = centred.explanation.maps[method][k]
                    of_crops.setdefault((layer, method), []).append(
                        (values.ravel(), centred.insides[1].ravel())
                    )
        if nodule.kind == "scan" or len(panels) < len(files.scans) + _DRAWN_CROPS:
            panels[nodule.name] = [_panels(nodule, looks, label)]
    if progress is not None:
        progress(total, total)
    others = {
        key: share_of_others_maps(*(np.stack(part) for part in zip(*pairs, strict=True)))
        for key, pairs in of_crops.items()
    }
    return LunaFindings(tuple(rows), others, guarantees, tuple(left_out), panels)


def is_found(row: Row) -> bool:
    """True if the network takes the nodule for one."""
    return row.probability >= _FOUND


def _nodules(files: NoduleFiles, at_most: int | None, seed: int) -> Iterator[Nodule]:
    yield from files.read_scans()
    yield from files.read_crops(at_most, seed)


def _unfit(nodule: Nodule) -> str:
    """Say why a crop's outline is of no use; "" if it is."""
    mask = nodule.outline(1)
    if not mask.any():
        return "its mask is empty"
    sides = [np.take(mask, side, axis) for axis in range(3) for side in (0, -1)]
    if nodule.kind == "crop" and any(side.any() for side in sides):
        return "the crop's border cuts its outline"
    return ""


def _in_words(found: Look) -> str:
    guarantee = found.explanation.guarantee
    return f"{guarantee.state.value}: {guarantee.reason}"


def _panels(nodule: Nodule, looks: Sequence[Look], label: str) -> list[Overlay]:
    """Draw the axial slice through the nodule, bare and under each map."""
    seen = looks[0].explanation.input_grid
    corners = nodule.ct.grid.to_index(seen.corners_mm())
    last = np.asarray(nodule.ct.voxels.shape) - 1
    low = np.clip(np.floor(corners.min(axis=0)), 0, last).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)), 0, last).astype(int) + 1
    index = round(float(nodule.ct.grid.to_index(nodule.centre_mm)[0]))
    index = min(max(index, 0), int(last[0]))
    part = (slice(low[1], high[1]), slice(low[2], high[2]))
    image = nodule.ct.voxels[index][part]
    outlines = tuple(nodule.outline(level)[index][part] for level in {1, max(nodule.levels)})
    _, row_mm, column_mm = nodule.ct.spacing_mm
    aspect = row_mm / column_mm
    drawn = [
        Overlay(
            f"{nodule.name}, p({label}) = {looks[0].rows[0].probability:.3f}",
            image,
            None,
            outlines,
            aspect,
            _GREY_HU,
        )
    ]
    for found in looks:
        for method in METHODS:
            heat = found.explanation.map(label, method).on_grid(nodule.ct.grid, positive=True)
            share = next(row.share for row in found.rows if row.method == method)
            said = "no positive cell" if np.isnan(share) else f"{100 * share:.0f} % inside"
            drawn.append(
                Overlay(
                    f"{ALL_METHODS[method].title}, {found.explanation.target_layer}: {said}",
                    image,
                    heat[index][part],
                    outlines,
                    aspect,
                    _GREY_HU,
                )
            )
    return drawn

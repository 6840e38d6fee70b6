"""Where an item's attention comes from: a ready map's file, or its model, run when asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hirescam.errors import AttributionError, Cancelled, InputError, ModelFileError
from napari_hirescam.organs.allowed import allowed_organs
from napari_hirescam.organs.organ_tables import MADE_OF, organ_name
from napari_hirescam.plugin import colormaps
from napari_hirescam.plugin.compute_panel import ComputeSettings
from napari_hirescam.plugin.ct_layers import AXIS_LABELS, UNITS
from napari_hirescam.plugin.display_panel import preferred_style
from napari_hirescam.plugin.map_style import MapKey, describe_layer
from napari_hirescam.plugin.reviewing.review_layers import review_metadata
from napari_hirescam.volume import Grid, Quantity

if TYPE_CHECKING:
    from napari_hirescam.attention.result import Explanation
    from napari_hirescam.models import Classifier, TrustRequest
    from napari_hirescam.review.item import Item
    from napari_hirescam.review.loading import CtKey, LoadedItem

Progress = Callable[[int, int], None]
ShouldStop = Callable[[], bool]
AskTrust = Callable[["TrustRequest"], bool]

_METHOD = "hirescam"


@dataclass(frozen=True, eq=False)
class AttentionPicture:
    """A map as a layer.

    Parameters
    ----------
    label
        Whose map it is.
    options
        All that an image layer is built from; its name and metadata tell neither the case nor
        the score, which a reader may not be meant to know.
    note
        What the reader should know of it; "" if nothing.
    """

    label: str
    options: dict[str, Any]
    note: str = ""


class AttentionSource:
    """Reads or computes maps; remembers the last model, and what it said of the last CT.

    One thread at a time may use it.
    """

    def __init__(self) -> None:
        self._classifier: tuple[Path, Classifier] | None = None
        self._explanation: tuple[CtKey, Path, Explanation] | None = None

    def picture(
        self,
        loaded: LoadedItem,
        at_mm: tuple[float, float, float],
        *,
        trust: AskTrust,
        progress: Progress,
        should_stop: ShouldStop,
    ) -> AttentionPicture:
        """Find the map of an item.

        Parameters
        ----------
        loaded
            The item and its CT.
        at_mm
            (I, P, L) mm of the window's centre, for a network that sees a patch.
        trust
            Asked before a model's own code is run.
        progress, should_stop
            Of the model's run.

        Raises
        ------
        AttributionError, ModelFileError, InputError, VolumeError
            The item has neither map nor model, one of them cannot be read or does not belong to
            this CT, or the run failed.
        Cancelled
            `should_stop` said so.
        """
        item = loaded.item
        if item.attention is not None:
            return picture_of_file(loaded)
        if item.model is None:
            raise AttributionError(
                item.target,
                "the work list names neither a map nor a model for it",
                "Name one in the table that the review is made from",
            )
        explanation = self._explain(loaded, item.model, at_mm, trust, progress, should_stop)
        return picture_of_explanation(item, explanation, self._allowed(item.model))

    def _explain(
        self,
        loaded: LoadedItem,
        model: Path,
        at_mm: tuple[float, float, float],
        trust: AskTrust,
        progress: Progress,
        should_stop: ShouldStop,
    ) -> Explanation:
        known = self._explanation
        if known is not None and known[:2] == (loaded.ct_key, model):
            return known[2]
        from napari_hirescam.attention import explain
        from napari_hirescam.models import load_model

        if self._classifier is None or self._classifier[0] != model:
            self._classifier = None  # free the one before first
            self._classifier = model, load_model(model, trust=trust)
        if should_stop():
            raise Cancelled("the model's run was stopped before it began")
        classifier = ComputeSettings().place(self._classifier[1])
        needs_point = classifier.spec.input.needs_point
        explanation = explain(
            loaded.ct,
            classifier,
            methods=(_METHOD,),
            at_mm=at_mm if needs_point else None,
            progress=progress,
            should_stop=should_stop,
        )
        # What a patch network says holds for one place only.
        self._explanation = None if needs_point else (loaded.ct_key, model, explanation)
        return explanation

    def _allowed(self, model: Path) -> dict[str, tuple[str, ...]]:
        if self._classifier is None or self._classifier[0] != model:
            return {}
        spec = self._classifier[1].spec
        return allowed_organs(spec.labels, spec.organs, everyone=False)


def picture_of_file(loaded: LoadedItem) -> AttentionPicture:
    """Read a ready map; what is below 0, speaking against the label, is not drawn.

    Raises
    ------
    VolumeError
        The file cannot be read.
    InputError
        It is a mask, holds no number above 0, or lies beside the CT.
    """
    from napari_hirescam.io import read_volume

    item = loaded.item
    if item.attention is None:
        raise ValueError("the item has no map")
    volume = read_volume(item.attention)
    if volume.quantity is Quantity.LABELS and volume.segments:
        raise InputError(item.target, "its map is a file of masks", "Name the map's file")
    values = np.nan_to_num(volume.voxels.astype(np.float32, copy=False))
    top = float(values.max(initial=0.0))
    if top <= 0:
        raise InputError(item.target, "its map has no value above 0", "There is nothing to draw")
    if not _overlap(volume.grid, loaded.ct.grid):
        raise InputError(
            item.target, "its map lies beside the CT", "Look whether both are of one patient"
        )
    style = preferred_style()
    options: dict[str, Any] = {
        "data": np.maximum(values, np.float32(0)),
        "scale": volume.spacing_mm,
        "translate": tuple(volume.affine[:3, 3]),
        "contrast_limits": (0.0, top),
        "colormap": colormaps.positive(0, style.threshold),
        "opacity": style.opacity,
        "interpolation2d": "linear",
        "interpolation3d": "linear",
        "rendering": "mip",
        "blending": "translucent_no_depth",
    }
    return AttentionPicture(item.target, _named(options, item.target))


def picture_of_explanation(
    item: Item, explanation: Explanation, allowed: dict[str, tuple[str, ...]]
) -> AttentionPicture:
    """Draw the label that an item asks for: its own, or of a mask's organ the strongest.

    Parameters
    ----------
    item
        What is judged.
    explanation
        Of its CT.
    allowed
        Label -> organs it may lie in.

    Raises
    ------
    ModelFileError
        The model has no such label, or none that may lie in this organ.
    """
    note = ""
    if item.kind == "attention":
        label = item.target
        if label not in explanation.labels:
            raise ModelFileError(
                label,
                f"the model has no such label; it has {', '.join(explanation.labels)}",
                "Name the label as the model does",
            )
    else:
        organ = organ_name(item.target)
        fitting = [one for one in explanation.ranked() if _related(organ, allowed.get(one, ()))]
        if not fitting:
            raise ModelFileError(
                item.target,
                "the model names no label that may lie in this organ",
                "Name the organs of its labels in its model.yaml",
            )
        label = fitting[0]
        if len(fitting) > 1:
            note = f"Shown: {label}, of {len(fitting)} labels that may lie in {item.target}."
    options = describe_layer(explanation, MapKey(label, _METHOD), preferred_style(), 0)
    return AttentionPicture(label, _named(options, label), note)


def _named(options: dict[str, Any], label: str) -> dict[str, Any]:
    return options | {
        "name": f"attention: {label}",
        "units": UNITS,
        "axis_labels": AXIS_LABELS,
        "metadata": review_metadata("map"),
    }


def _related(organ: str, others: tuple[str, ...]) -> bool:
    """True if an organ is one of some others, a part of one, or made of one."""
    return any(
        organ == other or organ in MADE_OF.get(other, ()) or other in MADE_OF.get(organ, ())
        for other in others
    )


def _overlap(one: Grid, other: Grid) -> bool:
    first, second = one.corners_mm(), other.corners_mm()
    low = np.maximum(first.min(0), second.min(0))
    return bool((low <= np.minimum(first.max(0), second.max(0))).all())

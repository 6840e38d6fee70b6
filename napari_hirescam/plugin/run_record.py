"""What was explained, and what has made it outdated since."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_hirescam.plugin.ct_layers import world_transform

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_hirescam.attention.result import Explanation
    from napari_hirescam.models import Classifier
    from napari_hirescam.plugin.window_centre import WindowCentre
    from napari_hirescam.volume import FloatArray, Volume


@dataclass(frozen=True, eq=False)
class RunRecord:
    """What was explained.

    Parameters
    ----------
    layer, volume
        The CT as a layer, and as it was read from there.
    classifier
        The model, at the layer it was explained at.
    centre
        Where a patch network looked.
    transform
        Where the layer lay then: 4x4, index to mm.
    along
        Run by itself while the window was moved.
    """

    layer: Image
    volume: Volume
    classifier: Classifier
    centre: WindowCentre | None
    transform: FloatArray
    along: bool = False

    @property
    def ct_moved(self) -> bool:
        """True if the layer no longer lies where it lay."""
        return not np.allclose(world_transform(self.layer), self.transform, atol=1e-4)

    def same_subject_as(self, other: RunRecord | None) -> bool:
        """True if ticks for the other are ticks for this one.

        They are for a CT, and for a place in it where the model sees only a window; while that
        is moved, they go along.
        """
        same_place = self.centre is None or self.along
        return other is not None and self.layer is other.layer and same_place


def layer_of_old_maps(explanation: Explanation | None, classifier: Classifier | None) -> str:
    """Name the layer that maps belong to, if another one has been chosen since; else ""."""
    if explanation is None or classifier is None:
        return ""
    shown = explanation.target_layer
    return "" if shown == classifier.spec.target_layer else shown


def outdated_by(
    explanation: Explanation | None,
    record: RunRecord | None,
    classifier: Classifier | None,
    centre: WindowCentre | None = None,
) -> list[str]:
    """Say in sentences why shown maps are not those of the CT and the model as they are now.

    Parameters
    ----------
    explanation, record
        What is shown.
    classifier, centre
        The model, and the place of its window, as they are now.
    """
    warnings = []
    old = layer_of_old_maps(explanation, classifier)
    if old and classifier is not None:
        warnings.append(
            f"The maps shown are of {old}. Run again to explain {classifier.spec.target_layer}."
        )
    if explanation is not None and record is not None and record.ct_moved:
        warnings.append("The CT has moved since these maps were computed: run again.")
    if explanation is not None and record is not None and _elsewhere(record.centre, centre):
        warnings.append("The window has moved since these maps were computed: run again.")
    return warnings


def _elsewhere(then: WindowCentre | None, now: WindowCentre | None) -> bool:
    if then is None or now is None:
        return False
    return not np.allclose(then.at_mm, now.at_mm, atol=1e-3)


def notes_of_run(explanation: Explanation | None, record: RunRecord | None) -> list[str]:
    """List what happened during a run, without what was noted when the CT was opened."""
    if explanation is None or record is None:
        return []
    source = record.volume.source
    known = source.notes if source is not None else ()
    return [note for note in explanation.provenance.get("notes", ()) if note not in known]

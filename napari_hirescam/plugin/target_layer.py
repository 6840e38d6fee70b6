"""Explaining another layer of the same network, or saying in one sentence why not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_hirescam.errors import HirescamError, ModelFileError

if TYPE_CHECKING:
    from napari_hirescam.attention import TargetReport
    from napari_hirescam.models import Classifier
    from napari_hirescam.volume import Volume

_REMEDY = "Choose a layer of the table"
# batch, channel and at least two spatial axes
_LEAST_AXES = 4


def at_layer(
    classifier: Classifier, name: str, volume: Volume | None = None
) -> tuple[Classifier, TargetReport]:
    """Make the classifier that explains a layer, and say what holds there.

    Parameters
    ----------
    classifier
        The model, at any of its layers.
    name
        Dotted name of the layer.
    volume
        A CT, whose spacing gives the cells their size if the model keeps it.

    Raises
    ------
    ModelFileError
        There is no such layer, it has no grid of cells, or the network does not use it once.
    """
    from napari_hirescam.attention import examine_target_layer

    try:
        moved = classifier.with_target_layer(name)
        shape = moved.dry_run.activation_shape
        report = examine_target_layer(moved, volume) if len(shape) >= _LEAST_AXES else None
    except HirescamError:
        raise
    except Exception as exc:  # a user's network can fail in any way
        raise ModelFileError(f"Layer {name}", " ".join(str(exc).split()), _REMEDY) from exc
    if report is None:
        raise ModelFileError(
            f"Layer {name}", f"its output has shape {list(shape)}, without a grid", _REMEDY
        )
    return moved, report

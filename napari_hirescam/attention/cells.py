"""From cells on the network's axes to maps that lie in the patient."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from napari_hirescam.attention.measured_field import measured_field
from napari_hirescam.attention.placement import (
    PlacementUnknownError,
    ReceptiveField,
    WrongAxesError,
    cells_by_receptive_field,
    cells_by_stretch,
    receptive_field,
)
from napari_hirescam.attention.result import PlacementName
from napari_hirescam.errors import AttributionError
from napari_hirescam.volume import FloatArray, Grid

if TYPE_CHECKING:
    from napari_hirescam.models.classifier import Classifier
    from napari_hirescam.models.preprocess import ModelInput

_Value = TypeVar("_Value", bound=np.generic)

logger = logging.getLogger(__name__)

_measured: WeakKeyDictionary[Any, dict[tuple[int, ...], ReceptiveField | str]] = WeakKeyDictionary()


def place_cells(
    classifier: Classifier, model_input: ModelInput, cells: tuple[int, int, int]
) -> tuple[dict[PlacementName, FloatArray], str, tuple[float, float, float] | None]:
    """Place the cells of the target layer in the patient, in each way that is known.

    Parameters
    ----------
    classifier, model_input
        The model, and the CT as the network saw it.
    cells
        The grid along the tensor's axes.

    Returns
    -------
    Placement -> 4x4, cell index along the tensor's axes to (I, P, L) mm; a note on what is not
    known or was measured; extent of what a cell sees along (I, P, L), in mm, or None.
    """
    stretch = cells_by_stretch(cells, model_input.spatial_shape)
    affines: dict[PlacementName, FloatArray] = {"stretch": model_input.affine @ stretch}
    try:
        field = _field(classifier, model_input)
    except PlacementUnknownError as exc:
        return affines, f"{exc}, so the cells are stretched over the input", None
    affines = {
        "receptive_field": model_input.affine @ cells_by_receptive_field(field.axes),
        **affines,
    }
    # Extents along the tensor's axes, handed on in patient order.
    extents = np.abs(model_input.affine[:3, :3]) @ [reach.size for reach in field.axes]
    return affines, field.note, _triple(extents)


def _field(classifier: Classifier, model_input: ModelInput) -> ReceptiveField:
    """Compute what a cell sees, or measure it once per classifier and input shape."""
    try:
        return receptive_field(classifier.dry_run)
    except WrongAxesError as exc:
        raise AttributionError(
            classifier.spec.name,
            f"the output of {classifier.spec.target_layer} is no map of the image: {exc}",
            "Choose another target layer (`napari-hirescam layers` lists them)",
        ) from exc
    except PlacementUnknownError as exc:
        reason = str(exc)
    except Exception as exc:  # noqa: BLE001 - which networks can be traced cannot be known
        reason = f"the network could not be traced ({' '.join(str(exc).split())})"
    shape = tuple(model_input.tensor.shape)
    known = _measured.setdefault(classifier, {})
    if shape not in known:
        layer = classifier.spec.target_layer
        try:
            known[shape] = measured_field(
                classifier.network, shape, layer, grouped=model_input.layout == "axial_triples"
            )
        except PlacementUnknownError as exc:
            known[shape] = f"{reason}, and {exc}"
        except Exception as exc:  # the user's own network can fail in any way
            logger.info("the receptive field could not be measured", exc_info=exc)
            known[shape] = f"{reason}, and measuring it failed: {' '.join(str(exc).split())}"
    field = known[shape]
    if isinstance(field, str):
        raise PlacementUnknownError(field)
    return replace(field, note=f"{field.note} ({reason})")


def _triple(values: FloatArray) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


def _axis_order(affine: FloatArray) -> tuple[list[int], list[bool]]:
    """For each of I, P, L: the index axis along it, and whether that axis runs backwards."""
    linear = affine[:3, :3]
    order = [int(np.argmax(np.abs(linear[axis]))) for axis in range(3)]
    return order, [bool(linear[axis, order[axis]] < 0) for axis in range(3)]


def to_patient_axes(stack: npt.NDArray[_Value], affine: FloatArray) -> npt.NDArray[_Value]:
    """Turn maps [K, ...] on the network's axes into [K, d, h, w] along (I, P, L)."""
    order, backwards = _axis_order(affine)
    turned = stack.transpose(0, *(1 + axis for axis in order))
    flips = tuple(1 + axis for axis in range(3) if backwards[axis])
    return np.ascontiguousarray(np.flip(turned, flips))


def patient_affine(affine: FloatArray, cells: tuple[int, ...]) -> FloatArray:
    """Return the affine that belongs to maps turned by :func:`to_patient_axes`."""
    order, backwards = _axis_order(affine)
    result = np.eye(4)
    result[:3, 3] = affine[:3, 3]
    for axis, (index_axis, flipped) in enumerate(zip(order, backwards, strict=True)):
        step = affine[axis, index_axis]
        result[axis, axis] = abs(step)
        if flipped:
            result[axis, 3] += step * (cells[index_axis] - 1)
    return Grid((1, 1, 1), result).affine

"""CT volumes as napari layers, and napari layers as CT volumes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Labels, Layer

from napari_hirescam.errors import InputError
from napari_hirescam.plugin.grey_windows import ends_of, first_window
from napari_hirescam.plugin.mask_layers import SEGMENTS_KEY, describe_segments, segments_of
from napari_hirescam.plugin.view_preferences import preferred_window
from napari_hirescam.source import Source
from napari_hirescam.volume import FloatArray, Quantity, Volume

#: Key of everything this plugin stores in a layer's metadata.
METADATA_KEY = "napari_hirescam"
#: Key of the volume's source, an object, beside it.
SOURCE_KEY = f"{METADATA_KEY}_source"
#: Key of the mask of voxels that are no measurements, None if all are; in the voxels' shape.
INVALID_KEY = f"{METADATA_KEY}_invalid"
UNITS = ("mm", "mm", "mm")
AXIS_LABELS = ("inferior", "posterior", "left")

#: The range of the contrast slider for a CT.
HU_RANGE = (-1024.0, 3071.0)

_MANY_VOXELS = 200_000

LayerData = tuple[npt.NDArray[Any], dict[str, Any], str]


def layer_from_volume(volume: Volume) -> LayerData:
    """Describe a volume as the layer data tuple napari's readers return.

    Labels become a Labels layer, everything else an Image layer with an explicit window.
    """
    options: dict[str, Any] = {
        "name": layer_name(volume),
        "scale": volume.spacing_mm,
        "translate": tuple(volume.affine[:3, 3]),
        "units": UNITS,
        "axis_labels": AXIS_LABELS,
        "metadata": {
            METADATA_KEY: _describe(volume),
            SOURCE_KEY: volume.source,
            INVALID_KEY: volume.invalid,
            SEGMENTS_KEY: volume.segments,
        },
    }
    if volume.quantity is Quantity.LABELS:
        voxels = volume.voxels
        if not np.issubdtype(voxels.dtype, np.integer):
            voxels = voxels.astype(np.int32)
        return voxels, options | describe_segments(volume.segments), "labels"
    options["contrast_limits"] = ends_of(first_window(volume, preferred_window()))
    options["colormap"] = "gray"
    options["interpolation2d"] = "linear"
    return volume.voxels, options, "image"


def layer_name(volume: Volume) -> str:
    """Name a volume's layer; one that was mended on the user's word says so."""
    mended = volume.source is not None and any(one.asked for one in volume.source.repaired)
    return f"{volume.name} (repaired)" if mended else volume.name


def widen_contrast_range(layer: Layer) -> None:
    """Let the contrast slider of a CT layer of ours reach over the whole HU scale.

    napari ends the slider at the limits a layer is made with, and a reader cannot say more.
    """
    if isinstance(layer, Image) and is_ct_of_ours(layer):
        low, high = layer.contrast_limits_range
        layer.contrast_limits_range = (min(low, HU_RANGE[0]), max(high, HU_RANGE[1]))


def is_ct_of_ours(layer: Layer) -> bool:
    """True for an image in HU that this plugin's reader opened."""
    ours = layer.metadata.get(METADATA_KEY, {})
    is_hu = ours.get("kind") == "volume" and ours.get("quantity") == Quantity.HU.value
    return bool(is_hu and not is_review_layer(layer))


def is_map_or_copy(layer: Layer) -> bool:
    """True for the layers this plugin adds by itself: maps, the second CT, those of a review."""
    is_ours = layer.metadata.get(METADATA_KEY, {}).get("kind") in {"map", "copy"}
    return is_ours or is_review_layer(layer)


def is_review_layer(layer: Layer) -> bool:
    """True for the layers of a review, which are another patient's with the next item."""
    return bool(layer.metadata.get(METADATA_KEY, {}).get("review"))


def volume_from_layer(layer: Image | Labels) -> Volume:
    """Take an image layer as a CT volume, or labels as a mask, where it lies in the world now.

    The layer's scale, translation and affine are composed, so a layer the user moved counts
    where it is. The file it came from is kept as source only while it lies where it was read.

    Raises
    ------
    InputError
        If the layer is not one 3-D grey-value volume along the world's axes.
    """
    if layer.multiscale:
        raise InputError(layer.name, "the layer has several resolutions", "Open it as one array")
    in_colours = isinstance(layer, Image) and layer.rgb
    if in_colours or layer.ndim != 3:
        what = "colours" if in_colours else f"{layer.ndim} axes"
        raise InputError(
            layer.name, f"a CT has three axes of grey values, not {what}", "Choose a CT"
        )
    voxels = np.asarray(layer.data)
    if voxels.dtype == np.bool_ or not np.issubdtype(voxels.dtype, np.number):
        raise InputError(layer.name, f"holds {voxels.dtype}, not CT numbers", "Choose a CT")
    linear, offset = _composed_transform(layer)
    off_diagonal = linear - np.diag(np.diag(linear))
    if np.abs(off_diagonal).max() > 1e-6 * np.abs(linear).max():
        raise InputError(
            layer.name,
            "the layer is rotated or sheared against the patient's axes",
            "Reset its transform, or resample it to an axis-aligned grid",
        )
    affine = np.eye(4)
    invalid = layer.metadata.get(INVALID_KEY)
    if invalid is not None and invalid.shape != voxels.shape:  # the user changed the data
        invalid = None
    for axis, step in enumerate(np.diag(linear)):
        affine[axis, axis] = abs(step)
        affine[axis, 3] = offset[axis]
        if step < 0:
            voxels = np.flip(voxels, axis)
            invalid = np.flip(invalid, axis) if invalid is not None else None
            affine[axis, 3] += step * (voxels.shape[axis] - 1)
    return Volume(
        voxels=voxels,
        affine=affine,
        name=layer.name,
        quantity=_quantity(layer, voxels),
        source=source_if_unmoved(layer),
        segments=segments_of(layer),
        invalid=invalid,
    )


def placement_doubt(layer: Layer) -> str:
    """Say what is not known of a layer's place in the patient; "" for our reader's layers."""
    ours = layer.metadata.get(METADATA_KEY, {})
    if ours.get("kind") == "time series":
        return "It has a time axis; open one of its volumes by itself to have it explained."
    if ours.get("kind") != "volume":
        return (
            "Opened by another reader: its axes are taken to run to inferior, posterior and "
            "left, in mm. Open the file with HiResCAM to be sure."
        )
    if not isinstance(layer, Image) or layer.ndim != 3:
        return ""
    if np.allclose(world_transform(layer), np.array(ours["affine"]), atol=1e-4):
        return ""
    return "Moved since it was read: maps follow it to where it lies now."


def _describe(volume: Volume) -> dict[str, Any]:
    described: dict[str, Any] = {
        "kind": "volume",
        "quantity": volume.quantity.value,
        "frame": "inferior, posterior, left (mm)",
        "affine": volume.affine.tolist(),
        "shape": list(volume.voxels.shape),
    }
    if volume.source is not None:
        described |= {
            "path": str(volume.source.path),
            "format": volume.source.format,
            "item": volume.source.item,
            "orientation": volume.source.orientation,
            "notes": list(volume.source.notes),
            "repaired": [
                {"repair": one.repair.value, "what": one.what, "asked": one.asked}
                for one in volume.source.repaired
            ],
        }
    return described


def world_transform(layer: Layer) -> FloatArray:
    """Compose scale, rotation, shear, translation and affine to one 4x4: index to mm."""
    transform = np.eye(4)
    transform[:3, :3], transform[:3, 3] = _composed_transform(layer)
    return transform


def _composed_transform(layer: Layer) -> tuple[FloatArray, FloatArray]:
    # data_to_world composes scale, rotate, shear, translate and affine.
    origin = np.asarray(layer.data_to_world((0.0, 0.0, 0.0)), dtype=np.float64)
    steps = [np.asarray(layer.data_to_world(unit)) - origin for unit in np.eye(3)]
    return np.column_stack(steps), origin


def _quantity(layer: Layer, voxels: npt.NDArray[Any]) -> Quantity:
    if isinstance(layer, Labels):
        return Quantity.LABELS
    stored = layer.metadata.get(METADATA_KEY, {}).get("quantity")
    if stored is not None:
        return Quantity(stored)
    step = max(1, round((voxels.size / _MANY_VOXELS) ** (1 / 3)))
    # Air is near -1000 HU, and no CT is without air.
    return Quantity.HU if voxels[::step, ::step, ::step].min() < -200 else Quantity.UNKNOWN


def source_if_unmoved(layer: Layer) -> Source | None:
    """Return where a layer was read from, as long as it lies where it was read."""
    source = layer.metadata.get(SOURCE_KEY)
    described = layer.metadata.get(METADATA_KEY, {})
    if not isinstance(source, Source) or described.get("shape") != list(layer.data.shape):
        return None
    unmoved = np.allclose(world_transform(layer), np.array(described["affine"]), atol=1e-4)
    return source if unmoved else None

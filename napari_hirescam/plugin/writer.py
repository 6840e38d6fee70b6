"""napari's writers: a Labels or Image layer as a file on the grid it was read from.

A layer that lies where it was read is written on the grid of its file, through the resampling
if reading resampled; labels painted over a CT take the CT's grid. What was moved, scaled,
turned or sheared is written where it lies now.

napari calls its writers in the thread that draws the window. There, only what is written where is
settled; the resampling, packing and comparing are done by
:mod:`~napari_hirescam.plugin.writing_job`. In a script the file is there on return.

napari's dialog asks before a file is replaced and a script does not, but npe2 passes neither
answer nor question on. So an existing file is replaced only from the window, under the very
name that the dialog asked about; a script removes it first, or uses
:func:`napari_hirescam.io.write_volume`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_hirescam import __version__
from napari_hirescam.errors import VolumeError
from napari_hirescam.plugin.ct_layers import (
    METADATA_KEY,
    is_map_or_copy,
    source_if_unmoved,
    world_transform,
)
from napari_hirescam.plugin.mask_layers import segments_of
from napari_hirescam.plugin.reader import window_is_used
from napari_hirescam.plugin.writing_job import write_in_thread
from napari_hirescam.source import Source
from napari_hirescam.volume import FloatArray, Grid, Quantity, Volume

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer

_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".dcm")
_PLACE = ("name", "scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
_SAME_MM = 1e-3


def write_labels(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a Labels layer as NIfTI or NRRD or, over a DICOM CT, as a DICOM segmentation.

    Parameters
    ----------
    path
        Its ending says the format; without one it is written as ``.nii.gz``.
    data
        [slice, row, column] integers.
    attributes
        As napari hands them to writers: where the layer lies, its features and metadata.

    Returns
    -------
    The path written.

    Raises
    ------
    VolumeError
        The layer is not three-dimensional, the file exists and nobody was asked, it cannot be
        written, or DICOM is asked for and the viewer has no DICOM CT.
    """
    from napari.layers import Labels

    _refuse_other_shapes(path, attributes, np.ndim(data))
    options = {
        key: attributes[key] for key in (*_PLACE, "features", "metadata") if key in attributes
    }
    return _write(Path(path), Labels(np.asarray(data), **options))


def write_image(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write an Image layer, a CT or an attention map say, as NIfTI or NRRD.

    The numbers are those of the layer, whatever its contrast and colours. Parameters and errors
    are those of :func:`write_labels`.
    """
    from napari.layers import Image

    _refuse_other_shapes(path, attributes, np.ndim(data))
    values = np.asarray(data)
    if values.dtype.kind not in "biuf":
        raise VolumeError(path, f"numbers of type {values.dtype} have no place there", "Convert it")
    options = {key: attributes[key] for key in (*_PLACE, "metadata") if key in attributes}
    # With any limits, for napari would look for them in all the voxels.
    return _write(Path(path), Image(values, **options, contrast_limits=(0, 1)))


class _Target(NamedTuple):
    """The grid a layer is written on, and the file the grid is of."""

    grid: Grid
    like: Source | None
    volume_affine: FloatArray | None = None
    """Index to mm of the layer, where its values must be brought onto the file's grid first."""


def _write(path: Path, layer: Image | Labels) -> list[str]:
    named = path.name.lower().endswith(_SUFFIXES)
    file = path if named else path.with_name(f"{path.name}.nii.gz")
    in_window = window_is_used()
    # Under a name without an ending, the dialog asked about another file.
    overwrite = named and in_window
    if file.exists() and not overwrite:
        raise VolumeError(file, "there is a file of this name", "Choose another name or remove it")
    target = _target(layer)
    is_mask = layer.metadata.get(METADATA_KEY, {}).get("quantity") == Quantity.LABELS.value
    segments = segments_of(layer) if is_mask or _is_labels(layer) else ()
    if file.name.lower().endswith(".dcm"):
        target = _over_a_series(file, layer, target)
    provenance = _provenance(layer, target)
    name = layer.name

    def write() -> Path:
        from napari_hirescam.io import write_volume

        values = np.asarray(layer.data)
        if in_window and _is_labels(layer):
            # The painting may go on. Not before the thread: for a large mask that takes a while.
            values = values.copy()
        return write_volume(
            file,
            _on_grid(values, target, name, is_mask=_is_labels(layer)),
            target.grid,
            like=target.like,
            segments=segments,
            description=name,
            provenance=provenance,
            overwrite=overwrite,
        )

    if in_window:
        write_in_thread(file, write)
        return [str(file)]
    return [str(write())]


def _refuse_other_shapes(path: str, attributes: dict[str, Any], ndim: int) -> None:
    name = attributes.get("name", Path(path).name)
    if attributes.get("multiscale"):
        reason = "the layer has several resolutions"
    elif attributes.get("rgb"):
        reason = "the layer holds colours"
    elif ndim != 3:
        reason = f"the layer has {ndim} axes, and a volume has three"
    else:
        return
    raise VolumeError(name, reason, "Save one three-dimensional grey or label volume at a time")


# -- where it is written ---------------------------------------------------------------------


def _target(layer: Image | Labels) -> _Target:
    source = source_if_unmoved(layer)
    if source is not None:
        return _Target(source.grid, source, world_transform(layer))
    affine, _ = _in_mm(layer)
    under = _ct_under(layer, affine) if _is_labels(layer) else None
    if under is not None:
        return _Target(under.grid, under, affine)
    return _Target(_as_grid(layer, affine), None)


def _on_grid(
    values: npt.NDArray[Any], target: _Target, name: str, *, is_mask: bool
) -> npt.NDArray[Any]:
    """Bring a layer's values onto the grid they are written on."""
    from napari_hirescam.io import on_source_grid

    if is_mask:
        values = _smallest_integers(values)
    if target.volume_affine is None:
        return values
    quantity = Quantity.LABELS if is_mask else Quantity.UNKNOWN
    volume = Volume(values, target.volume_affine, name, quantity, target.like)
    return on_source_grid(values, volume, 0 if is_mask else 1)


def _ct_under(layer: Layer, affine: FloatArray) -> Source | None:
    """Find the source of a CT in the viewer with just the grid of a layer."""
    mine = _as_grid(layer, affine)
    for source, grid in _open_sources():
        if grid.same_place_as(mine, _SAME_MM):
            return source
    return None


def _over_a_series(file: Path, layer: Layer, target: _Target) -> _Target:
    """Say over which DICOM series of the viewer a mask lies."""
    if target.like is not None and target.like.frames:
        return target
    series = {id(source): source for source, _ in _open_sources() if source.frames}
    if len(series) != 1:
        raise VolumeError(
            file,
            "a DICOM segmentation belongs to a DICOM series, and the viewer holds "
            + ("several" if series else "none"),
            "Leave only its CT, opened from DICOM, in the viewer; or save it as .nii.gz or .nrrd",
        )
    (source,) = series.values()
    affine, _ = _in_mm(layer)
    return _Target(_as_grid(layer, affine), source)


def _open_sources() -> list[tuple[Source, Grid]]:
    """Sources of the images that lie where they were read, the uppermost first."""
    from napari import current_viewer
    from napari.layers import Image

    viewer = current_viewer()
    found: list[tuple[Source, Grid]] = []
    for layer in reversed(viewer.layers if viewer is not None else []):
        if isinstance(layer, Image) and not is_map_or_copy(layer):
            source = source_if_unmoved(layer)
            if source is not None:
                found.append((source, Grid(layer.data.shape, world_transform(layer))))
    return found


def _in_mm(layer: Layer) -> tuple[FloatArray, str]:
    """Compose where a layer lies, in mm, and say what had to be assumed for it."""
    from pint import DimensionalityError

    affine = world_transform(layer)
    assumed = ""
    for axis, unit in enumerate(layer.units):
        try:
            factor = float((1 * unit).to("mm").magnitude)
        except DimensionalityError:
            factor = 1.0
            assumed = f"Its axes are in {unit}; each was taken for 1 mm."
        affine[axis] *= factor
    return affine, assumed


def _as_grid(layer: Layer, affine: FloatArray) -> Grid:
    a, b, c = layer.data.shape
    try:
        return Grid((a, b, c), affine)
    except ValueError as exc:
        raise VolumeError(layer.name, str(exc), "Reset the layer's transform") from exc


# -- what is said of it ------------------------------------------------------------------------


def _provenance(layer: Layer, target: _Target) -> dict[str, Any]:
    ours = layer.metadata.get(METADATA_KEY, {})
    said: dict[str, Any] = {"software": f"napari-hirescam {__version__}", "layer": layer.name}
    if ours.get("kind") == "map":
        said["map"] = ours
        said["values"] = (
            "as the layer shows them, in units of the logit; Save maps in the HiResCAM panel "
            "writes the signed map on the grid of the CT"
        )
    if target.like is not None:
        return said | target.like.as_provenance()
    if ours.get("kind") == "volume":
        said["moved"] = "The layer was moved since it was read, and was written where it lay."
        said |= {key: ours[key] for key in ("path", "repaired", "notes") if ours.get(key)}
    _, assumed = _in_mm(layer)
    if assumed:
        said["assumed"] = assumed
    return said


def _is_labels(layer: Layer) -> bool:
    from napari.layers import Labels

    return isinstance(layer, Labels)


def _smallest_integers(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Hold labels in the smallest type that fits: napari's own are wider than many readers like."""
    if labels.dtype == np.bool_ or not labels.size:
        return labels.astype(np.uint8)
    low, high = int(labels.min()), int(labels.max())
    for kind in (np.uint8, np.uint16, np.int16, np.int32):
        limits = np.iinfo(kind)
        if limits.min <= low and high <= limits.max:
            return labels.astype(kind, copy=False)
    return labels

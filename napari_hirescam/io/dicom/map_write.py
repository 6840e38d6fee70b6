"""Write a map as a DICOM parametric map over the series it was computed from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.dicom.source import (
    common_fields,
    long_string,
    put_dataset,
    source_slices,
)
from napari_hirescam.io.quiet import quietly
from napari_hirescam.source import Source
from napari_hirescam.volume import Grid

_SHORT_TEXT = 1024
_UNIT = ("1", "UCUM", "no units")


@quietly()
def write_parametric_map(
    path: str | Path,
    values: npt.NDArray[Any],
    grid: Grid,
    *,
    like: Source | None,
    description: str = "",
    provenance: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a map as a DICOM parametric map that lies on a CT series.

    The file belongs to the patient, as DICOM demands: name, number and study are copied from
    the series. It has a frame for each slice of the series, in single precision; a map on
    another grid is interpolated linearly at the slices' pixels. Stored values are the values,
    without a unit.

    Parameters
    ----------
    path
        Ends in ``.dcm``.
    values
        [n0, n1, n2] on `grid`; finite.
    grid
        Index to (I, P, L) mm.
    like
        Where the CT came from, with the frames of its series.
    description
        What the map shows: method and label. Name of the new series, and, with the "model" of
        the provenance, its derivation.
    provenance
        Anything JSON can hold; goes into a private element.
    overwrite
        Whether an existing file may be replaced.

    Returns
    -------
    The path written.

    Raises
    ------
    VolumeError
        If there is no DICOM series to lie on, its files are gone or lack what must be
        repeated, the map is not finite, or the place cannot be written to.
    ValueError
        If `values` and `grid` differ in shape, or are no numbers.
    """
    import highdicom

    path = Path(path)
    if values.shape != grid.shape:
        raise ValueError(f"a map of shape {values.shape} does not lie on a grid of {grid.shape}")
    if values.dtype.kind not in "iuf":
        raise ValueError(f"a map has numbers, not {values.dtype}")
    slices = source_slices(path, like)
    pixels = slices.sample(values.astype(np.float32, copy=False), grid, 1)
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite([low, high]).all():
        raise VolumeError(
            path, "the map holds values that are no finite numbers", "Save it as NIfTI (.nii.gz)"
        )
    text = description or "Parametric map"
    mapping = highdicom.pm.RealWorldValueMapping(
        lut_label="MAP",
        lut_explanation=long_string(text),
        unit=highdicom.sr.CodedConcept(*_UNIT),
        value_range=(low, high),
        slope=1.0,
        intercept=0.0,
    )
    window = highdicom.VOILUTTransformation(
        window_center=(low + high) / 2, window_width=max(high - low, 1e-6)
    )
    model = (provenance or {}).get("model")
    derivation = f"{text}; model: {model}" if isinstance(model, str) else text

    def make() -> Any:
        dataset = highdicom.pm.ParametricMap(
            pixel_array=pixels,
            contains_recognizable_visual_features=False,
            real_world_value_mappings=[mapping],
            voi_lut_transformations=[window],
            content_label="MAP",
            **common_fields(slices, text),
        )
        dataset.DerivationDescription = derivation[:_SHORT_TEXT]
        return dataset

    return put_dataset(path, slices, make, provenance, overwrite=overwrite)

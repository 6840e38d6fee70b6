"""What a NIfTI header says about its numbers: their type, slope and intercept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.nifti.header import Header
from napari_hirescam.io.scaling import Scaling
from napari_hirescam.source import Fact


def scaling_of(path: Path, fields: Any) -> Scaling:
    """Read slope and intercept; a slope of 0 or NaN is the standard's way to say "as stored".

    Raises
    ------
    VolumeError
        If there is a slope, but it or the intercept is not finite.
    """
    slope, intercept = float(fields["scl_slope"]), float(fields["scl_inter"])
    if slope == 0 or np.isnan(slope):
        return Scaling()
    if not np.isfinite([slope, intercept]).all():
        raise VolumeError(
            path,
            f"its values cannot be known: its slope is {slope:g}, its intercept {intercept:g}",
            "Convert it again from the original images",
        )
    return Scaling(slope, intercept)


def needs_second_array(header: Header) -> bool:
    """Say whether :func:`scaled` cannot work within the stored numbers' own memory."""
    if header.dtype.kind == "f":
        return header.dtype.itemsize != np.dtype(np.float32).itemsize
    slope = float(header.fields["scl_slope"])
    plain = slope in {0.0, 1.0} or np.isnan(slope)
    return not plain or header.dtype.itemsize in {1, 8}


def number_facts(fields: Any, scaling: Scaling) -> tuple[Fact, ...]:
    """Describe the stored numbers for the geometry report."""
    stored = (float(fields["scl_slope"]), float(fields["scl_inter"]))
    said = f"{scaling.slope:g} and {scaling.intercept:g}"
    unused = scaling.is_identity and stored not in {(1.0, 0.0), (0.0, 0.0)}
    dtype = fields.get_data_dtype()
    bits = int(fields["bitpix"])
    return (
        Fact(
            "Numbers",
            "Type in the file",
            f"{dtype.newbyteorder('=').name}",
            "" if bits == 8 * dtype.itemsize else f"the header says {bits} bits, which is ignored",
        ),
        Fact(
            "Numbers",
            "Slope and intercept",
            said,
            f"the file's {stored[0]:g} and {stored[1]:g} mean: as stored" if unused else "",
        ),
    )

"""However a sound series lies and is stored, it is read right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from torture.cases import Case
from torture.dicom_series import series, turned
from torture.exam import examine
from torture.exam_fixture import check
from torture.judge import Verdict, hu_at

angles = st.one_of(st.sampled_from([0.0, 90, 180, -90]), st.floats(-180, 180))
lengths = st.floats(0.3, 3).map(lambda mm: round(mm, 3))


def quarter(lps_mm: np.ndarray) -> np.ndarray:
    """A patient flat enough for any place within 40 mm to fit into 16 bits."""
    return 0.25 * hu_at(lps_mm)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    st.tuples(angles, angles, angles),
    st.tuples(*[st.floats(-20, 20)] * 3),
    st.tuples(lengths, lengths),
    st.tuples(st.integers(4, 15), st.integers(4, 15)),
    st.floats(0.4, 5),
    st.sampled_from([1, -1]),
    st.sampled_from([0.0, 0.0, 0.3, -0.4]),
    st.sampled_from([("<i2", 0.0), ("<u2", -2048.0), ("<i2", -1000.5), ("<i4", 7.0)]),
    st.sampled_from([1.0, 1.0, 2.0, 0.5]),
)
def test_any_sound_series(
    degrees: Sequence[float],
    origin: Sequence[float],
    spacing: tuple[float, float],
    size: tuple[int, int],
    gap: float,
    way: int,
    shear: float,
    stored: tuple[str, float],
    slope: float,
) -> None:
    orientation = turned(*degrees)
    along_column = np.array(orientation[3:])
    normal = np.cross(orientation[:3], along_column)
    with TemporaryDirectory() as folder:
        made = series(
            5,
            orientation=orientation,
            origin=origin,
            spacing=spacing,
            size=size,
            step=way * gap * normal + shear * gap * along_column,
            value=quarter,
            slope=slope,
            intercept=stored[1],
            dtype=stored[0],
        )
        case = Case("any", lambda path: made.save(path), frozenset({Verdict.RIGHT}), kind="")
        check(examine(case, case.make(Path(folder))))

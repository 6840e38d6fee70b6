"""The judge of the torture suite sees each way in which a reader can be wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from torture.judge import Answer, Scan, fault, hu_at, later_hu_at

AFFINE = np.array([[0.6, 0, 0, -21.0], [0, 0.8, 0, -32], [0, 0, 2, 40], [0, 0, 0, 1]])
SCAN = Scan(AFFINE, (9, 8), (0.0, 1, 2, 3, 4))
STORED = np.rint(hu_at(SCAN.points()))


def answer(values=STORED, affine=AFFINE, invalid=None) -> Answer:
    return Answer(values, affine, invalid, says_invalid=True)


def moved(*mm: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[:3, 3] += mm
    return affine


def test_what_was_stored_is_right() -> None:
    assert fault(answer(), SCAN) == ""


@pytest.mark.parametrize("order", [(2, 1, 0), (1, 2, 0)])
def test_the_order_of_axes_is_free(order) -> None:
    affine = AFFINE.copy()
    affine[:3, :3] = AFFINE[:3, list(order)]
    assert fault(answer(STORED.transpose(order), affine), SCAN) == ""


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_mirrored_voxels_are_wrong_and_a_mirrored_grid_is_not(axis: int) -> None:
    assert fault(answer(np.flip(STORED, axis)), SCAN)
    affine = AFFINE.copy()
    affine[:3, 3] += (STORED.shape[axis] - 1) * affine[:3, axis]
    affine[:3, axis] *= -1
    assert fault(answer(np.flip(STORED, axis), affine), SCAN) == ""


@pytest.mark.parametrize("mm", [(0.3, 0, 0), (0, 0.3, 0), (0, 0, 0.5), (11, -6, 0)])
def test_a_shift_is_wrong(mm) -> None:
    assert fault(answer(affine=moved(*mm)), SCAN)


def test_numbers_off_by_two_are_wrong() -> None:
    assert "true is" in fault(answer(STORED + 2), SCAN)


def test_one_wrong_voxel_is_wrong() -> None:
    values = STORED.copy()
    values[4, 4, 2] += 5
    assert "1 of 360" in fault(answer(values), SCAN)


def test_another_phase_is_wrong() -> None:
    assert fault(answer(np.rint(later_hu_at(SCAN.points()))), SCAN)


def test_lost_slices_are_wrong() -> None:
    assert "is not in it" in fault(answer(STORED[:, :, :4]), SCAN)


def test_slices_pushed_together_over_a_gap_are_wrong() -> None:
    gappy = replace(SCAN, levels=(0.0, 1, 3, 4, 5))
    assert fault(answer(np.rint(hu_at(gappy.points()))), gappy)


@pytest.mark.parametrize("marked", [True, False])
def test_a_blank_slice_must_be_marked(marked: bool) -> None:
    gappy = replace(SCAN, levels=(0.0, 1, 3, 4))
    values, invalid = STORED.copy(), np.zeros(STORED.shape, bool)
    values[:, :, 2] = -1024
    invalid[:, :, 2] = marked
    assert bool(fault(answer(values, invalid=invalid), gappy)) is not marked


def test_measured_voxels_must_not_be_called_invalid() -> None:
    invalid = np.zeros(STORED.shape, bool)
    invalid[3, 3, 3] = True
    assert "called invalid" in fault(answer(invalid=invalid), SCAN)


def test_padding_must_look_like_air_and_be_marked() -> None:
    padded = np.zeros(STORED.shape, bool)
    padded[0] = True
    scan = replace(SCAN, padded=padded)
    assert fault(answer(), scan)
    as_air = np.where(padded, -1024, STORED)
    assert fault(answer(as_air), scan)
    assert fault(answer(np.where(padded, -2000, STORED), invalid=padded), scan)
    assert fault(answer(as_air, invalid=padded), scan) == ""
    peer = Answer(np.where(padded, -2000, STORED), AFFINE)
    assert fault(peer, scan) == ""  # who has no way to mark it may leave what stands in the file


def test_nan_is_wrong() -> None:
    values = STORED.copy()
    values[1, 1, 1] = np.nan
    assert "NaN" in fault(answer(values), SCAN)


def _between(levels: np.ndarray) -> Answer:
    affine = AFFINE.copy()
    affine[:3, 2] /= 2
    scan = replace(SCAN, levels=tuple(levels))
    return answer(np.rint(hu_at(scan.points())), affine)


def test_interpolated_slices_are_right_and_repeated_ones_wrong() -> None:
    fine = _between(np.arange(0, 4.5, 0.5))
    assert fault(fine, SCAN) == ""
    repeated = _between(np.floor(np.arange(0, 4.5, 0.5)))
    assert fault(repeated, SCAN)


def test_what_lies_outside_must_be_air() -> None:
    wider = AFFINE.copy()
    wider[:3, 3] -= 2 * AFFINE[:3, 0]
    padded = np.pad(STORED, ((2, 0), (0, 0), (0, 0)), mode="edge")
    assert fault(answer(padded, wider), SCAN)
    padded[:2] = -1024
    assert fault(answer(padded, wider), SCAN) == ""


def test_without_a_place_the_order_and_the_spacing_count() -> None:
    scan = replace(SCAN, anywhere=True)
    assert fault(answer(affine=moved(100, 0, 0)), scan) == ""
    assert fault(answer(STORED[:, :, [0, 2, 1, 3, 4]]), scan)
    stretched = AFFINE.copy()
    stretched[:3, 2] *= 1.5
    assert "mm" in fault(answer(affine=stretched), scan)

"""What the search for organs sees of a CT: blocks, what was measured, body, couch, air inside."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hirescam.organs.body import find_body
from napari_hirescam.organs.work_grid import make_work_grid
from napari_hirescam.volume import Volume, scaling


def no_end() -> None:
    """Nobody asks for an end."""


def trunk() -> np.ndarray:
    """A body with one lung in it, before a couch of thin shell and foam, 3 mm voxels."""
    hu = np.full((12, 80, 80), -1000, np.int16)
    hu[:, 15:50, 10:70] = 40
    hu[:, 22:42, 18:34] = -850
    hu[:, 54:68, 5:75] = 0
    hu[:, 55:67, 6:74] = -900
    hu[0, 0, 0] = -1020
    return hu


def test_a_block_is_the_mean_of_its_voxels():
    voxels = np.arange(4 * 6 * 8, dtype=np.int16).reshape(4, 6, 8)
    grid = make_work_grid(Volume(voxels, scaling((1.3, 1.2, 2.4))), no_end)
    assert grid.step == (2, 2, 1)
    assert grid.hu[1, 2, 3] == voxels[2:4, 4:6, 3].mean()
    assert grid.spacing_mm == pytest.approx((2.6, 2.4, 2.4))


@pytest.mark.parametrize("how", ["invalid", "nan", "padding", "lowest"])
def test_what_was_not_measured_is_void_and_air(how: str) -> None:
    voxels = trunk().astype(np.float32)
    invalid = np.zeros(voxels.shape, bool)
    there = np.s_[:, :10, :10]
    if how == "invalid":
        invalid[there] = True
        voxels[there] = 40
    else:
        voxels[there] = {"nan": np.nan, "padding": -2000, "lowest": -1024}[how]
    grid = make_work_grid(Volume(voxels, scaling((3, 3, 3)), invalid=invalid), no_end)
    assert grid.void[there].all()
    assert not grid.void[:, 15:50, 10:70].any()
    assert (grid.hu[there] == -1024).all()


def test_air_inside_is_the_lung_and_not_the_foam_of_the_couch() -> None:
    grid = make_work_grid(Volume(trunk(), scaling((3, 3, 3))), no_end)
    body = find_body(grid, no_end)
    lung = np.zeros(body.air.shape, bool)
    lung[:, 22:42, 18:34] = True
    assert np.array_equal(body.air, lung)
    assert not body.mask[:, 52:].any()
    assert body.mask[:, 15:50, 10:70].all()
    assert not body.cut.any()

"""How much attention lies inside a region, and what chance would give."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_hirescam.evaluation import chance_share, covered_fraction, share_inside
from napari_hirescam.volume import Grid, scaling, translation


def grid(shape: tuple[int, int, int], spacing: float, first: float = 0.0) -> Grid:
    return Grid(shape, translation([first] * 3) @ scaling([spacing] * 3))


class TestCoveredFraction:
    def test_a_cell_on_a_voxel_is_covered_or_not(self) -> None:
        mask = np.zeros((3, 3, 3), dtype=bool)
        mask[1, 2, 0] = True
        same = grid((3, 3, 3), 2.0)
        assert np.array_equal(covered_fraction(mask, same.affine, same), mask.astype(float))

    def test_a_large_cell_holds_the_mean_of_its_voxels(self) -> None:
        mask = np.random.Generator(np.random.PCG64(1)).random((4, 6, 8)) > 0.5
        fine = grid((4, 6, 8), 1.0)
        cells = grid((2, 3, 4), 2.0, first=0.5)  # the first cell's middle is between two voxels
        blocks = mask.reshape(2, 2, 3, 2, 4, 2).mean(axis=(1, 3, 5))
        assert covered_fraction(mask, fine.affine, cells) == pytest.approx(blocks)

    def test_a_cell_shifted_by_half_a_voxel_takes_half_of_it(self) -> None:
        mask = np.zeros((4, 4, 4), dtype=bool)
        mask[1] = True
        cells = Grid((4, 4, 4), translation((0.5, 0, 0)))
        fraction = covered_fraction(mask, np.eye(4), cells)
        assert fraction[:, 0, 0] == pytest.approx([0.5, 0.5, 0, 0])

    def test_beyond_the_volume_nothing_is_covered(self) -> None:
        mask = np.ones((2, 2, 2), dtype=bool)
        cells = Grid((3, 2, 2), scaling((2.0, 1.0, 1.0)) @ translation((-0.5, 0, 0)))
        # Boxes from -2 to 0, 0 to 2 and 2 to 4 mm, and the mask from -0.5 to 1.5 mm.
        fraction = covered_fraction(mask, np.eye(4), cells)
        assert fraction[:, 1, 1] == pytest.approx([0.25, 0.75, 0.0])

    @given(
        spacing=st.floats(0.7, 5.0),
        first=st.floats(-3.0, 3.0),
        seed=st.integers(0, 1000),
    )
    def test_cells_that_enclose_the_volume_keep_the_mask_s_volume(
        self, spacing: float, first: float, seed: int
    ) -> None:
        mask = np.random.Generator(np.random.PCG64(seed)).random((5, 4, 6)) > 0.6
        n = math.ceil(20 / spacing)
        cells = grid((n, n, n), spacing, first=first - 6)
        fraction = covered_fraction(mask, np.eye(4), cells)
        assert fraction.sum() * spacing**3 == pytest.approx(mask.sum(), rel=1e-9)
        assert fraction.min() >= 0
        assert fraction.max() <= 1

    def test_turned_grids_are_refused(self) -> None:
        turned = Grid((2, 2, 2), np.diag([1.0, -1.0, 1.0, 1.0]))
        with pytest.raises(ValueError, match="axes run along"):
            covered_fraction(np.ones((2, 2, 2), dtype=bool), np.eye(4), turned)


class TestShareInside:
    def test_counts_positive_values_only(self) -> None:
        values = np.array([[[3.0, 1.0, -8.0]]])
        inside = np.array([[[1.0, 0.0, 1.0]]])
        assert share_inside(values, inside) == pytest.approx(0.75)

    def test_a_cell_half_inside_counts_half(self) -> None:
        assert share_inside(np.array([[[2.0, 2.0]]]), np.array([[[0.5, 0.0]]])) == 0.25

    def test_is_not_a_number_without_positive_attention(self) -> None:
        assert math.isnan(share_inside(-np.ones((2, 2, 2)), np.ones((2, 2, 2))))

    def test_does_not_depend_on_the_map_s_scale(self) -> None:
        rng = np.random.Generator(np.random.PCG64(3))
        values, inside = rng.normal(size=(3, 4, 5)), rng.random((3, 4, 5))
        assert share_inside(7.5 * values, inside) == pytest.approx(share_inside(values, inside))

    def test_refuses_other_shapes(self) -> None:
        with pytest.raises(ValueError, match=r"\(1, 1, 2\)"):
            share_inside(np.ones((1, 1, 2)), np.ones((2, 1, 1)))


class TestChance:
    def test_is_the_share_of_an_even_map(self) -> None:
        inside = np.random.Generator(np.random.PCG64(4)).random((3, 4, 5))
        assert chance_share(inside) == pytest.approx(share_inside(np.ones((3, 4, 5)), inside))

    def test_among_the_body_is_the_share_of_a_map_even_in_the_body(self) -> None:
        rng = np.random.Generator(np.random.PCG64(5))
        body = rng.random((3, 4, 5))
        inside = rng.random((3, 4, 5))
        even = (body >= 0.5).astype(float)
        assert chance_share(inside, body) == pytest.approx(share_inside(even, inside))

    def test_is_not_a_number_without_a_body(self) -> None:
        assert math.isnan(chance_share(np.ones((2, 2, 2)), np.zeros((2, 2, 2))))

    def test_refuses_other_shapes(self) -> None:
        with pytest.raises(ValueError, match="cells"):
            chance_share(np.ones((1, 1, 2)), np.ones((2, 1, 1)))

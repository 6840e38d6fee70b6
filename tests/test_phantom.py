"""The chest phantom: a believable CT whose truth is known."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from scipy import ndimage

from napari_hirescam.phantom import EXTENT_MM, FINDING_ORGAN, Phantom, make_phantom
from napari_hirescam.phantom.canvas import Canvas, Pose

COARSE = (5.0, 3.2, 3.2)


def coarse(seed: int, findings: list[str] | None) -> Phantom:
    return make_phantom(seed, findings, spacing_mm=COARSE)


@pytest.fixture(scope="module")
def healthy() -> Phantom:
    return make_phantom(3, [], spacing_mm=(3.0, 2.0, 2.0))


def mean_hu(phantom: Phantom, organ: str) -> float:
    # Away from the surface, where a voxel holds two tissues.
    inside = ndimage.binary_erosion(phantom.organs[organ], iterations=2)
    return float(phantom.volume.voxels[inside].mean())


def middle_mm(phantom: Phantom, organ: str) -> np.ndarray:
    index = np.argwhere(phantom.organs[organ]).mean(axis=0)
    return phantom.volume.grid.to_world(index)


def digest(phantom: Phantom) -> str:
    total = hashlib.sha256(phantom.volume.voxels.tobytes())
    for masks in (phantom.organs, phantom.findings):
        for name in sorted(masks):
            total.update(name.encode() + masks[name].tobytes())
    return total.hexdigest()


class TestVolume:
    def test_covers_a_chest_at_the_asked_spacing(self, healthy: Phantom) -> None:
        assert healthy.volume.spacing_mm == pytest.approx((3.0, 2.0, 2.0))
        size = np.array(healthy.volume.voxels.shape) * healthy.volume.spacing_mm
        assert size == pytest.approx(EXTENT_MM, abs=3)

    def test_middle_of_the_grid_is_the_origin_of_the_world(self, healthy: Phantom) -> None:
        grid = healthy.volume.grid
        assert grid.to_world((np.array(grid.shape) - 1) / 2) == pytest.approx([0, 0, 0])

    def test_holds_hu_as_int16(self, healthy: Phantom) -> None:
        assert healthy.volume.voxels.dtype == np.int16
        assert healthy.volume.voxels.min() >= -1024

    def test_takes_a_shape(self) -> None:
        phantom = make_phantom(1, [], spacing_mm=COARSE, shape=(20, 40, 60))
        assert phantom.volume.voxels.shape == (20, 40, 60)
        assert all(mask.shape == (20, 40, 60) for mask in phantom.organs.values())

    @pytest.mark.parametrize("spacing", [(0.0, 1.0, 1.0), (2.0, -1.0, 1.0)])
    def test_refuses_a_spacing_that_is_not_positive(
        self, spacing: tuple[float, float, float]
    ) -> None:
        with pytest.raises(ValueError, match="positive"):
            make_phantom(1, spacing_mm=spacing)


class TestAnatomy:
    @pytest.mark.parametrize(
        ("organ", "low", "high"),
        [
            ("right_lung", -900, -700),
            ("left_lung", -900, -700),
            ("heart", 30, 200),
            ("aorta", 60, 220),
            ("liver", 40, 120),
            ("spleen", 40, 140),
            ("trachea", -1010, -850),
            ("spine", 80, 450),
        ],
    )
    def test_organs_have_their_tissue_s_hu(
        self, healthy: Phantom, organ: str, low: float, high: float
    ) -> None:
        assert low < mean_hu(healthy, organ) < high

    def test_organs_lie_on_their_side(self, healthy: Phantom) -> None:
        left = {name: middle_mm(healthy, name)[2] for name in healthy.organs}
        assert left["right_lung"] < -30 < 30 < left["left_lung"]
        assert left["liver"] < 0 < left["spleen"]
        assert left["heart"] > 5

    def test_organs_lie_above_and_behind_each_other(self, healthy: Phantom) -> None:
        inferior = {name: middle_mm(healthy, name)[0] for name in healthy.organs}
        posterior = {name: middle_mm(healthy, name)[1] for name in healthy.organs}
        assert inferior["trachea"] < inferior["heart"] < inferior["liver"]
        assert posterior["heart"] < posterior["spine"]

    @pytest.mark.parametrize("seed", range(4))
    def test_lungs_have_an_adult_s_volume(self, seed: int) -> None:
        phantom = coarse(seed, [])
        litres = {
            name: phantom.organs[name].sum() * np.prod(COARSE) / 1e6
            for name in ("right_lung", "left_lung", "heart")
        }
        assert 1.0 < litres["left_lung"] < litres["right_lung"] * 1.1 < 4.5
        assert 0.3 < litres["heart"] < 1.1

    def test_lungs_are_both_lungs_and_heart_is_no_lung(self, healthy: Phantom) -> None:
        organs = healthy.organs
        assert np.array_equal(organs["lungs"], organs["left_lung"] | organs["right_lung"])
        assert not (organs["left_lung"] & organs["right_lung"]).any()
        assert not (organs["lungs"] & organs["heart"]).any()

    def test_everything_lies_in_the_body_and_air_around_it(self, healthy: Phantom) -> None:
        body = healthy.organs["body"]
        for name, mask in healthy.organs.items():
            assert (mask & ~body).sum() <= 0.001 * mask.sum(), name
        # Above the couch, out of reach of the skin.
        outside = ~ndimage.binary_dilation(body, iterations=3)
        front = outside[:, : outside.shape[1] // 3]
        assert healthy.volume.voxels[:, : outside.shape[1] // 3][front].mean() < -980


class TestFindings:
    @pytest.mark.parametrize("name", FINDING_ORGAN)
    @pytest.mark.parametrize("seed", [11, 12])
    def test_lies_in_its_organ(self, name: str, seed: int) -> None:
        phantom = coarse(seed, [name])
        assert list(phantom.findings) == [name]
        assert phantom.findings[name].any()
        assert not (phantom.findings[name] & ~phantom.organs[FINDING_ORGAN[name]]).any()

    def test_none_wanted_none_there(self) -> None:
        assert coarse(5, []).findings == {}

    def test_drawn_at_random_each_comes_and_stays_away(self) -> None:
        drawn = [set(make_phantom(s, spacing_mm=(10, 8, 8)).findings) for s in range(60)]
        for name in FINDING_ORGAN:
            assert 5 < sum(name in found for found in drawn) < 40

    def test_unknown_finding_is_named(self) -> None:
        with pytest.raises(ValueError, match="unknown findings: fracture; known are: nodule"):
            make_phantom(1, ["fracture"])

    @pytest.mark.parametrize("name", ["nodule", "mass", "consolidation", "pleural_effusion"])
    def test_a_lung_finding_is_denser_than_the_lung(self, name: str) -> None:
        phantom = make_phantom(21, [name], spacing_mm=(2.5, 2, 2))
        mask = phantom.findings[name]
        lung = phantom.organs["lungs"] & ~mask
        gain = np.median(phantom.volume.voxels[mask]) - np.median(phantom.volume.voxels[lung])
        assert gain > 500

    def test_pneumothorax_is_air_in_front(self) -> None:
        phantom = coarse(22, ["pneumothorax"])
        mask = phantom.findings["pneumothorax"]
        assert np.median(phantom.volume.voxels[mask]) < -950
        lung_rows = np.argwhere(phantom.organs["lungs"])[:, 1]
        assert np.argwhere(mask)[:, 1].mean() < lung_rows.mean()

    def test_pleural_effusion_is_water_at_the_back(self) -> None:
        phantom = make_phantom(23, ["pleural_effusion"], spacing_mm=(2.5, 2, 2))
        mask = phantom.findings["pleural_effusion"]
        assert -15 < np.median(phantom.volume.voxels[mask]) < 40
        assert np.argwhere(mask)[:, 1].mean() > np.argwhere(phantom.organs["lungs"])[:, 1].mean()

    def test_calcification_is_brighter_than_blood(self) -> None:
        plain = coarse(24, []).volume.voxels.astype(int)
        phantom = coarse(24, ["coronary_calcification"])
        mask = phantom.findings["coronary_calcification"]
        assert (phantom.volume.voxels - plain)[mask].mean() > 100

    @pytest.mark.parametrize("seed", range(30, 34))
    def test_cardiomegaly_is_a_larger_heart(self, seed: int) -> None:
        usual = coarse(seed, []).organs["heart"].sum()
        phantom = coarse(seed, ["cardiomegaly"])
        assert phantom.organs["heart"].sum() > 1.3 * usual
        assert np.array_equal(phantom.findings["cardiomegaly"], phantom.organs["heart"])


class TestDeterminism:
    def test_same_arguments_give_the_same_bytes(self) -> None:
        assert digest(coarse(41, None)) == digest(coarse(41, None))

    def test_seeds_are_different_patients(self) -> None:
        assert digest(coarse(41, [])) != digest(coarse(42, []))

    def test_order_and_type_of_the_findings_do_not_matter(self) -> None:
        one = make_phantom(41, ["mass", "nodule"], spacing_mm=COARSE)
        other = make_phantom(41, {"nodule", "mass"}, spacing_mm=COARSE)
        assert digest(one) == digest(other)

    def test_a_finding_leaves_the_rest_of_the_patient_alone(self) -> None:
        plain, phantom = coarse(43, []), coarse(43, ["mass"])
        # 25 mm cover the spicules and the scanner's blur.
        near = ndimage.binary_dilation(phantom.findings["mass"], iterations=8)
        change = phantom.volume.voxels.astype(int) - plain.volume.voxels
        assert np.abs(change[~near]).max() <= 1
        assert np.abs(change[phantom.findings["mass"]]).mean() > 300
        for name, mask in plain.organs.items():
            assert np.array_equal(mask, phantom.organs[name]), name


class TestCanvas:
    def canvas(self, spacing: float, turn: float = 0.2) -> Canvas:
        n = round(80 / spacing)
        return Canvas((n, n, n), (spacing,) * 3, Pose((1.0, 1.0, 1.0), turn, (1.0, -2.0, 3.0)))

    def test_coordinates_and_index_are_inverse(self) -> None:
        canvas = self.canvas(4.0)
        at = (3, 11, 7)
        point = [canvas.z[at[0], 0, 0], canvas.y[0, at[1], at[2]], canvas.x[0, at[1], at[2]]]
        assert canvas.index(point) == pytest.approx(at, abs=1e-4)

    @pytest.mark.parametrize("spacing", [1.0, 2.0])
    def test_a_painted_ellipsoid_has_its_volume(self, spacing: float) -> None:
        canvas = self.canvas(spacing)
        _, depth = canvas.ellipsoid((0, 0, 0), (20, 14, 10))
        volume = canvas.coverage(depth).sum() * spacing**3
        assert volume == pytest.approx(4 / 3 * np.pi * 20 * 14 * 10, rel=0.02)

    def test_a_tube_has_its_radius(self) -> None:
        canvas = self.canvas(1.0)
        path = np.array([(-15.0, 0, 0), (0, 0, 0), (15, 0, 0)])
        _, depth = canvas.tube(path, 8.0)
        volume = canvas.coverage(depth).sum()
        expected = np.pi * 64 * 30 + 4 / 3 * np.pi * 512  # with round ends
        assert volume == pytest.approx(expected, rel=0.02)

    @pytest.mark.parametrize("radius", [0.4, 1.0])
    def test_a_tube_thinner_than_a_voxel_keeps_its_volume(self, radius: float) -> None:
        canvas = self.canvas(2.0)
        cover = canvas.thin_tubes(
            np.array([(-12.0, -3, 2)]), np.array([(14.0, 6, 5)]), np.array([radius])
        )
        length = np.sqrt(26**2 + 9**2 + 3**2)
        assert cover.sum() * 8 == pytest.approx(np.pi * radius**2 * length, rel=0.01)

    def test_bending_moves_picture_and_masks_alike(self) -> None:
        canvas = self.canvas(2.0)
        canvas.hu[:, 10] = 500
        mask = canvas.hu == 500
        canvas.bend(np.linspace(-6, 6, 40), [mask])
        assert canvas.hu[0].argmax(axis=0)[0] == 7 == mask[0].argmax(axis=0)[0]
        assert canvas.hu[-1].argmax(axis=0)[0] == 13 == mask[-1].argmax(axis=0)[0]

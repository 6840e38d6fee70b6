"""PARTITION on phantoms, whose organs are known: what is found, what is doubted, what refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import nibabel as nib
import numpy as np
import pytest
from test_io_orientations import ALL_48

from napari_hirescam import io
from napari_hirescam.errors import Cancelled, OrganError
from napari_hirescam.organs import OrganMap, find_organs
from napari_hirescam.phantom import Phantom, make_phantom
from napari_hirescam.volume import Quantity, Volume, scaling, translation

SPACING = (4.0, 3.2, 3.2)
RIGHT, HEART, LEFT = 1, 2, 3
SIDES = {"right_lung": RIGHT, "left_lung": LEFT}


@cache
def phantom(seed: int = 3, *findings: str) -> Phantom:
    return make_phantom(seed, findings, spacing_mm=SPACING)


@cache
def found(seed: int = 3, *findings: str) -> OrganMap:
    return find_organs(phantom(seed, *findings).volume)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def changed(volume: Volume, change: Callable[[np.ndarray], object]) -> Volume:
    voxels = volume.voxels.copy()
    change(voxels)
    return replace(volume, voxels=voxels)


def part(volume: Volume, *box: slice) -> Volume:
    start = [span.start or 0 for span in box]
    return Volume(volume.voxels[box], volume.affine @ translation(start), volume.name)


class TestLungs:
    @pytest.mark.parametrize("seed", [1, 2, 3])
    @pytest.mark.parametrize("side", SIDES)
    def test_a_healthy_lung_is_found_to_its_border(self, seed: int, side: str) -> None:
        assert dice(found(seed).mask([side]), phantom(seed).organs[side]) > 0.97

    @pytest.mark.parametrize(
        ("seed", "finding"), [(1, "pleural_effusion"), (4, "consolidation"), (1, "pneumothorax")]
    )
    def test_a_sick_lung_is_found_with_its_disease(self, seed: int, finding: str) -> None:
        sick = phantom(seed, finding)
        for side in SIDES:
            assert dice(found(seed, finding).mask([side]), sick.organs[side]) > 0.93

    def test_fluid_along_the_ribs_is_taken_in_and_doubted(self) -> None:
        fluid = phantom(1, "pleural_effusion").findings["pleural_effusion"]
        taken = found(1, "pleural_effusion")
        assert (taken.mask(["lungs"]) & fluid).sum() > 0.6 * fluid.sum()
        assert any("layer without air" in doubt for doubt in taken.doubts)
        assert not any("layer without air" in doubt for doubt in found(1).doubts)

    def test_windpipe_and_stomach_gas_are_no_lung(self) -> None:
        truth, lungs = phantom().organs, found().mask(["lungs"])
        windpipe = truth["trachea"] & ~truth["lungs"]
        assert (lungs & windpipe).sum() < 0.05 * windpipe.sum()
        gas = (phantom().volume.voxels < -900) & truth["body"] & ~truth["lungs"] & ~windpipe
        assert gas.sum() > 100
        assert (lungs & gas).sum() < 0.01 * gas.sum()

    def test_gas_under_the_skin_is_no_lung(self) -> None:
        body = phantom().organs["body"]
        rows = np.flatnonzero(body[40].any(axis=1))
        middle = body.shape[2] // 2

        def inflate(voxels: np.ndarray) -> None:
            # Between skin and ribs at the back, off the spine, 100 x 6 x 50 mm.
            voxels[20:45, rows[-1] - 3 : rows[-1] - 1, middle + 9 : middle + 25] = -800

        emphysema = changed(phantom().volume, inflate)
        assert np.array_equal(find_organs(emphysema).labels, found().labels)

    def test_the_heart_region_holds_the_heart_and_lies_between_the_lungs(self) -> None:
        for seed in (1, 2, 3):
            heart = phantom(seed).organs["heart"]
            region = found(seed).mask(["heart"])
            assert (region & heart).sum() > 0.9 * heart.sum()
            assert not (region & found(seed).mask(["lungs"])).any()
            assert not (region & ~phantom(seed).organs["body"]).sum() > 0.01 * region.sum()

    def test_the_heart_region_is_the_box_of_the_paper(self) -> None:
        labels = found().labels
        lungs = np.argwhere((labels == RIGHT) | (labels == LEFT))
        low, high = lungs.min(axis=0), lungs.max(axis=0) + 1
        width = high[2] - low[2]
        heart = np.argwhere(labels == HEART)
        assert heart.min(axis=0)[2] == low[2] + width // 4
        assert heart.max(axis=0)[2] + 1 == high[2] - int(width / 8)
        assert (heart.min(axis=0)[:2] == low[:2]).all()
        assert (heart.max(axis=0)[:2] + 1 == high[:2]).all()


class TestResult:
    def test_lies_on_the_ct_and_names_the_paper_s_organs(self) -> None:
        organs, ct = found(), phantom().volume
        assert organs.grid.same_place_as(ct.grid)
        assert organs.labels.dtype == np.uint8
        assert organs.origin == "PARTITION"
        assert organs.values["lungs"] == (RIGHT, LEFT)
        for name in ("heart", "mediastinum", "great_vessel"):
            assert organs.values[name] == (HEART,)

    def test_a_healthy_whole_chest_raises_no_doubt(self) -> None:
        assert [found(seed).doubts for seed in (1, 2, 3)] == [(), (), ()]

    def test_the_ct_is_left_as_it_was(self) -> None:
        volume = phantom().volume
        before = volume.voxels.copy()
        volume.voxels.setflags(write=False)
        try:
            find_organs(volume)
        finally:
            volume.voxels.setflags(write=True)
        assert np.array_equal(volume.voxels, before)

    def test_tells_how_far_it_is(self) -> None:
        told: list[tuple[int, int]] = []
        find_organs(phantom().volume, progress=lambda done, total: told.append((done, total)))
        assert told == [(k, told[-1][1]) for k in range(len(told))]
        assert told[-1][0] == told[-1][1]

    @pytest.mark.parametrize("share", [0.3, 0.99])
    def test_ends_when_asked_wherever_it_is(self, share: float) -> None:
        asked = 0

        def count() -> bool:
            nonlocal asked
            asked += 1
            return False

        find_organs(phantom().volume, should_stop=count)
        left = int(share * asked)

        def stop() -> bool:
            nonlocal left
            left -= 1
            return left < 0

        with pytest.raises(Cancelled):
            find_organs(phantom().volume, should_stop=stop)


class TestGrids:
    # Each order of axes, each sign of each; that all 48 are read alike is tested where they are.
    @pytest.mark.parametrize(("order", "signs"), ALL_48[::9])
    def test_no_orientation_of_the_file_swaps_the_sides(self, tmp_path, order, signs) -> None:
        volume = make_coarse().volume
        stored = np.transpose(volume.voxels, order)
        stored = stored[tuple(slice(None, None, sign) for sign in signs)]
        # Index of the stored array -> index of ours -> (I, P, L) mm -> (R, A, S) mm.
        to_ours = np.zeros((4, 4))
        to_ours[3, 3] = 1
        for axis, (ours, sign) in enumerate(zip(order, signs, strict=True)):
            to_ours[ours, axis] = sign
            to_ours[ours, 3] = 0 if sign > 0 else stored.shape[axis] - 1
        to_ras = np.zeros((4, 4))
        to_ras[[0, 1, 2, 3], [2, 1, 0, 3]] = -1, -1, -1, 1
        image = nib.Nifti1Image(stored, to_ras @ volume.affine @ to_ours)
        image.to_filename(tmp_path / "ct.nii")

        organs = find_organs(io.read_volume(tmp_path / "ct.nii"))

        for side, value in SIDES.items():
            middle_mm = volume.grid.to_world(np.argwhere(make_coarse().organs[side]).mean(axis=0))
            index = np.rint(organs.grid.to_index(middle_mm)).astype(int)
            assert organs.labels[tuple(index)] == value

    @pytest.mark.parametrize("spacing", [(10.0, 3.5, 3.5), (3.0, 6.0, 6.0)])
    def test_any_spacing_will_do(self, spacing: tuple[float, float, float]) -> None:
        other = make_phantom(3, [], spacing_mm=spacing)
        for side in SIDES:
            assert dice(find_organs(other.volume).mask([side]), other.organs[side]) > 0.95

    def test_voxels_of_half_a_millimetre_give_the_same_regions(self) -> None:
        volume = phantom().volume
        fine = np.repeat(np.repeat(np.repeat(volume.voxels[20:40], 8, 0), 6, axis=1), 6, axis=2)
        coarse = find_organs(part(volume, slice(20, 40))).labels
        labels = find_organs(Volume(fine, scaling((0.5, 3.2 / 6, 3.2 / 6)), "fine")).labels
        assert dice(labels[4::8, 3::6, 3::6] == LEFT, coarse == LEFT) > 0.98

    @pytest.mark.parametrize("n", [1, 2, 3])
    def test_a_few_slices_are_enough_and_doubted(self, n: int) -> None:
        few = slice(30, 30 + n)
        organs = find_organs(part(phantom().volume, few))
        for side in SIDES:
            assert dice(organs.mask([side]), phantom().organs[side][few]) > 0.93
        assert any("slice" in doubt and "only" in doubt for doubt in organs.doubts)

    def test_twelve_thick_slices_are_enough_and_doubted(self) -> None:
        slices = slice(2, 72, 6)
        thick = Volume(phantom().volume.voxels[slices], scaling((24, 3.2, 3.2)), "thick")
        organs = find_organs(thick)
        for side in SIDES:
            assert dice(organs.mask([side]), phantom().organs[side][slices]) > 0.95
        assert "slices are 24 mm apart" in organs.doubts

    def test_a_patient_beside_the_image_s_middle_is_split_by_the_body(self) -> None:
        volume = phantom().volume
        wide = np.pad(volume.voxels, ((0, 0), (0, 0), (45, 0)), constant_values=-1000)
        labels = find_organs(replace(volume, voxels=wide)).labels
        assert np.array_equal(labels[:, :, 45:], found().labels)


class TestPartsOfAChest:
    def test_a_scan_that_begins_within_the_lungs_is_doubted(self) -> None:
        organs = find_organs(part(phantom().volume, slice(30, None)))
        assert any("begins below the tops of the lungs" in doubt for doubt in organs.doubts)
        assert dice(organs.mask(["lungs"]), phantom().organs["lungs"][30:]) > 0.95

    def test_a_scan_that_ends_within_the_lungs_is_doubted(self) -> None:
        organs = find_organs(part(phantom().volume, slice(0, 40)))
        assert any("ends above the bases of the lungs" in doubt for doubt in organs.doubts)
        assert dice(organs.mask(["lungs"]), phantom().organs["lungs"][:40]) > 0.95

    def test_lungs_cut_by_the_sides_of_the_image_are_found_and_doubted(self) -> None:
        box = (slice(None), slice(None), slice(24, -24))
        assert phantom().organs["right_lung"][:, :, 24].any()
        organs = find_organs(part(phantom().volume, *box))
        assert any("field of view" in doubt for doubt in organs.doubts)
        for side in SIDES:
            assert dice(organs.mask([side]), phantom().organs[side][box]) > 0.93

    @pytest.mark.parametrize("side", SIDES)
    def test_one_half_of_a_chest_holds_one_lung(self, side: str) -> None:
        middle = phantom().volume.voxels.shape[2] // 2
        # 25 mm over the middle, so that the spine is in it.
        columns = slice(0, middle + 8) if side == "right_lung" else slice(middle - 8, None)
        organs = find_organs(part(phantom().volume, slice(None), slice(None), columns))
        truth = phantom().organs[side][:, :, columns]
        assert dice(organs.labels == SIDES[side], truth) > 0.9
        assert any("lung" in doubt for doubt in organs.doubts)

    @pytest.mark.parametrize(("seed", "side"), [(3, "right_lung"), (5, "left_lung")])
    def test_a_lung_without_the_spine_is_told_by_the_skin_beside_it(self, seed, side) -> None:
        """25 mm off the middle: a rib is the largest bone, a bronchus the widest tube."""
        volume, truth = phantom(seed).volume, phantom(seed).organs[side]
        middle = volume.voxels.shape[2] // 2
        columns = slice(0, middle - 8) if side == "right_lung" else slice(middle + 8, None)
        organs = find_organs(part(volume, slice(None), slice(None), columns))
        assert dice(organs.labels == SIDES[side], truth[:, :, columns]) > 0.9
        other = LEFT if SIDES[side] == RIGHT else RIGHT
        assert not (organs.labels == other).any()
        assert any("field of view" in doubt for doubt in organs.doubts)

    def test_a_lung_alone_is_given_no_side_where_nothing_tells_it(self) -> None:
        middle = phantom().volume.voxels.shape[2] // 2
        inside = part(phantom().volume, slice(None), slice(None), slice(middle + 8, -14))
        with pytest.raises(OrganError, match="tells right from left"):
            find_organs(inside)

    @pytest.mark.parametrize("missing", SIDES)
    def test_a_missing_lung_is_said_and_the_other_keeps_its_side(self, missing: str) -> None:
        (other,) = set(SIDES) - {missing}
        truth = phantom().organs
        filled = changed(phantom().volume, lambda hu: hu.__setitem__(truth[missing], 30))
        organs = find_organs(filled)
        assert dice(organs.labels == SIDES[other], truth[other]) > 0.95
        assert not (organs.labels == SIDES[missing]).any()
        assert f"no {missing.replace('_', ' ')} was found" in organs.doubts
        heart = truth["heart"]
        assert (organs.mask(["heart"]) & heart).sum() > 0.9 * heart.sum()

    def test_lungs_that_touch_in_front_are_parted(self) -> None:
        truth = phantom().organs

        def join(voxels: np.ndarray) -> None:
            # The anterior junction line gone: 80 mm high, from behind the breastbone to the heart.
            for k in range(20, 40):
                right, left = truth["right_lung"][k], truth["left_lung"][k]
                rows = np.flatnonzero(right.any(axis=1) & left.any(axis=1))[2:6]
                for row in rows:
                    between = slice(np.flatnonzero(right[row])[-1], np.flatnonzero(left[row])[0])
                    voxels[k, row, between] = -840

        joined = changed(phantom().volume, join)
        assert (joined.voxels != phantom().volume.voxels).sum() > 60
        organs = find_organs(joined)
        for side in SIDES:
            assert dice(organs.mask([side]), truth[side]) > 0.96


class TestTurned:
    """A file may be wrong about its axes. What the patient himself shows of it is said."""

    @pytest.mark.parametrize(
        ("seed", "axes", "in_front", "below"),
        [
            # Turned by a half about the body's axis (prone, stored as supine), or mirrored.
            (1, (1, 2), True, False),
            (3, (1,), True, False),
            (1, (0, 1), True, True),
            (3, (0, 2), False, True),
            (1, (0,), False, True),
        ],
    )
    def test_a_spine_in_front_and_a_windpipe_below_are_doubted(
        self, seed: int, axes: tuple[int, ...], in_front: bool, below: bool
    ) -> None:
        turned = np.flip(phantom(seed).volume.voxels, axes).copy()
        doubts = find_organs(replace(phantom(seed).volume, voxels=turned)).doubts
        assert all("right and left may be swapped" in doubt for doubt in doubts)
        assert any("spine seems to lie in front" in doubt for doubt in doubts) == in_front
        assert any("upside down" in doubt for doubt in doubts) == below

    def test_contrast_medium_in_the_heart_is_no_spine(self) -> None:
        heart = phantom().organs["heart"]
        enhanced = changed(phantom().volume, lambda hu: hu.__setitem__(heart, 350))
        assert not any("spine" in doubt for doubt in find_organs(enhanced).doubts)


class TestWhatWasNotMeasured:
    def circle(self, volume: Volume) -> np.ndarray:
        _, rows, columns = volume.voxels.shape
        y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
        return np.broadcast_to(np.hypot(y * 0.8, x) > 0.98, volume.voxels.shape)

    @pytest.mark.parametrize("padding", [-2000, -3024, -1024])
    def test_padding_around_a_round_field_of_view_is_no_air(self, padding: int) -> None:
        outside = self.circle(phantom().volume)
        padded = changed(phantom().volume, lambda hu: hu.__setitem__(outside, padding))
        assert dice(find_organs(padded).labels > 0, found().labels > 0) > 0.99

    def test_nan_and_invalid_voxels_are_no_tissue(self) -> None:
        volume = phantom().volume
        outside = self.circle(volume)
        holes = np.where(outside, np.nan, volume.voxels.astype(np.float32))
        marked = changed(volume, lambda hu: hu.__setitem__(outside, 40))
        for odd in (replace(volume, voxels=holes), replace(marked, invalid=outside.copy())):
            assert dice(find_organs(odd).labels > 0, found().labels > 0) > 0.99

    def test_a_slice_that_was_put_in_is_bridged(self) -> None:
        volume = phantom().volume
        invalid = np.zeros(volume.voxels.shape, bool)
        invalid[33] = True
        blank = changed(volume, lambda hu: hu.__setitem__(33, 0))
        labels = find_organs(replace(blank, invalid=invalid)).labels
        assert dice(labels[32] == LEFT, found().labels[32] == LEFT) > 0.98
        assert dice(labels[34] == LEFT, found().labels[34] == LEFT) > 0.98
        assert dice(labels[33] == LEFT, found().labels[33] == LEFT) > 0.85


def head() -> Volume:
    """A skull with brain, sinuses and mastoid cells in it, 1.5 x 2 x 2 mm."""
    z, y, x = np.mgrid[-80:100:2.5, -120:120:2.0, -100:100:2.0]
    away = np.sqrt((z / 85) ** 2 + (y / 95) ** 2 + (x / 75) ** 2)
    hu = np.where(away < 1, 30, -1000)
    hu[(away > 0.87) & (away < 0.96)] = 900
    for where, radii, value in (
        ((25, -70, 0), (14, 14, 22), -1000),
        ((35, 40, 60), (16, 12, 10), -550),
        ((35, 40, -60), (16, 12, 10), -550),
    ):
        inside = sum(((c - o) / r) ** 2 for c, o, r in zip((z, y, x), where, radii, strict=True))
        hu[inside < 1] = value
    noise = np.random.default_rng(0).normal(0, 8, hu.shape)
    return Volume((hu + noise).astype(np.int16), scaling((2.5, 2.0, 2.0)), "head")


def abdomen() -> Volume:
    lungs = np.flatnonzero(phantom().organs["lungs"].any(axis=(1, 2)))
    return part(phantom().volume, slice(int(lungs[-1]) + 1, None))


def block_of_liver() -> Volume:
    middle = np.argwhere(phantom().organs["liver"]).mean(axis=0).astype(int)
    return part(phantom().volume, *(slice(k - 8, k + 8) for k in middle))


REFUSED = {
    "a head": (head, "no lung"),
    "an abdomen": (abdomen, "no lung"),
    "a block of tissue": (block_of_liver, "as dark as air"),
    "air": (lambda: changed(phantom().volume, lambda hu: hu.fill(-1000)), "nothing but air"),
    "nothing": (
        lambda: replace(phantom().volume, voxels=np.full((9, 9, 9), np.nan, np.float32)),
        "nothing but air or padding",
    ),
    "a mask": (lambda: replace(phantom().volume, quantity=Quantity.LABELS), "Hounsfield"),
    "numbers of unknown kind": (
        lambda: replace(phantom().volume, quantity=Quantity.UNKNOWN),
        "Hounsfield",
    ),
}


class TestRefusals:
    @pytest.mark.parametrize("what", REFUSED)
    def test_what_is_no_chest_ct_is_refused_or_stood_in_for_when_agreed_to(self, what) -> None:
        make, reason = REFUSED[what]
        volume = make()
        with pytest.raises(OrganError, match=reason) as refusal:
            find_organs(volume)
        assert "rough" in refusal.value.remedy

        organs = find_organs(volume, rough=True)
        assert organs.origin == "rough regions"
        assert organs.grid.same_place_as(volume.grid)
        assert refusal.value.reason in organs.doubts[0]

    def test_rough_regions_are_columns_of_the_body_not_of_the_image(self) -> None:
        voxels = np.full((10, 80, 120), -1000, np.int16)
        voxels[:, 20:60, 40:100] = 40
        organs = find_organs(Volume(voxels, scaling((3, 3, 3)), "box"), rough=True)
        for name, columns in {
            "right_lung": (40, 70),
            "left_lung": (70, 100),
            "lungs": (40, 100),
            "heart": (50, 90),
            "mediastinum": (50, 90),
            "great_vessel": (50, 90),
        }.items():
            expected = np.zeros(voxels.shape, bool)
            expected[:, 20:60, slice(*columns)] = True
            assert np.array_equal(organs.mask([name]), expected), name

    def test_rough_is_no_excuse_where_the_lungs_can_be_found(self) -> None:
        organs = find_organs(phantom().volume, rough=True)
        assert organs.origin == "PARTITION"
        assert np.array_equal(organs.labels, found().labels)


@cache
def make_coarse() -> Phantom:
    return make_phantom(3, [], spacing_mm=(7.0, 5.0, 5.0))

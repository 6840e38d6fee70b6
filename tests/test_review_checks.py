"""Automatic checks of masks: each finds its fault on a CT whose every voxel is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_hirescam import io
from napari_hirescam.errors import Cancelled
from napari_hirescam.organs import OrganMap
from napari_hirescam.organs.partition import VALUES as PARTITION_VALUES
from napari_hirescam.phantom import Phantom, make_phantom
from napari_hirescam.review.checks import (
    ALARM,
    CHECKS,
    Scan,
    check_item,
    check_items,
    check_mask,
    survey_scan,
)
from napari_hirescam.review.checks.anatomy import anatomy_of, side_of
from napari_hirescam.review.checks.slices import odd_area
from napari_hirescam.review.checks.subject import block_share
from napari_hirescam.review.item import CheckFinding, Item, MaskFacts
from napari_hirescam.volume import Grid, Quantity, Volume, scaling, translation

MM = np.array([3.0, 2.0, 2.0])
SHAPE = (60, 100, 140)
ORIGIN = np.array([-100.0, 50.0, -139.0])
LIVER_AT = np.array([30, 50, 40])


def ball(centre: np.ndarray, radius_mm: float) -> np.ndarray:
    away = [(np.arange(n) - c) * mm for n, c, mm in zip(SHAPE, centre, MM, strict=True)]
    z, y, x = np.meshgrid(*away, indexing="ij", sparse=True)
    return z**2 + y**2 + x**2 <= radius_mm**2


@cache
def body() -> np.ndarray:
    """A tube of fat that ends well within the field of view."""
    y, x = np.meshgrid((np.arange(100) - 50) * 2.0, (np.arange(140) - 70) * 2.0, indexing="ij")
    return np.broadcast_to((y / 88) ** 2 + (x / 125) ** 2 <= 1, SHAPE)


LIVER = ball(LIVER_AT, 55)


@cache
def scan() -> Scan:
    """A body of fat with a spine, and a ball of liver on the right, away from everything."""
    hu = np.where(body(), -100, -1000).astype(np.int16)
    hu[:, 80:92, 64:76] = 300
    hu[LIVER] = 60
    noise = np.random.default_rng(0).normal(0, 8, SHAPE)
    affine = scaling(MM) @ translation(ORIGIN / MM)
    return survey_scan(Volume((hu + noise).astype(np.int16), affine, "made up"))


def check(mask: np.ndarray, organ: str = "liver", **more: object) -> MaskFacts:
    return check_mask(scan().ct, mask, organ, scan=scan(), **more)  # type: ignore[arg-type]


def alarms(facts: MaskFacts) -> set[str]:
    return {one.check for one in facts.findings if one.severity >= ALARM}


def the(name: str, facts: MaskFacts) -> CheckFinding:
    found = [one for one in facts.findings if one.check == name]
    assert len(found) == 1, facts.findings
    return found[0]


def near(finding: CheckFinding, index: object, within_mm: float = 8.0) -> bool:
    place = np.array(finding.place_mm)
    return bool(np.linalg.norm(place - (ORIGIN + MM * np.asarray(index))) <= within_mm)


class TestFacts:
    def test_a_sound_mask_is_measured_and_left_in_peace(self) -> None:
        facts = check(LIVER)
        assert facts.findings == ()
        assert facts.notes == ()
        assert facts.volume_ml == pytest.approx(LIVER.sum() * 0.012)
        assert facts.surface_cm2 == pytest.approx(4 * np.pi * 5.5**2, rel=0.03)
        assert facts.mean_hu == pytest.approx(60, abs=1)

    def test_the_scan_s_middle_is_found(self) -> None:
        assert scan().middle_mm == pytest.approx(0, abs=3)

    def test_an_empty_mask_is_surely_wrong(self) -> None:
        facts = check(np.zeros(SHAPE, bool))
        assert [(one.check, one.severity) for one in facts.findings] == [("empty", 1.0)]
        assert facts.volume_ml == 0
        assert np.isnan(facts.mean_hu)

    def test_a_mask_of_another_shape_is_the_caller_s_mistake(self) -> None:
        with pytest.raises(ValueError, match="does not lie on"):
            check_mask(scan().ct, np.ones((3, 3, 3), bool), "liver")

    def test_an_unknown_organ_is_not_measured_by_another_s_size_and_says_so(self) -> None:
        facts = check(LIVER, "tumour bed")
        assert facts.findings == ()
        assert any("tumour bed" in note and "not judged" in note for note in facts.notes)

    def test_an_image_that_is_no_ct_is_judged_by_shape_alone_and_says_so(self) -> None:
        mr = replace(scan().ct, quantity=Quantity.UNKNOWN)
        facts = check_mask(mr, LIVER | ball(np.array([10, 50, 100]), 9), "liver")
        assert alarms(facts) == {"pieces"}
        assert any("not in HU" in note for note in facts.notes)

    def test_what_was_not_measured_is_no_density(self) -> None:
        invalid = ball(LIVER_AT, 20)
        voxels = scan().ct.voxels.copy()
        voxels[invalid] = -2000
        ct = replace(scan().ct, voxels=voxels, invalid=invalid)
        assert check_mask(ct, LIVER, "liver").mean_hu == pytest.approx(60, abs=1)

    def test_findings_come_worst_first_and_have_names_and_captions(self) -> None:
        broken = LIVER[:, :, ::-1].copy()
        broken[29:31] = False
        broken |= ball(np.array([30, 8, 70]), 25)
        facts = check(broken)
        severities = [one.severity for one in facts.findings]
        assert len(severities) > 3
        assert severities == sorted(severities, reverse=True)
        assert all(0 <= one <= 1 for one in severities)
        assert {one.check for one in facts.findings} <= set(CHECKS)

    def test_stops_when_asked(self) -> None:
        with pytest.raises(Cancelled):
            check(LIVER, should_stop=lambda: True)
        with pytest.raises(Cancelled):
            survey_scan(scan().ct, should_stop=lambda: True)
        asked = iter([False] * 6)
        with pytest.raises(Cancelled):
            check(LIVER, should_stop=lambda: next(asked, True))


class TestPlace:
    def test_what_lies_outside_the_body_is_counted_and_shown(self) -> None:
        beside = ball(np.array([30, 50, 3]), 12)
        found = the("outside_body", check(LIVER | beside))
        assert near(found, [30, 50, 3], 12)
        outside = (beside & ~body()).sum() * 0.012
        assert float(found.words.split()[0]) == pytest.approx(outside, rel=0.25)

    def test_a_liver_on_the_left_lies_on_the_wrong_side(self) -> None:
        found = the("left_right", check(LIVER[:, :, ::-1]))
        assert found.severity > 0.9
        assert "patient's left" in found.words
        assert found.place_mm is not None
        assert found.place_mm[2] > 20

    @pytest.mark.parametrize(
        ("organ", "side"),
        [("lung_lower_lobe_left", 1), ("Right lung", -1), ("rib_left_7", 1), ("spleen", 1),
         ("liver", -1), ("aorta", 0), ("left ear", 1), ("heart", 1)],
    )  # fmt: skip
    def test_sides_go_by_the_name(self, organ: str, side: int) -> None:
        assert side_of(organ) == side

    def test_an_organ_of_the_middle_lies_near_it(self) -> None:
        tube = np.zeros(SHAPE, bool)
        tube[:, 45:50, 105:110] = True
        found = the("left_right", check(tube, "spinal_cord"))
        assert "to the left" in found.words
        assert float(found.words.split()[3]) == pytest.approx(75, abs=4)

    def test_the_end_of_the_scan_is_a_remark_with_its_area(self) -> None:
        cut = np.zeros(SHAPE, bool)
        cut[:20, 30:70, 20:60] = True
        found = the("border", check(cut, "tumour"))
        assert found.severity < ALARM
        assert "64 cm2 at its upper end" in found.words
        assert near(found, [0, 49.5, 39.5], 3)

    def test_a_shared_voxel_belongs_to_one_organ(self) -> None:
        stomach = ball(LIVER_AT + np.array([0, 0, 28]), 20)
        others = OrganMap.from_masks(
            {"liver": LIVER, "stomach": stomach, "body": body()}, scan().ct.affine, "test"
        )
        found = the("overlap", check(LIVER, others=others))
        shared = (LIVER & stomach).sum() * 0.012
        assert found.words == f"{shared:.0f} mL are marked as stomach too"
        apart = {"liver": LIVER, "stomach": stomach & ~LIVER}
        apart_map = OrganMap.from_masks(apart, scan().ct.affine, "test")
        assert check(LIVER, others=apart_map).findings == ()

    def test_parts_of_an_organ_are_no_other_organ(self) -> None:
        lobe = ball(LIVER_AT, 20)
        others = OrganMap.from_masks(
            {"left_lung": LIVER, "lung_upper_lobe_left": lobe}, scan().ct.affine, "test"
        )
        for organ, mask in (("left_lung", LIVER), ("lung_upper_lobe_left", lobe)):
            assert "overlap" not in alarms(check(mask, organ, others=others))


class TestShape:
    def test_an_island_is_counted_and_shown(self) -> None:
        found = the("pieces", check(LIVER | ball(np.array([12, 40, 100]), 10)))
        assert (
            found.words
            == f"an island of {ball(np.zeros(3) + 30, 10).sum() * 0.012:.1f} mL lies beside it"
        )
        assert near(found, [12, 40, 100], 4)

    def test_two_lungs_are_two_pieces_and_a_third_is_an_island(self) -> None:
        lungs = ball(np.array([30, 50, 40]), 50) | ball(np.array([30, 50, 110]), 50)
        assert "pieces" not in alarms(check(lungs, "lungs"))
        assert "pieces" in alarms(check(lungs | ball(np.array([5, 20, 70]), 9), "lungs"))

    def test_pieces_that_the_scan_cuts_may_hang_together_beyond_it(self) -> None:
        domes = ball(np.array([0, 50, 30]), 40) | ball(np.array([0, 50, 90]), 25)
        assert "pieces" not in alarms(check(domes))
        assert "pieces" in alarms(check(np.roll(domes, 14, axis=0)))

    def test_a_hole_is_counted_and_shown(self) -> None:
        hole = ball(LIVER_AT + np.array([3, -5, 4]), 9)
        found = the("holes", check(LIVER & ~hole))
        assert found.words.startswith(f"a hole of {hole.sum() * 0.012:.1f} mL")
        assert near(found, LIVER_AT + np.array([3, -5, 4]), 4)

    def test_a_notch_is_no_hole(self) -> None:
        notch = ball(LIVER_AT, 9)
        notch[:, 44:56, : LIVER_AT[2]] |= LIVER[:, 44:56, : LIVER_AT[2]]
        assert "holes" not in alarms(check(LIVER & ~notch))

    def test_an_outgrowth_hangs_on_a_thin_neck(self) -> None:
        neck = np.zeros(SHAPE, bool)
        neck[29:32, 49:52, 60:90] = True
        found = the("leak", check(LIVER | neck | ball(np.array([30, 50, 90]), 18)))
        assert "neck" in found.words
        assert near(found, [30, 50, 90])

    def test_what_lies_apart_hangs_on_nothing(self) -> None:
        island = ball(np.array([12, 40, 100]), 18)
        assert "leak" not in alarms(check(LIVER | island))
        domes = ball(np.array([0, 50, 30]), 40) | ball(np.array([0, 50, 90]), 25)
        assert "leak" not in alarms(check(domes))

    def test_a_tube_is_never_as_wide_as_a_lump(self) -> None:
        tube = np.zeros(SHAPE, bool)
        tube[:, 46:54, 66:74] = True
        assert "leak" not in alarms(check(tube, "inferior_vena_cava"))
        found = the("leak", check(tube | ball(np.array([40, 50, 70]), 40), "inferior_vena_cava"))
        assert near(found, [40, 50, 70])

    def test_a_flat_face_within_the_scan_is_a_cut(self) -> None:
        half = LIVER.copy()
        half[30:] = False
        found = the("cut", check(half))
        assert "lower side" in found.words
        assert near(found, [29, 50, 40], 4)

    def test_an_organ_that_is_flat_itself_is_not_cut(self) -> None:
        block = np.zeros(SHAPE, bool)
        block[10:30, 30:70, 20:60] = True
        voxels = scan().ct.voxels.copy()
        voxels[LIVER] = -100
        voxels[block] = 60
        ct = replace(scan().ct, voxels=voxels)
        assert "cut" not in alarms(check_mask(ct, block, "liver"))


class TestSlices:
    def test_a_missing_slice_is_a_gap(self) -> None:
        gap = LIVER.copy()
        gap[24:26] = False
        found = the("gap", check(gap))
        assert found.words.startswith("2 slices in between without it, 6 mm")
        assert near(found, [24.5, 50, 40], 3)
        assert alarms(check(gap)) >= {"gap"}

    def test_a_slanting_rib_with_a_missing_slice_has_a_gap(self) -> None:
        rib = np.zeros(SHAPE, bool)
        for k in range(20):
            rib[20 + k, 40:44, 20 + 3 * k : 25 + 3 * k] = k != 9
        assert "gap" in alarms(check(rib, "rib_left_4"))
        rib[29, 40:44, 47:52] = True
        assert "gap" not in alarms(check(rib, "rib_left_4"))

    def test_two_vessels_one_above_the_other_are_no_gap(self) -> None:
        apart = np.zeros(SHAPE, bool)
        apart[10:15, 30:40, 20:30] = apart[17:22, 30:40, 100:110] = True
        assert "gap" not in alarms(check(apart, "pulmonary_vein"))

    def test_slices_that_jump_to_and_fro_are_jagged(self) -> None:
        jagged = LIVER.copy()
        jagged[::2] = np.roll(LIVER[::2], 3, axis=2)
        assert "jumps from slice to slice" in the("jagged", check(jagged)).words

    def test_a_single_slice_that_jumps_is_shown(self) -> None:
        odd = LIVER.copy()
        odd[33] = np.roll(LIVER[33], 12, axis=1)
        found = the("jagged", check(odd))
        assert "a slice of it jumps" in found.words
        assert found.place_mm is not None
        assert found.place_mm[0] == pytest.approx(ORIGIN[0] + 33 * 3)

    @pytest.mark.parametrize(("slice_mm", "jumps"), [(3.0, True), (8.0, False)])
    def test_between_thick_slices_an_outline_may_turn_back(
        self, slice_mm: float, jumps: bool
    ) -> None:
        """Vertebrae and discs: from slice to slice 2 mm wider and narrower again."""
        spine = np.zeros((12, 60, 60), bool)
        spine[:, 15:45, 15:45] = True
        spine[1::2, 14:46, 15:45] = True
        ct = Volume(np.full(spine.shape, 40, np.int16), scaling((slice_mm, 1, 1)), "made up")
        assert ("jagged" in alarms(check_mask(ct, spine, "some spine"))) is jumps

    def test_odd_area_by_hand(self) -> None:
        mask = np.zeros((3, 10, 10), bool)
        mask[0, :6, :6] = mask[2, :6, :6] = True
        mask[1, 1:7, :6] = True
        odd, change, area = odd_area(mask)
        # Row 6 is the middle slice's alone, row 0 is lacking in it.
        assert (odd.tolist(), change.tolist(), area.tolist()) == ([12], [12], [36])

    @given(st.lists(st.integers(5, 9), min_size=3, max_size=12))
    @settings(max_examples=40, deadline=None)
    def test_slices_that_only_grow_are_never_odd(self, sizes: list[int]) -> None:
        mask = np.zeros((len(sizes), 12, 12), bool)
        for plane, n in zip(mask, sorted(sizes), strict=True):
            plane[:n, :n] = True
        assert not odd_area(mask)[0].any()


class TestDensity:
    def test_too_much_and_too_little(self) -> None:
        assert "too little: adults have 500" in the("volume", check(ball(LIVER_AT, 20))).words
        everything = np.zeros(SHAPE, bool)
        everything[2:-2] = body()[2:-2]
        assert "too much" in the("volume", check(everything, "spleen")).words

    def test_an_organ_that_the_scan_cuts_may_be_small(self) -> None:
        assert "volume" not in alarms(check(ball(np.array([0, 50, 40]), 20)))

    def test_a_mask_of_fat_is_no_liver(self) -> None:
        facts = check(ball(np.array([30, 40, 95]), 35), "spleen")
        assert "mean of -100 HU" in the("mean_hu", facts).words
        assert "100% of it are fat" in the("tissue", facts).words

    def test_a_mask_that_is_drawn_too_wide_follows_no_edge(self) -> None:
        facts = check(ball(LIVER_AT, 63))
        assert "8 mm further inside" in the("edge", facts).words or (
            "6 mm further inside" in the("edge", facts).words
        )
        assert alarms(facts) >= {"edge", "tissue"}

    def test_a_mask_beside_its_organ_follows_no_edge(self) -> None:
        assert "edge" in alarms(check(np.roll(LIVER, (4, -6, 9), (0, 1, 2))))

    def test_noise_does_not_hide_a_sound_edge(self) -> None:
        noise = np.random.default_rng(1).normal(0, 60, SHAPE)
        ct = replace(scan().ct, voxels=(scan().ct.voxels + noise).astype(np.int16))
        assert "edge" not in alarms(check_mask(ct, LIVER, "liver"))


@given(st.tuples(*[st.integers(1, 9)] * 3), st.tuples(*[st.integers(1, 4)] * 3), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_shares_of_blocks_add_up(
    shape: tuple[int, int, int], step: tuple[int, int, int], seed: int
) -> None:
    mask = np.random.default_rng(seed).random(shape) < 0.5
    share = block_share(mask, step)
    assert share.shape == tuple(-(-n // k) for n, k in zip(shape, step, strict=True))
    assert share.sum() * np.prod(step) == pytest.approx(mask.sum(), rel=1e-5)
    first = mask[: step[0], : step[1], : step[2]].sum() / np.prod(step)
    assert share[0, 0, 0] == pytest.approx(first, rel=1e-5)


def test_large_masks_are_checked_on_a_coarse_copy_at_the_same_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("napari_hirescam.review.checks.subject._MANY", 20_000)
    island = ball(np.array([12, 40, 100]), 12)
    facts = check(LIVER | island)
    assert near(the("pieces", facts), [12, 40, 100], 6)
    assert facts.surface_cm2 == pytest.approx(4 * np.pi * (5.5**2 + 1.2**2), rel=0.06)


@cache
def chest() -> Phantom:
    return make_phantom(3, (), spacing_mm=(4.0, 3.2, 3.2))


@cache
def chest_scan() -> Scan:
    return survey_scan(chest().volume, find=True)


def of_chest(mask: np.ndarray, organ: str) -> MaskFacts:
    return check_mask(chest().volume, mask, organ, scan=chest_scan())


class TestChest:
    @pytest.mark.parametrize("organ", ["lungs", "left_lung", "right_lung", "trachea", "aorta"])
    def test_sound_organs_raise_no_alarm(self, organ: str) -> None:
        assert alarms(of_chest(chest().organs[organ], organ)) == set()

    def test_a_lung_with_the_windpipe_leaks_at_the_windpipe(self) -> None:
        windpipe = chest().organs["trachea"]
        facts = of_chest(chest().organs["lungs"] | windpipe, "lungs")
        found = the("leak", facts)
        assert "windpipe" in found.words
        index = np.rint(chest().volume.grid.to_index(found.place_mm)).astype(int)
        assert windpipe[tuple(index)]

    def test_gas_of_the_bowel_is_no_lung(self) -> None:
        truth = chest().organs
        gas = (chest().volume.voxels < -930) & truth["body"] & ~truth["lungs"] & ~truth["trachea"]
        assert gas.sum() * 0.041 > 6
        gas &= np.arange(gas.shape[0])[:, None, None] > gas.shape[0] // 2
        found = the("leak", of_chest(truth["lungs"] | gas, "lungs"))
        assert "of gas that is no lung's" in found.words
        assert gas[tuple(np.rint(chest().volume.grid.to_index(found.place_mm)).astype(int))]

    def test_a_lobe_left_out_is_missed_where_it_was(self) -> None:
        left = chest().organs["left_lung"]
        low = left.copy()
        low[: np.flatnonzero(left.any(axis=(1, 2)))[-1] - 20] = False
        found = the("partition", of_chest(left & ~low, "left_lung"))
        assert "left out" in found.words
        index = np.rint(chest().volume.grid.to_index(found.place_mm)).astype(int)
        assert low[tuple(index)]

    def test_the_other_lung_disagrees_and_lies_on_the_wrong_side(self) -> None:
        facts = of_chest(chest().organs["right_lung"], "left_lung")
        assert alarms(facts) >= {"left_right", "partition"}

    def test_a_heart_within_the_lungs_is_none(self) -> None:
        moved = np.roll(chest().organs["heart"], 22, axis=2)
        assert "partition" in alarms(of_chest(moved, "heart"))
        assert "partition" not in alarms(of_chest(chest().organs["heart"], "heart"))

    def test_without_partition_there_is_no_comparison(self) -> None:
        swapped = check_mask(chest().volume, chest().organs["right_lung"], "left_lung")
        assert "partition" not in alarms(swapped)
        assert "left_right" in alarms(swapped)

    def test_a_scan_without_lungs_says_why_there_is_no_comparison(self) -> None:
        abdomen = Volume(chest().volume.voxels[-3:], chest().volume.affine, "abdomen")
        noted = survey_scan(abdomen, find=True)
        assert noted.partition is None
        assert any("no comparison with PARTITION" in note for note in noted.notes)


def write(path: Path, voxels: np.ndarray, affine: np.ndarray) -> Path:
    return io.write_volume(path, voxels, Grid(voxels.shape, affine))


@pytest.fixture
def item(tmp_path: Path) -> Item:
    """The body with its liver, as files."""
    ct = write(tmp_path / "ct.nii.gz", scan().ct.voxels, scan().ct.affine)
    mask = write(tmp_path / "liver.nii.gz", LIVER.astype(np.uint8), scan().ct.affine)
    return Item(1, "one", "one", "mask", "liver", ct, mask=mask)


def other_mask(item: Item, voxels: np.ndarray, affine: np.ndarray) -> Item:
    assert item.mask is not None
    path = item.mask.with_name("other.nii.gz")
    return replace(item, mask=write(path, voxels.astype(np.uint8), affine))


class TestItems:
    def test_files_are_checked_like_arrays(self, item: Item) -> None:
        told: list[tuple[int, int]] = []
        facts = check_item(item, progress=lambda done, total: told.append((done, total)))
        assert facts.findings == ()
        assert facts.volume_ml == pytest.approx(LIVER.sum() * 0.012)
        assert told == sorted(told)
        assert told[-1][0] == told[-1][1]

    def test_a_mask_that_was_shifted_with_its_grid_does_not_lie_on_the_ct(self, item: Item) -> None:
        moved = other_mask(item, LIVER, translation([0, 10, 0]) @ scan().ct.affine)
        found = the("grid", check_item(moved))
        assert found.severity == 1
        assert "10 mm short of its anterior end" in found.words

    def test_a_mask_with_fewer_slices_does_not_lie_on_the_ct(self, item: Item) -> None:
        found = the("grid", check_item(other_mask(item, LIVER[:-4], scan().ct.affine)))
        assert found.severity == 1

    def test_a_mirrored_file_lies_on_the_wrong_side(self, item: Item) -> None:
        mirrored = other_mask(item, LIVER[:, :, ::-1], scan().ct.affine)
        assert "left_right" in alarms(check_item(mirrored))

    def test_a_finer_grid_is_resampled_and_remarked(self, item: Item) -> None:
        finer = np.repeat(LIVER, 2, axis=2)
        half = scaling([1, 1, 0.5]) @ translation([0, 0, 0])
        affine = scan().ct.affine @ translation([0, 0, -0.25]) @ half
        facts = check_item(other_mask(item, finer, affine))
        assert the("grid", facts).severity < ALARM
        assert facts.volume_ml == pytest.approx(LIVER.sum() * 0.012)

    def test_files_that_are_gone_or_broken_are_findings(self, item: Item, tmp_path: Path) -> None:
        broken = tmp_path / "broken.nii.gz"
        broken.write_bytes(b"no image at all")
        for bad in (
            replace(item, ct=tmp_path / "gone.nii.gz"),
            replace(item, mask=tmp_path / "gone.nii.gz"),
            replace(item, mask=broken),
            replace(item, ct=broken),
            replace(item, organ_table=str(tmp_path / "no_table.csv")),
        ):
            found = the("unreadable", check_item(bad))
            assert found.severity == 1
            assert found.place_mm is None
            assert found.words.startswith(("the CT: ", "the mask: ", "the table of organs: "))
            assert str(tmp_path) not in found.words

    def test_a_map_without_a_mask_has_no_findings(self, item: Item) -> None:
        facts = check_item(replace(item, kind="attention", mask=None))
        assert facts.findings == ()
        assert np.isnan(facts.volume_ml)

    def test_items_of_one_ct_read_it_once(
        self, item: Item, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import napari_hirescam.review.checks.items as module

        read: list[Path] = []
        load: Callable[..., Volume] = module.load_ct

        def counted(one: Item, **more: object) -> Volume:
            read.append(one.ct)
            return load(one, **more)

        monkeypatch.setattr(module, "load_ct", counted)
        empty = other_mask(item, np.zeros(SHAPE), scan().ct.affine)
        gone = replace(item, number=3, mask=item.ct.with_name("gone.nii.gz"))
        told: list[tuple[int, int]] = []
        all_facts = list(
            check_items(
                [item, replace(empty, number=2, target="other"), gone, replace(item, number=4)],
                progress=lambda done, total: told.append((done, total)),
            )
        )
        assert [one.number for one, _ in all_facts] == [1, 2, 3, 4]
        assert [len(facts.findings) for _, facts in all_facts] == [0, 1, 1, 0]
        assert read == [item.ct]
        assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]

    def test_stops_when_asked(self, item: Item) -> None:
        with pytest.raises(Cancelled):
            check_item(item, should_stop=lambda: True)


def test_every_range_holds_a_middle_and_every_organ_of_totalsegmentator_s_chest_is_known() -> None:
    from napari_hirescam.organs.organ_tables import BUILT_IN

    for table in BUILT_IN.values():
        for organ in table:
            known = anatomy_of(organ)
            assert known is not None, organ
            assert known.ml[0] < known.ml[1]
            assert known.tissue_hu[0] < known.tissue_hu[1]
            # The mean must be possible with the tissue that is allowed.
            assert known.mean_hu[0] < known.tissue_hu[1]
            assert known.mean_hu[1] > known.tissue_hu[0]


@given(
    st.tuples(*[st.integers(1, 9)] * 3),
    st.tuples(*[st.sampled_from([0.4, 1.0, 3.0, 11.0])] * 3),
    st.sampled_from(["lungs", "left_lung", "heart", "liver", "aorta", "rib_left_7", "colon", "x"]),
    st.sampled_from([0.02, 0.5, 0.98, 1.0]),
    st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_no_mask_on_any_grid_breaks_a_check(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    organ: str,
    share: float,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    hu = rng.choice([-1000, -800, -100, 50, 400], shape).astype(np.int16)
    ct = Volume(hu, scaling(spacing), "noise")
    mask = rng.random(shape) < share
    partition = OrganMap(
        rng.integers(0, 4, shape).astype(np.uint8), ct.affine, PARTITION_VALUES, "PARTITION"
    )
    facts = check_mask(ct, mask, organ, partition=partition)
    assert facts.volume_ml == pytest.approx(mask.sum() * np.prod(spacing) / 1000)
    low = ct.grid.to_world([-0.5] * 3)
    high = ct.grid.to_world(np.array(shape) - 0.5)
    for found in facts.findings:
        assert found.check in CHECKS
        assert 0 <= found.severity <= 1
        if found.place_mm is not None:
            assert (np.array(found.place_mm) >= low - 1e-6).all()
            assert (np.array(found.place_mm) <= high + 1e-6).all()

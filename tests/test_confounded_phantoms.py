"""Things that mislead a network: devices on phantoms, studies in which they go with findings."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations

import numpy as np
import pytest

from napari_hirescam.cases import phantom_table
from napari_hirescam.cases.phantoms import PhantomCase
from napari_hirescam.errors import Cancelled
from napari_hirescam.phantom import DEVICES, FINDING_ORGAN, Phantom, make_phantom
from napari_hirescam.reproduce.phantom_cohort import (
    CUES,
    HeldCase,
    cue_agreement,
    hold,
    hold_all,
    make_cohorts,
)

SPACING = (4.0, 6.0, 6.0)
COARSE = (12.0, 12.0, 12.0)


@lru_cache(maxsize=8)
def phantom(seed: int, *, worn: bool) -> Phantom:
    return make_phantom(seed, ["mass"], spacing_mm=SPACING, devices=list(DEVICES) if worn else [])


def middle_mm(phantom: Phantom, mask: np.ndarray) -> np.ndarray:
    return phantom.volume.grid.to_world(np.argwhere(mask).mean(axis=0))


class TestDevices:
    @pytest.mark.parametrize("seed", [1, 2, 3])
    @pytest.mark.parametrize("name", DEVICES)
    def test_lie_outside_lungs_and_heart_and_shine(self, name: str, seed: int) -> None:
        made = phantom(seed, worn=True)
        mask = made.devices[name]
        assert mask.sum() >= 4
        for organ in ("lungs", "heart"):
            assert not (mask & made.organs[organ]).any()
        bare = phantom(seed, worn=False).volume.voxels
        assert (made.volume.voxels[mask].astype(int) - bare[mask]).max() > 500

    def test_leave_all_else_as_it_is(self) -> None:
        with_them, without = phantom(1, worn=True), phantom(1, worn=False)
        changed = with_them.volume.voxels != without.volume.voxels
        for name, mask in with_them.devices.items():
            near = np.zeros_like(mask)
            for i, p, left in np.argwhere(mask):
                near[max(i - 4, 0) : i + 5, max(p - 3, 0) : p + 4, max(left - 3, 0) : left + 4] = 1
            assert (changed & near).any(), name
            changed &= ~near
        assert not changed.any()
        for organ, mask in without.organs.items():
            assert np.array_equal(with_them.organs[organ], mask)
        assert np.array_equal(with_them.findings["mass"], without.findings["mass"])

    def test_lie_where_a_patient_has_them(self) -> None:
        made = phantom(1, worn=True)
        at = {name: middle_mm(made, mask) for name, mask in made.devices.items()}
        heart = middle_mm(made, made.organs["heart"])
        spine = middle_mm(made, made.organs["spine"])
        # (I, P, L): the generator is high, in front and on the left; the port on the right.
        assert at["pacemaker"][2] > 30 > -30 > at["port"][2]
        for name in ("pacemaker", "port"):
            assert at[name][0] < heart[0]
            assert at[name][1] < heart[1]
        assert at["electrodes"][1] < heart[1]
        assert at["spinal_screws"][1] > spine[1]
        assert abs(at["spinal_screws"][2] - spine[2]) < 10
        assert abs(at["axillary_clips"][2]) > 90
        assert abs(at["rib_plates"][2]) > 40
        assert at["rib_plates"][1] > heart[1]

    def test_electrodes_stick_outside_and_a_port_inside_the_body(self) -> None:
        made = phantom(1, worn=True)
        body = made.organs["body"]
        assert (made.devices["electrodes"] & ~body).sum() > 0.5 * made.devices["electrodes"].sum()
        assert (made.devices["port"] & body).sum() > 0.5 * made.devices["port"].sum()

    def test_unknown_ones_are_refused(self) -> None:
        with pytest.raises(ValueError, match="unknown devices: pipe; known are: port"):
            make_phantom(1, [], devices=["pipe"])


class TestCohorts:
    cohorts = make_cohorts(40, 20, 20, seed=3)

    def test_each_finding_has_a_cue_outside_its_organ_of_its_own(self) -> None:
        assert set(CUES) <= set(FINDING_ORGAN)
        assert set(CUES.values()) <= set(DEVICES)
        assert len(set(CUES.values())) == len(CUES)

    @pytest.mark.parametrize("split", ["train", "valid", "test"])
    def test_findings_and_cues_agree_in_the_confounded_patients(self, split: str) -> None:
        share = cue_agreement(self.cohorts.confounded.of(split))
        # Of 20 patients 7 have it and 13 do not: 5 % of 7 are none, of 13 one.
        assert share == pytest.approx(0.95, abs=0.051)

    def test_agree_as_often_as_is_asked_for(self) -> None:
        table = make_cohorts(400, 1, 1, agreement=0.8).confounded.of("train")
        assert cue_agreement(table) == pytest.approx(0.8, abs=0.005)

    def test_say_nothing_of_each_other_in_the_unconfounded_ones(self) -> None:
        table = make_cohorts(1, 1, 400).unconfounded
        # 0.35 of the patients have it, and as many the cue: 0.35^2 + 0.65^2 agree by chance.
        assert cue_agreement(table) == pytest.approx(0.545, abs=0.08)
        for label, cue in CUES.items():
            worn = [cue in case.devices for case in table.cases if isinstance(case, PhantomCase)]
            has = [case.labels[label] for case in table.cases]
            assert sum(worn) == sum(has) == 140

    def test_no_two_studies_or_splits_share_a_patient(self) -> None:
        def seeds(table: object) -> set[int]:
            return {case.seed for case in table.cases}  # type: ignore[attr-defined]

        other = make_cohorts(40, 20, 20, seed=4)
        parts = [
            *(seeds(self.cohorts.confounded.of(split)) for split in ("train", "valid", "test")),
            seeds(self.cohorts.unconfounded),
            seeds(other.confounded),
            seeds(other.unconfounded),
            *(seeds(phantom_table(9, 9, 9, seed=seed)) for seed in (0, 1, 500)),
            set(range(100_000)),  # the sample CT, the sample model's tests
        ]
        for one, another in combinations(parts, 2):
            assert not one & another

    def test_are_the_same_each_time(self) -> None:
        again = make_cohorts(40, 20, 20, seed=3)
        assert again.confounded.cases == self.cohorts.confounded.cases
        assert again.unconfounded.cases == self.cohorts.unconfounded.cases

    @pytest.mark.parametrize(
        ("given", "message"),
        [((0, 1, 1), "cannot be made"), ((90_000, 1, 9_000), "cannot be made")],
    )
    def test_refuse_impossible_numbers(self, given: tuple[int, int, int], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            make_cohorts(*given)

    def test_refuse_an_agreement_that_is_no_share(self) -> None:
        with pytest.raises(ValueError, match="a share"):
            make_cohorts(1, 1, 1, agreement=95)

    def test_organs_that_a_finding_may_lie_in_are_told_with_the_case(self) -> None:
        case = self.cohorts.confounded.cases[0]
        assert case.allowed == {label: (FINDING_ORGAN[label],) for label in CUES}


class TestHeldCases:
    tables = make_cohorts(2, 1, 1, seed=5, spacing_mm=COARSE)

    def test_hold_what_the_phantom_gives(self) -> None:
        for case in self.tables.confounded.cases:
            held = hold(case)
            assert np.array_equal(held.ct().voxels, case.ct().voxels)
            assert held.ct().grid.same_place_as(case.ct().grid)
            ours, theirs = held.organs(), case.organs()
            assert ours is not None
            assert theirs is not None
            for organ in ("lungs", "heart"):
                assert np.array_equal(ours.mask([organ]), theirs.mask([organ]))
            assert held.lesions().keys() == case.lesions().keys()
            for label, mask in case.lesions().items():
                assert np.array_equal(held.lesions()[label], mask)
            assert held.fingerprint() == case.fingerprint()
            assert (held.name, held.labels, held.allowed) == (case.name, case.labels, case.allowed)

    def test_what_one_does_with_the_voxels_is_no_other_s(self) -> None:
        held = hold(self.tables.unconfounded.cases[0])
        held.ct().voxels[:] = 0
        assert held.ct().voxels.min() < -900

    def test_one_without_a_ct_says_so(self) -> None:
        empty = HeldCase(name="a", patient="a", split="test", labels={})
        with pytest.raises(ValueError, match="holds no CT"):
            empty.ct()

    def test_whole_tables_are_held_in_order(self) -> None:
        both = (self.tables.confounded, self.tables.unconfounded)
        told: list[tuple[int, int]] = []
        held = hold_all(both, progress=lambda done, total: told.append((done, total)))
        assert told == [(k, 5) for k in range(1, 6)]
        for one, first in zip(held, both, strict=True):
            assert [case.name for case in one.cases] == [case.name for case in first.cases]
            assert (one.name, one.labels) == (first.name, first.labels)
            assert all(isinstance(case, HeldCase) for case in one.cases)

    def test_stop_when_asked(self) -> None:
        with pytest.raises(Cancelled):
            hold_all((self.tables.confounded,), should_stop=lambda: True)

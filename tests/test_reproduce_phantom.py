"""The confounded phantoms, from patients to the report page: figures by hand, and a tiny run."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_hirescam.cli import app
from napari_hirescam.errors import Cancelled, SettingsError
from napari_hirescam.evaluation.case_measures import MapMeasures
from napari_hirescam.evaluation.cohort import CohortResult
from napari_hirescam.evaluation.cohort_case import MeasuredCase
from napari_hirescam.evaluation.gallery import Gallery
from napari_hirescam.evaluation.intervals import Estimate
from napari_hirescam.models import load_model
from napari_hirescam.reproduce.phantom import (
    CONFOUNDED,
    NETWORKS,
    PRESETS,
    TEST_SETS,
    UNCONFOUNDED,
    WITH,
    WITHOUT,
    Outcome,
    Preset,
    carry_out,
)
from napari_hirescam.reproduce.phantom_cohort import CUES, make_cohorts
from napari_hirescam.reproduce.phantom_figures import Figures, as_plain, work_out
from napari_hirescam.reproduce.phantom_page import BAR, lead, make_page
from napari_hirescam.reproduce.results import prepare_folder, write_results
from napari_hirescam.training import EpochRecord

NAN = float("nan")
TINY = Preset(
    train=6,
    valid=4,
    test=4,
    epochs=1,
    spacing_mm=(12.0, 12.0, 12.0),
    shape=(24, 32, 32),
    network={"grid": 4, "trunk_channels": [4, 4, 4, 4], "trunk_stages": 0, "conv_channels": [4, 4]},
    n_replicates=20,
)


def measured(ious: dict[str, float], logits: dict[str, float]) -> CohortResult:
    """A result of patients with a mass (those with an OrganIoU; None is a silent map)."""
    cases = []
    for patient, logit in logits.items():
        rows = [
            MapMeasures(
                label="mass",
                method=method,
                present=patient in ious,
                logit=logit,
                probability=0.5,
                organ_iou=ious.get(patient, NAN) / scale,
                organ_iou_reference=0.0 if patient in ious else NAN,
                silent=patient in ious and np.isnan(ious[patient]),
                chance_cells=0.25 if patient in ious else NAN,
            )
            for method, scale in (("hirescam", 1), ("gradcam", 2))
        ]
        cases.append(
            MeasuredCase(patient, patient, "test", "0", "receptive_field", (1, 1, 1), "", rows)
        )
    return CohortResult(
        "by hand", "test", ("mass",), ("hirescam", "gradcam"), tuple(cases), (), None, (), Gallery()
    )


def outcome_of(before: list[CohortResult], after: list[CohortResult]) -> Outcome:
    cohorts = make_cohorts(2, 2, 2, labels=("mass",))
    results = {
        (name, part): tuple(found)
        for part in TEST_SETS
        for name, found in ((WITHOUT, before), (WITH, after))
    }
    preset = replace(TINY, n_replicates=200)
    return Outcome(preset, tuple(range(len(before))), cohorts, results, dict.fromkeys(NETWORKS, ()))


SCORES = {"a": 2.0, "b": 1.0, "c": 1.5, "d": 0.0}


@pytest.fixture(scope="module")
def by_hand() -> Figures:
    # Means .3 and .5 without; .6 and 1.0 with: twice as much.
    before = [measured({"a": 0.2, "b": 0.4}, SCORES), measured({"a": 0.4, "b": 0.6}, SCORES)]
    better = SCORES | {"c": 0.5}
    after = [measured({"a": 0.4, "b": 0.8}, SCORES), measured({"a": 1.0, "b": 1.0}, better)]
    return work_out(outcome_of(before, after))


class TestFigures:
    def test_are_means_over_pairs_and_seeds(self, by_hand: Figures) -> None:
        before = by_hand.maps["organ_iou", CONFOUNDED, WITHOUT, "hirescam"]
        after = by_hand.maps["organ_iou", CONFOUNDED, WITH, "hirescam"]
        assert before.seeds == pytest.approx((0.3, 0.5))
        assert before.mean.value == pytest.approx(0.4)
        assert after.mean.value == pytest.approx(0.8)
        assert before.spread == pytest.approx(0.1 * np.sqrt(2))
        assert before.chance == pytest.approx(0.25)
        assert before.mean.n == 2

    def test_tell_the_methods_and_the_definitions_apart(self, by_hand: Figures) -> None:
        assert by_hand.maps[
            "organ_iou", CONFOUNDED, WITHOUT, "gradcam"
        ].mean.value == pytest.approx(0.2)
        assert by_hand.maps["organ_iou_reference", CONFOUNDED, WITH, "hirescam"].mean.value == 0

    def test_gain_is_relative_and_paired(self, by_hand: Figures) -> None:
        assert by_hand.gain.value == pytest.approx(1.0)
        # Of patient a alone it is .7 / .3, of b alone .9 / .5: no replicate lies beyond.
        assert by_hand.gain.low == pytest.approx(0.9 / 0.5 - 1)
        assert by_hand.gain.high == pytest.approx(0.7 / 0.3 - 1)

    def test_auroc_is_the_mean_over_seeds(self, by_hand: Figures) -> None:
        # a beats c and d, b beats d only: 3 of 4; with c at 0.5 all 4.
        assert by_hand.auroc[UNCONFOUNDED, WITHOUT, "mass"].seeds == (0.75, 0.75)
        assert by_hand.auroc[UNCONFOUNDED, WITH, ""].seeds == (0.75, 1.0)
        assert by_hand.cost.value == pytest.approx(0.125)

    def test_silence_is_told_and_does_not_win(self) -> None:
        spoken = [measured({"a": 0.5, "b": 0.5}, SCORES)]
        silent = [measured({"a": 0.9, "b": NAN}, SCORES)]
        figures = work_out(outcome_of(spoken, silent))
        which = (CONFOUNDED, WITH, "hirescam")
        assert figures.maps["organ_iou", *which].mean.value == pytest.approx(0.9)
        assert figures.maps["organ_iou_silent_0", *which].mean.value == pytest.approx(0.45)
        assert figures.maps["silent", *which].mean.value == 0.5
        assert figures.gains["organ_iou_silent_0", CONFOUNDED, "hirescam"].value < 0

    def test_are_laid_out_for_json(self, by_hand: Figures) -> None:
        plain = as_plain(by_hand)
        found = plain["maps"]["organ_iou"][CONFOUNDED][WITH]["hirescam"]
        assert found["value"] == pytest.approx(0.8)
        assert found["seeds"] == pytest.approx((0.6, 1.0))
        assert plain["auroc"][UNCONFOUNDED][WITH]["mean over labels"]["value"] == 0.875
        gain = plain["relative gain of the mask loss"]["organ_iou"][CONFOUNDED]["hirescam"]
        assert gain["value"] == pytest.approx(1.0)


class TestLead:
    def test_says_the_figures_and_that_the_bar_is_reached(self, by_hand: Figures) -> None:
        text = lead(by_hand)
        assert "from 0.400 to 0.800, +100%" in text
        assert "reaches the bar of +37%" in text
        assert "from 0.750 to 0.875" in text
        assert "no worse" in text

    def test_says_that_it_is_missed(self, by_hand: Figures) -> None:
        by_label = dict(by_hand.gains)
        by_label["organ_iou", CONFOUNDED, "hirescam"] = Estimate(BAR - 0.01, 0.1, 0.5, 2)
        worse = {UNCONFOUNDED: Estimate(-0.01, -0.02, 0.0, 4)}
        text = lead(replace(by_hand, gains=by_label, auroc_gain=worse))
        assert "misses the bar" in text
        assert ": worse." in text

    def test_a_fall_that_chance_explains_is_called_so(self, by_hand: Figures) -> None:
        cost = {UNCONFOUNDED: Estimate(-0.01, -0.03, 0.02, 4)}
        text = lead(replace(by_hand, auroc_gain=cost))
        assert "lower, by no more than chance would do." in text

    def test_a_network_that_learned_nothing_is_no_rival(self) -> None:
        """The first seed's network without mask loss is dead; the gain is that of the second."""
        before = [measured({"a": 0.1, "b": 0.1}, SCORES), measured({"a": 0.4, "b": 0.6}, SCORES)]
        after = [measured({"a": 0.9, "b": 0.9}, SCORES), measured({"a": 0.5, "b": 0.7}, SCORES)]

        def trained(*aurocs: float) -> tuple[tuple[EpochRecord, ...], ...]:
            return tuple((EpochRecord(0, {"valid_auroc": auroc}, True),) for auroc in aurocs)

        outcome = outcome_of(before, after)
        histories = {WITHOUT: trained(0.49, 0.8), WITH: trained(0.8, 0.8)}
        figures = work_out(replace(outcome, histories=histories))
        assert figures.gain.value == pytest.approx(0.6 / 0.5 - 1)
        assert figures.maps["organ_iou", CONFOUNDED, WITHOUT, "hirescam"].seeds == (0.5,)
        text = lead(figures)
        assert "seed 0 (no mask loss, validation AUROC 0.49)" in text
        assert "left out, and 1 counted" in text
        assert as_plain(figures)["seeds that failed"] == figures.failures
        nothing = {WITHOUT: trained(0.49, 0.5), WITH: trained(0.8, 0.8)}
        all_failed = work_out(replace(outcome, histories=nothing))
        assert len(all_failed.maps["organ_iou", CONFOUNDED, WITH, "hirescam"].seeds) == 2
        assert "the figures mean nothing" in lead(all_failed)

    def test_says_what_silent_maps_would_change(self, by_hand: Figures) -> None:
        assert "without a positive cell" not in lead(by_hand)
        spoken = [measured({"a": 0.5, "b": 0.5}, SCORES)]
        silent = [measured({"a": 0.9, "b": NAN}, SCORES)]
        text = lead(work_out(outcome_of(spoken, silent)))
        assert "+80%" in text
        assert "50% with the mask loss, 0% without it" in text
        assert "as 0, the gain is -10%" in text

    def test_has_no_interval_where_every_draw_is_alike(self) -> None:
        before, after = ([measured({"a": v, "b": v}, SCORES)] for v in (0.5, 0.75))
        figures = work_out(outcome_of(before, after))
        assert "nan" not in lead(figures)
        assert "+50%; this reaches" in lead(figures)


class TestPresets:
    @pytest.mark.parametrize("name", PRESETS)
    def test_the_networks_differ_in_lambda_alone(self, name: str) -> None:
        preset = PRESETS[name]
        without, with_it = (preset.settings(n, 1).model_dump() for n in NETWORKS)
        assert without["loss"].pop("mask_weight") == 0
        assert with_it["loss"].pop("mask_weight") == preset.mask_weight > 0
        assert without.pop("name") != with_it.pop("name")
        assert without == with_it

    def test_seeds_change_the_training_and_not_the_patients(self) -> None:
        preset = PRESETS["full"]
        assert preset.settings(WITH, 0).seed != preset.settings(WITH, 1).seed
        assert preset.cohorts() == preset.cohorts()

    def test_the_full_one_has_three_seeds(self) -> None:
        assert PRESETS["full"].seeds == 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("phantom")


@pytest.fixture(scope="module")
def tiny(folder: Path) -> tuple[Outcome, list[str]]:
    told: list[str] = []
    outcome = carry_out(
        TINY, folder, seeds=(0, 1), tell=lambda what, _done, _total: told.append(what)
    )
    return outcome, list(dict.fromkeys(told))


class TestTinyRun:
    def test_measures_each_network_on_both_test_sets(self, tiny: tuple[Outcome, list[str]]) -> None:
        outcome, _ = tiny
        assert set(outcome.results) == {(n, p) for n in NETWORKS for p in TEST_SETS}
        for (_, part), found in outcome.results.items():
            assert len(found) == 2
            table = getattr(outcome.cohorts, part)
            for result in found:
                assert [c.name for c in result.cases] == [c.name for c in table.of("test").cases]
                assert not result.problems

    def test_tunes_thresholds_on_validation_patients_only(
        self, tiny: tuple[Outcome, list[str]]
    ) -> None:
        outcome, _ = tiny
        for name in NETWORKS:
            for seed in range(2):
                first, second = (outcome.results[name, part][seed] for part in TEST_SETS)
                assert len(first.tuning) == TINY.valid
                assert not second.tuning
                assert second.thresholds is first.thresholds

    def test_leaves_a_model_folder_for_each_network_and_nothing_else(
        self, tiny: tuple[Outcome, list[str]], folder: Path
    ) -> None:
        names = {f"{n.replace(' ', '_')}_seed{seed}" for n in NETWORKS for seed in range(2)}
        assert {path.name for path in (folder / "models").iterdir()} == names
        assert {path.name for path in folder.iterdir()} == {"models"}
        weights = {
            load_model(folder / "models" / name, device="cpu").weights_sha256 for name in names
        }
        assert len(weights) == 4

    def test_shows_a_patient_with_finding_and_cue_for_each_label(
        self, tiny: tuple[Outcome, list[str]]
    ) -> None:
        outcome, _ = tiny
        test = outcome.cohorts.confounded.of("test").cases
        with_both = {
            label
            for label, cue in CUES.items()
            if any(case.labels[label] and cue in case.devices for case in test)
        }
        assert set(outcome.shown) == with_both
        assert outcome.picture.startswith(b"\x89PNG")

    def test_tells_what_it_does(self, tiny: tuple[Outcome, list[str]]) -> None:
        _, told = tiny
        assert told[0] == "Making phantoms"
        assert told[1:3] == ["Training: no mask loss, seed 0", "Measuring: no mask loss, seed 0"]

    def test_writes_a_page_with_the_figures_that_were_measured(
        self, tiny: tuple[Outcome, list[str]], folder: Path, tmp_path: Path
    ) -> None:
        outcome, _ = tiny
        figures = work_out(outcome)
        page = make_page(outcome, figures, {"Command": "a test"})
        write_results(prepare_folder(tmp_path, overwrite=False), page, as_plain(figures))
        text = (tmp_path / "report.html").read_text()
        mean = figures.maps["organ_iou", CONFOUNDED, WITH, "hirescam"].mean.value
        assert f"{mean:.3f}" in text
        assert lead(figures).split(",")[0] in text
        stored = json.loads((tmp_path / "figures.json").read_text())
        assert stored["maps"]["organ_iou"][CONFOUNDED][WITH]["hirescam"]["value"] == mean
        rows = outcome.results[WITH, CONFOUNDED][0].records
        by_pandas = rows[(rows.method == "hirescam") & rows.present].organ_iou.mean()
        assert figures.maps["organ_iou", CONFOUNDED, WITH, "hirescam"].seeds[0] == pytest.approx(
            by_pandas
        )


class TestRefusals:
    def test_stops_when_asked(self, tmp_path: Path) -> None:
        with pytest.raises(Cancelled):
            carry_out(TINY, tmp_path, seeds=(0,), should_stop=lambda: True)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("package", ["pandas", "lightning"])
    def test_a_package_that_is_missing_is_named_before_anything_is_made(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
    ) -> None:
        real = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, *_: None if name == package else real(name)
        )
        with pytest.raises(SettingsError, match=package):
            carry_out(TINY, tmp_path, seeds=(0,), should_stop=lambda: True)
        assert not list(tmp_path.iterdir())

    def test_no_seed_is_no_experiment(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="nothing to train"):
            carry_out(TINY, tmp_path, seeds=())

    def test_a_strange_folder_in_the_place_of_a_model_stays(self, tmp_path: Path) -> None:
        mine = tmp_path / "models" / "no_mask_loss_seed0" / "thesis.txt"
        mine.parent.mkdir(parents=True)
        mine.write_text("years of work")
        with pytest.raises(SettingsError, match="no model folder"):
            carry_out(TINY, tmp_path, seeds=(0,))
        assert mine.read_text() == "years of work"

    def test_results_are_not_replaced_unasked(self, tmp_path: Path) -> None:
        (tmp_path / "figures.json").write_text("{}")
        result = CliRunner().invoke(
            app, ["reproduce", "phantom", "--out", str(tmp_path), "--preset", "small"]
        )
        assert result.exit_code == 1
        assert "already holds figures.json" in result.stderr
        assert (tmp_path / "figures.json").read_text() == "{}"

    def test_an_unknown_preset_is_refused(self, tmp_path: Path) -> None:
        result = CliRunner().invoke(
            app, ["reproduce", "phantom", "--out", str(tmp_path), "--preset", "huge"]
        )
        assert result.exit_code == 1
        assert "Known: full, small" in result.stderr

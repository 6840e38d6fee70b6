"""``reproduce radchestct`` on a made cohort in the format of the data set, from scan to report."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from napari_hirescam.cases import found_organs, read_rad_chestct
from napari_hirescam.cli import app
from napari_hirescam.errors import Cancelled, CaseTableError, SettingsError
from napari_hirescam.evaluation import cohort as cohort_evaluation
from napari_hirescam.evaluation.cohort import CohortResult
from napari_hirescam.evaluation.cohort_case import CaseMeasurer
from napari_hirescam.models import load_model
from napari_hirescam.organs import find_organs
from napari_hirescam.reproduce import rad_chestct
from napari_hirescam.reproduce.rad_chestct import WITH, WITHOUT, Recipe, carry_out
from napari_hirescam.reproduce.rad_chestct_page import make_page
from tests.rad_chestct_factory import REPORTED, cohort

pytest.importorskip("lightning")
pytest.importorskip("pandas")

LABELS = tuple(REPORTED)
#: AxialNet, but for its size: one stage of 4 channels, and 48 x 48 pixels in place of 420 x 420.
TINY = {
    "grid": 8,
    "trunk_channels": (4, 4, 4, 4),
    "trunk_stages": 1,
    "conv_channels": (4, 4),
}
RECIPE = Recipe(shape=(12, 48, 48), spacing_mm=1.6, network=TINY, epochs=2, workers=0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("radchestct")
    cohort(folder, 4, 2, 4, shape=(30, 104, 104))
    return folder


@pytest.fixture(scope="module")
def outcome(data, tmp_path_factory):
    """Carry the recipe out once, and count how often organs were looked for."""
    asked = []
    with pytest.MonkeyPatch.context() as patch:

        def found(ct, **how):
            asked.append(ct.name)
            return find_organs(ct, **how)

        patch.setattr(found_organs, "find_organs", found)
        # Drawing the reports takes longest, and has tests of its own.
        saved = []
        patch.setattr(CohortResult, "save", lambda self, folder, **how: saved.append((folder, how)))
        out = tmp_path_factory.mktemp("out")
        steps = []
        table = read_rad_chestct(data, LABELS, sides="reference")
        done = carry_out(
            table,
            out,
            RECIPE,
            device="cpu",
            progress=lambda title, done, total: steps.append((title, done, total)),
        )
    assert saved == [
        (out / folder / "evaluation", {"overwrite": True})
        for folder in ("axialnet", "axialnet-mask-loss")
    ]
    return done, out, asked, steps


def test_both_networks_are_trained_and_open_like_any_model(outcome):
    done, _, _, steps = outcome
    for name in (WITHOUT, WITH):
        model = load_model(done.trainings[name].model_folder)
        assert model.labels == LABELS
        assert model.spec.input.shape == (12, 48, 48)
        assert len(done.trainings[name].history) == 2
    titles = list(dict.fromkeys(title for title, _, _ in steps))
    assert titles == [f"{what} {n}" for what in ("Training", "Measuring") for n in (WITHOUT, WITH)]
    weights = [model_weights(done.trainings[name].model_folder) for name in (WITHOUT, WITH)]
    assert weights[0] != weights[1]


def model_weights(folder):
    return (folder / "weights.safetensors").read_bytes()


def test_only_the_second_network_has_the_mask_loss(outcome):
    done, _, _, _ = outcome
    last = {name: done.trainings[name].history[-1].figures for name in (WITHOUT, WITH)}
    gap = {name: f["train_loss"] - f["train_class_loss"] for name, f in last.items()}
    assert gap[WITHOUT] == pytest.approx(0, abs=1e-6)
    assert gap[WITH] == pytest.approx(last[WITH]["train_mask_loss"] / 3, rel=1e-4)
    assert gap[WITH] > 0.01


def test_organs_are_looked_for_once_in_each_scan_that_needs_them(outcome):
    done, out, asked, _ = outcome
    assert len(asked) == len(set(asked))
    assert set(asked) == {case.name for case in done.table.cases}
    assert len(list((out / "organs").glob("*.npz"))) == len(asked)


def test_the_report_has_the_four_way_table_and_what_differs_from_the_paper(outcome):
    done, _, _, _ = outcome
    page, figures = make_page(done, {"Seeds": "0"})
    (table,) = page.sections[0].tables
    assert table.header == ("measure", "network", "HiResCAM", "Grad-CAM", "chance", "pairs")
    assert [row[:2] for row in table.rows[:4]] == [
        ("OrganIoU, corrected", WITHOUT),
        ("OrganIoU, corrected", WITH),
        ("OrganIoU, as in the reference", WITHOUT),
        ("OrganIoU, as in the reference", WITH),
    ]
    text = page.sections[-2].text
    assert "12 x 48 x 48 voxels of 1.6 mm" in text
    assert "random weights" in text
    assert "2 epochs at most" in text
    # Chests cut this small show no lung: the rough regions are said for every case.
    told = page.sections[-1].tables[0].rows
    judged = sum(case.split != "train" for case in done.table.cases)
    (rough,) = [cases for cases, reason, _ in told if "rough regions" in reason]
    assert rough.endswith(f" and {judged - 3} more")
    json.dumps(figures)
    assert set(figures["networks"]) == {WITHOUT, WITH}


def test_the_figures_are_those_of_the_records(outcome):
    done, _, _, _ = outcome
    _, figures = make_page(done, {})
    for name, result in done.results.items():
        records = result.records
        for method in ("hirescam", "gradcam"):
            chosen = records[(records["method"] == method) & (records["present"] == True)]  # noqa: E712
            row = next(
                row
                for row in figures["networks"][name]
                if (row["level"], row["method"], row["measure"])
                == ("micro", method, "organ_iou_reference")
            )
            assert row["value"] == pytest.approx(chosen["organ_iou_reference"].mean())
            assert row["n"] == len(chosen)


def test_findings_of_a_lung_may_lie_in_the_lungs_the_table_says(outcome):
    done, _, _, _ = outcome
    records = done.results[WITH].records
    case = next(c for c in done.table.of("test").cases if c.labels["mass"])
    row = records[(records["case"] == case.name) & (records["label"] == "mass")].iloc[0]
    assert set(row["organs"].split(";")) == set(case.allowed["mass"])
    assert set(case.allowed["mass"]) <= {"left_lung", "right_lung"}


@pytest.mark.parametrize("after", [3, 12])
def test_a_stopped_run_is_gone_on_with_and_ends_the_same(
    outcome, data, tmp_path, monkeypatch, after
):
    done, _, _, _ = outcome
    monkeypatch.setattr(CohortResult, "save", lambda *_, **__: [])
    monkeypatch.setattr(cohort_evaluation, "evaluate_cohort", lambda *_, **__: done.results[WITH])
    table = read_rad_chestct(data, LABELS, sides="reference")
    asked = []

    def tired():
        asked.append(1)
        return len(asked) > after

    with pytest.raises(Cancelled):
        carry_out(table, tmp_path, RECIPE, device="cpu", should_stop=tired)
    again = carry_out(table, tmp_path, RECIPE, device="cpu", resume=True)
    for name in (WITHOUT, WITH):
        ours, theirs = (one.trainings[name].model_folder for one in (again, done))
        assert model_weights(ours) == model_weights(theirs)


def test_a_scan_that_was_measured_before_a_stop_is_not_measured_again(data, tmp_path, monkeypatch):
    """Measuring 10,000 scans takes days, like the training."""
    monkeypatch.setattr(CohortResult, "save", lambda self, folder, **how: None)
    table = read_rad_chestct(data, LABELS, sides="reference")
    measured, real = [], CaseMeasurer.measure

    def measure(self, case, *given):
        measured.append((self.classifier.spec.name, case.name))
        return real(self, case, *given)

    monkeypatch.setattr(CaseMeasurer, "measure", measure)
    n_cases = len(table.of("valid").cases) + len(table.of("test").cases)
    with pytest.raises(Cancelled):  # in the third case of the second network
        carry_out(
            table,
            tmp_path,
            RECIPE,
            device="cpu",
            should_stop=lambda: len(measured) > n_cases + 2,
        )

    carry_out(table, tmp_path, RECIPE, device="cpu", resume=True)

    assert len(measured) == 2 * n_cases + 1
    assert len(set(measured)) == 2 * n_cases


def test_the_paper_s_input_gives_the_paper_s_network():
    settings = Recipe().settings(WITH, Path("kept"))
    assert settings.model.architecture.arguments == {"grid": 6}
    assert settings.model.input.shape == (405, 420, 420)
    assert settings.loss.mask_weight == pytest.approx(1 / 3)
    assert (settings.loss.placement, settings.loss.rule) == ("stretch", "nearest")
    assert (settings.optimizer.momentum, settings.run.patience) == (0.99, 15)
    assert Recipe().settings(WITHOUT, Path("kept")).loss.mask_weight == 0
    assert Recipe(trunk_weights="w.pt").departures() == []


@pytest.mark.parametrize("shape", [(405, 420, 400), (405, 256, 256), (404, 420, 420)])
def test_an_input_axialnet_cannot_take_is_refused_before_anything_is_trained(shape):
    with pytest.raises(SettingsError, match="AxialNet cannot be built"):
        Recipe(shape=shape).settings(WITH, Path("kept"))


def test_a_missing_split_is_refused_before_anything_is_trained(data, tmp_path):
    table = read_rad_chestct(data, LABELS, at_most={"test": 0})
    with pytest.raises(CaseTableError, match="no case is in split 'test'"):
        carry_out(table, tmp_path, RECIPE)
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named_before_anything_is_trained(data, tmp_path, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *_: None if name == "pyarrow" else real(name)
    )
    with pytest.raises(SettingsError, match="pyarrow"):
        carry_out(read_rad_chestct(data, LABELS), tmp_path, RECIPE, should_stop=lambda: True)
    assert not list(tmp_path.iterdir())


def test_the_command_writes_a_report_and_refuses_to_write_over_it(
    outcome, data, tmp_path, monkeypatch
):
    done, _, _, _ = outcome
    asked = {}

    def carried_out(table, out, recipe, **options):
        asked.update(options, table=table, recipe=recipe)
        options["report"](WITH, done.trainings[WITH].history[0])
        options["progress"]("Training", 1, 2)
        return done

    monkeypatch.setattr(rad_chestct, "carry_out", carried_out)
    out = tmp_path / "out"
    command = ["reproduce", "radchestct", "--data", str(data), "--out", str(out)]
    command += ["--labels", "radchest-9", "--subset", "3", "2", "1", "--seed", "7"]
    command += ["--mask-weight", "0.5", "--epochs", "3", "--device", "cpu", "--workers", "0"]
    ran = CliRunner().invoke(app, command)
    assert ran.exit_code == 0, ran.output
    assert asked["recipe"] == Recipe(
        mask_weight=0.5, epochs=3, seed=7, workers=0, accelerator="cpu"
    )
    assert asked["resume"] is False
    splits = [case.split for case in asked["table"].cases]
    assert splits == ["train"] * 3 + ["valid"] * 2 + ["test"]
    assert len(asked["table"].labels) == 9
    assert "OrganIoU, corrected" in ran.output
    assert "epoch 1" in ran.output
    assert "lambda 0.5" in ran.stderr
    figures = json.loads((out / "figures.json").read_text())
    assert set(figures["networks"]) == {WITHOUT, WITH}
    page = (out / "report.html").read_text()
    assert "RAD-ChestCT" in page
    assert str(data) not in page  # folders are often called after people
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 1
    assert "already holds report.html" in again.stderr


def test_the_command_says_how_to_go_on_when_it_is_stopped(data, tmp_path, monkeypatch):
    def stopped(*_, **__):
        raise Cancelled("stopped")

    monkeypatch.setattr(rad_chestct, "carry_out", stopped)
    command = ["reproduce", "radchestct", "--data", str(data), "--out", str(tmp_path)]
    ran = CliRunner().invoke(app, command)
    assert ran.exit_code == 130
    assert "--resume" in ran.stderr


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--sides", "upper"], "unknown: upper"),
        (["--labels", "radchest-7"], "no list of labels"),
        (["--data", "nowhere"], "holds no table"),
    ],
)
def test_the_command_refuses_what_makes_no_sense(data, tmp_path, options, reason):
    command = ["reproduce", "radchestct", "--data", str(data), "--out", str(tmp_path / "out")]
    ran = CliRunner().invoke(app, [*command, *options])
    assert ran.exit_code == 1
    assert reason in ran.stderr

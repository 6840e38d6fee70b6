"""A model over many cases: thresholds from one split, figures from another, nothing mixed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cohort_cases import LABELS, bright_and_dark, case, study
from sklearn.metrics import roc_auc_score

from napari_hirescam.errors import Cancelled, CaseTableError, InputError, SettingsError
from napari_hirescam.evaluation.cohort import evaluate_cohort
from napari_hirescam.evaluation.cohort_files import NAMES, save_cohort
from napari_hirescam.evaluation.thresholds import FrozenThresholds

INSIDE, OUTSIDE = (0, 1, 2), (1, 1, 0)


def valid():
    """Leaks up to 0.49: the threshold must become 0.5."""
    return (
        case("v1", "valid", {INSIDE: 1.0, OUTSIDE: 0.49}, bright=True),
        case("v2", "valid", {INSIDE: 0.1}, bright=False),
    )


def judged():
    """At 0.5, OrganIoU 1 (a tenth leaks unseen) and 1/2; logits 1.1, 1.6, 0.3 and -1."""
    return (
        case("t1", "test", {INSIDE: 1.0, OUTSIDE: 0.1}, bright=True),
        case("t2", "test", {INSIDE: 0.8, OUTSIDE: 0.8}, bright=True),
        case("t3", "test", {OUTSIDE: 0.3}, bright=False),
        case("t4", "test", {INSIDE: -1.0}, bright=False),
    )


@pytest.fixture(scope="module")
def result():
    return evaluate_cohort(bright_and_dark(), study(*valid(), *judged()))


def figure(summary, level, measure, method="", name=""):
    (row,) = summary[
        (summary.level == level)
        & (summary.measure == measure)
        & (summary.method == method)
        & (summary.name == name)
    ].to_dict("records")
    return row


def test_figures_are_of_the_test_cases_at_the_threshold_of_the_others(result):
    assert result.thresholds.of("bright", "hirescam") == 0.5
    records = result.records
    assert sorted(set(records.case)) == ["t1", "t2", "t3", "t4"]
    mine = records[(records.label == "bright") & (records.method == "hirescam")].set_index("case")
    assert mine.organ_iou[["t1", "t2"]].tolist() == [1.0, 0.5]
    assert mine.organ_iou[["t3", "t4"]].isna().all()
    assert mine.share_inside["t1"] == pytest.approx(1 / 1.1)
    assert mine.present.tolist() == [True, True, False, False]
    assert (mine.residual.abs() < 1e-6).all()


def test_the_summary_is_what_the_records_give(result):
    summary = result.summary(n_replicates=200)
    records = result.records
    for method in result.methods:
        rows = records[(records.method == method) & records.present]
        label = figure(summary, "label", "organ_iou", method, "bright")
        assert label["value"] == pytest.approx(rows.organ_iou.mean()) == 0.75
        assert (label["n"], label["chance"]) == (2, 0.5)
        assert label["spread"] == pytest.approx(0.25)
        assert label["low"] <= 0.75 <= label["high"]
        organ = figure(summary, "organ", "organ_iou", method, "left")
        assert organ["value"] == 0.75
        strength = figure(summary, "micro", "positive_sum_absent", method)
        absent = records[(records.method == method) & ~records.present]
        assert strength["value"] == pytest.approx(absent.positive_sum.mean())
    one = records[(records.label == "bright") & (records.method == "hirescam")]
    auroc = figure(summary, "label", "auroc", name="bright")
    assert auroc["value"] == roc_auc_score(one.present, one.logit) == 1.0
    assert figure(summary, "macro", "auroc")["value"] == 1.0


def test_a_label_nobody_has_is_said_to_have_no_area(result):
    row = figure(result.summary(n_replicates=50), "label", "auroc", name="dark")
    assert np.isnan(row["value"])
    assert "all cases have the finding, or none" in row["note"]


def test_maps_that_are_the_same_differ_by_exactly_nothing(result):
    # Every cell has the same weight, so Grad-CAM is HiResCAM here.
    row = figure(result.summary(n_replicates=50), "micro", "share_inside", "hirescam - gradcam")
    assert row["value"] == 0.0
    assert np.isnan([row["low"], row["high"]]).all()


def test_macro_weighs_labels_and_micro_weighs_maps():
    cases = (
        case("v", "valid", {INSIDE: 0.7}, bright=True),
        case("a", "test", {INSIDE: 1.0}, bright=True),
        case("b", "test", {INSIDE: 0.9}, bright=True),
        # "dark" is allowed on the right, and lies on the left.
        case("c", "test", {INSIDE: -1.0}, bright=None, labels={"dark": True}),
    )
    summary = evaluate_cohort(bright_and_dark(), study(*cases)).summary(50)
    share = {lv: figure(summary, lv, "share_inside", "hirescam") for lv in ("micro", "macro")}
    assert share["micro"]["value"] == pytest.approx(2 / 3)
    assert share["macro"]["value"] == pytest.approx(1 / 2)


def test_labels_that_are_unknown_of_a_case_do_not_count():
    cases = (*valid(), *judged(), case("t5", "test", {INSIDE: 9.0}, bright=None))
    result = evaluate_cohort(bright_and_dark(), study(*cases))
    assert "t5" not in set(result.records.case)
    assert figure(result.summary(20), "label", "auroc", name="bright")["n"] == 4


def test_tuning_and_testing_on_one_split_is_refused_before_any_case_is_read():
    cases = (*valid(), *judged())
    for split, tune_on in (("test", "test"), (None, "valid"), ("valid", "valid")):
        with pytest.raises(SettingsError, match="tuned on the cases they are tested on"):
            evaluate_cohort(bright_and_dark(), study(*cases), split=split, tune_on=tune_on)
    with pytest.raises(SettingsError, match="no split to tune them on"):
        evaluate_cohort(bright_and_dark(), study(*cases), tune_on=None)
    assert not any(one.read for one in cases)


def test_frozen_thresholds_serve_other_cases_and_never_those_they_were_tuned_on(result):
    others = study(case("n1", None, {INSIDE: 1.0, OUTSIDE: 0.6}, bright=True))
    again = evaluate_cohort(bright_and_dark(), others, split=None, thresholds=result.thresholds)
    assert again.records.organ_iou[0] == 0.5
    assert again.tuning == ()
    with pytest.raises(SettingsError, match=r"used for tuning .*v1"):
        evaluate_cohort(
            bright_and_dark(), study(*valid()), split="valid", thresholds=result.thresholds
        )
    spelled = case("n2", "test", {INSIDE: 1.0}, bright=True)
    spelled = replace(spelled, patient=valid()[0].patient.upper())
    assert spelled.patient not in {one.patient for one in valid()}
    with pytest.raises(SettingsError, match=r"used for tuning .*n2"):
        evaluate_cohort(bright_and_dark(), study(spelled), thresholds=result.thresholds)
    with pytest.raises(SettingsError, match="another weights of the network"):
        evaluate_cohort(bright_and_dark(gain=2.0), others, split=None, thresholds=result.thresholds)
    with pytest.raises(SettingsError, match="not tuned for layercam"):
        evaluate_cohort(
            bright_and_dark(), others, split=None, thresholds=result.thresholds,
            methods=("layercam",),
        )  # fmt: skip


def test_a_scan_that_is_in_both_splits_under_two_names_is_refused():
    copy = case("copy", "test", {INSIDE: 1.0, OUTSIDE: 0.49}, bright=True)
    with pytest.raises(SettingsError, match="copy: its CT is voxel by voxel"):
        evaluate_cohort(bright_and_dark(), study(*valid(), *judged(), copy))


def test_a_case_that_fails_is_named_and_the_others_count():
    broken = case("t5", "test", {}, bright=True, broken="a slice is missing")
    bare = case("t6", "test", {INSIDE: 0.2}, bright=True, has_organs=False)
    doubted = case("t7", "test", {INSIDE: 0.4}, bright=True, doubts=("the base is cut off",))
    no_number = case("t8", "test", {INSIDE: float("nan")}, bright=True)
    no_liver = case("t9", "test", {INSIDE: 0.3}, bright=True, allowed={"bright": ("liver",)})
    table = study(*valid(), *judged(), broken, bare, doubted, no_number, no_liver)
    result = evaluate_cohort(bright_and_dark(), table)
    found = {problem.case: problem for problem in result.problems}
    assert (found["t5"].measured, found["t5"].reason) == ("nothing", "a slice is missing")
    assert (found["t6"].measured, found["t6"].reason) == ("scores", "organs: it has no masks")
    assert found["t7"].measured == "all"
    assert "the base is cut off" in found["t7"].reason
    assert found["t8"].measured == "nothing"
    assert "not numbers" in found["t8"].reason
    assert found["t9"].measured == "scores"
    assert "does not tell of liver" in found["t9"].reason
    summary = result.summary(20)
    assert figure(summary, "label", "auroc", name="bright")["n"] == 7
    assert figure(summary, "label", "organ_iou", "hirescam", "bright")["n"] == 3


def test_a_case_whose_organ_no_cell_lies_in_is_named_and_has_no_organ_iou():
    beyond = case("t5", "test", {INSIDE: 0.2}, bright=True, allowed={"bright": ("outside",)})
    table = study(*valid(), *judged())
    result = evaluate_cohort(bright_and_dark(), study(*table.cases, beyond))
    (problem,) = result.problems
    assert (problem.case, problem.measured) == ("t5", "all")
    assert "bright: no cell of the map lies in outside" in problem.reason
    with_it, without = (
        figure(found.summary(20), "micro", "organ_iou", "hirescam")
        for found in (result, evaluate_cohort(bright_and_dark(), table))
    )
    assert (with_it["value"], with_it["n"]) == (without["value"], without["n"])


def test_what_was_done_to_a_scan_and_to_its_masks_is_told_and_the_case_counts():
    mended = tuple(replace(one, mended="2 voxels hold no number") for one in judged())
    result = evaluate_cohort(bright_and_dark(), study(*valid(), *mended))
    told = {(problem.case, problem.reason, problem.measured) for problem in result.problems}
    for one in mended:
        assert (one.name, "CT: 2 voxels hold no number", "all") in told
        assert (one.name, "organs by drawn by hand: resampled onto the CT", "all") in told
    assert len(result.cases) == len(mended)


def test_if_every_case_fails_that_is_an_error():
    broken = case("t", "test", {}, bright=True, broken="a slice is missing")
    with pytest.raises(CaseTableError, match="none of its 1 cases could be measured; t: a slice"):
        evaluate_cohort(bright_and_dark(), study(*valid(), broken))


def test_without_any_masks_the_scores_are_measured_all_the_same():
    cases = [
        case(one.name, one.split, dict(one.drawn), one.labels["bright"], has_organs=False)
        for one in (*valid(), *judged())
    ]
    result = evaluate_cohort(bright_and_dark(), study(*cases))
    assert figure(result.summary(20), "label", "auroc", name="bright")["value"] == 1.0
    assert result.records.share_inside.isna().all()
    assert np.isnan(result.thresholds.of("bright", "hirescam"))


def test_what_could_never_work_is_refused_before_any_case_is_read():
    classifier = bright_and_dark()
    half_told = classifier.spec.model_copy(update={"organs": {"dark": ("right",)}})
    cases = (*valid(), *judged(), case("t5", "test", {}, bright=None, labels={"dark": True}))
    classifier.spec = half_told
    with pytest.raises(CaseTableError, match="no organ is allowed for bright"):
        evaluate_cohort(classifier, study(*cases))
    classifier = bright_and_dark()
    negative = case("v1", "valid", {}, bright=False)
    with pytest.raises(CaseTableError, match="no case has any of the labels"):
        evaluate_cohort(classifier, study(negative, *judged()))
    with pytest.raises(CaseTableError, match="no case is in split 'valid'"):
        evaluate_cohort(classifier, study(*judged()))
    with pytest.raises(CaseTableError, match="do not both have fracture"):
        evaluate_cohort(classifier, study(*cases), labels=("fracture",))
    with pytest.raises(SettingsError, match="known and named once, not magic"):
        evaluate_cohort(classifier, study(*cases), methods=("magic",))
    with pytest.raises(SettingsError, match="must be stretched"):
        evaluate_cohort(classifier, study(*cases), rule="nearest")
    needs = {"fit": "window"}
    classifier.spec = classifier.spec.model_copy(
        update={"input": classifier.spec.input.model_copy(update=needs)}
    )
    with pytest.raises(InputError, match="names no points"):
        evaluate_cohort(classifier, study(*cases))
    assert not any(one.read for one in cases)


def test_a_case_may_name_its_own_organ():
    here = case("t", "test", {OUTSIDE: 1.0}, bright=True, allowed={"bright": ("right",)})
    result = evaluate_cohort(bright_and_dark(), study(*valid(), here))
    assert result.records.share_inside[0] == 1.0


def test_it_tells_how_far_it_is_and_stops_when_asked():
    told = []
    evaluate_cohort(
        bright_and_dark(), study(*valid(), *judged()),
        progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    done, totals = zip(*told, strict=True)
    assert list(done) == sorted(done)
    assert set(totals) == {6000}
    assert done[-1] == 6000
    with pytest.raises(Cancelled):
        evaluate_cohort(
            bright_and_dark(), study(*valid(), *judged()), should_stop=lambda: len(told) > 0
        )


def test_removing_cells_is_measured_when_asked_for():
    result = evaluate_cohort(
        bright_and_dark(), study(*valid(), *judged()), methods=("hirescam",), removal=True
    )
    mine = result.records[result.records.present]
    assert (mine.deletion > 0).all()
    assert (mine.insertion > 0).all()
    # It is for the figures, and would only cost time where thresholds are tuned.
    assert all(np.isnan(row.deletion) for one in result.tuning for row in one.rows)


def test_the_best_and_worst_maps_are_kept_as_pictures(result):
    (best,), (worst,) = result.gallery.best(3), result.gallery.worst(3)
    assert (best.case, worst.case) == ("t1", "t2")
    assert best.shares["hirescam"] == pytest.approx(1 / 1.1)
    # The slice through the strongest cell, at 6 mm a slice.
    assert best.slice_mm == 0.0
    # Drawn in square pixels of 4 mm: the brightest is where 1000 HU were drawn, 10 mm to the left.
    row, column = np.unravel_index(best.hu.argmax(), best.hu.shape)
    assert (row, round((column + 0.5) * 4 - 2.5)) == (1, pytest.approx(10, abs=4))
    assert best.maps["hirescam"].max() == pytest.approx(1.0, abs=0.3)
    assert best.organ[:, -1].all()
    assert not best.organ[:, 0].any()


class TestFiles:
    def test_the_tables_read_back_as_they_were(self, result, tmp_path):
        files = save_cohort(result, tmp_path / "out", n_replicates=50)
        assert sorted(path.name for path in files) == sorted(NAMES)
        cases = pd.read_parquet(tmp_path / "out" / "cases.parquet")
        assert cases.organ_iou.dropna().tolist() == result.records.organ_iou.dropna().tolist()
        assert len(cases.cells_above.dropna().iloc[0]) == 53
        parquet = pd.read_parquet(tmp_path / "out" / "summary.parquet")
        text = pd.read_csv(tmp_path / "out" / "summary.csv", keep_default_na=True)
        assert text["value"].tolist() == pytest.approx(parquet["value"].tolist(), nan_ok=True)
        frozen = FrozenThresholds.load(tmp_path / "out" / "thresholds.json")
        assert frozen == result.thresholds

    def test_what_is_there_is_kept_unless_it_may_be_replaced(self, result, tmp_path):
        out = tmp_path / "out"
        save_cohort(result, out, n_replicates=20)
        (out / "summary.csv").write_text("mine")
        with pytest.raises(SettingsError, match=r"already holds .*report\.html"):
            save_cohort(result, out, n_replicates=20)
        assert (out / "summary.csv").read_text() == "mine"
        save_cohort(result, out, overwrite=True, n_replicates=20)
        assert (out / "summary.csv").read_text() != "mine"
        assert sorted(path.name for path in out.iterdir()) == sorted(NAMES)

    def test_a_place_that_cannot_be_written_is_refused(self, result, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(SettingsError, match="cannot be written there"):
            save_cohort(result, tmp_path / "file" / "out")

    def test_on_a_full_disk_nothing_that_was_measured_is_lost(self, result, tmp_path, monkeypatch):
        out = tmp_path / "out"
        kept = out / ".unfinished"
        evaluate_cohort(bright_and_dark(), study(*valid(), *judged()), keep_in=kept)
        n_kept = len(list(kept.iterdir()))

        def full(*_args, **_options):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr("napari_hirescam.safe_write._write", full)
            with pytest.raises(SettingsError, match="No space left on device"):
                save_cohort(result, out, n_replicates=20)
            with pytest.raises(SettingsError, match="No space left on device"):
                evaluate_cohort(
                    bright_and_dark(), study(*valid(), *judged()), keep_in=tmp_path / "other"
                )
        assert len(list(kept.iterdir())) == n_kept == 6
        assert [path.name for path in out.iterdir()] == [".unfinished"]

    def test_labels_keep_the_order_of_the_model(self, result):
        assert result.labels == LABELS


class TestInterrupted:
    def settings(self, folder):
        return {"methods": ("hirescam", "gradcam"), "keep_in": folder}

    def interrupted(self, folder, after=4):
        """Run until the fourth case is done; the cases it read."""
        cases = (*valid(), *judged())
        done = []
        with pytest.raises(Cancelled):
            evaluate_cohort(
                bright_and_dark(), study(*cases), **self.settings(folder),
                progress=lambda n, _total: done.append(n),
                should_stop=lambda: bool(done) and done[-1] >= 1000 * after,
            )  # fmt: skip
        return cases

    def test_it_goes_on_where_it_stopped_with_the_same_result(self, result, tmp_path):
        self.interrupted(tmp_path / "kept")
        cases = (*valid(), *judged())
        again = evaluate_cohort(
            bright_and_dark(), study(*cases), **self.settings(tmp_path / "kept")
        )
        # What was measured is not explained again, but for the pictures of best and worst.
        assert [one.name for one in cases if not one.read] == ["v1", "v2"]
        pd.testing.assert_frame_equal(again.records, result.records)
        assert again.thresholds == result.thresholds
        assert [p.case for p in again.gallery.worst(1)] == ["t2"]
        assert again.gallery.best(1)[0].maps["hirescam"].tolist() == (
            result.gallery.best(1)[0].maps["hirescam"].tolist()
        )

    def test_what_was_measured_otherwise_or_of_other_cases_is_not_taken(self, tmp_path):
        self.interrupted(tmp_path / "kept")
        cases = (*valid(), *judged())
        evaluate_cohort(
            bright_and_dark(gain=2.0), study(*cases), **self.settings(tmp_path / "kept")
        )
        assert all(one.read for one in cases)
        changed = case("v1", "valid", {INSIDE: 1.0, OUTSIDE: 0.3}, bright=True)
        evaluate_cohort(
            bright_and_dark(), study(changed, valid()[1], *judged()),
            **self.settings(tmp_path / "kept"),
        )  # fmt: skip
        assert changed.read
        other = replace(valid()[0], patient="somebody else", read=[])
        evaluate_cohort(
            bright_and_dark(), study(other, valid()[1], *judged()),
            **self.settings(tmp_path / "kept"),
        )  # fmt: skip
        assert other.read  # intervals draw patients

    def test_a_damaged_file_is_measured_again(self, tmp_path, result):
        self.interrupted(tmp_path / "kept")
        for file in (tmp_path / "kept").glob("*.json"):
            file.write_bytes(file.read_bytes()[:-20])
        cases = (*valid(), *judged())
        again = evaluate_cohort(
            bright_and_dark(), study(*cases), **self.settings(tmp_path / "kept")
        )
        assert all(one.read for one in cases)
        pd.testing.assert_frame_equal(again.records, result.records)

    def test_once_the_results_are_written_nothing_is_kept(self, tmp_path):
        out = tmp_path / "out"
        self.interrupted(out / ".unfinished")
        assert list((out / ".unfinished").iterdir())
        result = evaluate_cohort(
            bright_and_dark(), study(*valid(), *judged()), **self.settings(out / ".unfinished")
        )
        save_cohort(result, out, n_replicates=20)
        assert sorted(path.name for path in out.iterdir()) == sorted(NAMES)

"""What a review came to: counts, agreement figures, tables, report."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from judged_reviews import Said, mask_items, new_review, say
from typer.testing import CliRunner

from napari_hirescam.cli import app
from napari_hirescam.errors import Cancelled, ReviewError, SettingsError
from napari_hirescam.io import write_volume
from napari_hirescam.review import export as export_module
from napari_hirescam.review import results as results_module
from napari_hirescam.review.agreement import ONE_CATEGORY
from napari_hirescam.review.edited_masks import write_edit
from napari_hirescam.review.export import export_results
from napari_hirescam.review.export_tables import as_csv
from napari_hirescam.review.form import Blinding
from napari_hirescam.review.item import CheckFinding, MaskFacts
from napari_hirescam.review.loading import load_item
from napari_hirescam.review.report_pictures import middle_of, picture
from napari_hirescam.review.results import results
from napari_hirescam.review.review_file import ReviewFile
from napari_hirescam.volume import Grid

_RUN = CliRunner()
#: Items 1 to 8 (two organs of four scans), and repeats 9 and 10 of the first two.
_ANN = {
    1: Said(5, "use", contrast=True),
    2: Said(4, "use", contrast=True),
    3: Said(2, "exclude", ("leak",), comment='=into, "the" stomach\nreally', flagged=True),
    4: Said(4, "use", contrast=False),
    5: Said(1, "exclude", ("missing_part", "leak"), contrast=False, seconds=30.0),
    6: Said(3, "rough"),
    7: Said(5, "use"),
    8: Said(5, "use", done=False),
    9: Said(5, "use"),
    10: Said(3, "rough"),
}
_BEN = {
    1: Said(5, "use", contrast=True),
    2: Said(5, "use", contrast=False),
    3: Said(4, "use", contrast=True, seconds=20.0),
    4: Said(4, "use"),
    5: Said(1, "exclude", ("leak",), contrast=False),
    6: Said(3, "rough"),
    7: Said(4, "use"),
    8: Said(5, "use"),
    9: Said(5, "use"),
    10: Said(5, "use"),
}
_CASES = ["Meier^Anna", "c2", "c3", "c4"]


def _judged(folder: Path, **plan: object) -> ReviewFile:
    review = new_review(
        folder / "review.db", mask_items(_CASES, ["heart", "left_lung"], repeats=2), **plan
    )
    say(review, "ann", _ANN)
    say(review, "ben", _BEN)
    return review


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judged")
    with _judged(folder) as review:
        leak = CheckFinding("leak", "3 mL lie in the stomach", 0.8)
        review.put_facts(3, MaskFacts(610.5, 420.0, 38.25, (leak,)))
    return folder / "review.db"


@pytest.fixture(scope="module")
def exported(judged):
    with ReviewFile.open(judged, read_only=True) as review:
        return export_results(review, judged.parent / "out")


@pytest.fixture
def review(judged, tmp_path):
    shutil.copy(judged, tmp_path / "review.db")  # each answer is flushed to the disk: once
    with ReviewFile.open(tmp_path / "review.db") as made:
        yield made


def _rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def _figure(found, key, asked="rating of masks", between="readers", target="", readers=None):
    matching = [
        figure.estimate
        for figure in found.agreement
        if (figure.key, figure.asked.name, figure.between, figure.target)
        == (key, asked, between, target)
        and readers in (None, figure.readers)
    ]
    (estimate,) = matching
    return estimate


def test_each_readers_work_is_counted(review):
    found = results(review, edits=False)
    whole = {count.reader: count for count in found.counts if not count.target}
    ann = whole["ann"]
    assert (ann.items, ann.done, ann.flagged, ann.edited, ann.unreadable) == (10, 9, 1, 0, 0)
    assert ann.ratings == (1, 1, 2, 2, 3)  # the unfinished 5 of item 8 is left out
    assert ann.mean_rating == pytest.approx((1 + 2 + 3 + 3 + 4 + 4 + 5 + 5 + 5) / 9)
    assert dict(ann.decisions) == {"use": 5, "exclude": 2, "rough": 2}
    assert dict(ann.reasons) == {"leak": 2, "missing_part": 1}
    assert (ann.median_seconds, ann.total_seconds) == (10.0, 120.0)
    heart = next(c for c in found.counts if (c.reader, c.target) == ("ann", "heart"))
    assert (heart.items, heart.done, heart.ratings) == (5, 5, (1, 1, 0, 0, 3))
    assert found.notes == ("1 answers of ann are not final and are left out",)


def test_agreement_is_of_first_showings_that_both_called_done(review):
    found = results(review, edits=False)
    # Items 1 to 7: ann 5 4 2 4 1 3 5, ben 5 5 4 4 1 3 4.
    agreeing = _figure(found, "percent")
    assert (agreeing.value, agreeing.n) == (pytest.approx(4 / 7), 7)
    a, b = np.array([5, 4, 2, 4, 1, 3, 5]), np.array([5, 5, 4, 4, 1, 3, 4])
    expected = np.mean([(x - y) ** 2 for x in a for y in b])
    kappa = _figure(found, "kappa_quadratic")
    assert kappa.value == pytest.approx(1 - np.mean((a - b) ** 2) / expected)
    assert kappa.low < kappa.value < kappa.high
    decision = _figure(found, "percent", "decision")
    assert (decision.value, decision.n) == (pytest.approx(6 / 7), 7)
    contrast = _figure(found, "percent", "question contrast")
    assert (contrast.value, contrast.n) == (pytest.approx(2 / 3), 3)  # items 1, 2, 5
    leak = _figure(found, "percent", "reason leak")
    assert (leak.value, leak.n) == (pytest.approx(6 / 7), 7)
    assert not any(figure.asked.name == "reason jagged" for figure in found.agreement)
    heart = _figure(found, "percent", target="heart")
    assert (heart.value, heart.n) == (pytest.approx(2 / 4), 4)


def test_hidden_repeats_measure_each_reader_against_themselves(review):
    found = results(review, edits=False)
    ann = _figure(found, "percent", between="visits", readers=("ann",))
    assert (ann.value, ann.n) == (pytest.approx(1 / 2), 2)
    ben = _figure(found, "percent", between="visits", readers=("ben",))
    assert (ben.value, ben.n) == (1.0, 2)
    kappa = _figure(found, "kappa", between="visits", readers=("ben",))
    assert np.isnan(kappa.value)
    assert kappa.note == ONE_CATEGORY


def test_three_readers_are_compared_together_and_in_pairs(review):
    say(review, "cleo", {1: Said(5, "use"), 2: Said(4, "use")})
    found = results(review, edits=False)
    pairs = [f.readers for f in found.agreement if (f.key, f.asked.name) == ("kappa", "decision")
             and f.between == "readers"]  # fmt: skip
    assert pairs == [("ann", "ben"), ("ann", "cleo"), ("ben", "cleo")]
    assert _figure(found, "alpha_ordinal").n == 7
    assert "5 items that not all answered are left out" in _figure(found, "fleiss").note
    only = results(review, ["cleo", "ann"], edits=False)
    assert only.readers == ("ann", "cleo")
    assert _figure(only, "percent").n == 2
    with pytest.raises(ReviewError, match="Name one of: ann, ben, cleo"):
        results(review, ["dora"])


def test_who_only_looked_in_changes_no_figure(review):
    before = results(review, edits=False)
    review.record("guest", 1, "opened", None)
    after = results(review, edits=False)
    assert after.readers == ("ann", "ben", "guest")
    for key in ("fleiss", "icc", "kappa_quadratic"):
        assert np.isfinite(_figure(before, key).value)
        assert _figure(after, key) == _figure(before, key)


def test_one_reader_alone_has_counts_and_no_agreement(tmp_path):
    with new_review(tmp_path / "r.db", mask_items(["c1"], ["heart"])) as review:
        say(review, "ann", {1: Said(4, "use")})
        found = results(review)
        assert found.agreement == ()
        assert found.notes == (
            "agreement between readers needs two who have finished items",
            "agreement of readers with themselves needs hidden repeats",
        )
        exported = export_results(review, tmp_path / "out")
        assert "agreement.csv" not in [file.name for file in exported.files]


def test_tables_hold_everything(exported):
    assert [file.name for file in exported.files] == [
        "verdicts.csv", "decisions.csv", "history.csv", "counts.csv", "agreement.csv",
        "verdicts.parquet", "decisions.parquet", "history.parquet", "counts.parquet",
        "agreement.parquet", "report.html",
    ]  # fmt: skip
    verdicts = _rows(exported.folder / "verdicts.csv")
    assert len(verdicts) == 20
    row = next(r for r in verdicts if (r["item"], r["reader"]) == ("3", "ann"))
    last = row.pop("last")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", last)
    assert row.pop("software")
    assert row == {
        "item": "3", "repeat_of": "", "case": "c2", "patient": "patient of c2", "split": "test",
        "kind": "mask", "target": "heart", "reader": "ann", "done": "yes", "rating": "2",
        "rating_words": "major edits", "decision": "exclude", "reasons": "leak",
        "answer_contrast": "", "comment": "'=into, \"the\" stomach\nreally", "flagged": "yes",
        "unreadable": "", "edit_file": "", "edit_sha256": "", "seconds": "10.0",
        "mask_sha256": "a" * 64, "volume_ml": "610.5", "mean_hu": "38.25", "worst_check": "0.8",
        "check_findings": "3 mL lie in the stomach",
    }  # fmt: skip
    assert next(r for r in verdicts if r["item"] == "10")["repeat_of"] == "2"
    decisions = _rows(exported.folder / "decisions.csv")
    assert [(r["case"], r["organ"], r["decision"]) for r in decisions[2:4]] == [
        ("c2", "heart", "exclude"),  # the stricter of the two
        ("c2", "left_lung", "use"),
    ]
    history = _rows(exported.folder / "history.csv")
    assert [int(r["number"]) for r in history] == list(range(1, len(history) + 1))
    assert {"item": "5", "kind": "reasons"}.items() <= next(
        r for r in history if r["value"] == '["missing_part", "leak"]'
    ).items()
    agreement = _rows(exported.folder / "agreement.csv")
    percent = next(
        r for r in agreement if (r["coefficient"], r["asked"]) == ("percent", "decision")
    )
    assert float(percent["value"]) == pytest.approx(6 / 7)
    assert percent["readers"] == "ann;ben"


def test_no_cell_of_a_csv_is_a_formula_to_a_spreadsheet():
    told_as = {
        "=1+1": "'=1+1", "+1": "'+1", "-leak": "'-leak", "@sum(A1)": "'@sum(A1)",
        "\t=1": "'\t=1", "\n=1": "'\n=1", "\r=1": "'\n=1",
        # A bare return would end the row, and the next one be a formula.
        "a\r=1": "a\n=1", "a\r\n=1": "a\n=1", " plain": " plain", "a=b": "a=b", "": "",
    }  # fmt: skip
    rows = [{"=heading": text, "figure": -1.5} for text in told_as]
    told = list(csv.DictReader(io.StringIO(as_csv(rows).decode(), newline="")))
    assert [row["'=heading"] for row in told] == list(told_as.values())
    assert {row["figure"] for row in told} == {"-1.5"}, "figures stay figures"


def test_an_export_is_of_one_moment(review, tmp_path, monkeypatch):
    """Another reader goes on while the figures are made."""
    made = export_module.results

    def slowly(*args, **options):
        found = made(*args, **options)
        with ReviewFile.open(review.path) as other:
            other.record("ann", 1, "decision", "exclude")
            other.record("zoe", 1, "flag", value=True)
        return found

    monkeypatch.setattr(export_module, "results", slowly)
    exported = export_results(review, tmp_path / "out", pictures=False)
    verdicts = _rows(exported.folder / "verdicts.csv")
    history = _rows(exported.folder / "history.csv")
    decisions = _rows(exported.folder / "decisions.csv")
    assert "zoe" not in {row["reader"] for row in verdicts + history}
    item = review.item(1)
    row = next(r for r in decisions if (r["case"], r["organ"]) == (item.case, item.target))
    assert row["decision"] == "use"
    assert ("1", '"exclude"') not in {(r["item"], r["value"]) for r in history}
    assert review.verdict("ann", 1).decision == "exclude", "it was recorded all the same"


def test_parquet_says_the_same_as_csv(exported):
    import pandas as pd

    frame = pd.read_parquet(exported.folder / "verdicts.parquet")
    rows = _rows(exported.folder / "verdicts.csv")
    assert list(frame.columns) == list(rows[0])
    assert [str(value) for value in frame["rating"]] == [row["rating"] for row in rows]
    assert frame["repeat_of"].isna().sum() == 16


def test_the_report_tells_figures_readers_and_what_to_settle(exported):
    html = (exported.folder / "report.html").read_text(encoding="utf-8")
    text = re.sub(r"<[^>]+>", " ", html)
    assert "ann and ben judged 8 masks of 4 scans" in text
    assert "1 item differs by 2 steps or more" in text
    for heading in (
        "Agreement between readers",
        "Agreement of readers with themselves",
        "Readers",
        "Decisions and reasons",
        "To be settled",
        "Flagged",
        "What the figures mean",
    ):
        assert heading in text
    # No CT lies there: the flagged item has no picture, and the report says so.
    assert "Item 3 has no picture: the CT: there is no such file" in text
    assert "&lt;script" not in html
    assert html.count("data:image/png") == 3  # confusion, ratings, times


def test_names_are_hidden_where_the_plan_blinds_them(tmp_path):
    with _judged(tmp_path, blinding=Blinding(names=True)) as review:
        review.record("ben", 1, "unreadable", "Meier^Anna.nii.gz: there is no such file")
        exported = export_results(review, tmp_path / "out")
    for file in exported.files:
        if file.name.startswith("decisions"):
            continue  # a training looks for the cases' own names
        assert b"Meier" not in file.read_bytes(), file.name
    assert {r["case"] for r in _rows(tmp_path / "out" / "verdicts.csv")} == {
        "scan 1", "scan 2", "scan 3", "scan 4",
    }  # fmt: skip
    assert any("own names" in note for note in exported.notes)


def test_command_and_function_give_the_same_bytes(judged, exported, tmp_path):
    command = ["review", "export", str(judged), "--out", str(tmp_path)]
    answer = _RUN.invoke(app, command)
    assert answer.exit_code == 0, answer.output
    today = re.compile(rb"\d{4}-\d\d-\d\d</dd>")  # midnight may lie between the two
    for file in exported.files:
        again = (tmp_path / file.name).read_bytes()
        assert today.sub(b"", file.read_bytes()) == today.sub(b"", again), file.name
    again = _RUN.invoke(app, command)
    assert again.exit_code == 1
    assert "it already holds verdicts.csv" in again.output.replace("\n", " ")


def test_an_earlier_export_leaves_nothing_stale(review, tmp_path):
    out = tmp_path / "out"
    export_results(review, out, pictures=False)
    with pytest.raises(SettingsError, match="already holds"):
        export_results(review, out)
    (out / "edits.csv").write_text("of an earlier export, when there were edits")
    (out / "my_notes.txt").write_text("not ours")
    exported = export_results(review, out, readers=["ann"], pictures=False, overwrite=True)
    written = {file.name for file in exported.files}
    assert {file.name for file in out.iterdir()} == {*written, "my_notes.txt"}


def test_without_the_extra_the_csvs_are_there_and_the_rest_is_said(review, tmp_path, monkeypatch):
    monkeypatch.setattr(results_module, "missing_packages", lambda: ("krippendorff",))
    monkeypatch.setattr(export_module.importlib.util, "find_spec", lambda name: None)
    exported = export_results(review, tmp_path / "out")
    assert [file.name for file in exported.files] == [
        "verdicts.csv", "decisions.csv", "history.csv", "counts.csv",
    ]  # fmt: skip
    assert sum('pip install "napari-hirescam[review]"' in note for note in exported.notes) == 3


def test_answers_that_another_program_changed_are_not_published(review):
    review.close()
    with closing(sqlite3.connect(review.path)) as other, other:
        other.execute("UPDATE verdicts SET rating = 1 WHERE reader = 'ann'")
    with (
        ReviewFile.open(review.path) as changed,
        pytest.raises(ReviewError, match="against the events"),
    ):
        results(changed, edits=False)


def test_stopping_writes_nothing(review, tmp_path):
    with pytest.raises(Cancelled):
        export_results(review, tmp_path / "out", should_stop=lambda: True)
    assert list((tmp_path / "out").iterdir()) == []


def test_nobody_has_begun(tmp_path):
    with new_review(tmp_path / "r.db", mask_items(["c1"], ["heart"])) as review:
        with pytest.raises(ReviewError, match="nobody has begun"):
            export_results(review, tmp_path / "out")
        assert results(review).notes == ("nobody has begun",)


# Edited masks and pictures need files: one scan, a block of 6 x 10 x 8 voxels of 4 x 2 x 2 mm.
_SHAPE, _SPACING = (12, 30, 24), (4.0, 2.0, 2.0)
_BOX = (slice(3, 9), slice(8, 18), slice(6, 14))


@pytest.fixture
def edited(tmp_path):
    grid = Grid(_SHAPE, np.diag([*_SPACING, 1.0]))
    hu = np.full(_SHAPE, -900, dtype=np.int16)
    mask = np.zeros(_SHAPE, dtype=np.uint8)
    mask[_BOX] = 1
    hu[_BOX] = 40
    write_volume(tmp_path / "c1.nii.gz", hu, grid)
    write_volume(tmp_path / "c1_mask.nii.gz", mask, grid)
    (item,) = mask_items(["c1"], ["heart"])
    item = replace(item, ct=tmp_path / "c1.nii.gz", mask=tmp_path / "c1_mask.nii.gz")
    with new_review(tmp_path / "review.db", [item]) as review:
        loaded = load_item(item)
        for reader, first in (("ann", 2), ("ben", 3)):  # ann adds a slice, ben none
            own = np.zeros(_SHAPE, dtype=bool)
            own[slice(first, 9), _BOX[1], _BOX[2]] = True
            write_edit(review, item, reader, own, loaded.ct, base_sha256=loaded.mask_sha256)
        say(review, "ann", {1: Said(3, "use", flagged=True)})
        say(review, "ben", {1: Said(4, "use")})
        yield review, loaded


def test_edits_are_compared_with_the_original_and_each_other(edited, tmp_path):
    review, _ = edited
    found = {(each.first, each.second): each.comparison for each in results(review).edits}
    assert set(found) == {("", "ann"), ("", "ben"), ("ann", "ben")}
    assert found["", "ann"].dice == pytest.approx(2 * 6 / (6 + 7))
    assert found["", "ann"].added_ml == pytest.approx(80 * 16 / 1000)
    assert found["", "ben"].dice == 1.0
    assert found["ann", "ben"].removed_ml == pytest.approx(80 * 16 / 1000)
    exported = export_results(review, tmp_path / "out")
    rows = _rows(tmp_path / "out" / "edits.csv")
    assert [(r["first"], r["second"]) for r in rows] == [
        ("original", "ann"), ("original", "ben"), ("ann", "ben"),
    ]  # fmt: skip
    assert float(rows[0]["dice"]) == pytest.approx(12 / 13)
    html = exported.files[-1].read_text(encoding="utf-8")
    assert "edits of ann, ben" in html
    assert html.count("data:image/png") == 4  # and the picture of the flagged item


def test_an_edit_that_was_changed_or_lost_is_named_and_the_rest_goes_on(edited):
    review, loaded = edited
    review.verdict("ann", 1).edit.file.unlink()
    found = results(review).edits
    assert [(each.second, bool(each.problem)) for each in found] == [("ann", True), ("ben", False)]
    assert found[0].problem.startswith("the edited mask: ")
    loaded.item.ct.unlink()
    assert {each.problem for each in results(review).edits} == {
        "the CT: there is no such file or folder. Check the path."
    }


def test_pictures_show_the_planes_that_hold_most_of_the_mask(edited):
    _, loaded = edited
    assert middle_of([loaded.mask], _SHAPE) == (3, 8, 6)
    off = np.zeros(_SHAPE, dtype=bool)
    off[7, 20, 5:9] = True
    off[7, 21, 5] = True
    assert middle_of([off], _SHAPE) == (7, 20, 5)
    assert middle_of([np.zeros(_SHAPE, dtype=bool)], _SHAPE) == (6, 15, 12)


def test_the_patients_left_is_on_the_right_of_the_picture(edited):
    from matplotlib.image import imread

    _, loaded = edited
    left = np.zeros(_SHAPE, dtype=bool)
    left[5, 12:18, 18:22] = True  # high columns: the patient's left
    png = picture(loaded, {"ann": left})
    drawn = imread(io.BytesIO(png))
    cyan = (drawn[..., 0] < 0.4) & (drawn[..., 1] > 0.7) & (drawn[..., 2] > 0.8)
    planes = drawn.shape[0] * 0.8  # the legend lies below
    rows, columns = np.nonzero(cyan[: int(planes)])
    assert len(rows) > 20
    yellow = (drawn[..., 0] > 0.8) & (drawn[..., 1] > 0.6) & (drawn[..., 2] < 0.4)
    third = drawn.shape[1] // 3
    of_mask = np.nonzero(yellow[: int(planes), :third])[1].mean()
    assert columns[columns < third].mean() > of_mask + 10


def test_the_command_prints_agreement_and_makes_the_review_that_settles_it(review, tmp_path):
    new = tmp_path / "settle.db"
    answer = _RUN.invoke(app, ["review", "agree", str(review.path), "--adjudicate", str(new)])
    assert answer.exit_code == 0, answer.output
    assert "kappa, quadratic weights" in answer.output
    assert "To be settled: 1" in answer.output
    assert "1 items to be settled" in answer.output
    with ReviewFile.open(new, read_only=True) as settling:
        assert settling.plan.adjudicates == "Lungs"
        assert [item.case for item in settling.items()] == ["c2"]
        with pytest.raises(ReviewError, match="which is not there"):
            export_module.decided(settling)


def test_the_command_prints_json_without_nan(review):
    answer = _RUN.invoke(app, ["review", "agree", str(review.path), "--json"])
    assert answer.exit_code == 0, answer.output
    told = json.loads(answer.stdout, parse_constant=pytest.fail)
    assert told["readers"] == ["ann", "ben"]
    assert [each["item"] for each in told["to_be_settled"]] == [3]
    kappa = next(r for r in told["agreement"] if r["coefficient"] == "kappa_quadratic")
    assert -1 < kappa["low"] < kappa["value"]


def test_results_go_neither_under_an_impossible_name_nor_by_another_reviews_word(review, tmp_path):
    with pytest.raises(SettingsError, match="cannot be written there: File name too long"):
        export_results(review, tmp_path / ("a" * 300), pictures=False)
    with pytest.raises(ReviewError, match="it does not settle the review 'Lungs'"):
        export_results(review, tmp_path / "out", settled_by=review, pictures=False)
    assert not (tmp_path / "out").exists()


def test_an_adjudicating_reviews_decisions_win(review, tmp_path):
    from napari_hirescam.review.adjudication import adjudication_review

    with adjudication_review(review, tmp_path / "settle.db") as settling:
        say(settling, "cleo", {1: Said(4, "use")})
        export_results(review, tmp_path / "out", settled_by=settling, pictures=False)
        alone = export_results(settling, tmp_path / "alone", pictures=False)
    row = next(
        r
        for r in _rows(tmp_path / "out" / "decisions.csv")
        if (r["case"], r["organ"]) == ("c2", "heart")
    )
    assert (row["decision"], row["rule"], row["readers"]) == ("use", "adjudicated", "cleo")
    assert "decisions.csv" not in [file.name for file in alone.files]
    assert any("settled by this" in note for note in alone.notes)


def test_pictures_in_the_report_are_pngs(edited, tmp_path):
    review, _ = edited
    export_results(review, tmp_path / "out")
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for content in re.findall(r"data:image/png;base64,([^\"]+)", html):
        assert base64.b64decode(content).startswith(b"\x89PNG\r\n")

"""``review new`` and ``review status``; decisions in ``train`` and ``evaluate``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_cli import run
from test_cli_evaluate import data, model  # noqa: F401 - fixtures
from test_cli_train import config  # noqa: F401 - a fixture

from napari_hirescam.cases import PhantomCase
from napari_hirescam.cli.train import with_reviews
from napari_hirescam.errors import SettingsError
from napari_hirescam.evaluation.cohort_files import CASES
from napari_hirescam.io import write_volume
from napari_hirescam.review.event import Edit
from napari_hirescam.review.form import Blinding, Plan
from napari_hirescam.review.item import Item
from napari_hirescam.review.review_file import ReviewFile
from napari_hirescam.source import Segment
from napari_hirescam.training.settings_file import read_settings, settings_of
from napari_hirescam.volume import Grid

SHAPE = (6, 7, 8)
GRID = Grid(SHAPE, np.diag([3.0, 2.0, 2.0, 1.0]))


@pytest.fixture
def cohort(tmp_path) -> Path:
    """Twelve cases with two organs each; the CT of a thirteenth is not there."""
    rows = ["case,ct,masks,split,nodule,kernel"]
    for n in range(12):
        labels = np.zeros(SHAPE, np.uint8)
        labels[2, 3, 1], labels[3, 4, 3:5] = 1, 2
        write_volume(tmp_path / f"c{n}.nii.gz", np.full(SHAPE, -900, np.int16), GRID)
        segments = (Segment(1, "right_lung"), Segment(2, "heart"))
        write_volume(tmp_path / f"c{n}_seg.nii.gz", labels, GRID, segments=segments)
        rows.append(f"c{n},c{n}.nii.gz,c{n}_seg.nii.gz,train,{n % 2},B70f")
    rows.append("gone,gone.nii.gz,c0_seg.nii.gz,train,1,B70f")
    (tmp_path / "cohort.csv").write_text("\n".join(rows), encoding="utf-8")
    return tmp_path / "cohort.csv"


def test_a_review_is_made_of_a_table_and_what_was_recognised_is_told(cohort, tmp_path):
    (tmp_path / "form.yaml").write_text(
        "questions: {contrast: 'Is there contrast medium?'}", encoding="utf-8"
    )
    out = tmp_path / "review.db"
    code, text = run(
        "review", "new", cohort, "--out", out, "--name", "Lungs 2026", "--organs", "heart",
        "--questions", tmp_path / "form.yaml", "--order", "random", "--seed", "7",
        "--repeats", "0.1", "--blind", "scores,readers",
    )  # fmt: skip
    assert code == 0, text
    assert "ct ct c0.nii.gz" in text  # role, heading, first row
    assert "mask masks c0_seg.nii.gz" in text
    assert "findings nodule" in text
    assert "shown to readers kernel" in text
    assert "Left out: row 14, case gone: its CT gone.nii.gz is not there" in text
    assert "12 masks and 0 maps of 12 cases: heart" in text
    assert f"Wrote {out}: 13 items, 1 of them hidden repeats." in text
    with ReviewFile.open(out) as review:
        plan, items = review.plan, review.items()
    assert (plan.name, plan.order, plan.seed, plan.repeat_share) == ("Lungs 2026", "random", 7, 0.1)
    assert plan.blinding == Blinding(scores=True, names=False, other_readers=True)
    assert [one.key for one in plan.form.questions] == ["contrast"]
    assert {item.target for item in items} == {"heart"}
    assert items[0].about["kernel"] == "B70f"


def test_a_dry_run_writes_nothing(cohort, tmp_path):
    before = sorted(tmp_path.iterdir())
    code, text = run("review", "new", cohort, "--dry-run")
    assert code == 0, text
    assert "24 masks and 0 maps of 12 cases: right_lung, heart Nothing was written." in text
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ([], "--out: no file is named"),
        (["--out", "cohort.csv"], "there is a file of this name"),
        (["--out", "r.db", "--column", "image=ct"], "'image=ct' is not role=heading"),
        (["--out", "r.db", "--column", "ct=image"], "no column 'image' for ct"),
        (["--out", "r.db", "--blind", "patients"], "--blind: unknown: patients"),
        (["--out", "r.db", "--organs", "none"], "nothing in it can be judged"),
        (["--out", "r.db", "--organs", "liver"], "its mask c0_seg.nii.gz has no liver"),
        (["--out", "r.db", "--organ-table", "t.csv"], "no such table of organs"),
        (["--out", "r.db", "--questions", "q.yaml"], "there is no such file"),
    ],
)
def test_what_cannot_be_made_ends_with_one_line(cohort, tmp_path, monkeypatch, options, reason):
    monkeypatch.chdir(tmp_path)
    code, text = run("review", "new", cohort, *options)
    assert code == 1
    assert f"Error: {reason}" in text or reason in text.partition("Error: ")[2]
    assert not (tmp_path / "r.db").exists()


def test_a_column_can_be_named(cohort, tmp_path):
    text = cohort.read_text(encoding="utf-8").replace("case,ct,", "case,where,")
    cohort.write_text(text, encoding="utf-8")
    code, text = run("review", "new", cohort, "--dry-run")
    assert code == 1
    assert "no column of it holds CTs" in text
    code, text = run("review", "new", cohort, "--dry-run", "--column", "ct=where")
    assert code == 0, text


def test_the_standing_of_a_review(cohort, tmp_path):
    out = tmp_path / "review.db"
    run("review", "new", cohort, "--out", out)
    code, text = run("review", "status", out)
    assert (code, "Nobody has begun." in text) == (0, True)
    with ReviewFile.open(out) as review:
        for number, (decision, seconds) in enumerate(
            [("use", 20.0), ("exclude", 40.0), ("use", 90.0)], start=1
        ):
            review.record("ann", number, "opened", None)
            review.record("ann", number, "decision", decision, seconds=seconds)
            review.record("ann", number, "done", value=True, seconds=seconds)
        review.record("ann", 4, "flag", value=True)
        review.record("bob", 5, "unreadable", "its CT is not there")
    code, text = run("review", "status", out)
    assert code == 0, text
    assert "review: 24 items of 12 cases" in text
    # 21 left at 40 s each, the median.
    assert "ann 3 21 40 s 14 min 00 s 1 0" in text
    assert "bob 0 23 0 1" in text
    assert "right_lung mask 12 2 0 2 0 0 0 0 1" in text
    assert "heart mask 12 1 0 0 0 0 1 1 0" in text
    code, text = run("review", "status", out, "--json")
    told = json.loads(text)
    assert told["readers"][0]["seconds_left"] == 840.0
    assert told["readers"][1]["seconds_an_item"] is None
    assert told["targets"][1]["decisions"]["exclude"] == 1


def test_the_standing_of_what_is_no_review(tmp_path):
    (tmp_path / "review.db").write_bytes(b"not a database, but long enough to be looked at" * 9)
    code, text = run("review", "status", tmp_path / "review.db")
    assert code == 1
    assert "Error: " in text


def test_a_training_takes_reviews_by_its_settings_or_by_an_option(tmp_path):
    text = "model: {{start_from: model}}\ndata: {{table: cohort.csv, reviewed: {}}}"
    for written, files in (
        ("review.db", ("review.db",)),
        ("[a.db, b.db]", ("a.db", "b.db")),
        ("{files: a.db, rule: majority, unreviewed: leave}", ("a.db",)),
    ):
        (tmp_path / "train.yaml").write_text(text.format(written), encoding="utf-8")
        settings = read_settings(tmp_path / "train.yaml")
        assert settings.data.reviewed.files == tuple(str(tmp_path / one) for one in files)
    # The option takes the place of the files, and leaves the rule.
    told = with_reviews(settings, [tmp_path / "c.db"]).data.reviewed
    assert (told.files, told.rule) == ((str(tmp_path / "c.db"),), "majority")
    assert with_reviews(settings, []) is settings
    with pytest.raises(SettingsError, match=r"data\.reviewed\.unreviewed"):
        settings_of(
            {
                "model": {"start_from": "model"},
                "data": {"reviewed": {"files": ["a"], "unreviewed": "drop"}},
            },
            "settings",
        )


def judged(folder: Path, decisions: dict[str, str]) -> Path:
    """A finished review of a heart in each case; of its files only the names are asked for."""
    items = [
        Item(k, case, case, "mask", "heart", folder / "ct.nii", mask=folder / "mask.nii")
        for k, case in enumerate(decisions, 1)
    ]
    with ReviewFile.create(folder / "judged.db", Plan("judged"), items) as review:
        for item in items:
            review.record("ann", item.number, "decision", decisions[item.case])
            review.record("ann", item.number, "done", value=True)
        return review.path


def test_rejected_cases_are_not_evaluated(model, data, tmp_path):  # noqa: F811
    review = judged(tmp_path, {"case 0": "exclude", "case 4": "resegment", "case 5": "use"})
    out = tmp_path / "out"
    code, text = run(
        "evaluate", "--model", model, "--data", data, "--out", out, "--device", "cpu",
        "--replicates", 20, "--methods", "hirescam", "--reviewed", review,
    )  # fmt: skip
    assert code == 0, text
    assert "2 of 9 cases leave: 1 excluded (case 0); 1 to be segmented anew (case 4)." in text
    measured = set(pd.read_parquet(out / CASES)["case"])
    assert measured == {"case 3", "case 6", "case 7", "case 8", "case 5"}
    code, text = run(
        "evaluate", "--model", model, "--data", data, "--out", tmp_path / "out2",
        "--reviewed", review, "--review-rule", "bob",
    )  # fmt: skip
    assert code == 1
    assert "there is no reader 'bob'" in text


def test_rejected_cases_are_not_trained_on(config, tmp_path, monkeypatch):  # noqa: F811
    read: set[str] = set()
    ct = PhantomCase.ct
    monkeypatch.setattr(PhantomCase, "ct", lambda self: (read.add(self.name), ct(self))[1])
    review = judged(tmp_path, {"phantom-100005": "exclude", "phantom-100002": "use"})
    code, text = run("train", config, "--out", tmp_path / "out", "--reviewed", review)
    assert code == 0, text
    assert "1 of 7 cases leave: 1 excluded (phantom-100005)." in text
    assert len(read) == 6
    assert "phantom-100005" not in read
    assert str(review) in (tmp_path / "out" / "settings.yaml").read_text(encoding="utf-8")


def test_a_run_is_not_gone_on_with_when_a_mask_was_corrected_meanwhile(config, tmp_path):  # noqa: F811
    from napari_hirescam.training.fitting import Fit
    from napari_hirescam.training.plan import Listeners
    from napari_hirescam.training.run import plan_training

    path = judged(tmp_path, {"phantom-100001": "use"})
    settings = with_reviews(read_settings(config), [path])

    def identity() -> str:
        plan = plan_training(settings, None, tmp_path / "out", None, None)
        return Fit(plan, Listeners()).identity

    (tmp_path / "out").mkdir()
    before = identity()
    assert identity() == before
    mask = tmp_path / "edited.nii.gz"
    write_volume(mask, np.ones(SHAPE, np.uint8), GRID)
    sha256 = hashlib.sha256(mask.read_bytes()).hexdigest()
    with ReviewFile.open(path) as review:
        review.record("ann", 1, "edit", Edit(mask, sha256))
    assert identity() != before

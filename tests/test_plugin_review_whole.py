"""A whole review in a real window by keyboard alone, and a training on what came of it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import yaml
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication
from review_cases import BOX, SHAPE, make_case
from typer.testing import CliRunner

from napari_hirescam.cases import read_case_table
from napari_hirescam.cli import app
from napari_hirescam.plugin.reviewing.new_review_dialog import NewReviewDialog
from napari_hirescam.review.review_file import ReviewFile
from napari_hirescam.review.reviewed_cases import reviewed_cases

pytestmark = pytest.mark.usefixtures("keyboard")

pytest_plugins = ["review_window"]

PATIENCE_MS = 60_000
N_CASES = 10
# Finer than the 2 mm by which a key grows a mask.
SPACING_MM = (1.5, 1.5, 1.5)


def _cohort(folder: Path) -> Path:
    """Ten cases with a mask of the heart each, one in two with a finding, and their table."""
    (folder / "organs.yaml").write_text("heart: 1\n")
    with (folder / "cohort.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["case", "patient", "split", "ct", "masks", "organ_table", "nodule"])
        for k in range(1, N_CASES + 1):
            ct, mask = make_case(folder, f"case{k}", k, SPACING_MM)
            split = "train" if k <= 6 else "valid"
            rows.writerow([f"case{k}", f"p{k}", split, ct.name, mask.name, "organs.yaml", k % 2])
    return folder / "cohort.csv"


def _make_review(reader, table: Path) -> None:
    """Answer the dialog "New review", which waits for its answers, by keys."""

    def answer() -> None:
        dialog = QApplication.activeModalWidget()
        if not isinstance(dialog, NewReviewDialog):
            return
        soon.stop()
        try:
            reader.qtbot.waitUntil(dialog.isActiveWindow, timeout=PATIENCE_MS)
            reader.write(str(table))
            reader.press("Tab")
            source = dialog.source
            reader.qtbot.waitUntil(lambda: source.recognised is not None, timeout=PATIENCE_MS)
            reader.press("Alt+S")  # scores, and with them the checks, are hidden
            reader.qtbot.waitUntil(dialog.plan.hide_scores.isChecked, timeout=PATIENCE_MS)
            reader.press("Alt+C")
            reader.qtbot.waitUntil(lambda: dialog.made is not None, timeout=PATIENCE_MS)
        finally:
            if dialog.made is None:
                dialog.reject()

    soon = QTimer()
    soon.timeout.connect(answer)
    soon.start(50)
    reader.press("Alt+N")
    reader.qtbot.waitUntil(lambda: reader.widget.desk is not None, timeout=PATIENCE_MS)
    reader.activate()  # as window managers do when a dialog closes; a bare X server has none


def _begin(reader, name: str, path: Path | None = None) -> None:
    """Say who one is on the first page, and open the review that is named there."""
    start = reader.widget.start
    for line, text in ((start.reader, name), (start.path, str(path) if path else "")):
        if text:
            line.setFocus()
            reader.press("Ctrl+A")
            reader.write(text)
    start.path.setFocus()
    reader.press("Enter")
    reader.wait_for_item()


def _judge(reader, answers: dict[int, tuple[str, ...]]) -> None:
    """Go through all items; those that are not named are acceptable, and used."""
    for item in range(1, N_CASES + 1):
        reader.wait_for_item(item)
        reader.press(*answers.get(item, ("4", "A")), "N")
    assert reader.widget.finish.isVisible()


def _leave(reader) -> None:
    reader.press("Alt+E")
    reader.qtbot.waitUntil(lambda: reader.widget.desk is None, timeout=PATIENCE_MS)


def _grow_the_mask(reader) -> None:
    panel = reader.desk.edit_panel
    with reader.qtbot.waitSignal(panel.ready, timeout=PATIENCE_MS):
        reader.press("E")
    before = int(panel.layer.data.sum())
    reader.press("+")
    reader.qtbot.waitUntil(lambda: int(panel.layer.data.sum()) > before, timeout=PATIENCE_MS)
    reader.qtbot.waitUntil(lambda: not panel.controls.operations.busy, timeout=PATIENCE_MS)
    with reader.qtbot.waitSignal(panel.ended, timeout=PATIENCE_MS):
        reader.press("E")


def test_ten_cases_two_readers_edits_adjudication_export_and_training(reader, tmp_path):
    table = _cohort(tmp_path)
    reader.viewer.window.resize(760, 560)
    reader.activate()

    # Ann makes the review, and judges: the third mask is no good, the fifth is corrected.
    reader.widget.start.reader.setFocus()
    reader.write("ann")
    _make_review(reader, table)
    reader.wait_for_item(1)
    path = reader.desk.sitting.review.path
    reader.press("4", "A", "N")
    reader.wait_for_item(2)
    reader.press("5", "A", "C")
    reader.write("clear")
    reader.press("Enter", "N")
    reader.wait_for_item(3)
    reader.press("1", "Ctrl+1", "F", "R", "N")
    reader.wait_for_item(4)
    reader.press("4", "A", "N")
    reader.wait_for_item(5)
    _grow_the_mask(reader)
    reader.press("3", "A", "N")
    for item in range(6, N_CASES + 1):
        reader.wait_for_item(item)
        reader.press("4", "A", "N")
    assert "10 of 10 items are final" in reader.widget.finish.summary.text()
    _leave(reader)

    # Ben finds the second bad, the third too; then the results are written.
    _begin(reader, "ben")
    _judge(reader, {2: ("1", "R"), 3: ("2", "R")})
    finish = reader.widget.finish
    reader.press("Alt+R")
    reader.qtbot.waitUntil(lambda: "files are in" in finish.notice.text, timeout=PATIENCE_MS)
    results = tmp_path / f"{path.stem}_results"
    _leave(reader)

    # The head of the group settles what they differ on.
    _begin(reader, "chair")
    reader.press("Q", "Alt+I")
    settled = path.with_name(f"{path.stem}_settled.db")
    reader.qtbot.waitUntil(
        lambda: (
            reader.widget.desk is not None
            and reader.desk.sitting.review.path == settled
            and reader.desk.loaded is not None
        ),
        timeout=PATIENCE_MS,
    )
    assert reader.desk.sitting.total == 1
    assert reader.desk.page.settling.isVisible()
    reader.press("4", "A", "N")
    assert "1 of 1 items are final" in finish.summary.text()
    _leave(reader)

    # What is on the disk.
    with ReviewFile.open(path, read_only=True) as review:
        said = {(one.reader, one.item): one for one in review.verdicts()}
    assert all(said[name, item].done for name in ("ann", "ben") for item in range(1, 11))
    assert said["ann", 2].comment == "clear"
    third = said["ann", 3]
    assert (third.rating, third.decision, third.flagged, third.reasons) == (
        1,
        "exclude",
        True,
        ("missing_part",),
    )
    assert said["ann", 5].edit is not None
    assert (results / "report.html").is_file()
    with (results / "decisions.csv").open() as file:
        decisions = {row["case"]: row["decision"] for row in csv.DictReader(file)}
    assert decisions == {f"case{k}": "use" for k in range(1, 11)} | {
        "case2": "exclude",
        "case3": "exclude",
    }

    # What training is handed: the third case never, the second again, the fifth as corrected.
    cases = read_case_table(table)
    kept = reviewed_cases(cases, [path, settled])
    assert [case.name for case in kept.cases] == [f"case{k}" for k in range(1, 11) if k != 3]
    fifth = next(case for case in kept.cases if case.name == "case5")
    drawn = next(case for case in cases.cases if case.name == "case5")
    n_drawn = (BOX[0].stop - BOX[0].start) * (BOX[1].stop - BOX[1].start)
    n_drawn *= BOX[2].stop - BOX[2].start
    assert int(drawn.organs().mask(("heart",)).sum()) == n_drawn
    assert int(fifth.organs().mask(("heart",)).sum()) > n_drawn

    config = tmp_path / "train.yaml"
    config.write_text(yaml.safe_dump(_settings()))
    out = tmp_path / "out"
    command = ["train", config, "--out", out, "--reviewed", path, "--reviewed", settled]
    trained = CliRunner().invoke(app, [str(part) for part in command])
    assert trained.exit_code == 0, trained.output
    assert (out / "model" / "weights.safetensors").is_file()
    assert "1 of 10" in trained.output or "case3" in trained.output, trained.output


def _settings() -> dict[str, object]:
    """Give a training that takes a second: each CT on 6 x 16 x 16 voxels."""
    shape = [6, 16, 16]
    spacing = [mm * n / wanted for mm, n, wanted in zip(SPACING_MM, SHAPE, shape, strict=True)]
    arguments = {"grid": 2, "trunk_channels": [4] * 4, "trunk_stages": 1, "conv_channels": [4]}
    return {
        "name": "tiny",
        "model": {
            "architecture": {"name": "axialnet", "arguments": arguments},
            "input": {
                "shape": shape,
                "spacing_mm": spacing,
                "layout": "axial_triples",
                "subtract": 0.449,
            },
        },
        "data": {"table": "cohort.csv", "allowed_organs": {"nodule": ["heart"]}},
        "loss": {"rule": "touch"},
        "optimizer": {"name": "sgd", "learning_rate": 0.02},
        "run": {"epochs": 1, "accelerator": "cpu", "threads": 1},
    }

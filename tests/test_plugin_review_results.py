"""The last page of a review: its results, and the review that settles what readers differ on."""

from __future__ import annotations

import csv

import pytest
from review_cases import make_review

from napari_hirescam.review.form import Blinding
from napari_hirescam.review.review_file import ReviewFile

pytestmark = pytest.mark.usefixtures("keyboard")

pytest_plugins = ["review_window"]

PATIENCE_MS = 60_000


@pytest.fixture
def judged(tmp_path, items):
    """Two readers are through; the second mask is good to one and bad to the other."""
    path = make_review(tmp_path / "judged.db", items[:3], blinding=Blinding(scores=True))
    with ReviewFile.open(path) as review:
        for name in ("ann", "ben"):
            for item in (1, 2, 3):
                bad = (name, item) == ("ben", 2)
                review.record(name, item, "rating", 1 if bad else 4)
                review.record(name, item, "decision", "exclude" if bad else "use")
                review.record(name, item, "done", True)
    return path


def test_what_readers_differ_on_opens_as_a_review_of_its_own(light, judged):
    light.open(judged, "chair")
    light.press("Q", "Alt+I")
    settled = judged.with_name("judged_settled.db")
    light.qtbot.waitUntil(
        lambda: (
            light.widget.finish.notice.text != ""
            or (light.widget.desk is not None and light.desk.sitting.review.path == settled)
        ),
        timeout=PATIENCE_MS,
    )
    assert light.widget.finish.notice.text == ""
    light.wait_for_item(1)
    assert light.desk.sitting.total == 1
    assert light.desk.page.settling.isVisible()
    said = {light.desk.page.settling.grid.itemAt(k).widget().text() for k in range(2)}
    assert {words.split(": ", 1)[1][:1] for words in said} == {"1", "4"}
    assert not [words for words in said if "ann" in words or "ben" in words]
    light.press("4", "A")
    assert light.verdict().decision == "use"


def test_a_review_without_differences_says_so(light, tmp_path, items):
    path = make_review(tmp_path / "new.db", items[:2], blinding=Blinding(scores=True))
    light.open(path, "ann")
    light.press("Q", "Alt+I")
    light.qtbot.waitUntil(lambda: light.widget.finish.notice.text != "", timeout=PATIENCE_MS)
    assert "settle" in light.widget.finish.notice.text
    assert not path.with_name("new_settled.db").exists()
    light.press("Esc", "4")
    assert light.verdict().rating == 4


def test_the_report_is_that_of_the_command_line(light, judged, tmp_path):
    from typer.testing import CliRunner

    from napari_hirescam.cli import app

    light.open(judged, "chair")
    light.press("Q", "Alt+R")
    finish = light.widget.finish
    light.qtbot.waitUntil(lambda: finish.notice.text != "", timeout=PATIENCE_MS)
    assert "files are in" in finish.notice.text
    folder, other = judged.with_name("judged_results"), tmp_path / "by_command"
    command = ["review", "export", str(judged), "--out", str(other)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    names = sorted(file.name for file in folder.glob("*.csv"))
    assert "decisions.csv" in names
    for name in names:
        assert (folder / name).read_bytes() == (other / name).read_bytes()
    with (folder / "decisions.csv").open() as file:
        assert [row["decision"] for row in csv.DictReader(file)] == ["use", "exclude", "use"]

"""A reader at work: keys, answers, going on, blinding, what goes wrong, leaving."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from npe2 import PluginManifest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QMessageBox
from review_cases import QUESTIONS, make_review

from napari_hirescam.errors import ReviewError
from napari_hirescam.plugin.reviewing.desk_keys import actions_of
from napari_hirescam.plugin.reviewing.keys import KEYS
from napari_hirescam.plugin.reviewing.start_page import StartPage
from napari_hirescam.review.form import Blinding, Form
from napari_hirescam.review.item import CheckFinding, MaskFacts
from napari_hirescam.review.review_file import ReviewFile

pytest_plugins = ["review_window"]

NO_CHECKS = Blinding(scores=True)


@pytest.fixture
def quick(tmp_path, items) -> Path:
    """A review whose checks are hidden, and so are not run."""
    return make_review(tmp_path / "quick.db", items, blinding=NO_CHECKS)


@pytest.fixture
def path(tmp_path, items) -> Path:
    """A review that shows everything."""
    return make_review(tmp_path / "review.db", items)


class TestKeys:
    def test_a_comment_that_is_being_written_is_kept_when_a_click_leaves_the_item(
        self, light, quick
    ):
        light.open(quick, "ann")
        for leave in (light.desk.page.next, light.desk.page.previous):
            item = light.item
            light.press("C")
            light.write("half a thought")
            QTest.mouseClick(leave, Qt.MouseButton.LeftButton)
            light.wait_for_item(2 if item == 1 else 1)
            assert light.verdict(item).comment == "half a thought"

    def test_each_answer_is_on_the_disk_when_its_key_is_up(self, light, quick):
        light.open(quick, "ann")
        light.press("4")
        assert light.verdict().rating == 4
        light.press("A")
        assert light.verdict().decision == "use"
        light.press("Shift+A")
        assert light.verdict().decision == "rough"
        light.press("R")
        assert light.verdict().decision == "exclude"
        light.press("Shift+R")
        assert light.verdict().decision == "resegment"
        light.press("F")
        assert light.verdict().flagged
        light.press("Ctrl+2", "Ctrl+1")
        assert light.verdict().reasons == ("missing_part", "leak")
        light.press("Ctrl+1", "F", "4")
        verdict = light.verdict()
        assert (verdict.reasons, verdict.flagged, verdict.rating) == (("leak",), False, None)

    def test_what_was_said_is_shown(self, light, quick):
        light.open(quick, "ann")
        light.press("2", "Shift+R", "Ctrl+3", "F")
        form = light.desk.page.form
        assert [step for step, button in form.ratings.items() if button.isChecked()] == [2]
        assert [key for key, button in form.reasons.items() if button.isChecked()] == [
            "effusion_left_out"
        ]
        assert form.decisions["resegment"].isChecked()
        assert not form.decisions["use"].isChecked()
        assert form.flag.isChecked()
        assert "rated 2" in light.desk.page.history_section.content.text()

    def test_typing_a_comment_rates_nothing_and_esc_returns(self, light, quick):
        light.open(quick, "ann")
        light.press("C")
        assert light.desk.page.form.comment.hasFocus()
        light.write("A 1 nice 5 Run")
        assert light.verdict().rating is None
        assert light.item == 1
        light.press("Esc")
        verdict = light.verdict()
        assert verdict.comment == "A 1 nice 5 Run"
        assert verdict.decision is None
        light.press("5")
        assert light.verdict().rating == 5

    def test_what_is_seen_goes_and_comes_by_keys(self, light, quick):
        light.open(quick, "ann")
        light.press("Space", "V", "O")
        assert light.desk.views.calls[-3:] == ["mask", "surface", "others"]

    def test_every_key_is_told_once_and_does_something(self, light, quick, monkeypatch):
        assert len({key.sequence for key in KEYS}) == len(KEYS)
        light.open(quick, "ann")
        assert {key.action for key in KEYS} == set(actions_of(light.desk))
        shown = []
        monkeypatch.setattr(
            "napari_hirescam.plugin.reviewing.desk_keys.KeysDialog.exec",
            lambda self: shown.append(self),
        )
        light.press("?")
        assert len(shown) == 1

    def test_while_a_mask_is_corrected_the_keys_are_the_editors(self, light, quick):
        light.open(quick, "ann")
        light.press("E")
        assert light.desk.edit_panel.editing
        light.press("5", "A", "P")
        assert light.verdict().rating is None
        assert light.verdict().decision is None
        light.desk.edit_panel.suspend()
        light.press("5")
        assert light.verdict().rating == 5

    def test_questions_are_turned_from_yes_to_no_to_unanswered(self, light, tmp_path, items):
        path = make_review(
            tmp_path / "r.db", items[:1], form=Form(questions=QUESTIONS), blinding=NO_CHECKS
        )
        light.open(path, "ann")
        for expected in ({"contrast": True}, {"contrast": False}, {}):
            light.press("Alt+1")
            assert dict(light.verdict().answers) == expected
        _, no = light.desk.page.form.questions["contrast"]
        no.click()
        assert dict(light.verdict().answers) == {"contrast": False}


class TestGoingOn:
    def test_done_and_next_makes_a_complete_item_final(self, light, quick):
        light.open(quick, "ann")
        light.press("4", "A", "N")
        light.wait_for_item(2)
        assert light.verdict(1).done
        assert "1 done, 5 left" in light.desk.page.bar.format()

    def test_an_incomplete_item_stays_open_and_that_is_said(self, light, quick):
        light.open(quick, "ann")
        light.press("4", "N")
        light.wait_for_item(2)
        assert not light.verdict(1).done
        assert "the decision" in light.desk.page.notice.text

    def test_one_may_go_back_and_change_what_was_final(self, light, quick):
        light.open(quick, "ann")
        light.press("4", "A", "N")
        light.wait_for_item(2)
        light.press("P")
        light.wait_for_item(1)
        assert "final" in light.desk.page.title.text()
        light.press("2")
        assert not light.verdict(1).done
        light.press("N")
        light.wait_for_item(2)
        assert light.verdict(1).done
        with ReviewFile.open(quick) as review:
            said = [(e.kind, e.value) for e in review.history(1) if e.kind != "opened"]
        assert said == [
            ("rating", 4),
            ("decision", "use"),
            ("done", said[2][1]),
            ("reopened", said[3][1]),
            ("rating", 2),
            ("done", said[5][1]),
        ]

    def test_the_next_item_is_read_while_this_one_is_looked_at(self, light, quick, monkeypatch):
        light.open(quick, "ann")
        loader = light.desk.loader
        light.qtbot.waitUntil(lambda: loader.has(2), timeout=15000)
        light.press("N")
        assert light.item == 2  # at once, without an event in between

    def test_the_list_leads_to_any_item_by_keyboard(self, light, path):
        light.open(path, "ann")
        light.press("L")
        light.write("case5")
        light.press("Enter")
        light.wait_for_item(5)
        assert light.desk.tabs.currentWidget() is light.desk.page
        light.press("3")
        assert light.verdict(5).rating == 3

    def test_no_key_answers_while_the_list_may_point_at_another_item(self, light, quick):
        light.open(quick, "ann")
        light.press("L", "Esc")
        view = light.desk.list.view
        view.setFocus()
        view.selectRow(2)
        light.press("1", "R")
        # The first key brought the item that it would answer to the front, the second answers.
        verdict = light.verdict(1)
        assert (verdict.rating, verdict.decision) == (None, "exclude")
        assert light.verdict(3).rating is None
        assert light.desk.tabs.currentWidget() is light.desk.page
        assert "once more" in light.desk.page.notice.text

    def test_what_was_said_of_an_edit_does_not_outlive_the_next(self, light, quick):
        light.open(quick, "ann")
        light.desk.edit_panel.told.emit("The strokes are kept.")
        assert light.desk.page.notice.text == "The strokes are kept."
        light.press("E")
        assert light.desk.edit_panel.editing
        light.desk.edit_panel.suspend()
        assert light.desk.page.notice.text == ""

    def test_the_search_says_what_it_finds(self, light, path, tmp_path, items):
        light.open(path, "ann")
        assert "case" in light.desk.list.search.placeholderText()
        light.widget.leave()
        blind = make_review(tmp_path / "b.db", items, blinding=Blinding(scores=True, names=True))
        light.open(blind, "ann")
        assert light.desk.list.search.placeholderText() == "Search number, organ  (L)"

    def test_the_list_filters(self, light, quick):
        light.open(quick, "ann")
        light.press("F", "1", "R", "N")
        light.wait_for_item(2)
        light.press("L")
        shown = {}
        for choice in ("All", "Open", "Done", "Flagged", "Rejected", "Unreadable"):
            light.desk.list.filter.setCurrentText(choice)
            model = light.desk.list.model
            shown[choice] = [model.number(row) for row in range(model.rowCount())]
        assert shown == {
            "All": [1, 2, 3, 4, 5, 6],
            "Open": [2, 3, 4, 5, 6],
            "Done": [1],
            "Flagged": [1],
            "Rejected": [1],
            "Unreadable": [],
        }

    def test_at_the_end_the_last_page_says_so(self, light, tmp_path, items):
        path = make_review(tmp_path / "two.db", items[:2], blinding=NO_CHECKS)
        light.open(path, "ann")
        light.press("4", "A", "N")
        light.wait_for_item(2)
        light.press("3", "R", "N")
        assert light.widget.finish.isVisible()
        assert "2 of 2 items are final" in light.widget.finish.summary.text()
        light.press("5")  # no item is in front of the reader
        assert light.verdict(2).rating == 3
        light.press("Esc")
        assert light.desk.isVisible()
        light.press("4")
        assert light.verdict(2).rating == 4

    def test_another_sitting_begins_where_this_one_ended(self, light, quick):
        light.open(quick, "ann")
        light.press("4", "A", "N")
        light.wait_for_item(2)
        light.press("Shift+N")
        light.wait_for_item(3)
        assert light.widget.leave()
        light.open(quick, "Ann")  # spelt otherwise, the same reader
        assert light.item == 3
        assert light.desk.sitting.reader == "ann"


class TestBlinding:
    def test_names_and_checks_are_hidden_everywhere(self, light, tmp_path, items):
        told = [replace(item, about={"probability": "0.93"}) for item in items]
        path = make_review(tmp_path / "blind.db", told, blinding=Blinding(scores=True, names=True))
        light.open(path, "ann")
        page = light.desk.page
        texts = [page.title.text(), page.notice.text]
        texts += [page.about.text() if page.about.isVisible() else ""]
        assert not [text for text in texts if "case1" in text or "0.93" in text]
        assert not page.checks_section.isVisible()
        light.press("L")
        list_ = light.desk.list
        assert list_.view.isColumnHidden(1)
        assert list_.view.isColumnHidden(6)

    def test_other_readers_are_shown_once_the_item_is_final(self, light, quick, items):
        with ReviewFile.open(quick) as review:
            for kind, value in (("rating", 2), ("decision", "exclude"), ("done", True)):
                review.record("ben", 1, kind, value)
        light.open(quick, "ann")
        history = light.desk.page.history_section.content
        light.press("4")
        assert "ben" not in history.text()
        light.press("A", "N")
        light.wait_for_item(2)
        light.press("P")
        light.wait_for_item(1)
        assert "ben: rated 2, exclude" in history.text()


class TestChecks:
    FACTS = MaskFacts(
        412.0,
        300.0,
        -812.4,
        (
            CheckFinding("pieces", "a second piece of 12 mL", 0.8, (-246.0, -20.0, -30.0)),
            CheckFinding("border", "touches the border", 0.1),
            CheckFinding("holes", "a hole of 3 mL", 0.4, (-228.0, -12.0, -22.0)),
        ),
    )

    def test_brackets_go_to_the_suspicious_places(self, light, path):
        with ReviewFile.open(path) as review:
            review.put_facts(1, self.FACTS)
        light.open(path, "ann")
        assert light.desk.page.checks.summary == "2 found"
        light.press("]", "]", "]", "[")
        first, second = (f.place_mm for f in self.FACTS.findings if f.place_mm)
        assert light.desk.views.places == [first, second, first, second]

    def test_checks_that_were_not_run_are_run_and_kept(self, light, path):
        light.open(path, "ann")
        page = light.desk.page
        light.qtbot.waitUntil(lambda: "mL" in page.checks._facts_line.text(), timeout=30000)
        with ReviewFile.open(path) as review:
            facts = review.facts(1)
        # 10 x 16 x 12 voxels of 6 x 4 x 4 mm.
        assert facts.volume_ml == pytest.approx(184.32)


class TestTrouble:
    def test_an_unreadable_item_is_said_recorded_and_skipped(self, light, tmp_path, items):
        gone = replace(items[0], ct=tmp_path / "moved.nii.gz")
        path = make_review(tmp_path / "r.db", [gone, *items[1:]], blinding=NO_CHECKS)
        light.open(path, "ann")
        assert light.item == 2
        assert "Item 1 cannot be read and was skipped" in light.desk.page.notice.text
        assert "moved.nii.gz" in light.desk.page.notice.text
        # What is kept and published names no file: they are often called after patients.
        assert light.verdict(1).unreadable.startswith("the CT: there is no such file")
        light.press("4", "A", "N")
        light.wait_for_item(3)

    def test_three_in_a_row_are_rather_a_missing_drive(self, light, tmp_path, items):
        gone = [replace(item, ct=tmp_path / "no" / item.ct.name) for item in items]
        path = make_review(tmp_path / "r.db", gone, blinding=NO_CHECKS)
        light.widget.open(path, "ann")
        page = light.desk.page
        light.qtbot.waitUntil(lambda: "in a row" in page.notice.text, timeout=15000)
        with ReviewFile.open(path) as review:
            assert review.progress("ann").unreadable == 3
        light.press("5")  # nothing is there to be rated
        with ReviewFile.open(path) as review:
            assert {event.kind for event in review.history(3)} == {"unreadable"}

    def test_what_cannot_be_saved_stays_in_sight_until_it_is(self, light, quick, monkeypatch):
        light.open(quick, "ann")
        review = light.desk.sitting.review

        def full(*args: object, **kwargs: object) -> None:
            raise ReviewError("review.db", "the disk is full", "Make room")

        with monkeypatch.context() as patch:
            patch.setattr(review, "record", full)
            light.press("4")
            unsaved = light.desk.page.unsaved
            assert "Not saved" in unsaved.text
            assert "the disk is full" in unsaved.text
            assert light.desk.page.form.ratings[4].isChecked()
            assert light.verdict().rating is None
        unsaved.button.click()
        assert unsaved.text == ""
        assert light.verdict().rating == 4

    @pytest.mark.parametrize(
        ("content", "said"), [(None, "there is no such file"), (b"no database at all", "review")]
    )
    def test_what_is_no_review_is_refused_in_a_sentence(self, light, tmp_path, content, said):
        path = tmp_path / "other.db"
        if content is not None:
            path.write_bytes(content)
        light.widget.open(path, "ann")
        assert light.widget.desk is None
        assert said in light.widget.start.notice.text
        assert light.widget.start.isVisible()


class TestLeaving:
    def test_closing_the_dock_keeps_a_comment_that_is_being_written(self, light, quick):
        light.open(quick, "ann")
        light.press("C")
        light.write("half a thou")
        light.window.takeCentralWidget().setParent(None)
        with ReviewFile.open(quick) as review:
            assert review.verdict("ann", 1).comment == "half a thou"

    def test_reader_and_file_are_remembered(self, light, quick, qtbot, npe2pm):
        # Settings belong to installed plugins, and a test sees none by itself.
        npe2pm.register(PluginManifest.from_file(Path(__file__).parents[1] / "napari.yaml"))
        light.open(quick, "ann")
        page = StartPage()
        qtbot.addWidget(page)
        assert page.reader.text() == "ann"
        assert Path(page.path.text()) == quick

    @pytest.mark.parametrize("leaves", [False, True])
    def test_strokes_that_cannot_be_saved_are_asked_about(self, light, quick, monkeypatch, leaves):
        asked = []

        def answer(_parent, _title, text, *_buttons):
            asked.append(text)
            buttons = QMessageBox.StandardButton
            return buttons.Discard if leaves else buttons.Cancel

        monkeypatch.setattr(QMessageBox, "warning", answer)
        light.open(quick, "ann")
        light.press("E")
        light.desk.edit_panel.keeps = False
        assert light.widget.leave() is leaves
        assert "correction of the mask is not on the disk" in asked[0]
        assert (light.widget.desk is None) is leaves

    def test_a_window_with_unsaved_answers_asks_before_it_closes(self, light, quick, monkeypatch):
        light.open(quick, "ann")

        def full(*args: object, **kwargs: object) -> None:
            raise ReviewError("review.db", "the disk is full", "Make room")

        answers = [QMessageBox.StandardButton.Cancel, QMessageBox.StandardButton.Discard]
        monkeypatch.setattr(QMessageBox, "warning", lambda *_: answers.pop(0))
        monkeypatch.setattr(light.desk.sitting.review, "record", full)
        light.press("4")
        light.window.close()
        assert light.window.isVisible()
        light.window.close()
        assert not light.window.isVisible()

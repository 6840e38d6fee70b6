"""A reader's way through a review: where they go, what becomes final, what is not saved."""

from __future__ import annotations

from pathlib import Path

import pytest
from review_cases import QUESTIONS, Clock, make_review

from napari_hirescam.errors import ReviewError
from napari_hirescam.plugin.reviewing.sitting import Sitting
from napari_hirescam.review.form import Blinding, Form
from napari_hirescam.review.item import Item
from napari_hirescam.review.review_file import ReviewFile


def _items(n: int, kind: str = "mask") -> list[Item]:
    ready = Path("map.nii.gz") if kind == "attention" else None
    return [
        Item(
            k,
            f"case{k}",
            f"p{k}",
            kind,
            "left_lung",
            Path("ct.nii"),
            mask=Path("m.nii"),
            attention=ready,
        )
        for k in range(1, n + 1)
    ]


@pytest.fixture
def path(tmp_path) -> Path:
    return make_review(tmp_path / "review.db", _items(4))


@pytest.fixture
def review(path):
    with ReviewFile.open(path) as review:
        yield review


def _complete(sitting: Sitting, rating: int = 4) -> None:
    sitting.seen("0" * 64)
    sitting.say("rating", rating)
    sitting.say("decision", "use")
    assert sitting.finish_item() == ()


def _kinds(review: ReviewFile, item: int) -> list[str]:
    return [event.kind for event in review.history(item, "ann")]


def test_a_new_reader_begins_with_the_first_item(review):
    assert Sitting(review, "ann").first() == 1


def test_an_item_is_final_only_with_rating_and_decision(review):
    sitting = Sitting(review, "ann")
    sitting.go(1)
    sitting.seen("")
    assert sitting.finish_item() == ("the rating", "the decision")
    sitting.say("rating", 3)
    assert sitting.finish_item() == ("the decision",)
    assert not review.verdict("ann", 1).done
    sitting.say("decision", "rough")
    assert sitting.finish_item() == ()
    assert review.verdict("ann", 1).done


def test_questions_must_be_answered_too(tmp_path):
    path = make_review(tmp_path / "r.db", _items(1), form=Form(questions=QUESTIONS))
    with ReviewFile.open(path) as review:
        sitting = Sitting(review, "ann")
        sitting.go(1)
        sitting.seen("")
        sitting.say("rating", 3)
        sitting.say("decision", "use")
        assert sitting.finish_item() == ("a question",)
        sitting.say("answer", False, "contrast")
        assert sitting.finish_item() == ()


def test_a_map_is_final_without_a_decision(tmp_path):
    path = make_review(tmp_path / "r.db", _items(1, "attention"))
    with ReviewFile.open(path) as review:
        sitting = Sitting(review, "ann")
        sitting.go(1)
        sitting.seen("")
        assert sitting.scale().question == "Where does the attention lie?"
        sitting.say("rating", 5)
        assert sitting.finish_item() == ()


def test_next_is_the_next_open_item_and_starts_over_at_the_end(review):
    sitting = Sitting(review, "ann")
    for number in (1, 3):
        sitting.go(number)
        _complete(sitting)
    assert sitting.next_open(1) == 2
    assert sitting.next_open(2) == 4
    assert sitting.next_open(4) == 2
    for number in (2, 4):
        sitting.go(number)
        _complete(sitting)
    assert sitting.next_open(4) is None
    assert sitting.left == 0


def test_neighbours_are_reached_whether_final_or_not(review):
    sitting = Sitting(review, "ann")
    sitting.go(2)
    _complete(sitting)
    assert (sitting.neighbour(-1), sitting.neighbour(1)) == (1, 3)
    sitting.go(1)
    assert (sitting.neighbour(-1), sitting.neighbour(1)) == (None, 2)


def test_a_reader_goes_on_where_they_were(review, path):
    sitting = Sitting(review, "ann")
    sitting.go(1)
    _complete(sitting)
    sitting.go(3)
    sitting.seen("")
    with ReviewFile.open(path) as again:
        assert Sitting(again, "ann").first() == 3
        assert Sitting(again, "ben").first() == 1
    sitting.say("rating", 2)
    sitting.say("decision", "exclude")
    sitting.finish_item()
    with ReviewFile.open(path) as again:
        assert Sitting(again, "ann").first() == 4


def test_a_change_opens_a_final_item_again_and_history_keeps_both(review):
    sitting = Sitting(review, "ann")
    sitting.go(1)
    _complete(sitting, 4)
    sitting.say("rating", 2)
    verdict = review.verdict("ann", 1)
    assert (verdict.rating, verdict.done) == (2, False)
    assert sitting.next_open(4) == 1
    assert _kinds(review, 1) == ["opened", "rating", "decision", "done", "reopened", "rating"]


def test_seconds_run_from_when_the_item_was_seen(review):
    clock = Clock()
    sitting = Sitting(review, "ann", clock)
    sitting.go(1)
    clock.now = 40.0  # reading it took so long
    sitting.seen("")
    clock.now = 47.5
    sitting.say("rating", 3)
    assert [event.seconds for event in review.history(1)] == [0.0, 7.5]
    assert review.verdict("ann", 1).seconds == 7.5


def test_the_mask_that_was_seen_is_named_with_every_answer(review):
    sitting = Sitting(review, "ann")
    sitting.go(1)
    sitting.seen("ab" * 32)
    sitting.say("flag", True)
    assert {event.mask_sha256 for event in review.history(1)} == {"ab" * 32}


def test_an_unreadable_item_is_closed_until_it_can_be_read(review):
    sitting = Sitting(review, "ann")
    sitting.go(1)
    sitting.say("unreadable", "ct.nii is not there")
    assert sitting.next_open(None) == 2
    assert review.progress("ann").unreadable == 1
    sitting.go(1)
    sitting.seen("")
    assert review.verdict("ann", 1).unreadable == ""
    assert sitting.next_open(None) == 1


class _Failing:
    """A review whose disk can be full."""

    def __init__(self, review: ReviewFile) -> None:
        self._review = review
        self.full = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._review, name)

    def record(self, *args: object, **kwargs: object) -> object:
        if self.full:
            raise ReviewError("review.db", "the disk is full", "Make room")
        return self._review.record(*args, **kwargs)


def test_what_cannot_be_saved_holds_in_the_window_and_is_saved_with_the_next_answer(review):
    failing = _Failing(review)
    sitting = Sitting(failing, "ann")
    sitting.go(1)
    sitting.seen("")
    failing.full = True
    assert not sitting.say("rating", 5)
    assert not sitting.say("decision", "use")
    assert sitting.finish_item() == ()
    assert [one.kind for one in sitting.unsaved] == ["rating", "decision", "done"]
    assert "disk is full" in sitting.unsaved[0].why
    verdict = sitting.verdict()
    assert (verdict.rating, verdict.decision, verdict.done) == (5, "use", True)
    assert review.verdict("ann", 1).rating is None
    assert not sitting.save_again()

    sitting.go(2)
    failing.full = False
    sitting.seen("")
    assert sitting.unsaved == ()
    saved = review.verdict("ann", 1)
    assert (saved.rating, saved.decision, saved.done) == (5, "use", True)
    # In the order in which it was said.
    assert _kinds(review, 1) == ["opened", "rating", "decision", "done"]


def test_unsaved_answers_of_each_kind_are_laid_over_what_is_saved(tmp_path):
    path = make_review(tmp_path / "r.db", _items(1), form=Form(questions=QUESTIONS))
    with ReviewFile.open(path) as review:
        failing = _Failing(review)
        sitting = Sitting(failing, "ann")
        sitting.go(1)
        sitting.seen("")
        failing.full = True
        said = {
            "reasons": ["leak"],
            "comment": "see the hilum",
            "flag": True,
            "answer": True,
        }
        for kind, value in said.items():
            sitting.say(kind, value, "contrast" if kind == "answer" else "")
        shown = sitting.verdict()
        failing.full = False
        assert sitting.save_again()
        kept = review.verdict("ann", 1)
        for one in (shown, kept):
            assert one.reasons == ("leak",)
            assert one.comment == "see the hilum"
            assert one.flagged
            assert one.answers == {"contrast": True}


def test_others_are_hidden_until_the_item_is_final(review, path):
    with ReviewFile.open(path) as other:
        ben = Sitting(other, "ben")
        ben.go(1)
        ben.seen("")
        ben.say("rating", 1)
        ben.say("decision", "exclude")
        ann = Sitting(review, "ann")
        ann.go(1)
        _complete(ann)
        assert ann.others() == ()  # ben has not finished
        ben.finish_item()
        assert [one.rating for one in ann.others()] == [1]
        ann.say("rating", 3)
        assert ann.others() == ()


def test_a_review_that_hides_names_finds_numbers_and_organs_only(tmp_path):
    path = make_review(tmp_path / "r.db", _items(12), blinding=Blinding(names=True))
    with ReviewFile.open(path) as review:
        sitting = Sitting(review, "ann")
        assert not sitting.shows_names()
        assert sitting.rows(search="case3") == []
        assert [row.number for row in sitting.rows(search="3")] == [3]
        assert len(sitting.rows(search="lung")) == 12


def test_a_search_finds_cases_where_names_are_shown(review):
    assert [row.number for row in Sitting(review, "ann").rows(search="case3")] == [3]

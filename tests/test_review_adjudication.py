"""Items on which readers differ, and the review in which they are settled."""

from __future__ import annotations

import hashlib

import pytest
from judged_reviews import Said, mask_items, new_review, say

from napari_hirescam.errors import ReviewError
from napari_hirescam.review.adjudication import (
    adjudication_review,
    answers_of,
    disagreements,
    edits_of,
    settles,
)
from napari_hirescam.review.edited_masks import edits_folder
from napari_hirescam.review.event import Edit
from napari_hirescam.review.form import Blinding

_ANN = {
    1: Said(5, "use"),
    2: Said(5, "use"),
    3: Said(2, "exclude", ("leak",), comment="into the stomach"),
    4: Said(4, "use"),
    5: Said(1, done=False),
    6: Said(3),
    7: Said(5, "use"),
}
_BEN = {
    1: Said(5, "use"),
    2: Said(3, "use"),  # two steps
    3: Said(2, "resegment"),  # the same rating, another decision
    4: Said(3, "use"),  # one step
    5: Said(5),  # Ann has not finished
    6: Said(3),
    7: Said(1, "exclude"),  # a hidden repeat of 1: tells of ben, not of the mask
}


@pytest.fixture
def review(tmp_path):
    items = mask_items(["c1", "c2", "c3"], ["heart", "liver"], repeats=1)
    with new_review(tmp_path / "review.db", items) as made:
        say(made, "ann", _ANN)
        say(made, "ben", _BEN)
        yield made


def test_ratings_two_steps_apart_and_other_decisions_are_disagreements(review):
    found = disagreements(review)
    assert [each.item.number for each in found] == [2, 3]
    assert [each.apart for each in found] == [2, 0]
    assert [each.decisions_differ for each in found] == [False, True]
    assert found[0].words == "ratings 5 and 3"
    assert found[1].words == "exclude or re-segment"
    assert [verdict.reader for verdict in found[0].verdicts] == ["ann", "ben"]


def test_a_smaller_difference_can_be_asked_for(review):
    assert [each.item.number for each in disagreements(review, 1)] == [2, 3, 4]
    with pytest.raises(ReviewError, match="0 is none"):
        disagreements(review, 0)


def test_a_reader_alone_disagrees_with_nobody(review):
    assert disagreements(review, readers=["ann"]) == ()
    with pytest.raises(ReviewError, match="Name one of: ann, ben"):
        disagreements(review, readers=["carl"])


def test_a_new_review_holds_the_items_with_both_answers_and_no_names(review, tmp_path):
    with adjudication_review(review, tmp_path / "settle.db") as settling:
        assert settling.plan.adjudicates == "Lungs"
        assert settling.plan.form == review.plan.form
        assert not settling.plan.blinding.other_readers
        items = settling.items()
        assert [(item.number, item.case, item.target) for item in items] == [
            (1, "c1", "liver"),
            (2, "c2", "heart"),
        ]
        assert [settles(item) for item in items] == [2, 3]
        assert sorted(answers_of(items[1]).values()) == [
            '2 (major edits); exclude; leaks into airways or bowel; "into the stomach"',
            "2 (major edits); re-segment",
        ]
        assert set(answers_of(items[1])) == {"reader 1", "reader 2"}
        assert items[0].about["site"] == "A"
        assert not any(name in str(items) for name in ("ann", "ben"))
        say(settling, "cleo", {1: Said(4, "use")})  # it is a review like any other
        assert settling.verdict("cleo", 1).rating == 4
    assert review.verdict("ann", 2).rating == 5


def test_who_is_reader_1_changes_from_item_to_item(tmp_path):
    items = mask_items([f"c{k}" for k in range(12)], ["heart"])
    with new_review(tmp_path / "review.db", items) as review:
        say(review, "ann", {item.number: Said(1) for item in items})
        say(review, "ben", {item.number: Said(5) for item in items})
        with adjudication_review(review, tmp_path / "settle.db") as settling:
            firsts = {answers_of(item)["reader 1"] for item in settling.items()}
    assert firsts == {"1 (unusable)", "5 (perfect)"}


def test_what_a_blinded_review_hides_stays_hidden_but_for_the_answers(tmp_path):
    items = mask_items(["c1"], ["heart"])
    with new_review(tmp_path / "r.db", items, blinding=Blinding(names=True)) as review:
        say(review, "ann", {1: Said(1)})
        say(review, "ben", {1: Said(4)})
        with adjudication_review(review, tmp_path / "settle.db") as settling:
            (item,) = settling.items()
            assert settling.plan.blinding.names
    assert set(item.about) == {"reader 1", "reader 2", "of item"}


def test_edited_masks_come_along_under_names_that_tell_of_nobody(review, tmp_path):
    folder = edits_folder(review)
    folder.mkdir(exist_ok=True)
    theirs = folder / "00002_liver_ben_20260101T000000Z.nii.gz"
    theirs.write_bytes(b"an edited mask")
    edit = Edit(theirs, hashlib.sha256(b"an edited mask").hexdigest())
    review.record("ben", 2, "edit", edit)
    with adjudication_review(review, tmp_path / "settle.db") as settling:
        first, second = settling.items()
        ((reader, copy),) = edits_of(settling, first).items()
        assert copy.file.read_bytes() == b"an edited mask"
        assert copy.sha256 == edit.sha256
        assert copy.file.parent == edits_folder(settling)
        assert "ben" not in copy.file.name
        assert "edited" in answers_of(first)[reader]
        assert edits_of(settling, second) == {}
        settling.record("cleo", 1, "edit", copy)  # takes it over
        assert settling.verdict("cleo", 1).edit.sha256 == edit.sha256
    theirs.unlink()
    with pytest.raises(ReviewError, match="this edited mask cannot be read"):
        adjudication_review(review, tmp_path / "again.db")
    assert not list(tmp_path.glob("again*"))


def test_nothing_is_half_made(review, tmp_path):
    taken = tmp_path / "taken.db"
    taken.write_text("mine")
    with pytest.raises(ReviewError, match="there is a file of this name"):
        adjudication_review(review, taken)
    assert taken.read_text() == "mine"
    with pytest.raises(ReviewError, match="no two readers differ by 5"):
        adjudication_review(review, tmp_path / "none.db", least=5, readers=["ann"])

"""An answer fits the form, or is refused; what holds now is what the events say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored_reviews import PLAN, SHA, items_in, make_review

from napari_hirescam.errors import ReviewError
from napari_hirescam.review.event import Event, Verdict
from napari_hirescam.review.form import DECISIONS, MASK_REASONS, Form, Scale, YesNoQuestion
from napari_hirescam.review.review_file import ReviewFile

MASK, MAP = 1, 4


@pytest.fixture(scope="module")
def review(tmp_path_factory):
    with make_review(tmp_path_factory.mktemp("review")) as made:
        yield made


@pytest.mark.parametrize(
    ("item", "kind", "about", "value", "words"),
    [
        (MASK, "rating", "", 0, "not on the scale"),
        (MASK, "rating", "", 6, "not on the scale"),
        (MASK, "rating", "", 3.0, "not on the scale"),
        (MASK, "rating", "", True, "not on the scale"),
        (MASK, "rating", "", "3", "not on the scale"),
        (MASK, "rating", "quality", 3, "cannot be about 'quality'"),
        (MASK, "reasons", "", ["leak", "ugly"], "no reason 'ugly'"),
        (MASK, "reasons", "", "leak", "no list"),
        (MAP, "reasons", "", ["leak"], "no reason 'leak' for this kind"),
        (MASK, "decision", "", "keep", "'keep' is none"),
        (MAP, "decision", "", "use", "on masks, not on maps"),
        (MASK, "answer", "", True, "does not ask ''"),
        (MASK, "answer", "finding", True, "does not ask 'finding' of this kind"),
        (MAP, "answer", "fissure", True, "does not ask 'fissure' of this kind"),
        (MASK, "answer", "fissure", 1, "neither yes nor no"),
        (MASK, "comment", "", 5, "no text"),
        (MASK, "comment", "", "   ", "no text"),
        (MASK, "comment", "", "x" * 10_001, "no text"),
        (MASK, "comment", "", "a\0b", "no file can keep"),
        (MASK, "comment", "", "\ud800", "no file can keep"),
        (MASK, "flag", "", "yes", "neither yes nor no"),
        (MASK, "unreadable", "", "", "no text"),
        (MASK, "edit", "", "mask.nii", "no edited mask"),
        (MASK, "edit", "", {"file": "mask.nii", "sha256": "12"}, "no SHA-256"),
        (MAP, "edit", "", {"file": "mask.nii", "sha256": SHA}, "no mask to edit"),
        (MASK, "done", "", False, "takes no value"),
        (MASK, "reopened", "", "yes", "takes no value"),
        (MASK, "opened", "", ["lung"], "no flat mapping"),
        (MASK, "opened", "", {"window": [1, 2]}, "no flat mapping"),
        (MASK, "opened", "", {"window": math.nan}, "no flat mapping"),
        (MASK, "applause", "", None, "no such kind"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused_and_leaves_nothing(
    review, item, kind, about, value, words
):
    with pytest.raises(ReviewError, match=words):
        review.record("Ann", item, kind, value, about=about)
    assert review.history(item) == []


@pytest.mark.parametrize("reader", ["", "  ", "a\nb", "x" * 101, "\u200b"])
def test_a_reader_has_a_name_that_can_be_seen(review, reader):
    with pytest.raises(ReviewError, match="is no name"):
        review.record(reader, 1, "rating", 1)


def test_one_name_is_one_reader_however_it_was_typed(tmp_path):
    with make_review(tmp_path) as made:
        made.record(" Zo\u00eb ", 1, "rating", 1)
        made.record("Zoe\u0308", 1, "flag", True)
        assert made.readers == ("Zo\u00eb",)
        assert made.verdict("Zoe\u0308", 1).rating == 1


@pytest.mark.parametrize("seconds", [-1.0, math.nan, math.inf])
def test_a_duration_is_not_negative(review, seconds):
    with pytest.raises(ReviewError, match="no duration"):
        review.record("Ann", 1, "rating", 1, seconds=seconds)


def test_the_hash_of_the_mask_is_one(review):
    with pytest.raises(ReviewError, match="no SHA-256"):
        review.record("Ann", 1, "rating", 1, mask_sha256="0123")


def test_a_shorter_scale_has_fewer_steps(tmp_path):
    form = Form(mask=Scale("Good?", ("no", "so so", "yes")))
    with make_review(tmp_path, plan=replace(PLAN, form=form)) as made:
        made.record("Ann", MASK, "rating", 3)
        made.record("Ann", MAP, "rating", 4)  # by the maps' own scale
        with pytest.raises(ReviewError, match="4 is not on the scale"):
            made.record("Ann", MASK, "rating", 4)


@pytest.mark.parametrize(
    ("form", "words"),
    [
        (Form(mask=Scale("Good?", ("yes",))), "2 to 5 captions"),
        (Form(mask=Scale("Good?", tuple("abcdef"))), "2 to 5 captions"),
        (Form(attention=Scale("Where?", ("here", " "))), "2 to 5 captions"),
        (Form(questions=(YesNoQuestion("is it", "Is it?"),)), "no key that a table can have"),
        (Form(reasons={"a-b": "a"}), "no key that a table can have"),
        (Form(questions=(YesNoQuestion("a", "A?"), YesNoQuestion("a", "B?"))), "one key"),
        (Form(questions=(YesNoQuestion("a", ""),)), "asks nothing"),
    ],
)
def test_a_form_that_cannot_be_answered_is_refused(tmp_path, form, words):
    with pytest.raises(ReviewError, match=words):
        ReviewFile.create(tmp_path / "r.db", replace(PLAN, form=form), items_in(tmp_path))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": " "}, "no name"),
        ({"order": "best_first"}, "no order 'best_first'"),
        ({"repeat_share": 1.5}, "cannot be repeated"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused(tmp_path, change, words):
    with pytest.raises(ReviewError, match=words):
        ReviewFile.create(tmp_path / "r.db", replace(PLAN, **change), items_in(tmp_path))


SAID = st.one_of(
    st.tuples(st.just("opened"), st.just(""), st.none()),
    st.tuples(st.just("rating"), st.just(""), st.none() | st.integers(1, 5)),
    st.tuples(
        st.just("reasons"),
        st.just(""),
        st.none() | st.lists(st.sampled_from(sorted(MASK_REASONS)), unique=True),
    ),
    st.tuples(st.just("decision"), st.just(""), st.none() | st.sampled_from(DECISIONS)),
    st.tuples(st.just("answer"), st.sampled_from(["fissure", "lobes"]), st.none() | st.booleans()),
    st.tuples(st.just("comment"), st.just(""), st.sampled_from([None, "", '"a" \\ \u00e9', "5"])),
    st.tuples(st.just("flag"), st.just(""), st.none() | st.booleans()),
    st.tuples(st.just("unreadable"), st.just(""), st.none() | st.just("not there")),
    st.tuples(st.sampled_from(["done", "reopened"]), st.just(""), st.none()),
)
EVENTS = st.lists(
    st.tuples(st.sampled_from(["Ann", "Ben"]), st.sampled_from([1, 2]), SAID, st.integers(0, 9)),
    max_size=25,
)


def by_hand(item: int, reader: str, events: Sequence[Event]) -> Verdict:
    """Say what holds, event by event."""
    now = Verdict(item, reader)
    visits = [0.0]
    for event in events:
        value = event.value
        if event.kind == "opened":
            visits.append(0.0)
        visits[-1] = max(visits[-1], event.seconds)
        match event.kind:
            case "rating" | "decision":
                now = replace(now, **{event.kind: value})
            case "reasons":
                now = replace(now, reasons=tuple(value))
            case "answer":
                others = {key: told for key, told in now.answers.items() if key != event.about}
                now = replace(
                    now, answers=others if value is None else {**others, event.about: value}
                )
            case "comment" | "unreadable":
                now = replace(now, **{event.kind: value or ""})
            case "flag":
                now = replace(now, flagged=bool(value))
            case "done" | "reopened":
                now = replace(now, done=event.kind == "done")
    return replace(now, seconds=sum(visits), last=events[-1].time if events else None)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(EVENTS)
def test_what_holds_is_what_the_events_say_by_hand_by_the_view_and_built_anew(
    tmp_path_factory, said
):
    questions = (YesNoQuestion("fissure", "Right?"), YesNoQuestion("lobes", "All there?"))
    plan = replace(PLAN, form=Form(questions=questions))
    with make_review(tmp_path_factory.mktemp("said"), 2, plan) as made:
        made._connection.execute("PRAGMA synchronous=OFF")  # many small reviews
        for reader, item, (kind, about, value), seconds in said:
            made.record(reader, item, kind, value, about=about, seconds=seconds)
        expected = [
            by_hand(item, reader, made.history(item, reader))
            for item in (1, 2)
            for reader in ("Ann", "Ben")
        ]
        assert [made.verdict(v.reader, v.item) for v in expected] == expected
        made.verify()
        made.rebuild_verdicts()
        made.verify()
        assert [made.verdict(v.reader, v.item) for v in expected] == expected
        # And goes on from there as if it had never been built anew.
        made.record("Ann", 1, "rating", 2, seconds=9)
        assert made.verdict("Ann", 1) == by_hand(1, "Ann", made.history(1, "Ann"))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE verdicts SET rating = 5",
        "UPDATE verdicts SET answers = '{}'",
        "UPDATE verdicts SET seconds_before = 1000",
        "DELETE FROM verdicts",
        "INSERT INTO verdicts (reader, item, done) VALUES ('Zoe', 2, 1)",
    ],
)
def test_what_holds_is_compared_with_the_events_on_demand(tmp_path, change):
    with make_review(tmp_path) as made:
        made.record("Ann", 1, "rating", 1, seconds=3)
        made.record("Ann", 1, "answer", True, about="fissure")
        made.verify()
        made._connection.execute(change)
        with pytest.raises(ReviewError, match="against the events"):
            made.verify()
        made.rebuild_verdicts()
        made.verify()

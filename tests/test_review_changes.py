"""What an edit changed, and the way back."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from test_review_editing import masks, quickly

from napari_hirescam.review.editing import UndoStack, change_between


@quickly
@given(masks, st.data())
def test_a_change_leads_there_and_back_and_knows_its_box(before, data) -> None:
    after = data.draw(arrays(bool, before.shape))
    change = change_between(before, after)
    assert change.added == (after & ~before).sum()
    assert change.removed == (before & ~after).sum()
    assert bool(change) == (before != after).any()
    assert set(zip(*change.indices(), strict=True)) == set(
        zip(*np.nonzero(before != after), strict=True)
    )
    if change:
        touched = np.nonzero(before != after)
        for part, along in zip(change.box, touched, strict=True):
            assert (part.start, part.stop) == (along.min(), along.max() + 1)
        assert np.array_equal(change.before, before[change.box])
        assert np.array_equal(change.after, after[change.box])
    for kind in (bool, np.uint8):
        work = before.astype(kind)
        change.redo(work)
        assert np.array_equal(work, after)
        change.undo(work)
        assert np.array_equal(work, before)


def test_a_small_change_of_a_large_mask_takes_little_memory() -> None:
    before = np.zeros((100, 200, 200), np.uint8)
    after = before.copy()
    after[50:60, 40:70, 40:70] = 1
    change = change_between(before, after)
    assert change.box == (slice(50, 60), slice(40, 70), slice(40, 70))
    assert change.nbytes < 2000
    with pytest.raises(ValueError, match="does not fit"):
        change.undo(np.zeros((3, 3, 3), bool))
    with pytest.raises(ValueError, match="not of one grid"):
        change_between(before, after[:50])


@quickly
@given(st.lists(arrays(bool, (3, 4, 5)), min_size=1, max_size=6), st.data())
def test_undo_and_redo_walk_along_what_was_done(states, data) -> None:
    stack, work = UndoStack(), states[0].copy()
    distinct = [states[0]]
    for state in states[1:]:
        stack.push(change_between(work, state))
        work[:] = state
        if not np.array_equal(state, distinct[-1]):
            distinct.append(state)
    at = len(distinct) - 1
    assert len(stack) == at
    for back in data.draw(st.lists(st.booleans(), max_size=12)):
        moved = stack.undo(work) if back else stack.redo(work)
        at_end = at == 0 if back else at == len(distinct) - 1
        assert (moved is None) == at_end
        at += 0 if at_end else (-1 if back else 1)
        assert np.array_equal(work, distinct[at])


def test_a_new_change_ends_what_could_be_made_again() -> None:
    work = np.zeros((2, 2, 2), bool)
    stack = UndoStack()
    for place in ((0, 0, 0), (1, 1, 1)):
        new = work.copy()
        new[place] = True
        stack.push(change_between(work, new))
        stack.undo(new)
        assert not new.any()
    assert stack.redo(work) is not None
    assert work[1, 1, 1]
    assert not work[0, 0, 0]
    assert stack.redo(work) is None


def test_memory_is_bounded_by_forgetting_the_oldest_change() -> None:
    rng = np.random.default_rng(3)
    states = [rng.random((16, 16, 16)) < 0.5 for _ in range(6)]
    changes = [change_between(a, b) for a, b in pairwise(states)]
    stack = UndoStack(most_bytes=3 * changes[0].nbytes + 100)
    for change in changes:
        stack.push(change)
    assert len(stack) == 3
    assert stack.nbytes <= stack.most_bytes
    work = states[-1].copy()
    while stack.undo(work):
        pass
    assert np.array_equal(work, states[2])
    tiny = UndoStack(most_bytes=1)
    tiny.push(changes[0])
    tiny.push(changes[1])
    assert len(tiny) == 1

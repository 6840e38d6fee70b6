"""What an edit changed, and the way back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from test_review_editing import masks, quickly

from napari_hirescam.review.editing import change_between


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

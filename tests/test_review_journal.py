"""Strokes in progress come back after a crash, onto the mask that they were painted on."""

from __future__ import annotations

import shutil
import sqlite3
import sys
import threading
import zlib
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from stored_reviews import SHA, make_review

from napari_hirescam.errors import ReviewError
from napari_hirescam.review.journal import BLOCK, StrokeJournal

SHAPE = (70, 130, 66)  # no multiple of a block's edge
AFFINE = np.diag([2.5, 0.8, 0.8, 1.0])


def mask() -> np.ndarray:
    base = np.zeros(SHAPE, np.uint8)
    base[20:50, 30:100, 10:40] = 1
    return base


@pytest.fixture
def file(tmp_path):
    make_review(tmp_path).close()
    return tmp_path / "review.db"


def journal(file, *, base=None, item=1, reader="Ann", affine=AFFINE, sha256=SHA) -> StrokeJournal:
    base = mask() if base is None else base
    return StrokeJournal(file, item, reader, base, affine=affine, base_sha256=sha256)


def painted(*boxes: tuple[slice, slice, slice], value: int = 1) -> np.ndarray:
    labels = mask()
    for box in boxes:
        labels[box] = value
    return labels


STROKE = painted(np.s_[60:70, 120:130, 60:66])


def test_strokes_that_were_saved_come_back(file):
    before = datetime.now(UTC)
    with journal(file) as first:
        assert first.rescued() is None
        assert first.restore() is None
        assert first.save(STROKE) > 0
    with journal(file) as second:
        rescued = second.rescued()
        assert rescued is not None
        assert before <= rescued <= before + timedelta(seconds=30)
        restored = second.restore()
        assert restored is not None
        assert restored.dtype == np.uint8
        np.testing.assert_array_equal(restored, STROKE)
        assert second.rescued() is None  # they are this session's now


def test_only_blocks_that_changed_are_written(file):
    with journal(file) as strokes:
        assert strokes.save(mask()) == 0
        strokes.save(painted(np.s_[0:1, 0:1, 0:1]))
        strokes.save(painted(np.s_[0:1, 0:1, 0:1], np.s_[0:1, BLOCK : BLOCK + 1, 0:1]))
        assert strokes.save(painted(np.s_[0:1, 0:1, 0:1], np.s_[0:1, BLOCK : BLOCK + 1, 0:1])) == 0
        raw = sqlite3.connect(file.with_name("review.db.strokes"))
        places = raw.execute('SELECT slice, row, "column" FROM blocks ORDER BY row').fetchall()
        raw.close()
    assert places == [(0, 0, 0), (0, BLOCK, 0)]


def test_what_was_painted_and_undone_is_undone(file):
    with journal(file) as strokes:
        strokes.save(STROKE)
        strokes.save(mask())
    with journal(file) as strokes:
        np.testing.assert_array_equal(strokes.restore(), mask())


def test_an_edit_goes_on_where_it_was_and_is_rescued_again(file):
    with journal(file) as strokes:
        strokes.save(STROKE)
    more = STROKE.copy()
    more[0, 0] = 3
    with journal(file) as strokes:
        strokes.restore()
        strokes.save(more)
    with journal(file) as strokes:
        np.testing.assert_array_equal(strokes.restore(), more)


def test_strokes_are_forgotten_once_the_edit_is_written_and_their_room_given_back(file):
    noise = np.random.default_rng(0).integers(0, 9, SHAPE).astype(np.uint8)
    with journal(file) as strokes:
        strokes.save(noise)
    full = file.with_name("review.db.strokes").stat().st_size
    with journal(file) as strokes:
        strokes.restore()
        strokes.clear()
    assert file.with_name("review.db.strokes").stat().st_size < full / 4
    with journal(file) as strokes:
        assert strokes.rescued() is None
        assert strokes.restore() is None


def test_strokes_that_are_discarded_do_not_mix_with_new_ones(file):
    other = painted(np.s_[0:5, 0:5, 0:5])
    with journal(file) as strokes:
        strokes.save(STROKE)
    with journal(file) as strokes:
        with pytest.raises(ReviewError, match="strokes of an earlier session"):
            strokes.save(other)
        strokes.clear()
        strokes.save(other)
    with journal(file) as strokes:
        np.testing.assert_array_equal(strokes.restore(), other)


def test_each_reader_and_each_item_has_strokes_of_its_own(file):
    with journal(file) as strokes:
        strokes.save(STROKE)
    for other in (journal(file, reader="Ben"), journal(file, item=2)):
        with other:
            assert other.rescued() is None
            other.save(painted(np.s_[0:2, 0:2, 0:2]))
            other.clear()
    with journal(file) as strokes:
        np.testing.assert_array_equal(strokes.restore(), STROKE)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"base": mask()[:-1]}, "another size"),
        ({"affine": np.diag([2.5, 0.8, 0.9, 1.0])}, "at another place"),
        ({"sha256": "f" * 64}, "painted on another mask"),
    ],
)
def test_strokes_are_not_put_onto_another_mask_and_stay(file, changed, words):
    with journal(file) as strokes:
        strokes.save(STROKE)
    with journal(file, **changed) as strokes:
        assert strokes.rescued() is not None
        with pytest.raises(ReviewError, match=words) as caught:
            strokes.restore()
        assert "discard" in caught.value.remedy
    with journal(file) as strokes:
        np.testing.assert_array_equal(strokes.restore(), STROKE)


def test_two_windows_of_one_reader_do_not_paint_into_one_edit(file):
    with journal(file) as first, journal(file) as late:
        first.save(STROKE)
        with pytest.raises(ReviewError, match="another window of yours"):
            late.save(painted(np.s_[0:3, 0:3, 0:3]))
        with journal(file) as second:
            second.restore()
            with pytest.raises(ReviewError, match="another window of yours"):
                first.save(mask())
            first.clear()  # its own strokes; they are the other's now
        with journal(file) as third:
            np.testing.assert_array_equal(third.restore(), STROKE)


@pytest.mark.parametrize("labels", [mask()[1:], mask().astype(np.int32)])
def test_labels_of_another_shape_or_type_are_refused(file, labels):
    with journal(file) as strokes, pytest.raises(ReviewError, match="do not fit"):
        strokes.save(labels)


def test_a_save_that_fails_is_made_up_for_by_the_next(file):
    with journal(file) as strokes:
        holding = sqlite3.connect(file.with_name("review.db.strokes"), isolation_level=None)
        strokes._patience_s = 0.1
        strokes._connection.execute("PRAGMA busy_timeout=100")
        holding.execute("BEGIN IMMEDIATE")
        with pytest.raises(ReviewError, match="another program holds this file"):
            strokes.save(STROKE)
        holding.execute("ROLLBACK")
        holding.close()
        assert strokes.save(STROKE) > 0
    with journal(file) as strokes:
        np.testing.assert_array_equal(strokes.restore(), STROKE)


def test_a_full_disk_keeps_the_save_before_and_the_next_makes_up_for_it(file):
    noise = np.random.default_rng(0).integers(0, 255, SHAPE).astype(np.uint8)
    with journal(file) as strokes:
        strokes.save(STROKE)
        strokes._connection.execute("PRAGMA max_page_count=40")
        with pytest.raises(ReviewError, match="the disk is full"):
            strokes.save(noise)
        shutil.copytree(file.parent, file.parent / "copy")
        with journal(file.parent / "copy" / "review.db") as crashed:
            np.testing.assert_array_equal(crashed.restore(), STROKE)
        strokes._connection.execute("PRAGMA max_page_count=10000")
        strokes.save(noise)
    with journal(file) as strokes:
        np.testing.assert_array_equal(strokes.restore(), noise)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps open files where they are")
def test_strokes_that_would_go_into_a_file_that_was_removed_are_refused(file):
    with journal(file) as strokes:
        strokes.save(STROKE)
        file.with_name("review.db.strokes").rename(file.with_name("elsewhere"))
        with pytest.raises(ReviewError, match="moved, removed or replaced"):
            strokes.save(mask())
        file.with_name("elsewhere").rename(file.with_name("review.db.strokes"))
        assert strokes.save(mask()) > 0


def test_strokes_are_saved_from_another_thread(file):
    with journal(file) as strokes:
        thread = threading.Thread(target=strokes.save, args=(STROKE,))
        thread.start()
        thread.join()
    with journal(file) as strokes:
        np.testing.assert_array_equal(strokes.restore(), STROKE)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not deflated",
        zlib.compress(bytes(64)),  # too short
        zlib.compress(bytes(10_000_000)),  # would fill the memory
        zlib.compress(bytes(24))[:-2],  # its checksum is cut off
    ],
)
def test_a_damaged_block_is_told_and_nothing_is_made_of_it(file, content):
    with journal(file) as strokes:
        strokes.save(painted(np.s_[64:70, 128:130, 64:66], value=2))
        strokes._connection.execute("UPDATE blocks SET labels = ?", (content,))
    with journal(file) as strokes:
        with pytest.raises(ReviewError, match="strokes in it are damaged"):
            strokes.restore()
        strokes.clear()
        assert strokes.save(STROKE) > 0


def test_another_file_in_its_place_is_told(file):
    file.with_name("review.db.strokes").write_bytes(b"somebody's notes" * 100)
    with pytest.raises(ReviewError, match="not a journal of strokes"):
        journal(file)


def test_a_review_is_not_taken_for_a_journal(file):
    file.rename(file.with_name("review.db.strokes"))
    with pytest.raises(ReviewError, match="not a journal of strokes"):
        journal(file)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    base=npst.arrays(np.uint8, (5, 66, 3), elements=st.integers(0, 2)),
    saves=st.lists(npst.arrays(np.uint8, (5, 66, 3), elements=st.integers(0, 2)), min_size=1,
                   max_size=4),
)  # fmt: skip
def test_the_last_save_is_what_comes_back_whatever_was_saved(tmp_path_factory, base, saves):
    file = tmp_path_factory.mktemp("strokes") / "review.db"
    with journal(file, base=base) as strokes:
        for labels in saves:
            strokes.save(labels)
    with journal(file, base=base) as strokes:
        restored = strokes.restore()
    np.testing.assert_array_equal(base if restored is None else restored, saves[-1])

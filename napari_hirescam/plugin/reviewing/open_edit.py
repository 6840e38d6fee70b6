"""Beginning and ending an edit on the disk; what the panel does in threads."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.plugin.jobs import ShouldStop

if TYPE_CHECKING:
    from napari_hirescam.plugin.reviewing.stroke_saver import StrokeSaver
    from napari_hirescam.review.event import Edit
    from napari_hirescam.review.journal import StrokeJournal
    from napari_hirescam.review.loading import LoadedItem

logger = logging.getLogger(__name__)

StrokeArray = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class EditSubject:
    """Whose mask is edited, by whom, and where the review lies.

    Parameters
    ----------
    loaded
        The item on screen.
    review
        The review's file.
    reader
        Who edits.
    """

    loaded: LoadedItem
    review: Path
    reader: str

    @property
    def words(self) -> str:
        """The organ as it is read; never the case's name, which a review may hide."""
        return self.loaded.item.target.replace("_", " ")


@dataclass(frozen=True, eq=False)
class OpenedEdit:
    """What an edit starts from.

    Parameters
    ----------
    subject
        Of the edit.
    base
        0 and 1 on the CT's grid.
    words
        What `base` is, a clause.
    journal
        Where the strokes are kept.
    rescued
        Strokes of an edit that was not finished, on `base`; None if there is none.
    rescued_at
        UTC, when strokes of an unfinished edit were last saved; None if there are none.
    unfit
        Why such strokes cannot be put onto `base`; empty if they can.
    """

    subject: EditSubject
    base: StrokeArray
    words: str
    journal: StrokeJournal
    rescued: StrokeArray | None = None
    rescued_at: datetime | None = None
    unfit: str = ""


def open_edit(subject: EditSubject, should_stop: ShouldStop) -> OpenedEdit:
    """Take the reader's last edit of the item, else its mask, and look for unfinished strokes.

    Raises
    ------
    Cancelled
        If `should_stop` says so.
    HirescamError
        The last edit is damaged or gone, or the review cannot be read.
    """
    from napari_hirescam.errors import Cancelled, ReviewError
    from napari_hirescam.review.edited_masks import read_edit
    from napari_hirescam.review.journal import StrokeJournal
    from napari_hirescam.review.review_file import ReviewFile

    loaded = subject.loaded
    with ReviewFile.open(subject.review) as review:
        edit = review.verdict(subject.reader, loaded.item.number).edit
    if edit is not None:
        base, sha256 = read_edit(edit, loaded.ct).astype(np.uint8), edit.sha256
        words = "your last edit"
    elif loaded.mask is not None:
        base, sha256 = loaded.mask.astype(np.uint8), loaded.mask_sha256
        words = "the mask as it was made"
    else:
        base, sha256 = np.zeros(loaded.ct.voxels.shape, np.uint8), ""
        words = "an empty mask, since there is none"
    journal = StrokeJournal(
        subject.review,
        loaded.item.number,
        subject.reader,
        base,
        affine=loaded.ct.affine,
        base_sha256=sha256,
    )
    with ExitStack() as on_failure:
        on_failure.callback(journal.close)
        rescued_at = journal.rescued()
        rescued, unfit = None, ""
        if rescued_at is not None:
            try:
                rescued = journal.restore()
            except ReviewError as error:  # the reader is told, and starts anew
                unfit = error.reason
        if should_stop():
            raise Cancelled("an edit was ended before it was open")
        on_failure.pop_all()
    return OpenedEdit(subject, base, words, journal, rescued, rescued_at, unfit)


def write_finished(
    subject: EditSubject,
    opened: OpenedEdit,
    saver: StrokeSaver,
    mask: npt.NDArray[Any],
    seconds: float,
) -> Edit | None:
    """Write the edited mask beside the review, record it, and let go of its strokes.

    Nothing may be painted meanwhile.

    Returns
    -------
    What was written; None if nothing was changed.

    Raises
    ------
    HirescamError
        It could not be written or recorded; the strokes are kept.
    """
    from napari_hirescam.errors import HirescamError
    from napari_hirescam.review.edited_masks import write_edit
    from napari_hirescam.review.review_file import ReviewFile

    loaded = subject.loaded
    try:
        saver.flush()  # no saving may come after the strokes were let go of
    except HirescamError:  # the mask itself, which holds them, is about to be written
        logger.warning("the last strokes were not saved by themselves", exc_info=True)
    edit = None
    if (mask != opened.base).any():
        with ReviewFile.open(subject.review) as review:
            edit = write_edit(
                review,
                loaded.item,
                subject.reader,
                mask,
                loaded.ct,
                base_sha256=loaded.mask_sha256,
                seconds=seconds,
            )
    opened.journal.clear()
    return edit

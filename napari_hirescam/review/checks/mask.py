"""All checks of one mask on its CT's grid."""

from __future__ import annotations

from collections.abc import Callable

from napari_hirescam.organs import OrganMap
from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.review.checks.scan import Scan
from napari_hirescam.review.item import MaskFacts
from napari_hirescam.volume import Volume


def check_mask(
    ct: Volume,
    mask: BoolArray,
    organ: str,
    *,
    others: OrganMap | None = None,
    partition: OrganMap | None = None,
    scan: Scan | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> MaskFacts:
    """Measure a mask and look for faults in it.

    Parameters
    ----------
    ct
        In HU.
    mask
        [slice, row, column] on the CT's grid.
    organ
        As organs are called here ("right_lung", "liver"); other spellings are understood.
    others
        Masks of other organs on the same grid, which it should not share voxels with.
    partition
        What PARTITION found in the CT; None leaves that comparison out.
    scan
        What `survey_scan` found in this CT, so that it is not done for each mask anew.
    should_stop
        Asked often.

    Returns
    -------
    Facts with the findings, worst first; `notes` says what was not judged and why.

    Raises
    ------
    ValueError
        The mask has another shape than the CT.
    Cancelled
        `should_stop` said so.
    """
    raise NotImplementedError

"""All checks of one mask on its CT's grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from napari_hirescam.errors import Cancelled
from napari_hirescam.organs import OrganMap
from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.organs.organ_tables import organ_name
from napari_hirescam.review.checks.against_partition import check_partition
from napari_hirescam.review.checks.anatomy import anatomy_of
from napari_hirescam.review.checks.density import check_mean_hu, check_tissue, check_volume
from napari_hirescam.review.checks.edges import check_edge
from napari_hirescam.review.checks.ends import check_cut
from napari_hirescam.review.checks.leaks import check_airways, check_outgrowth, check_widening
from napari_hirescam.review.checks.pieces import check_holes, check_pieces
from napari_hirescam.review.checks.position import (
    check_border,
    check_outside_body,
    check_overlap,
    check_side,
)
from napari_hirescam.review.checks.scan import Scan, survey_scan
from napari_hirescam.review.checks.slices import check_gap, check_jagged
from napari_hirescam.review.checks.subject import Subject, finding
from napari_hirescam.review.checks.surface import surface_cm2
from napari_hirescam.review.item import CheckFinding, MaskFacts
from napari_hirescam.volume import Volume

_CHECKS = (
    check_outside_body,
    check_side,
    check_pieces,
    check_holes,
    check_border,
    check_cut,
    check_volume,
    check_mean_hu,
    check_tissue,
    check_edge,
    check_gap,
    check_jagged,
    check_airways,
    check_outgrowth,
    check_widening,
    check_partition,
)


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
        What PARTITION found in the CT; None takes that of `scan`, and leaves the comparison out
        if it has none.
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
    if mask.shape != ct.voxels.shape:
        raise ValueError(f"a mask of {mask.shape} does not lie on a CT of {ct.voxels.shape}")

    def tick() -> None:
        if should_stop is not None and should_stop():
            raise Cancelled("the checks were cancelled")

    tick()
    name = organ_name(organ)
    marked = mask.astype(bool, copy=False)
    if not marked.any():
        nothing = finding("empty", "nothing is marked", 1.0)
        return MaskFacts(0.0, 0.0, float("nan"), (nothing,))
    if scan is None:
        scan = survey_scan(ct, partition=partition, should_stop=should_stop)
    elif partition is not None:
        scan = replace(scan, partition=partition)
    subject = Subject(scan, marked, name, anatomy_of(name), tick)
    found = sorted(_findings(subject, others), key=lambda one: -one.severity)
    mean = float(subject.hu.mean(dtype=np.float64)) if subject.hu.size else float("nan")
    notes = [*scan.notes]
    if subject.anatomy is None:
        shown = name.replace("_", " ")
        notes.append(f"No usual size or density of {shown!r} is known: these were not judged.")
    return MaskFacts(subject.volume_ml, surface_cm2(subject), mean, tuple(found), tuple(notes))


def _findings(subject: Subject, others: OrganMap | None) -> Iterator[CheckFinding]:
    for check in _CHECKS:
        subject.tick()
        yield from check(subject)
    yield from check_overlap(subject, others)

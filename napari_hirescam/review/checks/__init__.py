"""Automatic checks of organ masks: what may be wrong, why, how badly and where. Never a verdict."""

from napari_hirescam.review.checks.finding import ALARM, CHECKS
from napari_hirescam.review.checks.items import check_item, check_items
from napari_hirescam.review.checks.mask import check_mask
from napari_hirescam.review.checks.scan import Scan, survey_scan

__all__ = [
    "ALARM",
    "CHECKS",
    "Scan",
    "check_item",
    "check_items",
    "check_mask",
    "survey_scan",
]

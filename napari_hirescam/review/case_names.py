"""What cases are called in tables and reports of a review that hides their names."""

from __future__ import annotations

from collections.abc import Iterable

from napari_hirescam.review.form import Plan
from napari_hirescam.review.item import Item


class CaseNames:
    """Names of cases and patients, or numbers in their place where the plan blinds them.

    Parameters
    ----------
    plan
        Whether names are hidden.
    items
        Of the review; they number the scans and the patients in the order of the work list.
    """

    def __init__(self, plan: Plan, items: Iterable[Item]) -> None:
        self.hidden = plan.blinding.names
        self._scans: dict[str, int] = {}
        self._patients: dict[str, int] = {}
        for item in items:
            self._scans.setdefault(item.case, len(self._scans) + 1)
            self._patients.setdefault(item.patient, len(self._patients) + 1)

    def case(self, item: Item) -> str:
        """Name the scan."""
        return f"scan {self._scans[item.case]}" if self.hidden else item.case

    def patient(self, item: Item) -> str:
        """Name the patient."""
        return f"patient {self._patients[item.patient]}" if self.hidden else item.patient

    def item(self, item: Item) -> str:
        """Name an item: its scan and its organ or label."""
        return f"{self.case(item)}, {item.target.replace('_', ' ')}"

    def fault(self, reason: str) -> str:
        """Say why an item could not be shown; such reasons name files."""
        return "it could not be read" if reason and self.hidden else reason

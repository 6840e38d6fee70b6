"""The cases of a cohort, one after the other."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from napari_hirescam.attention.result import PlacementName
from napari_hirescam.attention.stopping import Progress, ShouldStop
from napari_hirescam.cases import Case, CaseTable
from napari_hirescam.errors import Cancelled, CaseTableError, HirescamError, SettingsError
from napari_hirescam.evaluation.cohort_case import CaseMeasurer, CaseProblem, MeasuredCase
from napari_hirescam.evaluation.cohort_store import CaseStore, Found
from napari_hirescam.evaluation.gallery import Gallery
from napari_hirescam.evaluation.thresholds import FrozenThresholds

#: Steps of the progress of one case.
_PARTS = 1000


@dataclass
class CohortRun:
    """Cases measured one after the other, with one progress for all of them."""

    measurer: CaseMeasurer
    n_cases: int
    progress: Progress
    should_stop: ShouldStop
    store: CaseStore | None
    done: int = 0
    problems: list[CaseProblem] = field(default_factory=list)

    def over(
        self,
        table: CaseTable,
        placement: PlacementName | None,
        thresholds: FrozenThresholds | None,
        gallery: Gallery | None,
    ) -> tuple[MeasuredCase, ...]:
        """Measure all cases of a table that can be; what was wrong goes to `problems`."""
        # Removing cells is for the figures, not for the thresholds.
        is_tuning = thresholds is None
        measurer = replace(self.measurer, removal=False) if is_tuning else self.measurer
        way = "" if thresholds is None else thresholds.model_dump_json()
        way = f"{'tuning' if is_tuning else 'testing'} {placement} {way}"
        measured: list[MeasuredCase] = []
        failed: list[CaseProblem] = []
        for case in table.cases:
            if self.should_stop():
                raise Cancelled("the evaluation was cancelled")
            try:
                found, problems = self._kept(measurer, case, way, thresholds, gallery) or (
                    self._anew(measurer, case, way, placement, thresholds, gallery)
                )
            except SettingsError:
                raise
            except HirescamError as exc:
                failed.append(CaseProblem(case.name, case.split, exc.reason, "nothing"))
            else:
                measured.append(found)
                self.problems += problems
            self.done += 1
            self._tell(0, 1)
        if not measured:
            raise CaseTableError(
                table.name,
                f"none of its {len(table.cases)} cases could be measured; "
                f"{failed[0].case}: {failed[0].reason}",
                "Mend the cases, or the table",
            )
        self.problems += failed
        return tuple(measured)

    def _anew(
        self,
        measurer: CaseMeasurer,
        case: Case,
        way: str,
        placement: PlacementName | None,
        thresholds: FrozenThresholds | None,
        gallery: Gallery | None,
    ) -> Found:
        found = measurer.measure(case, placement, thresholds, gallery, self._tell, self.should_stop)
        if self.store is not None:
            self.store.keep(case, way, found)
        return found

    def _kept(
        self,
        measurer: CaseMeasurer,
        case: Case,
        way: str,
        thresholds: FrozenThresholds | None,
        gallery: Gallery | None,
    ) -> Found | None:
        """What an earlier run measured of a case."""
        found = None if self.store is None else self.store.load(case, way)
        if found is None:
            return None
        measured, _problems = found
        if thresholds is not None:
            thresholds.refuse_scan(measured.name, measured.scan)
        if gallery is not None:
            # A picture was not kept; the few that are wanted are taken again.
            measurer.show_again(gallery, case, measured, self.should_stop)
        return found

    def _tell(self, done: int, total: int) -> None:
        within = min(_PARTS - 1, _PARTS * done // max(total, 1))
        self.progress(_PARTS * self.done + within, _PARTS * self.n_cases)

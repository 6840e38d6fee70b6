"""A model measured over many cases: thresholds from one split, figures from another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_hirescam import __version__
from napari_hirescam.attention.result import PlacementName
from napari_hirescam.attention.stopping import Progress, ShouldStop
from napari_hirescam.cases import CaseTable, Split
from napari_hirescam.evaluation.cohort_case import CaseMeasurer, CaseProblem, MeasuredCase
from napari_hirescam.evaluation.cohort_checks import (
    check_options,
    common_labels,
    refuse_faulty,
    refuse_without_organ,
    some_of,
    tuning_cases,
)
from napari_hirescam.evaluation.cohort_run import CohortRun
from napari_hirescam.evaluation.cohort_store import CaseStore
from napari_hirescam.evaluation.gallery import Gallery
from napari_hirescam.evaluation.intervals import N_REPLICATES, SEED
from napari_hirescam.evaluation.map_regions import Rule
from napari_hirescam.evaluation.thresholds import (
    FrozenThresholds,
    network_digest,
    tune,
    tuned_on,
)
from napari_hirescam.organs.allowed import allowed_organs

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from napari_hirescam.models import Classifier


@dataclass(frozen=True, eq=False)
class CohortResult:
    """What was measured, case by case.

    Parameters
    ----------
    table, split
        Which cases the figures are of; a split of None is the whole table.
    labels, methods
        In the order of the model and of the call.
    cases
        The test cases that could be measured.
    tuning
        The cases that thresholds were tuned on, if that was done here.
    thresholds
        Those the maps were cut at.
    problems
        Cases that failed, or count for their scores only, and why.
    gallery
        Pictures of the best and worst maps of the first method.
    facts
        Model, weights, placement, rule and the like, for the report.
    """

    table: str
    split: Split | None
    labels: tuple[str, ...]
    methods: tuple[str, ...]
    cases: tuple[MeasuredCase, ...]
    tuning: tuple[MeasuredCase, ...]
    thresholds: FrozenThresholds
    problems: tuple[CaseProblem, ...]
    gallery: Gallery
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def records(self) -> pd.DataFrame:
        """A row per case, label and method; see
        :class:`~napari_hirescam.evaluation.case_measures.MapMeasures` for the columns.
        """  # noqa: D205
        from napari_hirescam.evaluation.cohort_frame import records

        return records(self.cases, self.split)

    def summary(self, n_replicates: int = N_REPLICATES, seed: int = SEED) -> pd.DataFrame:
        """Figures per label, per organ, micro and macro, with intervals; see
        :func:`~napari_hirescam.evaluation.cohort_summary.summary`.
        """  # noqa: D205
        from napari_hirescam.evaluation.cohort_summary import summary

        return summary(self.cases, self.labels, self.methods, n_replicates, seed)

    def save(
        self, folder: str | Path, *, overwrite: bool = False, n_replicates: int = N_REPLICATES
    ) -> list[Path]:
        """Write tables, thresholds and the report; see
        :func:`~napari_hirescam.evaluation.cohort_files.save_cohort`.
        """  # noqa: D205
        from napari_hirescam.evaluation.cohort_files import save_cohort

        return save_cohort(self, folder, overwrite=overwrite, n_replicates=n_replicates)


def evaluate_cohort(
    classifier: Classifier,
    table: CaseTable,
    *,
    methods: Sequence[str] = ("hirescam", "gradcam"),
    split: Split | None = "test",
    tune_on: Split | None = "valid",
    thresholds: FrozenThresholds | None = None,
    allowed: Mapping[str, tuple[str, ...]] | None = None,
    labels: Sequence[str] | None = None,
    placement: PlacementName | None = None,
    rule: Rule = "half",
    find_missing_organs: bool = False,
    removal: bool = False,
    prepared: bool = False,
    keep_in: Path | None = None,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> CohortResult:
    """Measure a model on the cases of one split, with thresholds from another.

    Parameters
    ----------
    classifier
        The model.
    table
        Cases with their labels, and masks where there are some.
    methods
        Keys of :data:`napari_hirescam.attention.METHODS`; the first is the one that pictures
        are chosen by and that differences are taken from.
    split
        Cases the figures are of; None takes all of the table.
    tune_on
        Cases the thresholds are tuned on. Not used where `thresholds` are given.
    thresholds
        Frozen thresholds of the same network.
    allowed
        Label -> organs it may lie in; None takes the model's own, or what the names of
        RAD-ChestCT's labels say. A case's own word goes before it.
    labels
        Which of the model's labels; None takes those that the table knows.
    placement, rule
        Where cells lie, and when one counts as inside; see
        :class:`~napari_hirescam.evaluation.map_regions.MapRegions`. The paper's figures were
        made with "stretch" and "nearest".
    find_missing_organs
        Find the organs of a case without masks by PARTITION.
    removal
        Remove cells as well (deletion and insertion); slow.
    prepared
        Run a faster copy of the network; pays from a few cases on.
    keep_in
        Folder in which each case is kept as soon as it is measured. What an earlier run kept
        there of the same cases, measured in the same way, is not measured again.
    progress, should_stop
        Called with (done, total); asked often.

    Raises
    ------
    SettingsError
        Tuning and test cases overlap, or the thresholds are of another network.
    CaseTableError
        No case of a split can be measured, no tuning case has any of the labels, a label has no
        organ, or the headers of a case's files tell that it cannot be measured.
    InputError
        The model needs a point that no case gives.
    Cancelled
        `should_stop` said so.
    """
    chosen = common_labels(classifier, table, labels)
    check_options(classifier, methods, placement, rule)
    test = table if split is None else table.of(split)
    digest = network_digest(classifier)
    tuning_table = None
    if thresholds is None:
        tuning_table = tuning_cases(table, split, tune_on, chosen)
    else:
        placement = placement or thresholds.placement
        layer = classifier.spec.target_layer
        thresholds.refuse_other_network(digest, layer, placement, rule)
        thresholds.refuse_methods(methods)
        thresholds.refuse_cases(test)
    usual = allowed_organs(chosen, allowed or {}, classifier.spec.organs, everyone=False)
    considered = (*test.cases, *(tuning_table.cases if tuning_table else ()))
    refuse_without_organ(table, considered, chosen, usual)
    should_stop = should_stop or (lambda: False)
    refuse_faulty(considered, chosen, usual, should_stop)
    run = CohortRun(
        CaseMeasurer(
            classifier,
            chosen,
            tuple(methods),
            usual,
            rule,
            find_missing_organs=find_missing_organs,
            removal=removal,
            prepared=prepared,
        ),
        len(considered),
        progress or (lambda _done, _total: None),
        should_stop,
        None if keep_in is None else CaseStore(keep_in, {
            "software": __version__,
            "network": digest,
            "layer": classifier.spec.target_layer,
            "labels": chosen,
            "methods": tuple(methods),
            "organs": {label: list(names) for label, names in usual.items()},
            "rule": rule,
            "find_missing_organs": find_missing_organs,
            "removal": removal,
        }),
    )  # fmt: skip
    tuning: tuple[MeasuredCase, ...] = ()
    if tuning_table is not None:
        tuning = run.over(tuning_table, placement, None, None)
        placement = tuning[0].placement
        thresholds = FrozenThresholds(
            model=classifier.spec.name,
            network_sha256=digest,
            target_layer=classifier.spec.target_layer,
            placement=placement,
            rule=rule,
            tuned_on=tuned_on(tuning_table, (case.scan for case in tuning)),
            values=tune([row for case in tuning for row in case.rows], chosen),
        )
    if thresholds is None:
        raise AssertionError("thresholds are given or tuned")
    gallery = Gallery()
    cases = run.over(test, placement, thresholds, gallery)
    return CohortResult(
        table=table.name,
        split=split,
        labels=chosen,
        methods=tuple(methods),
        cases=cases,
        tuning=tuning,
        thresholds=thresholds,
        problems=tuple(run.problems),
        gallery=gallery,
        facts=_facts(classifier, table, chosen, cases[0], rule),
    )


def _facts(
    classifier: Classifier,
    table: CaseTable,
    labels: Sequence[str],
    case: MeasuredCase,
    rule: Rule,
) -> dict[str, str]:
    not_judged = [label for label in classifier.labels if label not in labels]
    size = " x ".join(f"{length:.3g}" for length in case.cell_mm)
    facts = {
        "Model": classifier.spec.name,
        "Weights (SHA-256)": classifier.weights_sha256 or "not saved",
        "Target layer": classifier.spec.target_layer,
        "Guarantee": case.guarantee,
        "Cells": f"{size} mm along inferior, posterior, left; placed by {case.placement}; "
        f"inside by rule {rule!r}",
    }
    if not_judged:
        facts["Labels not judged"] = some_of(not_judged)
    if table.notes:
        facts["Remarks on the table"] = "; ".join(table.notes)
    return facts

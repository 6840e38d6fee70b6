"""What is seen to before the first case of a cohort is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from napari_hirescam.attention import METHODS
from napari_hirescam.attention.result import PlacementName
from napari_hirescam.attention.stopping import ShouldStop
from napari_hirescam.cases import Case, CaseTable, Split
from napari_hirescam.errors import Cancelled, CaseTableError, InputError, SettingsError
from napari_hirescam.evaluation.map_regions import RULES, Rule
from napari_hirescam.organs.cells import RESIZE_MODES

if TYPE_CHECKING:
    from napari_hirescam.models import Classifier


def common_labels(
    classifier: Classifier, table: CaseTable, labels: Sequence[str] | None
) -> tuple[str, ...]:
    """Return the labels that model and table both have, or those of them that are wanted.

    Raises
    ------
    CaseTableError
        There is none, or one that is wanted is missing.
    """
    told = {label for case in table.cases for label in case.labels}
    known = [label for label in classifier.labels if label in told]
    wanted = known if labels is None else list(dict.fromkeys(labels))
    missing = [label for label in wanted if label not in known]
    if missing or not wanted:
        raise CaseTableError(
            table.name,
            f"model and table do not both have {', '.join(missing) or 'any label'}: the model has "
            f"{some_of(classifier.labels)}; the table tells of {some_of(sorted(told))}",
            "Name the table's columns as the model names its labels",
        )
    return tuple(label for label in classifier.labels if label in wanted)


def some_of(names: Sequence[str], n: int = 8) -> str:
    """List the first few names."""
    more = f" and {len(names) - n} more" if len(names) > n else ""
    return (", ".join(names[:n]) or "none") + more


def check_options(
    classifier: Classifier, methods: Sequence[str], placement: PlacementName | None, rule: Rule
) -> None:
    """Raise SettingsError or InputError for what could never be carried out."""
    unknown = [method for method in methods if method not in METHODS]
    if unknown or not methods or len(set(methods)) != len(methods):
        raise SettingsError(
            "methods",
            f"each must be known and named once, not {', '.join(methods) or 'none'}",
            f"Known: {', '.join(METHODS)}",
        )
    if rule not in RULES:
        raise SettingsError("rule", f"unknown: {rule}", f"Known: {', '.join(RULES)}")
    if rule in RESIZE_MODES and placement != "stretch":
        raise SettingsError(
            "rule",
            f"{rule!r} resizes a mask to the cells, so that they must be stretched over the input",
            "Ask for placement 'stretch' as well, or for rule 'half'",
        )
    if classifier.spec.input.needs_point:
        raise InputError(
            classifier.spec.name,
            "it sees a part of a CT around a point, and a table of cases names no points",
            "Evaluate a model that takes whole CTs",
        )


def tuning_cases(
    table: CaseTable,
    split: Split | None,
    tune_on: Split | None,
    labels: Sequence[str],
) -> CaseTable:
    """Return the cases for tuning, which must have nothing in common with those for testing."""
    if tune_on is None:
        raise SettingsError(
            "thresholds",
            "there are none, and no split to tune them on",
            "Give frozen thresholds, or name a split to tune on",
        )
    if split is None or split == tune_on:
        raise SettingsError(
            "splits",
            f"thresholds would be tuned on the cases they are tested on ({tune_on})",
            "Tune on another split than the one that is tested, or give frozen thresholds",
        )
    tuning = table.of(tune_on)  # of other patients than any other split, as every table
    if not any(case.labels.get(label) for case in tuning.cases for label in labels):
        raise CaseTableError(
            tuning.name,
            "no case has any of the labels, so no threshold can be tuned",
            "Put cases with findings into this split, or give frozen thresholds",
        )
    return tuning


def refuse_without_organ(
    table: CaseTable,
    cases: Sequence[Case],
    labels: Sequence[str],
    usual: Mapping[str, tuple[str, ...]],
) -> None:
    """Raise CaseTableError if some labels that are present have an organ and others have not.

    Where no label has one, nobody has said anything of organs, and scores are all there is.
    """
    present = {
        (label, bool(case.allowed.get(label) or usual.get(label)))
        for case in cases
        for label in labels
        if case.labels.get(label)
    }
    without = sorted({label for label, has_organ in present if not has_organ})
    if without and any(has_organ for _label, has_organ in present):
        raise CaseTableError(
            table.name,
            f"no organ is allowed for {some_of(without)}",
            "Name the organs in the model's 'organs' or in a table of labels and organs, or leave "
            "these labels out",
        )


def refuse_faulty(
    cases: Sequence[Case],
    labels: Sequence[str],
    usual: Mapping[str, tuple[str, ...]],
    should_stop: ShouldStop,
) -> None:
    """Raise CaseTableError for what the headers of CTs and masks tell, and name all such cases."""
    faults: list[tuple[str, CaseTableError]] = []
    for case in cases:
        if should_stop():
            raise Cancelled("the evaluation was cancelled")
        organs = {
            organ
            for label in labels
            if case.labels.get(label)
            for organ in case.allowed.get(label) or usual.get(label, ())
        }
        try:
            case.check(organs)
        except CaseTableError as error:
            faults.append((case.name, error))
    if faults:
        (_, first), *others = faults
        more = f" ({some_of([name for name, _ in others])} too)" if others else ""
        raise CaseTableError(first.subject, f"{first.reason}{more}", first.remedy)

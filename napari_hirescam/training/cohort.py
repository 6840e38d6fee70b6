"""The cases of a training: read, and looked through before the first step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from napari_hirescam import cases
from napari_hirescam.cases import Case, CaseTable, check_cases
from napari_hirescam.errors import CaseTableError, SettingsError
from napari_hirescam.organs import allowed_organs, read_allowed
from napari_hirescam.training.settings import DataSettings, TrainingSettings

_SHOWN = 6
#: Bounds of a present label's weight.
_WEIGHTS = (1.0, 10.0)


def read_cohort(settings: TrainingSettings, labels: tuple[str, ...] | None) -> CaseTable:
    """Read the table that the settings name.

    Parameters
    ----------
    settings
        Of the training.
    labels
        Those wanted; None takes the table's.

    Raises
    ------
    SettingsError
        No table is named.
    CaseTableError
        It cannot be read.
    """
    table = _read(settings.data, labels)
    shares = settings.data.split
    if shares is None:
        return table
    return cases.split_by_patient(
        table, train=shares.train, valid=shares.valid, test=shares.test, seed=shares.seed
    )


def _read(data: DataSettings, labels: tuple[str, ...] | None) -> CaseTable:
    if data.table is not None:
        return cases.read_case_table(
            data.table.file,
            labels,
            only_present=data.table.only_present,
            allow=data.table.allow,
        )
    if data.rad_chestct is not None:
        published = data.rad_chestct
        return cases.read_rad_chestct(
            published.folder,
            labels or published.labels,
            tables=published.tables,
            only_present=published.only_present,
            at_most=published.at_most,
            sides=published.sides,
        )
    if data.phantoms is not None:
        made_up = data.phantoms
        return cases.phantom_table(
            made_up.train,
            made_up.valid,
            made_up.test,
            seed=made_up.seed,
            spacing_mm=made_up.spacing_mm,
            labels=made_up.labels or labels,
            prevalence=made_up.prevalence,
        )
    raise SettingsError(
        "data", "it names no cases", "Give one of 'table', 'rad_chestct' and 'phantoms'"
    )


def with_reviewed(settings: TrainingSettings, table: CaseTable) -> CaseTable:
    """Let what a review decided reach the cases, if the settings name one.

    Raises
    ------
    ReviewError
        It cannot be opened, or leaves no case.
    """
    told = settings.data.reviewed
    if told is None:
        return table
    from napari_hirescam.review.reviewed_cases import reviewed_cases

    return reviewed_cases(table, told.files, rule=told.rule, unreviewed=told.unreviewed)


def with_labels(table: CaseTable, labels: Sequence[str]) -> CaseTable:
    """Choose the labels that are trained, in the order of the outputs.

    Raises
    ------
    CaseTableError
        The table does not tell of one.
    """
    missing = [label for label in labels if label not in table.labels]
    if missing:
        raise CaseTableError(
            table.name,
            f"it has no label {_few(missing)}",
            f"Add the columns, or set model.labels; it has: {_few(table.labels)}",
        )
    return replace(table, labels=tuple(labels))


def usual_organs(
    settings: TrainingSettings,
    labels: Sequence[str],
    own: Mapping[str, tuple[str, ...]],
) -> dict[str, tuple[str, ...]]:
    """Settle label -> organs from the settings, their CSV, the model to start from, the names.

    Labels that have none there are left out: each case may say for itself.
    """
    data = settings.data
    from_file = read_allowed(data.allowed) if data.allowed is not None else {}
    return allowed_organs(labels, data.allowed_organs, from_file, own, everyone=False)


def check_cohort(
    settings: TrainingSettings,
    table: CaseTable,
    allowed: Mapping[str, tuple[str, ...]],
    *,
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Look through labels and headers of the cases that will be used.

    Returns
    -------
    The cases of 'train' and of 'valid'.

    Raises
    ------
    CaseTableError
        A split is empty, a label cannot be learned from the training split, a present label has
        no organ, or a case's files are missing or do not fit each other.
    Cancelled
        `should_stop` said so.
    """
    splits = table.of("train"), table.of("valid")
    stuck = _few([label for label in table.labels if _is_one_sided(splits[0].cases, label)])
    if stuck and settings.data.constant_labels == "refuse":
        raise CaseTableError(
            splits[0].name,
            f"present in every case or in none (of those known): {stuck}",
            "Leave these labels out by model.labels, or set data.constant_labels to 'keep'",
        )
    need = settings.loss.mask_weight > 0 and settings.loss.regions == "organs"
    for split in splits:
        check_cases(
            split,
            need_organs=need,
            allowed=allowed,
            progress=progress,
            should_stop=should_stop,
        )
    return splits[0].cases, splits[1].cases


def positive_weights(cases: Sequence[Case], labels: Sequence[str]) -> list[float]:
    """Weigh a present label by absent / present of the cases, within 1 to 10."""
    low, high = _WEIGHTS
    weights = []
    for label in labels:
        known = [case.labels[label] for case in cases if label in case.labels]
        present = sum(known)
        weights.append(min(max((len(known) - present) / max(present, 1), low), high))
    return weights


def _is_one_sided(cases: Sequence[Case], label: str) -> bool:
    return len({case.labels[label] for case in cases if label in case.labels}) < 2


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more

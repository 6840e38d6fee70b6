"""Training: settings and cases in, a model folder out."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from napari_hirescam.cases import CaseTable, with_found_organs
from napari_hirescam.errors import SettingsError
from napari_hirescam.models.trust import AskTrust
from napari_hirescam.training import machine
from napari_hirescam.training.cohort import (
    check_cohort,
    read_cohort,
    usual_organs,
    with_labels,
    with_reviewed,
)
from napari_hirescam.training.plan import Listeners, Note, Plan, Progress, Report, ShouldStop
from napari_hirescam.training.result import TrainingResult
from napari_hirescam.training.run_folder import held, read_kept, write_log
from napari_hirescam.training.settings import TrainingSettings


def train(
    settings: TrainingSettings,
    table: CaseTable | None = None,
    *,
    out: str | os.PathLike[str],
    resume: bool = False,
    progress: Progress | None = None,
    report: Report | None = None,
    note: Note | None = None,
    should_stop: ShouldStop | None = None,
    trust: AskTrust | None = None,
) -> TrainingResult:
    """Train a classifier with binary cross-entropy and the mask loss.

    Parameters
    ----------
    settings
        See :class:`TrainingSettings`.
    table
        The cases, in splits 'train' and 'valid'; None reads what `settings.data` names.
    out
        Folder for the model (`out/model`), the log (`out/log.csv`) and the checkpoints; must be
        empty unless `resume`.
    resume
        Go on from the last checkpoint in `out`, or begin where none was written yet: the result
        is that of a run that was never interrupted, bit for bit on a CPU.
    progress
        Told (passes done, passes of all epochs) after each pass.
    report
        Told of each epoch when it is over.
    note
        Told, once, what a user should know of the data and of the attention.
    should_stop
        Asked at each pass.
    trust
        Asked before code of the model to start from runs; None answers no.

    Raises
    ------
    SettingsError
        The settings contradict each other, this machine or `out`; found before the first step.
    ReviewError
        A review that the settings name cannot be used, or leaves no case.
    CaseTableError, OrganError, VolumeError
        Of the cases; headers are checked before the first step, contents as they are read.
    ModelFileError
        The model or the weights to start from cannot be used.
    Cancelled
        `should_stop` said so, or Ctrl-C; `resume` goes on from there.
    """
    machine.require_packages(settings.run)
    machine.require_device(settings.run)
    folder = Path(out).expanduser()
    alone: AbstractContextManager[None] = nullcontext()
    if machine.is_first_process():
        machine.require_folder(folder, resume=resume)
        if settings.data.cache_folder is not None:
            machine.require_writable(Path(settings.data.cache_folder).expanduser())
        alone = held(folder)
    with alone, machine.torch_as_found(settings.run), machine.quiet_lightning():
        plan = plan_training(settings, table, folder, trust, should_stop)
        return _run(plan, Listeners(progress, report, note, should_stop), resume=resume)


def plan_training(
    settings: TrainingSettings,
    table: CaseTable | None,
    out: Path,
    trust: AskTrust | None,
    should_stop: ShouldStop | None,
) -> Plan:
    """Settle all that can be settled before the first step; see :func:`train`."""
    import torch

    from napari_hirescam.training.network import make_classifier, wanted_labels

    labels = wanted_labels(settings)
    torch.manual_seed(settings.seed)
    if settings.model.start_from is not None:
        classifier = make_classifier(settings, (), trust=trust)
        labels = classifier.labels
    if table is None:
        table = read_cohort(settings, labels)
    table = with_labels(table, labels or table.labels)
    if settings.data.organs == "partition" and settings.loss.mask_weight:
        kept_in = settings.data.cache_folder or out / "organs"
        table = with_found_organs(table, kept_in, rough=settings.data.rough_regions)
    table = with_reviewed(settings, table)
    if settings.model.start_from is None:
        classifier = make_classifier(settings, table.labels, trust=trust)
    if machine.is_first_process():
        machine.require_room(out, classifier.network)
    allowed = usual_organs(settings, table.labels, classifier.spec.organs)
    train_cases, valid_cases = check_cohort(settings, table, allowed, should_stop=should_stop)
    return Plan(settings, classifier, table, train_cases, valid_cases, allowed, out)


def _run(plan: Plan, listeners: Listeners, *, resume: bool) -> TrainingResult:
    from napari_hirescam.training.fitting import Fit
    from napari_hirescam.training.model_folder import make_result, write_settings

    fit = Fit(plan, listeners)
    kept = read_kept(plan.out) if resume else None
    if kept is not None and kept["run"] != fit.identity:
        raise SettingsError(
            plan.out,
            "its run had other settings, cases or processes, and cannot be gone on with",
            "Give the same configuration, or begin anew in another folder",
        )
    if machine.is_first_process():
        write_settings(plan.out, plan.settings)
        for text in (*plan.table.notes, *fit.notes()):
            if listeners.note is not None:
                listeners.note(text)
    if kept is None or not kept["finished"]:
        if plan.settings.data.read_all_first:
            fit.read_all()
        fit.run(go_on=kept is not None)
        # What a process that Lightning started has done is known by its files alone.
        kept = read_kept(plan.out)
    if kept is None:
        raise SettingsError(plan.out, "the training left no checkpoint", "Look into its log")
    if machine.is_first_process():
        write_log(plan.out, kept)  # it may have been killed just before
    return make_result(plan, kept)

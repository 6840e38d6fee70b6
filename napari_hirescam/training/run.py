"""Training: settings and cases in, a model folder out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from napari_hirescam.cases import CaseTable
from napari_hirescam.training.result import EpochRecord, TrainingResult
from napari_hirescam.training.settings import TrainingSettings

Progress = Callable[[int, int], None]
ShouldStop = Callable[[], bool]
Report = Callable[[EpochRecord], None]


def train(
    settings: TrainingSettings,
    table: CaseTable | None = None,
    *,
    out: str | os.PathLike[str],
    resume: bool = False,
    progress: Progress | None = None,
    report: Report | None = None,
    should_stop: ShouldStop | None = None,
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
        Go on from the last checkpoint in `out`: the result is that of a run that was never
        interrupted, bit for bit on a CPU.
    progress
        Told (steps done, steps of all epochs) after each step.
    report
        Told of each epoch when it is over.
    should_stop
        Asked at each step.

    Raises
    ------
    SettingsError
        The settings contradict each other, this machine or `out`; found before the first step.
    CaseTableError, OrganError, VolumeError
        Of the cases; headers are checked before the first step, contents as they are read.
    ModelFileError
        The model or the weights to start from cannot be used.
    Cancelled
        `should_stop` said so; `resume` goes on from there.
    """
    raise NotImplementedError(settings, table, Path(out), resume, progress, report, should_stop)

"""What was settled about a training before its first step, and who wants to hear of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from napari_hirescam.cases import Case, CaseTable
from napari_hirescam.models.classifier import Classifier
from napari_hirescam.training.result import EpochRecord
from napari_hirescam.training.settings import TrainingSettings

Progress = Callable[[int, int], None]
ShouldStop = Callable[[], bool]
Report = Callable[[EpochRecord], None]
Note = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """A training whose settings, data and network have been looked through.

    Parameters
    ----------
    settings
        As they were given.
    classifier
        The network as it is before the first step, on the CPU, with its specification.
    table
        All cases; its labels are the network's outputs.
    train, valid
        The cases of the two splits.
    allowed
        Label -> organs, where a case does not say.
    out
        The training's folder.
    """

    settings: TrainingSettings
    classifier: Classifier
    table: CaseTable
    train: tuple[Case, ...]
    valid: tuple[Case, ...]
    allowed: dict[str, tuple[str, ...]]
    out: Path


@dataclass(frozen=True)
class Listeners:
    """Those who are told, and the one who is asked; see :func:`training.train`."""

    progress: Progress | None = None
    report: Report | None = None
    note: Note | None = None
    should_stop: ShouldStop | None = None

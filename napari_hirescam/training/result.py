"""What a training leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class EpochRecord:
    """What was measured in one epoch.

    Parameters
    ----------
    epoch
        Counted from 0.
    figures
        'train_loss', 'train_class_loss', 'train_mask_loss', the same of 'valid_', 'valid_auroc'
        (mean over the labels of which both kinds occur) and 'valid_auroc/LABEL'; NaN where one
        is not defined.
    is_best
        Whether its validation loss is the lowest so far, so that its weights are kept.
    """

    epoch: int
    figures: Mapping[str, float]
    is_best: bool


@dataclass(frozen=True)
class TrainingResult:
    """A trained model and how it came about.

    Parameters
    ----------
    model_folder
        What `models.load_model` and napari open; its weights are the best epoch's.
    history
        One record for each epoch.
    best_epoch
        The epoch of the lowest validation loss, counted from 0.
    stopped_early
        True if the validation loss had not fallen for as long as the settings allow.
    """

    model_folder: Path
    history: tuple[EpochRecord, ...]
    best_epoch: int
    stopped_early: bool

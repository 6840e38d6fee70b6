"""Training: the mask loss, the settings, the loop around Lightning, what comes out."""

from napari_hirescam.training.result import EpochRecord, TrainingResult
from napari_hirescam.training.run import train
from napari_hirescam.training.settings import TrainingSettings

__all__ = ["EpochRecord", "TrainingResult", "TrainingSettings", "train"]

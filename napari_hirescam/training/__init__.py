"""Training: the mask loss, the settings, the loop around Lightning, what comes out."""

from napari_hirescam.training.result import EpochRecord, TrainingResult
from napari_hirescam.training.run import train
from napari_hirescam.training.settings import TrainingSettings
from napari_hirescam.training.settings_file import read_settings

__all__ = ["EpochRecord", "TrainingResult", "TrainingSettings", "read_settings", "train"]

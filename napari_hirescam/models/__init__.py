"""Models: what they are, loading them, and preparing a CT for them."""

from napari_hirescam.models.classifier import Classifier
from napari_hirescam.models.folder import load_model, save_model
from napari_hirescam.models.preprocess import ModelInput
from napari_hirescam.models.spec import INPUT_PRESETS, InputSpec, ModelSpec
from napari_hirescam.models.trust import TrustRequest

__all__ = [
    "INPUT_PRESETS",
    "Classifier",
    "InputSpec",
    "ModelInput",
    "ModelSpec",
    "TrustRequest",
    "load_model",
    "save_model",
]

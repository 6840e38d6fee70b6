"""The grey-scale windows that radiologists use, and which suits an organ."""

from __future__ import annotations

from napari_hirescam.source import DisplayWindow

#: Centre and width in HU, as radiology's textbooks have them; for the liver, Radiopaedia's
#: "Windowing (CT)" (150/30), which sets it apart from other soft tissue.
PRESETS = {
    "lung": DisplayWindow("Lung", -600, 1500),
    "mediastinum": DisplayWindow("Mediastinum", 50, 350),
    "soft_tissue": DisplayWindow("Soft tissue", 40, 400),
    "bone": DisplayWindow("Bone", 400, 1800),
    "liver": DisplayWindow("Liver", 30, 150),
    "brain": DisplayWindow("Brain", 40, 80),
}

#: Parts of organs' names -> the window in which their border shows; the first that fits.
_OF_ORGANS = {
    "lung": "lung",
    "trachea": "lung",
    "airway": "lung",
    "bronch": "lung",
    "liver": "liver",
    "spleen": "liver",
    "brain": "brain",
    "vertebra": "bone",
    "rib": "bone",
    "sternum": "bone",
    "scapula": "bone",
    "clavicula": "bone",
    "humerus": "bone",
    "skull": "bone",
    "sacrum": "bone",
    "hip": "bone",
    "femur": "bone",
    "heart": "mediastinum",
    "aorta": "mediastinum",
    "vein": "mediastinum",
    "artery": "mediastinum",
    "mediastinum": "mediastinum",
    "esophagus": "mediastinum",
}


def window_of_organ(organ: str) -> DisplayWindow:
    """Choose the window in which an organ's border is judged; soft tissue where none is known."""
    for part, window in _OF_ORGANS.items():
        if part in organ:
            return PRESETS[window]
    return PRESETS["soft_tissue"]

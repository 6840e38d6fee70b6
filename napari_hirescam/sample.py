"""Where the sample CT and the sample model lie on this machine.

A wheel carries them inside the package. A checkout, and so an editable install, has them in
the folder ``sample_data`` beside the package.
"""

from __future__ import annotations

from pathlib import Path

from napari_hirescam.errors import HirescamError, ModelFileError, VolumeError

_PACKAGE = Path(__file__).resolve().parent
_CT = "phantom_chest_ct.nii.gz"
_MODEL = "phantom_axialnet"
_REMEDY = "Reinstall napari-hirescam, or restore the folder sample_data of the checkout"


def sample_ct_path() -> Path:
    """Return the path of the sample CT, a phantom of a chest, as compressed NIfTI.

    Returns
    -------
    Path
        An existing file.

    Raises
    ------
    VolumeError
        This installation has no sample CT.
    """
    return _find(_CT, kind=VolumeError)


def sample_model_path() -> Path:
    """Return the path of the sample model's folder, which holds ``model.yaml``.

    Returns
    -------
    Path
        An existing folder.

    Raises
    ------
    ModelFileError
        This installation has no sample model.
    """
    folder = _find(_MODEL, kind=ModelFileError)
    if not (folder / "model.yaml").is_file():
        raise ModelFileError(folder, "the sample model has no model.yaml", _REMEDY)
    return folder


def _find(name: str, *, kind: type[HirescamError]) -> Path:
    """Return the first place that has `name`, the installed package's own before a checkout's."""
    places = [_PACKAGE / "sample_data", _PACKAGE.parent / "sample_data"]
    for place in places:
        if (place / name).exists():
            return place / name
    searched = " and ".join(str(place) for place in places)
    raise kind(name, f"this sample is in neither {searched}", _REMEDY)

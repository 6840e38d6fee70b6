"""Published lists of labels, usable by name in model.yaml: ``labels: radchest-80``.

RAD-ChestCT's labels in the order of the outputs of the author's networks: 83 abnormalities
(CT-Net, arXiv 2002.04752), the 80 pairs of organ and abnormality that AxialNet was trained on
(arXiv 2111.12215), and the 9 of CT-Net's smaller network. One label a line.
"""

from __future__ import annotations

from importlib import resources

_FOLDER = "label_lists"
_SUFFIX = ".txt"


def label_list_names() -> tuple[str, ...]:
    """Name the lists that are shipped, the shortest first."""
    files = [f.name for f in (resources.files(__package__) / _FOLDER).iterdir()]
    names = [name.removesuffix(_SUFFIX) for name in files if name.endswith(_SUFFIX)]
    return tuple(sorted(names, key=lambda name: len(read_label_list(name))))


def read_label_list(name: str) -> tuple[str, ...]:
    """Read a shipped list of labels, in the order of the outputs.

    Raises
    ------
    KeyError
        There is no list of that name.
    """
    file = resources.files(__package__) / _FOLDER / f"{name}{_SUFFIX}"
    if not name.replace("-", "").isalnum() or not file.is_file():
        raise KeyError(name)
    return tuple(file.read_text(encoding="utf-8").split())

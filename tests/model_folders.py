"""Model folders that tests build: small networks with known answers, and real ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

HERE = Path(__file__).parent


def make_luna_folder(folder: Path, weights: Path, **changes: object) -> Path:
    """Write the folder a user would make for the published LUNA16 nodule network."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(weights, folder / "weights.pt")
    shutil.copyfile(HERE / "models" / "luna_network.py", folder / "network.py")
    spec = {
        "format": 1,
        "name": "LUNA nodule classifier",
        "architecture": {"python": "network.py", "callable": "NoduleNet"},
        "weights": "weights.pt",
        "weights_key": "model_state",
        "labels": ["no nodule", "nodule"],
        "activation": "softmax",
        "input": {
            # It was trained on slices that ascend from the feet.
            "orientation": "SPL",
            "shape": [32, 48, 48],
            "fit": "window",
            "padding": "edge",
            "window_hu": [-1000, 1000],
            "scale_to": None,
        },
        "target_layer": "block4",
    }
    spec.update(changes)
    (folder / "model.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    return folder

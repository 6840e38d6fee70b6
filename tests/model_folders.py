"""Model folders that tests build: small networks with known answers, and real ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
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


def write_bundle(folder: Path) -> Path:
    """Write a small MONAI bundle, a 3-D ResNet for 32^3 patches and two classes."""
    from monai.networks.nets import ResNet

    arguments = {
        "block": "basic",
        "layers": [1, 1, 1, 1],
        "spatial_dims": 3,
        "n_input_channels": 1,
        "num_classes": 2,
        "block_inplanes": [2, 4, 4, 8],
    }
    torch.manual_seed(0)
    for name in ("configs", "models"):
        (folder / name).mkdir(parents=True)
    torch.save(ResNet(**arguments).state_dict(), folder / "models" / "model.pt")
    metadata = {
        "name": "Nodule classifier",
        "monai_version": "1.5.0",
        "network_data_format": {
            "inputs": {
                "image": {
                    "num_channels": 1,
                    "spatial_shape": [32, 32, 32],
                    "value_range": [0, 1],
                }
            },
            "outputs": {"pred": {"channel_def": {"0": "no nodule", "1": "nodule"}}},
        },
    }
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    inference = {
        "network_def": {"_target_": "ResNet", **arguments},
        "network": "$@network_def.to(@device)",
    }
    (folder / "configs" / "inference.json").write_text(json.dumps(inference))
    return folder

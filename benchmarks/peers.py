"""The peers' roads to attention maps, as their own documentation shows them."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


def make_peer_work(name: str, model: Any, given: Any, layer: str, labels: int) -> Callable[[], Any]:
    """Return a peer's road to the maps of `labels` labels, as a function to be timed."""
    module = model.get_submodule(layer)
    if name.startswith("pytorch-grad-cam"):
        stand_in_for_torchvision()
        from pytorch_grad_cam import HiResCAM
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        def by_pytorch_grad_cam() -> Any:
            with HiResCAM(model=model, target_layers=[module]) as cam:
                return [cam(given, targets=[ClassifierOutputTarget(k)]) for k in range(labels)]

        return by_pytorch_grad_cam
    if name.startswith("MONAI"):
        from monai.visualize import GradCAM

        monai_cam = GradCAM(nn_module=model, target_layers=layer)
        return lambda: [monai_cam(x=given, class_idx=k) for k in range(labels)]
    if name.startswith("captum"):
        from captum.attr import LayerGradientXActivation

        product = LayerGradientXActivation(model, module)
        return lambda: [product.attribute(given, target=k).sum(1) for k in range(labels)]
    from torchcam.methods import GradCAM as TorchcamGradCAM

    def by_torchcam() -> Any:
        with TorchcamGradCAM(model, layer) as extractor:
            return [extractor(k, model(given)) for k in range(labels)]

    return by_torchcam


def stand_in_for_torchvision() -> None:
    """Let pytorch-grad-cam be imported: it asks for transforms that no CAM here uses."""
    if importlib.util.find_spec("torchvision") is not None:
        return
    unused = dict.fromkeys(("Compose", "Normalize", "ToTensor", "resize"), object)
    for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(unused)

"""Finding the registered architecture that weights belong to.

Names and shapes of a state dict nearly fix the network. Each family here reads its arguments off
the shapes; the network is then built without memory (torch's meta device) and compared name by
name. What leaves no trace in the weights, a stride say, is named as unseen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_hirescam.errors import Cancelled, ModelFileError
from napari_hirescam.models.architectures import build_by_name
from napari_hirescam.models.weights_facts import Shapes, WeightsFacts

#: Guesses with a smaller share of common names are not worth showing.
_LEAST_SHARE = 0.5
#: What is said of activations: any of them has the same weights, which is none.
_ACT = "relu: an activation has no weights; MONAI's own default"
_WIDTHS = ("num_classes", "out_channels", "classes")
_COUNTER = "num_batches_tracked"
_TRUNK: dict[str, Any] = {"trunk_channels": [64, 128, 256, 512], "trunk_stages": 4}
_AXIAL: dict[str, Any] = {**_TRUNK, "conv_channels": [64, 32, 16, 16]}
#: Arguments of the networks of the paper family that show in the weights, with their defaults.
_PAPER_ARGUMENTS: dict[str, dict[str, Any]] = {
    "axialnet": {**_AXIAL, "grid": 6},
    "axialnet-maxpool": {**_AXIAL, "grid": 6},
    "axialnet-sigmoid": {**_AXIAL, "grid": 6},
    "axialnet-nocustomconv": {**_TRUNK, "grid": 14},
    "axialnet-3dconv": {**_AXIAL, "grid": 6, "slices": 135},
    "axialnet-bigger": {**_TRUNK, "grid": 10, "conv_channels": [512, 512]},
    "bodycam": _AXIAL,
    "avgpool-mil": _AXIAL,
    "deepsets-mil": _AXIAL,
    "ctnet": {**_TRUNK, "slices": 135},
    "bodyconv": _TRUNK,
}


@dataclass(frozen=True)
class Guess:
    """A registered architecture that the weights may belong to.

    Parameters
    ----------
    name, arguments
        For the section `architecture` of model.yaml.
    n_labels
        Width of the output.
    matched, total
        Tensors with the same name and shape, of all in the file or the network.
    unseen
        Arguments that leave no trace in the weights, with what was taken and why.
    said
        True if it was not guessed: the MONAI bundle of the weights says so.
    """

    name: str
    arguments: Mapping[str, Any]
    n_labels: int
    matched: int = 0
    total: int = 0
    unseen: Mapping[str, str] = field(default_factory=dict)
    said: bool = False

    @property
    def exact(self) -> bool:
        """True if every name and shape is the same."""
        return self.total > 0 and self.matched == self.total


def guess_architectures(
    facts: WeightsFacts, should_stop: Callable[[], bool] = lambda: False
) -> tuple[Guess, ...]:
    """Find the registered architectures that accept these weights, the best match first.

    Raises
    ------
    Cancelled
        `should_stop` said so.
    """
    shapes = facts.plain_shapes
    found: dict[str, Guess] = {}
    for guess in _candidates(facts):
        if should_stop():
            raise Cancelled("the search for the architecture was cancelled")
        own = _shapes_of(guess)
        if own is None:
            continue
        names = {n for n in (*own, *shapes) if not n.endswith(_COUNTER)}
        matched = sum(own.get(n) == shapes.get(n) for n in names)
        judged = replace(guess, matched=matched, total=len(names))
        key = f"{guess.name} {sorted(guess.arguments.items())!r}"
        if matched >= _LEAST_SHARE * len(names):
            found.setdefault(key, judged)

    def rank(guess: Guess) -> tuple[float, bool, int]:
        return -guess.matched / guess.total, not guess.said, len(guess.arguments)

    return tuple(sorted(found.values(), key=rank))


def _shapes_of(guess: Guess) -> Shapes | None:
    """Names and shapes of the network a guess describes; None if it cannot be built."""
    import torch

    try:
        with torch.device("meta"):
            network = build_by_name(
                guess.name, guess.n_labels, dict(guess.arguments), Path("weights")
            )
    except ModelFileError:
        return None  # such a network is not registered or cannot be: no match
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def _candidates(facts: WeightsFacts) -> Iterator[Guess]:
    shapes = facts.plain_shapes
    yield from _of_the_bundle(facts)
    yield from _paper_family(shapes, facts.output_width)
    for family in (_monai_resnet, _monai_densenet, _monai_senet, _monai_efficientnet):
        yield from family(shapes)


def _of_the_bundle(facts: WeightsFacts) -> Iterator[Guess]:
    """Take the network that the bundle names; it knows what leaves no trace in weights too."""
    if facts.bundle is None:
        return
    arguments = dict(facts.bundle.arguments)
    widths = [arguments.pop(name) for name in _WIDTHS if name in arguments]
    width = widths[0] if widths and isinstance(widths[0], int) else facts.output_width
    if width is not None:
        yield Guess(facts.bundle.architecture, arguments, width, said=True)


def _paper_family(shapes: Shapes, width: int | None) -> Iterator[Guess]:
    """Read AxialNet, its variants and the networks it was compared with off the shapes.

    Several have the same weights and differ in what has none (mean or maximum over slices): the
    published network comes first, the others are offered behind it.
    """
    head = shapes.get("fc.weight", ())
    n_labels = head[0] if head else width
    if n_labels is None:
        return
    if "features.0.weight" not in shapes:
        if "reducingconvs.0.weight" in shapes:
            yield Guess("3dconv", {}, n_labels)
        return
    found: dict[str, Any] = {}
    trunk = [
        shapes[f"features.{k}.0.conv1.weight"][0]
        for k in _count(shapes, r"features\.(\d+)\.0\.conv1\.weight")
    ]
    if not trunk:
        return
    # Stages that are cut off leave no trace; their widths go on as in ResNet.
    found["trunk_channels"] = trunk + [trunk[-1] * 2**k for k in range(1, 5 - len(trunk))]
    found["trunk_stages"] = len(trunk)
    found["conv_channels"] = [
        shapes[f"conv2d.{k}.weight"][0] for k in _count(shapes, r"conv2d\.(\d+)\.weight")
    ]
    if len(head) > 2:
        found["grid"] = head[-1]
    first_3d = head if len(head) == 5 else shapes.get("reducingconvs.0.weight", ())
    if first_3d:
        found["slices"] = first_3d[2] if len(head) == 5 else first_3d[1]
    unseen = {
        "stem_pool": "true: a pool has no weights; the paper's network has it",
        **({"last_relu": "true: a ReLU has no weights"} if found["conv_channels"] else {}),
    }
    for name, defaults in _PAPER_ARGUMENTS.items():
        if name == "axialnet-bigger" and found["conv_channels"] != defaults["conv_channels"]:
            continue  # its name stands for these very convolutions
        arguments = {
            key: found[key] for key, usual in defaults.items() if found.get(key, usual) != usual
        }
        yield Guess(name, arguments, n_labels, unseen=unseen)


def _monai_resnet(shapes: Shapes) -> Iterator[Guess]:
    stem, head = shapes.get("conv1.weight", ()), shapes.get("fc.weight", ())
    if len(stem) < 4 or len(head) != 2:
        return
    blocks = [len(_count(shapes, rf"layer{k}\.(\d+)\.conv1\.weight")) for k in range(1, 5)]
    if not all(blocks):
        return
    bottleneck = "layer1.0.conv3.weight" in shapes
    widths = [shapes[f"layer{k}.0.conv1.weight"][0] for k in range(1, 5)]
    spatial = len(stem) - 2
    arguments: dict[str, Any] = {"spatial_dims": spatial, "n_input_channels": stem[1]}
    if stem[2] != 7:
        arguments["conv1_t_size"] = list(stem[2:]) if len(set(stem[2:])) > 1 else stem[2]
    joins = [n for n in shapes if re.fullmatch(r"layer\d\.0\.downsample\.0\.weight", n)]
    biased = any(n.replace(".weight", ".bias") in shapes for n in joins)
    if not joins:
        arguments["shortcut_type"] = "A"
    elif not biased:
        arguments["bias_downsample"] = False
    unseen = {"no_max_pool": "false: a pool has no weights", "act": _ACT}
    if biased or not joins:
        unseen["conv1_t_stride"] = "1: a stride leaves no trace; MONAI's own default"
    else:
        arguments["conv1_t_stride"] = 2
        unseen["conv1_t_stride"] = (
            "2: a stride leaves no trace; shortcuts without bias are those of torchvision and "
            "MedicalNet, whose stem has stride 2"
        )
    names: dict[tuple[Any, ...], str] = {
        (False, (1, 1, 1, 1)): "resnet10",
        (False, (2, 2, 2, 2)): "resnet18",
        (False, (3, 4, 6, 3)): "resnet34",
        (True, (3, 4, 6, 3)): "resnet50",
        (True, (3, 4, 23, 3)): "resnet101",
        (True, (3, 8, 36, 3)): "resnet152",
        (True, (3, 24, 36, 3)): "resnet200",
    }
    named = names.get((bottleneck, tuple(blocks)))
    if named and widths == [64, 128, 256, 512]:
        yield Guess(f"monai.{named}", arguments, head[0], unseen=unseen)
    arguments = {
        "block": "bottleneck" if bottleneck else "basic",
        "layers": blocks,
        "block_inplanes": widths,
        **arguments,
    }
    if not named or widths != [64, 128, 256, 512]:
        yield Guess("monai.ResNet", arguments, head[0], unseen=unseen)


def _monai_densenet(shapes: Shapes) -> Iterator[Guess]:
    stem, head = shapes.get("features.conv0.weight", ()), shapes.get("class_layers.out.weight", ())
    layer = "features.denseblock1.denselayer1.layers"
    grown = shapes.get(f"{layer}.conv2.weight", ())
    narrowed = shapes.get(f"{layer}.conv1.weight", ())
    if len(stem) < 4 or not head or not grown or not narrowed:
        return
    blocks = [
        len(_count(shapes, rf"features\.denseblock{k}\.denselayer(\d+)\.layers\.conv1\.weight"))
        for k in _count(shapes, r"features\.denseblock(\d+)\.denselayer1\.layers\.conv1\.weight")
    ]
    arguments: dict[str, Any] = {"spatial_dims": len(stem) - 2, "in_channels": stem[1]}
    if stem[0] != 64:
        arguments["init_features"] = stem[0]
    if grown[0] != 32:
        arguments["growth_rate"] = grown[0]
    if narrowed[0] != 4 * grown[0]:
        arguments["bn_size"] = narrowed[0] // grown[0]
    names: dict[tuple[Any, ...], str] = {
        (6, 12, 24, 16): "DenseNet121",
        (6, 12, 32, 32): "DenseNet169",
        (6, 12, 48, 32): "DenseNet201",
        (6, 12, 64, 48): "DenseNet264",
    }
    named = names.get(tuple(blocks))
    if named is None:
        arguments["block_config"] = blocks
    yield Guess(f"monai.{named or 'DenseNet'}", arguments, head[0], unseen={"act": _ACT})


def _monai_senet(shapes: Shapes) -> Iterator[Guess]:
    stem, head = shapes.get("layer0.conv1.weight", ()), shapes.get("last_linear.weight", ())
    if len(stem) < 4 or len(head) != 2:
        return
    blocks = tuple(
        len(_count(shapes, rf"layer{k}\.(\d+)\.se_layer\.fc\.0\.weight")) for k in range(1, 5)
    )
    variants: dict[tuple[int, ...], tuple[str, ...]] = {
        (3, 4, 6, 3): ("SEResNet50", "SEResNext50"),
        (3, 4, 23, 3): ("SEResNet101", "SEResNext101"),
        (3, 8, 36, 3): ("SEResNet152", "SENet154"),
    }
    for name in variants.get(blocks, ()):
        arguments = {"spatial_dims": len(stem) - 2, "in_channels": stem[1]}
        yield Guess(f"monai.{name}", arguments, head[0])


def _monai_efficientnet(shapes: Shapes) -> Iterator[Guess]:
    stem, head = shapes.get("_conv_stem.weight", ()), shapes.get("_fc.weight", ())
    if len(stem) < 4 or len(head) != 2:
        return
    # Width of the features ahead of the classifier; b0 and b1 share it and differ in depth.
    models = {
        1280: ("b0", "b1"),
        1408: ("b2",),
        1536: ("b3",),
        1792: ("b4",),
        2048: ("b5",),
        2304: ("b6",),
        2560: ("b7",),
        2816: ("b8",),
        5504: ("l2",),
    }
    for model in models.get(head[1], ()):
        arguments = {
            "model_name": f"efficientnet-{model}",
            "pretrained": False,
            "spatial_dims": len(stem) - 2,
            "in_channels": stem[1],
        }
        yield Guess("monai.EfficientNetBN", arguments, head[0])


def _count(shapes: Shapes, pattern: str) -> list[int]:
    """Numbers that stand in the group of `pattern` among the names, in order."""
    found = (re.fullmatch(pattern, name) for name in shapes)
    return sorted({int(match.group(1)) for match in found if match})

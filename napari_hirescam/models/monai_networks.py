"""Classifiers of ``monai.networks.nets``, by name, without ever fetching weights.

What may be built is found by inspecting that one module: classes and ``resnetNN`` functions of
the families below that say how wide their output is. Arguments are plain values, so that a model
file cannot reach anything else.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from napari_hirescam.models.spec import InputSpec

if TYPE_CHECKING:
    from torch import nn

PREFIX = "monai."
#: Modules of monai.networks.nets whose networks classify.
_FAMILIES = ("classifier", "densenet", "efficientnet", "resnet", "senet", "vit")
#: Their names for the width of the output, and for the number of input channels.
_WIDTHS = ("num_classes", "out_channels", "classes")
_CHANNELS = ("in_channels", "n_input_channels")
#: Heads cut off, for use inside other networks.
_NO_CLASSIFIERS = re.compile(r"Features$|Encoder$|^Critic$|^Discriminator$")
_RESNET_FUNCTION = re.compile(r"^resnet\d+$")
#: The layer whose output one global mean and one linear layer turn into the scores.
_LAST_FEATURES = {
    "densenet": "class_layers.relu",
    "resnet": "layer4",
    "senet": "layer4",
    "efficientnet": "_avg_pooling.features",
    "vit": "patch_embedding.patch_embeddings",
}


@cache
def monai_classifiers() -> Mapping[str, Callable[..., nn.Module]]:
    """Find MONAI's classifiers: every accepted name, aliases included, with its builder."""
    from monai.networks import nets
    from torch import nn

    found: dict[str, Callable[..., nn.Module]] = {}
    for name, builder in vars(nets).items():
        family = _family(builder)
        if family is None or _NO_CLASSIFIERS.search(name):
            continue
        is_class = inspect.isclass(builder) and issubclass(builder, nn.Module)
        is_resnet = inspect.isfunction(builder) and _RESNET_FUNCTION.match(name)
        if (is_class or is_resnet) and _first_of(_WIDTHS, _parameters(builder)) is not None:
            found[name] = builder
    return found


def monai_names() -> tuple[str, ...]:
    """Name MONAI's classifiers as model.yaml does, without aliases."""
    known = monai_classifiers()
    return tuple(sorted(f"{PREFIX}{n}" for n, builder in known.items() if builder.__name__ == n))


def build_monai(
    name: str, n_labels: int, arguments: Mapping[str, Any], given: InputSpec | None = None
) -> nn.Module:
    """Build one of MONAI's classifiers with an output for each label.

    Parameters
    ----------
    name
        Without the leading 'monai.'.
    n_labels
        Number of labels.
    arguments
        Plain values for MONAI's constructor. The width of the output, and what `given` says of
        dimensions and channels, are filled in where they are left out.
    given
        The input section of the model file.

    Raises
    ------
    KeyError
        MONAI has no classifier of that name.
    ValueError
        The arguments contradict the labels, ask for a download, or are not plain values.
    Exception
        Whatever MONAI raises when its arguments do not fit.
    """
    builder = monai_classifiers()[name]
    parameters = _parameters(builder)
    complete = dict(arguments)
    for key, value in complete.items():
        if not _is_plain(value):
            raise ValueError(f"{key!r} holds a {type(value).__name__}, which is no plain value")
    if complete.get("pretrained"):
        raise ValueError(
            "'pretrained' would fetch other weights; leave it out, the model's own are loaded"
        )
    if "pretrained" in parameters:
        complete["pretrained"] = False  # EfficientNetBN fetches weights unless told not to
    width = _first_of(_WIDTHS, parameters) or ""
    if complete.setdefault(width, n_labels) != n_labels:
        raise ValueError(f"{width!r} is {complete[width]}, and there are {n_labels} labels")
    if given is not None:
        _fill_from_input(complete, parameters, given)
    if "classification" in parameters:
        complete.setdefault("classification", True)  # a ViT has no classifying head otherwise
    network: nn.Module = builder(**complete)
    if _family(builder) == "efficientnet":
        _name_last_features(network)
    return network


def monai_target_layer(network: nn.Module) -> str | None:
    """Name the layer to explain of a network of these families; None if it is not known."""
    family = _family(type(network)) or ""
    layers = dict(network.named_modules())
    if family == "classifier":  # its convolutions are numbered, and all ahead of the one 'final'
        return next((name for name in reversed(layers) if re.fullmatch(r"net\.[^.]+", name)), None)
    layer = _LAST_FEATURES.get(family)
    return layer if layer in layers else None


def _name_last_features(network: nn.Module) -> None:
    """Give EfficientNet's last features a name of their own.

    They come from the one swish module that the stem uses too, so that no hook could tell the
    two calls apart. A module that does nothing ahead of the pool has no weights, and leaves the
    state dict and the scores as they are.
    """
    from collections import OrderedDict

    from torch import nn

    pool = network.get_submodule("_avg_pooling")
    named = nn.Sequential(OrderedDict(features=nn.Identity(), pool=pool))
    network.register_module("_avg_pooling", named)


def _fill_from_input(arguments: dict[str, Any], parameters: list[str], given: InputSpec) -> None:
    flat = given.layout != "volume"
    size = given.shape[1:] if flat else given.shape
    channels = 3 if given.layout == "axial_triples" else given.channels
    if "spatial_dims" in parameters:
        arguments.setdefault("spatial_dims", 2 if flat else 3)
    channel_name = _first_of(_CHANNELS, parameters)
    if channel_name is not None:
        arguments.setdefault(channel_name, channels)
    if None not in size:
        if "img_size" in parameters:
            arguments.setdefault("img_size", list(size))
        if "in_shape" in parameters:
            arguments.setdefault("in_shape", [channels, *size])


def _family(builder: Any) -> str | None:
    package, _, family = getattr(builder, "__module__", "").rpartition(".")
    return family if package == "monai.networks.nets" and family in _FAMILIES else None


def _parameters(builder: Callable[..., Any]) -> list[str]:
    """List a builder's parameters, with those that its ``**kwargs`` hand to a base class."""
    names: list[str] = []
    if inspect.isclass(builder):
        for base in builder.__mro__:
            if _family(base) is None:
                break
            own = inspect.signature(base).parameters
            names += own
            if not any(p.kind is p.VAR_KEYWORD for p in own.values()):
                break
    else:
        from monai.networks.nets.resnet import ResNet

        names += inspect.signature(builder).parameters
        names += inspect.signature(ResNet).parameters
    return names


def _first_of(wanted: tuple[str, ...], names: list[str]) -> str | None:
    return next((name for name in wanted if name in names), None)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(part) for part in value)
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_plain(v) for k, v in value.items())
    return value is None or isinstance(value, bool | int | float | str)

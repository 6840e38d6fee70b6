"""Networks by name, and networks from the user's own Python file."""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from napari_hirescam.errors import ModelFileError
from napari_hirescam.models.spec import InputSpec

if TYPE_CHECKING:
    from torch import nn

    from napari_hirescam.models.trust import UserCode

#: The networks of the paper family and of its experiments: where each class lies. Its first
#: argument is the number of labels. MONAI's are found by models.monai_networks.
_FAMILY: dict[str, str] = {
    "axialnet": "axialnet.AxialNet",
    "axialnet-maxpool": "axialnet.AxialNetMaxPool",
    "axialnet-sigmoid": "axialnet.AxialNetSigmoid",
    "axialnet-nocustomconv": "axialnet.AxialNetNoCustomConv",
    "axialnet-3dconv": "axialnet.AxialNet3DConv",
    "axialnet-bigger": "axialnet.AxialNetBigger",
    "bodycam": "axial_baselines.BodyCAM",
    "avgpool-mil": "axial_baselines.AvgPoolMIL",
    "deepsets-mil": "axial_baselines.DeepSetsMIL",
    "ctnet": "ctnet.CTNet",
    "bodyconv": "ctnet.BodyConv",
    "3dconv": "ctnet.ThreeDConv",
    "vgg16-256-64": "vgg.VGG16Conv256x64",
    "vgg16-64": "vgg.VGG16Conv64",
    "vgg16-3x3": "vgg.VGG16Conv3x3",
    "luna-nodule": "nodule_net.NoduleNet",
}
_SLICES_PER_IMAGE = 3


def architecture_names() -> tuple[str, ...]:
    """Name every architecture that model.yaml can ask for, the paper family first."""
    from napari_hirescam.models.monai_networks import monai_names

    return (*_FAMILY, *monai_names())


def default_target_layer(network: nn.Module) -> str | None:
    """Name the layer to explain of a network built by name; None if it is not known."""
    from napari_hirescam.models.monai_networks import monai_target_layer

    own = getattr(network, "default_target_layer", None)
    return own if isinstance(own, str) else monai_target_layer(network)


def build_by_name(
    name: str,
    n_labels: int,
    arguments: dict[str, Any],
    file: Path,
    given: InputSpec | None = None,
) -> nn.Module:
    """Build a registered network.

    Parameters
    ----------
    name
        One of :func:`architecture_names`.
    n_labels
        Number of labels, hence of outputs.
    arguments
        Of the network's constructor.
    file
        The model file, for messages.
    given
        Its input section, from which sizes and channels are filled in where `arguments` leaves
        them out.

    Raises
    ------
    ModelFileError
        The name is not registered or the arguments do not fit.
    """
    from napari_hirescam.models.monai_networks import PREFIX, build_monai, monai_classifiers

    in_family = name in _FAMILY
    monai_name = name.removeprefix(PREFIX)
    if not in_family and (monai_name == name or monai_name not in monai_classifiers()):
        names = architecture_names()
        folded = {known.casefold(): known for known in names}
        near = difflib.get_close_matches(name.casefold(), folded, n=3)
        verb = "is" if len(near) == 1 else "are"
        offer = f" (the nearest {verb} {', '.join(folded[n] for n in near)})" if near else ""
        raise ModelFileError(
            file,
            f"architecture {name!r} is not known{offer}",
            f"Use one of: {', '.join(names)}; or give 'python' and 'callable'",
        )
    try:
        if in_family:
            return _build_family(name, n_labels, arguments, given)
        return build_monai(monai_name, n_labels, arguments, given)
    except ImportError as exc:  # MONAI's optional parts
        missing = re.search(r"No module named '([\w.]+)'", str(exc))
        package = missing.group(1).partition(".")[0] if missing else "a package"
        raise ModelFileError(
            file,
            f"{name!r} needs {package}, which is not installed",
            f"Install {package} beside napari-hirescam",
        ) from exc
    except Exception as exc:  # torch raises all kinds at senseless sizes
        raise ModelFileError(
            file,
            f"the arguments of {name!r} do not fit: {_words(exc)}",
            "Mend architecture.arguments",
        ) from exc


def _build_family(
    name: str, n_labels: int, arguments: dict[str, Any], given: InputSpec | None
) -> nn.Module:
    module, _, class_name = _FAMILY[name].partition(".")
    maker = getattr(importlib.import_module(f"napari_hirescam.models.{module}"), class_name)
    complete = {"n_labels": n_labels, **arguments}
    if complete["n_labels"] != n_labels:
        raise ValueError(f"'n_labels' is {complete['n_labels']}, and there are {n_labels} labels")
    if given is not None and given.shape[0] is not None:
        parameters = inspect.signature(maker).parameters
        if "slices" in parameters and given.layout == "axial_triples":
            complete.setdefault("slices", given.shape[0] // _SLICES_PER_IMAGE)
        if "shape" in parameters:
            complete.setdefault("shape", given.shape)
    network: nn.Module = maker(**complete)
    return network


def build_from_python(code: UserCode, name: str, arguments: dict[str, Any]) -> nn.Module:
    """Run a model's Python and call the class or function that makes the network.

    The caller has made sure that the user agreed. The text agreed to is compiled here and
    now: an import by path would prefer bytecode that lies beside the file, and bytes would be
    decoded as their first lines say, which is not as they were shown.

    Raises
    ------
    ModelFileError
        The file fails, has no such name, or does not make a torch module.
    """
    from torch import nn

    file = code.file
    module = ModuleType(f"_napari_hirescam_model_{code.request.sha256[:16]}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module
    try:
        exec(compile(code.source.decode("utf-8-sig"), str(file), "exec"), vars(module))  # noqa: S102 - agreed to
        network = getattr(module, name)(**arguments)
    except (Exception, SystemExit) as exc:
        del sys.modules[module.__name__]
        raise ModelFileError(
            file,
            f"building {name!r} failed: {type(exc).__name__}: {_words(exc)}",
            "Mend the file or the arguments in model.yaml",
        ) from exc
    if not isinstance(network, nn.Module):
        raise ModelFileError(
            file, f"{name!r} does not make a torch module", "Name the network's class in 'callable'"
        )
    return network


def _words(error: BaseException) -> str:
    return " ".join(str(error).split())

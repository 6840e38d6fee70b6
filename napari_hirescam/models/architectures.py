"""Networks by name, and networks from the user's own Python file."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hirescam.errors import ModelFileError

if TYPE_CHECKING:
    from torch import nn

Builder = Callable[..., "nn.Module"]


def _axialnet(n_labels: int, **arguments: Any) -> nn.Module:
    from napari_hirescam.models.axialnet import AxialNet

    return AxialNet(n_labels, **arguments)


#: Registered architectures; each builder takes `n_labels` and the arguments of model.yaml.
ARCHITECTURES: dict[str, Builder] = {"axialnet": _axialnet}


def build_by_name(name: str, n_labels: int, arguments: dict[str, Any], file: Path) -> nn.Module:
    """Build a registered network.

    Raises
    ------
    ModelFileError
        The name is not registered or the arguments do not fit.
    """
    if name not in ARCHITECTURES:
        raise ModelFileError(
            file,
            f"architecture {name!r} is not known",
            f"Use one of: {', '.join(sorted(ARCHITECTURES))}; or give 'python' and 'callable'",
        )
    arguments = {"n_labels": n_labels, **arguments}
    try:
        return ARCHITECTURES[name](**arguments)
    except (TypeError, ValueError, IndexError) as exc:
        raise ModelFileError(
            file, f"the arguments of {name!r} do not fit: {exc}", "Mend architecture.arguments"
        ) from exc


def build_from_python(file: Path, name: str, arguments: dict[str, Any], sha256: str) -> nn.Module:
    """Run a Python file and call the class or function that makes the network.

    The caller has made sure that the user agreed to running this file.

    Raises
    ------
    ModelFileError
        The file fails, has no such name, or does not make a torch module.
    """
    from torch import nn

    module_name = f"_napari_hirescam_model_{sha256[:16]}"
    module_spec = importlib.util.spec_from_file_location(module_name, file)
    if module_spec is None or module_spec.loader is None:
        raise ModelFileError(file, "it is not a Python file", "Name a .py file in 'python'")
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[module_name] = module
    try:
        module_spec.loader.exec_module(module)
        network = getattr(module, name)(**arguments)
    except Exception as exc:
        del sys.modules[module_name]
        raise ModelFileError(
            file,
            f"building {name!r} failed: {type(exc).__name__}: {exc}",
            "Mend the file or the arguments in model.yaml",
        ) from exc
    if not isinstance(network, nn.Module):
        raise ModelFileError(
            file, f"{name!r} does not make a torch module", "Name the network's class in 'callable'"
        )
    return network

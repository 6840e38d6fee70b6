"""Networks by name, and networks from the user's own Python file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from napari_hirescam.errors import ModelFileError

if TYPE_CHECKING:
    from torch import nn

    from napari_hirescam.models.trust import UserCode

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
    except Exception as exc:  # torch raises all kinds at senseless sizes
        raise ModelFileError(
            file,
            f"the arguments of {name!r} do not fit: {_words(exc)}",
            "Mend architecture.arguments",
        ) from exc


def build_from_python(code: UserCode, name: str, arguments: dict[str, Any]) -> nn.Module:
    """Run a model's Python and call the class or function that makes the network.

    The caller has made sure that the user agreed. The bytes agreed to are compiled here and
    now: an import by path would prefer bytecode that lies beside the file.

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
        exec(compile(code.source, str(file), "exec"), vars(module))  # noqa: S102 - agreed to
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

"""TorchScript programs: shown as text, then turned into a network whose operations have names.

Hooks cannot be put on TorchScript modules. torch's converter makes an ordinary graph of them, in
which modules are gone; here each of its operations becomes a module again, named as in the graph
(``conv3d``, ``relu_``, ``conv3d_1``, ...), so that it can be explained like any other.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hirescam.errors import ModelFileError
from napari_hirescam.models.archive import MAX_BYTES

if TYPE_CHECKING:
    import torch
    from torch import nn

#: Operations by which TorchScript reaches files, and namespaces whose operations are torch's own.
_FILE_ACCESS = re.compile(r"\b(?:torch|ops\.aten)\.(save|load|from_file|_load\w*|_save\w*)\b")
_NAMESPACE = re.compile(r"\bops\.(\w+)\.")
_OWN_NAMESPACES = frozenset({"aten", "prim"})
#: torch's loggers that speak during a conversion.
_TALKERS = ("torch._export", "torch.fx.experimental")
_LONGEST_REASON = 200


def read_torchscript(data: bytes, file: Path) -> str:
    """Read the code of a TorchScript file as text, without loading it.

    Raises
    ------
    ModelFileError
        The file is damaged, or its code reaches files or operations that torch does not bring.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(i.file_size for i in archive.infolist()) > MAX_BYTES:
                raise ModelFileError(file, "it would fill the memory", "Ask for a smaller program")
            sources = {
                i.filename: archive.read(i).decode("utf-8", errors="backslashreplace")
                for i in archive.infolist()
                if i.filename.endswith(".py")
            }
    except (zipfile.BadZipFile, RuntimeError, EOFError, OSError) as exc:
        raise ModelFileError(
            file, f"it cannot be read as TorchScript: {exc}", "Save the program again"
        ) from exc
    code = "\n".join(f"# ---- {name} ----\n{text}" for name, text in sources.items())
    reaches = sorted({m.group(0) for m in _FILE_ACCESS.finditer(code)})
    foreign = sorted({m.group(1) for m in _NAMESPACE.finditer(code)} - _OWN_NAMESPACES)
    if reaches or foreign:
        what = ", ".join([*reaches, *(f"operations of {name!r}" for name in foreign)])
        raise ModelFileError(
            file,
            f"its code uses {what}, which a classifier does not need",
            "Export the network with torch.export.save, or give its Python and a state dict",
        )
    return f"A TorchScript program. This is its code:\n\n{code}"


def load_torchscript(data: bytes, file: Path, shape: tuple[int, ...]) -> nn.Module:
    """Turn a TorchScript program into a network of named operations.

    Parameters
    ----------
    data
        The file's bytes, which the user has agreed to.
    file
        For messages.
    shape
        Of the input tensor: the conversion follows one pass over zeros.

    Raises
    ------
    ModelFileError
        torch cannot load it, or its converter cannot follow it.
    """
    import torch

    try:
        with _quiet():
            load: Any = torch.jit.load
            script = load(io.BytesIO(data), map_location="cpu").eval()
            trainable = {name for name, _ in script.named_parameters()}
            graph = _converted(script, torch.zeros(shape))
    except Exception as exc:  # loader and converter fail in any way
        first_line = f"{type(exc).__name__}: {exc}".splitlines()[0]
        raise ModelFileError(
            file,
            f"this TorchScript program cannot be turned into a graph for an input of shape "
            f"{list(shape)}: {first_line[:_LONGEST_REASON]}",
            "Export the network with torch.export.save instead, which keeps its layers' names",
        ) from exc
    return _with_named_operations(graph, trainable)


def _converted(script: Any, example: torch.Tensor) -> torch.fx.GraphModule:
    from torch._export.converter import TS2EPConverter

    program = TS2EPConverter(script, (example,)).convert()
    return program.module(check_guards=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch from reporting at length on sizes it takes for fixed, and on where it gave up."""
    talkers = [logging.getLogger(name) for name in _TALKERS]
    levels = [talker.level for talker in talkers]
    for talker in talkers:
        talker.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"), redirect_stderr(io.StringIO()):
            yield
    finally:
        for talker, level in zip(talkers, levels, strict=True):
            talker.setLevel(level)


def _with_named_operations(
    graph: torch.fx.GraphModule, trainable: set[str]
) -> torch.fx.GraphModule:
    import torch
    from torch import nn

    from napari_hirescam.models.named_operations import name_operations

    name_operations(graph, graph.graph)
    network = torch.fx.GraphModule(graph, graph.graph)
    for name, value in list(_own_tensors(network)):
        module, _, leaf = name.rpartition(".")
        owner = network.get_submodule(module)
        delattr(owner, leaf)
        if name in trainable:
            owner.register_parameter(leaf, nn.Parameter(value.detach()))
        else:
            owner.register_buffer(leaf, value.detach())
    return network


def _own_tensors(network: nn.Module) -> list[tuple[str, torch.Tensor]]:
    """List the tensors of a graph, whether it holds them as attributes, buffers or parameters."""
    import torch

    found = []
    for prefix, module in network.named_modules():
        held = {**vars(module), **module._buffers, **module._parameters}  # noqa: SLF001 - all kinds
        found += [
            (f"{prefix}.{key}".lstrip("."), value)
            for key, value in held.items()
            if isinstance(value, torch.Tensor)
        ]
    return found

"""TorchScript programs: shown as text, then turned into a network whose operations have names.

Hooks cannot be put on TorchScript modules. torch's converter makes an ordinary graph of them, in
which modules are gone; here each of its operations becomes a module again, named as in the graph
(``conv3d``, ``relu_``, ``conv3d_1``, ...), so that it can be explained like any other.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hirescam.errors import ModelFileError
from napari_hirescam.models.torchscript_code import FILE_ACCESS, OWN_NAMESPACES

if TYPE_CHECKING:
    import torch
    from torch import nn

#: torch's loggers that speak during a conversion.
_TALKERS = ("torch._export", "torch.fx.experimental")
_LONGEST_REASON = 200


def load_torchscript(data: bytes, file: Path, shape: tuple[int, ...]) -> nn.Module:
    """Turn a TorchScript program into a network of named operations.

    Parameters
    ----------
    data
        From :func:`~napari_hirescam.models.torchscript_code.clean_torchscript`; the user has
        agreed to it.
    file
        For messages.
    shape
        Of the input tensor: the conversion follows one pass over zeros.

    Raises
    ------
    ModelFileError
        torch cannot load it, its converter cannot follow it, or its operations reach files.
    """
    import torch

    try:
        with _quiet():
            load: Any = torch.jit.load
            script = load(io.BytesIO(data), map_location="cpu").eval()
            # Once more as torch understood it, ahead of the first pass.
            _require_plain_operations(script.inlined_graph, file)
            trainable = {name for name, _ in script.named_parameters()}
            graph = _converted(script, torch.zeros(shape))
    except ModelFileError:
        raise
    except Exception as exc:  # loader and converter fail in any way
        first_line = f"{type(exc).__name__}: {exc}".splitlines()[0]
        raise ModelFileError(
            file,
            f"this TorchScript program cannot be turned into a graph for an input of shape "
            f"{list(shape)}: {first_line[:_LONGEST_REASON]}",
            "Export the network with torch.export.save instead, which keeps its layers' names",
        ) from exc
    return _with_named_operations(graph, trainable)


def _require_plain_operations(graph: Any, file: Path) -> None:
    strange = sorted(set(_strange_operations(graph)))
    if strange:
        raise ModelFileError(
            file,
            f"it uses {', '.join(strange)}, which a classifier does not need",
            "Export the network with torch.export.save",
        )


def _strange_operations(graph: Any) -> Iterator[str]:
    """Name the operations of a graph that reach files, are not torch's, or cannot be looked into.

    `graph` is torch's own graph or a block of one.
    """
    for node in graph.nodes():
        namespace, _, name = node.kind().partition("::")
        hidden = name in ("CallMethod", "CallFunction")
        if namespace not in OWN_NAMESPACES or hidden or FILE_ACCESS.fullmatch(name):
            yield node.kind()
        for block in node.blocks():
            yield from _strange_operations(block)
        if "Subgraph" in node.attributeNames():
            yield from _strange_operations(node.g("Subgraph"))


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

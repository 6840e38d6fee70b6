"""Networks that bring their program: a .pt2 of torch.export, or TorchScript.

Nothing is given to torch before the user has seen what would run and has agreed; and then only
what :mod:`models.pt2_archive` and :mod:`models.torchscript_code` let through: both put a new file
together from what is shown. The bytes shown, agreed to and loaded are the same.
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_hirescam.errors import ModelFileError
from napari_hirescam.models.pt2_archive import clean_pt2
from napari_hirescam.models.torchscript import load_torchscript
from napari_hirescam.models.torchscript_code import clean_torchscript
from napari_hirescam.models.trust import TrustRequest, readable
from napari_hirescam.models.weights import saved_program_kind

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Program:
    """A saved program, read once.

    Parameters
    ----------
    file
        Where it lies.
    kind
        '.pt2' or 'TorchScript'.
    data
        What torch will be given.
    sha256
        Digest of the file, for provenance.
    request
        What the user is asked.
    """

    file: Path
    kind: str
    data: bytes
    sha256: str
    request: TrustRequest


def read_program(file: Path, others: Mapping[str, str]) -> Program:
    """Read a program for showing, agreeing and loading; nothing of it runs.

    Parameters
    ----------
    file
        The program.
    others
        More files that take part in the yes, model.yaml: name -> SHA-256 of what was read.

    Raises
    ------
    ModelFileError
        The file is missing, damaged, of another kind, or holds parts that could run code.
    """
    try:
        data = file.read_bytes()
    except FileNotFoundError as exc:
        raise ModelFileError(file, "the program is missing", "Put it beside model.yaml") from exc
    except OSError as exc:
        raise ModelFileError(file, f"it cannot be read: {exc}", "Check its permissions") from exc
    kind = _kind(data, file)
    clean = clean_pt2(data, file) if kind == ".pt2" else clean_torchscript(data, file)
    own_digest = hashlib.sha256(data).hexdigest()
    digest = hashlib.sha256(b"program\0" + bytes.fromhex(own_digest))
    for name, sha256 in others.items():
        digest.update(os.fsencode(name) + b"\0" + bytes.fromhex(sha256))
    request = TrustRequest(file, digest.hexdigest(), readable(clean.listing), what="saved program")
    return Program(file, kind, clean.data, own_digest, request)


def load_program(program: Program, shape: tuple[int, ...]) -> nn.Module:
    """Make a network of a program that the user has agreed to.

    Parameters
    ----------
    program
        From :func:`read_program`.
    shape
        Of the tensor that model.yaml makes of a CT.

    Raises
    ------
    ModelFileError
        torch cannot load it, or it was exported for another input.
    """
    if program.kind == "TorchScript":
        return load_torchscript(program.data, program.file, shape)
    return _load_pt2(program, shape)


def _load_pt2(program: Program, shape: tuple[int, ...]) -> nn.Module:
    import torch

    from napari_hirescam.models.named_operations import (
        name_operations_between_modules,
        start_calls_anew,
    )

    try:
        with warnings.catch_warnings(action="ignore"):  # torch's own, of its own old parts
            exported = torch.export.load(io.BytesIO(program.data))
            network: nn.Module = torch.export.unflatten(exported)
            name_operations_between_modules(network)
            start_calls_anew(network)
    except Exception as exc:  # other versions of torch write other graphs
        first_line = f"{type(exc).__name__}: {exc}".splitlines()[0]
        raise ModelFileError(
            program.file,
            f"torch {torch.__version__} cannot load it: {first_line}",
            "Export the network again with this version of torch",
        ) from exc
    names = exported.graph_signature.user_inputs
    inputs = [n for n in exported.graph.nodes if n.op == "placeholder" and n.name in names]
    wanted = [list(node.meta["val"].shape) for node in inputs if "val" in node.meta]
    if len(wanted) != 1:
        raise ModelFileError(
            program.file,
            f"it takes {len(inputs)} inputs",
            "Export a network that takes one tensor: the CT",
        )
    # Sizes that were left free at the export are symbols.
    fixed = [n if isinstance(n, int) else None for n in wanted[0]]
    if len(fixed) != len(shape) or any(
        n is not None and n != given for n, given in zip(fixed, shape, strict=True)
    ):
        words = ", ".join("any" if n is None else str(n) for n in fixed)
        raise ModelFileError(
            program.file,
            f"it was exported for an input of shape [{words}], and model.yaml makes {list(shape)}",
            "Set 'input' in model.yaml to that size, or export the network for this one",
        )
    return network


def _kind(data: bytes, file: Path) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            kind = saved_program_kind(archive.namelist())
    except zipfile.BadZipFile:
        kind = None
    if kind is None:
        raise ModelFileError(
            file,
            "it is neither a .pt2 file nor TorchScript",
            "Name a program saved by torch.export.save or torch.jit.save; weights go under "
            "'weights'",
        )
    return kind

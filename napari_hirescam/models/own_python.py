"""The user's own Python as the source of a network: what is in it, and the yes to run it.

Looking at the file never runs it: names and arguments are read off its syntax tree.
"""

from __future__ import annotations

import ast
import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hirescam.errors import ModelFileError
from napari_hirescam.models.architectures import build_from_python
from napari_hirescam.models.trust import AskTrust, UserCode, read_user_code, require_trust
from napari_hirescam.models.weights import sha256_of

if TYPE_CHECKING:
    from torch import nn

#: Stands for an argument that must be given.
REQUIRED = "(required)"
_WIDTH_NAMES = {"num_classes", "n_classes", "num_labels", "n_labels", "out_channels", "n_outputs"}
_CHANNEL_NAMES = {"in_channels", "n_input_channels", "num_channels", "n_channels", "in_chans"}


@dataclass(frozen=True)
class NetworkMaker:
    """A class or function of a Python file that may make the network.

    Parameters
    ----------
    name
        For `architecture.callable`.
    is_module
        True if it is a class with a torch module among its bases, as far as the text shows.
    arguments
        Its arguments with their defaults; :data:`REQUIRED` where there is none.
    """

    name: str
    is_module: bool
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def suggest(self, n_labels: int | None, in_channels: int | None) -> dict[str, Any]:
        """Fill the required arguments whose meaning the name shows; others stay REQUIRED."""
        suggested = {}
        for name, value in self.arguments.items():
            if value != REQUIRED:
                continue
            known = {**dict.fromkeys(_WIDTH_NAMES, n_labels)}
            known.update(dict.fromkeys(_CHANNEL_NAMES, in_channels))
            found = known.get(name)
            suggested[name] = REQUIRED if found is None else found
        return suggested


def network_makers(file: Path) -> tuple[NetworkMaker, ...]:
    """List what in a Python file may make the network, likeliest first, without running it.

    Classes that no other class of the file is made of come first: a network is at the end of
    its file, and its blocks come before it.

    Raises
    ------
    ModelFileError
        The file cannot be read or is not Python, or there is no class or function in it.
    """
    try:
        tree = ast.parse(file.read_bytes().decode("utf-8-sig"), filename=str(file))
    except OSError as exc:
        raise ModelFileError(file, f"it cannot be read: {exc}", "Choose a Python file") from exc
    except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
        raise ModelFileError(file, f"it is not Python: {exc}", "Choose a Python file") from exc
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    used = {
        name.id
        for node in classes
        for name in ast.walk(node)
        if isinstance(name, ast.Name) and name.id != node.name
    }
    modules = _modules_among(classes)
    makers = [
        (node.name not in modules, node.name in used, -node.lineno, _maker(node, modules))
        for node in classes
    ]
    makers += [
        (True, True, node.lineno, NetworkMaker(node.name, False, _arguments(node, 0)))
        for node in functions
        if not node.name.startswith("_")
    ]
    if not makers:
        raise ModelFileError(
            file, "there is no class or function in it", "Choose the file of the network"
        )
    return tuple(maker for *_, maker in sorted(makers, key=lambda entry: entry[:3]))


def agree_to_run(file: Path, ask: AskTrust | None) -> UserCode:
    """Ask, unless it was agreed to before, whether a Python file may run.

    The yes is for this one file as it is now; files beside it take no part.

    Raises
    ------
    ModelFileError
        It cannot be read.
    UntrustedModelError
        Nobody could be asked, or the answer was no.
    """
    with tempfile.TemporaryDirectory() as name:
        alone = Path(name) / file.name
        try:
            shutil.copyfile(file, alone)
            code = read_user_code(alone.parent, alone, {})
        except OSError as exc:
            raise ModelFileError(file, f"it cannot be read: {exc}", "Choose a Python file") from exc
        except ModelFileError as exc:
            raise ModelFileError(file, exc.reason, exc.remedy) from exc
    code = replace(code, file=file, request=replace(code.request, path=file))
    require_trust(code.request, ask)
    return code


def build_agreed(code: UserCode, maker: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Make the network from code that was agreed to.

    Raises
    ------
    ModelFileError
        An argument is missing, or the code fails or makes no torch module.
    """
    missing = [name for name, value in arguments.items() if value == REQUIRED]
    if missing:
        raise ModelFileError(
            code.file, f"{maker!r} needs {', '.join(missing)}", "Give these arguments"
        )
    return build_from_python(code, maker, dict(arguments))


def carry_trust(folder: Path, code: UserCode, others: list[Path]) -> None:
    """Let a yes to code hold for the model folder that was just written with this very code.

    Only if the folder's Python file is byte for byte what was agreed to, and the only one that
    can run there.
    """
    saved = folder / code.file.name
    in_folder = read_user_code(folder, saved, {f.name: sha256_of(f) for f in others})
    same = hashlib.sha256(in_folder.source).digest() == hashlib.sha256(code.source).digest()
    if same and in_folder.request.code == code.request.code:
        require_trust(in_folder.request, lambda _request: True)


def _modules_among(classes: list[ast.ClassDef]) -> set[str]:
    """Names of the classes that derive from a torch module, also through one another."""
    found: set[str] = set()
    for node in classes:
        bases = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
        if bases & ({"Module", "Sequential"} | found):
            found.add(node.name)
    return found


def _maker(node: ast.ClassDef, modules: set[str]) -> NetworkMaker:
    init = next(
        (n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None
    )
    arguments = _arguments(init, 1) if init else {}
    return NetworkMaker(node.name, node.name in modules, arguments)


def _arguments(function: ast.FunctionDef, leave_out: int) -> dict[str, Any]:
    spec = function.args
    positional = [*spec.posonlyargs, *spec.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(spec.defaults))
    pairs = list(zip(positional, [*defaults, *spec.defaults], strict=True))[leave_out:]
    pairs += list(zip(spec.kwonlyargs, spec.kw_defaults, strict=True))
    return {argument.arg: _literal(default) for argument, default in pairs}


def _literal(default: ast.expr | None) -> Any:
    if default is None:
        return REQUIRED
    try:
        return ast.literal_eval(default)
    except (ValueError, TypeError):
        return ast.unparse(default)

"""TorchScript files, taken apart with a zip reader and put together again from what was shown.

A zip can hold a name twice, or two tables of contents, so that one reader shows a program and
another runs a second one. And a TorchScript file runs code as it is loaded: what restores an
object (``__setstate__``), and the default values of arguments. So only what Python's reader found
goes on to torch, and only code in which nothing runs before it is called.
"""

from __future__ import annotations

import ast
import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from napari_hirescam.errors import ModelFileError
from napari_hirescam.models.archive import MAX_BYTES

#: Operations by which TorchScript reaches files, and namespaces whose operations are torch's own.
FILE_ACCESS = re.compile(r"save|load|from_file|_load\w*|_save\w*")
OWN_NAMESPACES = frozenset({"aten", "prim"})
_CODE = re.compile(r"code/[\w/]+\.py", re.ASCII)
_NUMBERS = re.compile(
    r"data\.pkl|constants\.pkl|version|byteorder|(data|constants)/\d+|\.(format_version|"
    r"storage_alignment)",
    re.ASCII,
)
_NEEDED = "data.pkl"
#: Objects of torch's C++ extensions are restored by code of theirs.
_NATIVE_OBJECTS = b"torch.classes"
_RESTORES = "__setstate__"
#: More than anybody reads, and than a window can show.
_MOST_CODE = 8 << 20
_SHOWN = 6
_DAMAGE = (zipfile.BadZipFile, ValueError, RuntimeError, EOFError, OSError)


@dataclass(frozen=True)
class CleanScript:
    """A TorchScript file taken apart and put together again.

    Parameters
    ----------
    data
        The file for ``torch.jit.load``: the code that is shown, and numbers.
    listing
        The code, for the user to agree to.
    """

    data: bytes
    listing: str


def clean_torchscript(data: bytes, file: Path) -> CleanScript:
    """Rebuild a TorchScript file from its code and its numbers, without loading it.

    Raises
    ------
    ModelFileError
        The file is damaged or of an older kind, or its code reaches files or operations that
        torch does not bring, or would run as the file is loaded.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts, aside = _parts(archive)
    except _DAMAGE as exc:
        raise ModelFileError(
            file, f"it cannot be read as TorchScript: {exc}", "Save the program again"
        ) from exc
    bad: list[str] = []
    code = []
    for name, content in parts.items():
        if _CODE.fullmatch(name):
            bad += _reaches(content)
            code.append(f"# ---- {name} ----\n{content.decode('utf-8', 'backslashreplace')}")
        elif name.endswith(".pkl") and _NATIVE_OBJECTS in content:
            bad.append("objects of native code")
    if bad:
        different = list(dict.fromkeys(bad))
        raise ModelFileError(
            file,
            f"its code uses {', '.join(different[:_SHOWN])}, which a classifier does not need",
            "Export the network with torch.export.save, or give its Python and a state dict",
        )
    more = f"\n\n# Parts that are set aside and never read: {', '.join(aside)}" if aside else ""
    listing = "A TorchScript program. This is its code:\n\n" + "\n".join(code) + more
    return CleanScript(_zipped(parts), listing)


def _parts(archive: zipfile.ZipFile) -> tuple[dict[str, bytes], list[str]]:
    """Read the parts that torch needs, without the top folder; name the others."""
    infos = archive.infolist()
    if sum(info.file_size for info in infos) > MAX_BYTES:
        raise ValueError("it would fill the memory")
    known: dict[str, zipfile.ZipInfo] = {}
    aside = []
    for info in infos:
        name = info.filename.partition("/")[2]
        if name in known:
            raise ValueError(f"it holds {name!r} twice")
        if _CODE.fullmatch(name) or _NUMBERS.fullmatch(name):
            known[name] = info
        elif not name.endswith(".debug_pkl"):
            aside.append(ascii(name)[1:-1])
    if _NEEDED not in known:
        raise ValueError("an older torch wrote it, in a format that is no longer read")
    if sum(i.file_size for n, i in known.items() if _CODE.fullmatch(n)) > _MOST_CODE:
        raise ValueError("its code is far too long to be shown")
    return {name: archive.read(info) for name, info in known.items()}, aside


def _reaches(code: bytes) -> Iterator[str]:
    """Name what code does that a classifier's does not; it is Python by its grammar."""
    try:
        tree = ast.parse(code.decode("utf-8"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        yield "a text that is no code"
        return
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name) and id(node) not in inner:
            yield from _reached_by(_dotted(node))
        elif isinstance(node, ast.FunctionDef):
            if node.name == _RESTORES:
                yield f"{_RESTORES}, which runs as it is loaded"
            defaults = [*node.args.defaults, *node.args.kw_defaults]
            if not all(value is None or _is_literal(value) for value in defaults):
                yield f"a default value of {node.name!r} that is worked out as it is loaded"
        elif isinstance(node, ast.ClassDef):
            yield from _worked_out(node)


def _reached_by(names: list[str]) -> Iterator[str]:
    if names[0] not in ("torch", "ops"):
        return
    # 'torch' alone could be given another name, and be reached by that.
    if len(names) < (2 if names[0] == "torch" else 3):
        yield f"{'.'.join(names)} by another name"
    elif names[0] == "ops" and names[1] not in OWN_NAMESPACES:
        yield f"operations of {names[1]!r}"
    else:
        yield from (".".join(names) for name in names[1:] if FILE_ACCESS.fullmatch(name))


def _dotted(node: ast.expr) -> list[str]:
    """Give the names of a.b.c; the first is empty where it is no name."""
    if isinstance(node, ast.Attribute):
        return [*_dotted(node.value), node.attr]
    return [node.id] if isinstance(node, ast.Name) else [""]


def _worked_out(node: ast.ClassDef) -> Iterator[str]:
    """Name the constants of a class that are more than literals; torch works them out."""
    for statement in node.body:
        if isinstance(statement, ast.Assign):
            # __annotations__["0"] = __torch__.Conv3d: a type
            is_type = all(isinstance(target, ast.Subscript) for target in statement.targets)
        elif isinstance(statement, ast.AnnAssign):
            is_type = statement.value is None
        else:
            continue
        if not is_type and statement.value is not None and not _is_literal(statement.value):
            yield f"a constant of {node.name!r} that is worked out as it is loaded"


def _is_literal(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return True
    if isinstance(node, ast.Name):
        return node.id in ("inf", "nan")
    if isinstance(node, ast.UnaryOp):
        return _is_literal(node.operand)
    if isinstance(node, ast.List | ast.Tuple):
        return all(_is_literal(part) for part in node.elts)
    if isinstance(node, ast.Dict):
        return all(key is not None and _is_literal(key) for key in node.keys) and all(
            _is_literal(value) for value in node.values
        )
    # annotate(List[int], []) is how an empty list is written
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "annotate"
        and len(node.args) == 2
        and _is_literal(node.args[1])
    )


def _zipped(parts: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(f"model/{name}"), content)
    return stream.getvalue()

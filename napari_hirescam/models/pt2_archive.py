"""Programs saved by ``torch.export`` (.pt2), made harmless before torch opens them.

torch's own loader runs what a .pt2 hides in several places: pickled sample inputs and weights,
the strings that stand for symbolic shapes (evaluated by sympy), guards and names (pasted into
generated Python), native code. Here a file is taken apart with nothing but zip and JSON readers,
every string in it must look as torch writes it, and a new file is put together from the parts
that hold numbers and the graph. Only that one is given to torch.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from napari_hirescam.errors import ModelFileError
from napari_hirescam.models.archive import MAX_BYTES
from napari_hirescam.models.pt2_strings import (
    is_arithmetic,
    is_dotted_name,
    is_module_stack,
    is_plain_string,
)

_WEIGHTS_CONFIG = "data/weights/{}_weights_config.json"
_CONSTANTS_CONFIG = "data/constants/{}_constants_config.json"
_SAMPLE_INPUTS = "data/sample_inputs/{}.pt"
_ROOT = "model"
#: Parts without a content of their own that torch looks for.
_MARKS = ("archive_format", "archive_version", "byteorder", ".data/version")
_MAX_JSON_BYTES = 256 << 20
_MAX_DEPTH = 60
_MAX_LINES = 40
_MAX_LETTERS = 80
_SHOWN = 4
# KeyError for a part that is missing, TypeError for one of another kind, RuntimeError for a
# locked zip.
_DAMAGE = (zipfile.BadZipFile, ValueError, TypeError, KeyError, RuntimeError, EOFError, OSError)

#: Fields of a graph that hold code or point to it.
_CODE_FIELDS = frozenset(
    {"as_operator", "as_custom_obj", "as_graph", "custom_obj", "custom_obj_name", "token"}
)


@dataclass(frozen=True)
class CleanProgram:
    """A .pt2 taken apart and put together again.

    Parameters
    ----------
    data
        The harmless file, for ``torch.export.load``.
    listing
        What was in the original, in words, for the user to agree to.
    """

    data: bytes
    listing: str


@dataclass
class _Findings:
    bad: list[str] = field(default_factory=list)
    operations: Counter[str] = field(default_factory=Counter)


def clean_pt2(data: bytes, file: Path) -> CleanProgram:
    """Rebuild a .pt2 from its harmless parts.

    Parameters
    ----------
    data
        The file's bytes.
    file
        Where they came from, for messages.

    Raises
    ------
    ModelFileError
        The file is damaged or of an older kind, or a part that is needed could run code; each
        such part is named.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _rebuilt(archive, file)
    except _DAMAGE as exc:
        raise ModelFileError(
            file,
            f"it cannot be read as a .pt2 file: {' '.join(str(exc).split())}",
            "Export the network again with torch.export.save",
        ) from exc


def _rebuilt(archive: zipfile.ZipFile, file: Path) -> CleanProgram:
    parts = _parts(archive)
    names = [n for n in parts if n.startswith("models/") and n.endswith(".json")]
    if "serialized_exported_program.json" in parts:
        raise ValueError("an older torch wrote it, in a format that is no longer read")
    if len(names) != 1:
        raise ValueError(f"it holds {len(names)} graphs, and one is needed")
    name = PurePosixPath(names[0]).stem
    found = _Findings()
    native = sorted(n for n in parts if n.startswith("data/aotinductor/"))
    if native:
        found.bad.append(f"compiled machine code ({native[0]})")
    graph = _checked_graph(_json(archive, parts[names[0]]), found)
    kept = {f"models/{_ROOT}.json": json.dumps(graph).encode()}
    for config, kind in ((_WEIGHTS_CONFIG, "weight_"), (_CONSTANTS_CONFIG, "tensor_")):
        place = config.format(name)
        content = _json(archive, parts[place])
        entries = _checked_payloads(content, kind, place, parts, found)
        folder = str(PurePosixPath(place).parent)
        kept[config.format(_ROOT)] = json.dumps({"config": entries}).encode()
        for entry in entries.values():
            part = f"{folder}/{entry['path_name']}"
            kept[part] = archive.read(parts[part])
    if found.bad:
        raise ModelFileError(
            file,
            f"it holds parts that could run code: {_some(found.bad)}",
            "Export the network again with torch.export.save, from plain torch operations and "
            "without custom objects, or give its Python and a state dict instead",
        )
    for mark in _MARKS:
        if mark in parts:
            kept[mark] = archive.read(parts[mark])
    kept[_SAMPLE_INPUTS.format(_ROOT)] = b""
    listing = _listing(graph, parts, kept, name, found)
    return CleanProgram(_zipped(kept), listing)


def _parts(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Name the parts without the archive's one top folder."""
    parts: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        inner = info.filename.partition("/")[2] or info.filename
        if inner in parts:
            raise ValueError(f"it holds {inner!r} twice")
        parts[inner] = info
    if sum(info.file_size for info in parts.values()) > MAX_BYTES:
        raise ValueError("it would fill the memory")
    return parts


def _json(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Any:
    if info.file_size > _MAX_JSON_BYTES:
        raise ValueError(f"{info.filename} is far too long")
    try:
        return json.loads(archive.read(info))
    except RecursionError as exc:
        raise ValueError(f"{info.filename} is nested too deep") from exc


def _checked_graph(graph: Any, found: _Findings) -> dict[str, Any]:
    if not isinstance(graph, dict):
        raise TypeError("its graph is not a JSON object")
    # Guards are Python, run by torch in some uses; they check what the engine checks anyway.
    graph = {**graph, "guards_code": []}
    ranges = graph.pop("range_constraints", None) or {}
    found.bad += [f"the shape {key!r}" for key in ranges if not is_arithmetic(key)]
    checked: dict[str, Any] = _checked(graph, "", found)
    checked["range_constraints"] = {k: _checked(v, "", found) for k, v in ranges.items()}
    return checked


def _checked(value: Any, key: str, found: _Findings, depth: int = 0) -> Any:
    """Copy a part of the graph; note every string that is not as torch writes it."""
    if depth > _MAX_DEPTH:
        raise ValueError("its graph is nested too deep")
    if isinstance(value, dict):
        return _checked_mapping(value, found, depth)
    if isinstance(value, list):
        return [_checked(part, key, found, depth + 1) for part in value]
    if isinstance(value, str) and not is_plain_string(value, key):
        found.bad.append(f"{key or 'an entry'} {_short(value)!r}")
    elif isinstance(value, str) and key == "target":
        found.operations[value.removeprefix("torch.ops.")] += 1
    return value


def _checked_mapping(value: dict[str, Any], found: _Findings, depth: int) -> dict[str, Any]:
    found.bad += [
        f"the field {_short(key)!r}"
        for key, inner in value.items()
        if not is_dotted_name(key) or (key in _CODE_FIELDS and inner)
    ]
    if set(value) == {"type", "index"}:
        # A graph exported on an accelerator is read on the CPU, and moved from there.
        return {"type": "cpu", "index": None}
    result = {}
    for key, inner in value.items():
        if key == "metadata" and isinstance(inner, dict):
            # Only where a node belongs; stack traces show somebody's folders.
            stack = inner.get("nn_module_stack", "")
            if not is_module_stack(stack):
                found.bad.append(f"the module path {_short(str(stack))!r}")
            result[key] = {"nn_module_stack": stack} if stack else {}
        else:
            result[key] = _checked(inner, key, found, depth + 1)
    return result


def _checked_payloads(
    content: Any, kind: str, place: str, parts: dict[str, zipfile.ZipInfo], found: _Findings
) -> dict[str, dict[str, Any]]:
    """Copy a table of tensors; note those that are pickled."""
    entries = content.get("config") if isinstance(content, dict) else None
    if not isinstance(entries, dict) or not all(isinstance(e, dict) for e in entries.values()):
        raise ValueError(f"{place} is not a table of tensors")
    checked: dict[str, dict[str, Any]] = {}
    folder = PurePosixPath(place).parent
    for key, entry in entries.items():
        path = entry.get("path_name")
        if entry.get("use_pickle") is not False or not entry.get("tensor_meta"):
            found.bad.append(f"the pickled tensor {_short(key)!r}")
        elif not isinstance(path, str) or not re.fullmatch(rf"{kind}\d+", path):
            found.bad.append(f"the object {_short(str(path))!r}")
        elif not parts[f"{folder}/{path}"].file_size and _count(entry["tensor_meta"]):
            raise ValueError(f"{path} has no numbers")
        else:
            checked[key] = _checked(entry, "", found)
            if not is_dotted_name(key):
                found.bad.append(f"the tensor {_short(key)!r}")
    return checked


def _count(meta: Any) -> int:
    total = 1
    for size in meta["sizes"]:
        total *= size["as_int"]
    return int(total)


def _listing(
    graph: dict[str, Any],
    parts: dict[str, zipfile.ZipInfo],
    kept: Iterable[str],
    name: str,
    found: _Findings,
) -> str:
    aside = sorted(
        p
        for p in parts
        if p.replace(f"/{name}", f"/{_ROOT}") not in kept or p == _SAMPLE_INPUTS.format(name)
    )
    lines = [
        "A program saved by torch.export: its graph and its weights, no Python.",
        f"Written by torch {graph.get('torch_version') or 'of unknown version'}.",
        "",
        "Operations it carries out, and how often:",
        *(f"  {op}  {count}" for op, count in found.operations.most_common(_MAX_LINES)),
        "",
        "Parts that are read:",
        *_sizes((p for p in parts if p not in aside), parts),
        "",
        "Parts that are set aside and never read:",
        *_sizes(aside, parts),
    ]
    if _SAMPLE_INPUTS.format(name) in aside:
        lines.append("(sample inputs are what it was exported with; they may show a patient)")
    return "\n".join(lines)


def _sizes(names: Iterable[str], parts: dict[str, zipfile.ZipInfo]) -> list[str]:
    lines = [f"  {ascii(n)[1:-1]}  {parts[n].file_size:,} bytes" for n in names]
    more = [f"  and {len(lines) - _MAX_LINES} more"] if len(lines) > _MAX_LINES else []
    return lines[:_MAX_LINES] + more


def _zipped(kept: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in kept.items():
            archive.writestr(zipfile.ZipInfo(f"{_ROOT}/{name}"), content)
    return stream.getvalue()


def _some(found: list[str]) -> str:
    different = list(dict.fromkeys(found))
    shown = different[:_SHOWN]
    more = f" and {len(different) - len(shown)} more" if len(different) > len(shown) else ""
    return f"{', '.join(shown)}{more}"


def _short(text: str) -> str:
    return text if len(text) <= _MAX_LETTERS else f"{text[: _MAX_LETTERS - 3]}..."

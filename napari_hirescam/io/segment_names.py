"""What the values of a mask stand for, from its own header or from a file beside it.

Names are a help, not a measurement: what cannot be understood becomes a remark and never keeps
a mask from being read.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from xml.parsers import expat

from napari_hirescam.source import Segment

Names = tuple[tuple[Segment, ...], tuple[str, ...]]
"""Segments, and remarks on what could not be understood."""

MOST_SEGMENTS = 10_000
_LARGEST_TEXT = 1 << 20
_LONGEST_NAME = 200
_HIGHEST_VALUE = 2**31 - 1
# Extension codes of NIfTI: unspecified (what TotalSegmentator writes), comment, Caret.
_NAMING_EXTENSIONS = {0, 6, 30}


def segments_from_nifti(header: Any, path: Path) -> Names:
    """Find the names of a mask's labels: in the header's extensions, or beside the file.

    Parameters
    ----------
    header
        nibabel's, with its extensions.
    path
        The file.
    """
    remarks: list[str] = []
    for extension in header.extensions:
        if extension.get_code() not in _NAMING_EXTENSIONS:
            continue
        content = extension.get_content()
        text = content if isinstance(content, bytes) else str(content).encode()
        if b"<CaretExtension" not in text[:1000]:
            continue
        segments, remark = _understood(partial(from_caret_xml, text), "its header")
        if segments:
            return segments, ()
        remarks += remark
    name = path.name
    for suffix in (".gz", ".nii", ".img", ".hdr"):
        name = name[: -len(suffix)] if name.lower().endswith(suffix) else name
    segments, more = names_beside(path, name)
    return segments, (*remarks, *more)


def names_beside(path: Path, stem: str) -> Names:
    """Look for the names of a mask's labels in a file beside it.

    Understood are, for a mask ``liver.nii.gz``: label descriptions of ITK-SNAP (``liver.label``,
    ``liver.txt``), colour tables of Slicer (``liver.ctbl``, ``liver.txt``), tables of BIDS
    (``liver.tsv``), and nnU-Net's ``dataset.json`` in the same folder, or in the one above a
    folder ``labels...``.

    Parameters
    ----------
    path
        The mask.
    stem
        Its name without suffixes.
    """
    readers: list[tuple[Path, Callable[[str], Iterable[Segment]]]] = [
        (path.with_name(f"{stem}{suffix}"), from_colour_table)
        for suffix in (".label", ".ctbl", ".txt")
    ]
    readers.append((path.with_name(f"{stem}.tsv"), from_bids_table))
    readers.append((path.with_name("dataset.json"), from_dataset_json))
    if path.parent.name.lower().startswith("labels"):
        readers.append((path.parent.parent / "dataset.json", from_dataset_json))
    for file, reader in readers:
        if not file.is_file():
            continue
        segments, remarks = _understood(partial(_from_file, file, reader), file.name)
        if segments:
            return segments, (f"The names of its labels were taken from {file.name}.",)
        if file.suffix != ".txt":  # any text may lie beside a scan
            return (), remarks
    return (), ()


def _understood(find: Callable[[], Iterable[Segment]], where: str) -> Names:
    """Gather the segments, each value once, without its background."""
    found: dict[int, Segment] = {}
    try:
        for segment in find():
            if 0 < segment.value <= _HIGHEST_VALUE and len(found) < MOST_SEGMENTS:
                found.setdefault(segment.value, segment)
    except (ValueError, TypeError, OSError, RecursionError, expat.ExpatError) as exc:
        return (), (f"The names of its labels in {where} cannot be understood ({exc}).",)
    return tuple(found.values()), ()


def _from_file(file: Path, reader: Callable[[str], Iterable[Segment]]) -> Iterable[Segment]:
    with file.open("rb") as stream:
        content = stream.read(_LARGEST_TEXT + 1)
    if len(content) > _LARGEST_TEXT:
        raise ValueError("too large")
    return reader(content.decode("utf-8-sig"))


def from_caret_xml(content: bytes) -> tuple[Segment, ...]:
    """Read the label table of a Caret header extension, as TotalSegmentator writes it.

    Raises
    ------
    ValueError
        If it is too large, declares a document type (whose entities could expand without
        end), or a label has no number.
    xml.parsers.expat.ExpatError
        If it is not sound XML.
    """
    if len(content) > _LARGEST_TEXT:
        raise ValueError("too large")
    segments: list[Segment] = []
    label: dict[str, str] | None = None
    name: list[str] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal label
        if tag == "Label":
            label = attributes
            name.clear()

    def characters(text: str) -> None:
        if label is not None:
            name.append(text)

    def end(tag: str) -> None:
        nonlocal label
        if tag == "Label" and label is not None:
            colour = colour_from([label.get(part, "") for part in ("Red", "Green", "Blue")], 1.0)
            segments.append(Segment(int(label.get("Key", "")), cleaned("".join(name)), colour))
            label = None

    def doctype(*_: object) -> None:
        raise ValueError("it declares a document type")

    # The encoding is fixed, so that no other can hide anything.
    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler = start
    parser.CharacterDataHandler = characters
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = doctype
    parser.Parse(content.rstrip(b"\0"), True)
    return tuple(segments)


def from_colour_table(text: str) -> Iterator[Segment]:
    """Read a label description of ITK-SNAP or a colour table of Slicer.

    The one has lines ``IDX R G B A VIS MSH "LABEL"``, the other ``IDX NAME R G B A``, both with
    colours to 255.
    """
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        words = shlex.split(line)
        if len(words) == 8 and not _is_number(words[7]):
            value, name, colour = words[0], words[7], words[1:4]
        elif len(words) == 6 and not _is_number(words[1]):
            value, name, colour = words[0], words[1].replace("_", " "), words[2:5]
        else:
            raise ValueError("it is no table of labels")
        yield Segment(int(value), cleaned(name), colour_from(colour, 255.0))


def from_bids_table(text: str) -> Iterator[Segment]:
    """Read a table of BIDS, whose columns ``index`` and ``name`` are parted by tabs."""
    lines = text.splitlines()
    header = lines[0].split("\t") if lines else []
    if not {"index", "name"} <= set(header):
        raise ValueError("it has no columns index and name")
    for line in lines[1:]:
        cells = dict(zip(header, line.split("\t"), strict=False))
        if line.strip():
            code = cells.get("color", "").lstrip("#")
            colour = [str(int(code[k : k + 2], 16)) for k in (0, 2, 4)] if len(code) == 6 else []
            value, name = int(cells.get("index", "")), cleaned(cells.get("name", ""))
            yield Segment(value, name, colour_from(colour, 255.0))


def from_dataset_json(text: str) -> Iterator[Segment]:
    """Read the labels of nnU-Net's ``dataset.json``, of either version.

    Version 2 has ``{"liver": 1}``, version 1 and the Medical Segmentation Decathlon have
    ``{"1": "liver"}``. Regions made of several labels are no labels of the mask.
    """
    content = json.loads(text)
    labels = content.get("labels") if isinstance(content, dict) else None
    if not isinstance(labels, dict):
        raise TypeError("it has no labels")
    for key, value in labels.items():
        if isinstance(value, str):
            yield Segment(int(key), cleaned(value))
        elif isinstance(value, int):
            yield Segment(value, cleaned(str(key)))


def cleaned(name: str) -> str:
    """Bring a name onto one line of sane length."""
    words = "".join(letter if letter.isprintable() else " " for letter in name).split()
    return " ".join(words)[:_LONGEST_NAME]


def colour_from(parts: Sequence[str], highest: float) -> tuple[float, float, float] | None:
    """Red, green and blue from 0 to 1, or None if the parts are not a colour."""
    try:
        red, green, blue = (float(part) / highest for part in parts)
    except ValueError:
        return None
    shares = (red, green, blue)
    return shares if all(math.isfinite(c) and 0 <= c <= 1 for c in shares) else None


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True

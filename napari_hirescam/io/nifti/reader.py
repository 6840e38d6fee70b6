"""Read NIfTI-1 and NIfTI-2 files, compressed or not, and pairs of header and image.

nibabel understands the header; the bytes are read here, for two reasons. Read to its end, a
compressed file has its checksum verified, which nibabel and ITK skip: one flipped bit gives
them other voxels without an error. And straight into the array it takes a third of the time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.asking import ChoiceNeededError, ConsentNeededError, Item, Picture
from napari_hirescam.io.assembling import assemble
from napari_hirescam.io.ends import Ends
from napari_hirescam.io.frame import patient_letters
from napari_hirescam.io.nifti.header import Header, header_file, read_header
from napari_hirescam.io.nifti.numbers import number_facts, scaling_of
from napari_hirescam.io.nifti.place import Place, place_of
from napari_hirescam.io.nifti.stored import read_voxels
from napari_hirescam.io.pictures import grey_picture, middle_picture
from napari_hirescam.io.reading import Reading
from napari_hirescam.io.scaling import scaled
from napari_hirescam.io.segment_names import segments_from_nifti
from napari_hirescam.io.volume_items import numbered_items, volume_item
from napari_hirescam.source import DisplayWindow, Fact, Repair
from napari_hirescam.volume import Grid, Quantity, Volume

_LABEL_INTENT = 1002
_ENDINGS = re.compile(r"\.(nii|hdr|img)(\.gz)?$|\.gz$", re.IGNORECASE)
_CT_BELOW = -200

# Free text: converters and archives leave names, numbers and dates in it.
_FREE_TEXT = {
    "descrip": "Description",
    "db_name": "Name in a database",
    "aux_file": "Auxiliary file",
    "intent_name": "Name of the intent",
}


def sniff(path: Path, head: bytes) -> bool:
    """Say whether a file has a NIfTI (or Analyze) header, in itself or in its pair."""
    return not path.is_dir() and header_file(path, head) is not None


def read(path: Path, reading: Reading) -> Volume:
    """Read a volume from a NIfTI file.

    Parameters
    ----------
    path
        The file, or either half of a pair.
    reading
        `series` is the number of a volume, from 1, in a file that holds several; progress is
        reported in bytes.

    Raises
    ------
    ChoiceNeededError
        If it holds several volumes and none was chosen.
    ConsentNeededError
        If it contradicts itself about where it lies, or does not say.
    VolumeError
        If the file is damaged, incomplete, does not hold volumes of numbers, or does not fit
        into memory.
    Cancelled
        If the caller asked to stop.
    """
    header = read_header(path)
    volume = _chosen_volume(path, header, reading.series)
    place = place_of(path, header, reading.allow)
    scaling = scaling_of(path, header.fields)

    def show(plane: npt.NDArray[Any]) -> None:
        numbers = np.array(plane.astype(np.float64) * scaling.slope + scaling.intercept)
        picture = _axial_picture(numbers, place)
        if picture is not None and reading.preview is not None:
            reading.preview(picture)

    half_way: Callable[[npt.NDArray[Any]], None] | None = show if reading.preview else None
    ends = Ends()
    stored = read_voxels(path, header, volume, reading, half_way=half_way, ends=ends)
    values = scaled(stored, scaling)
    return assemble(
        path,
        "NIfTI",
        values,
        place.affine,
        name=_name(path, header, volume),
        is_mask=int(header.fields["intent_code"]) == _LABEL_INTENT,
        notes=header.notes + place.notes,
        facts=(
            *place.facts,
            *number_facts(header.fields, scaling),
            *_file_facts(header, volume),
        ),
        repaired=place.repaired,
        stored_geometry=place.stored,
        item=str(volume + 1) if header.n_volumes > 1 else "",
        windows=_windows(header.fields),
        find_names=partial(segments_from_nifti, header.fields, path),
        ends=ends.result() if values is stored else None,
    )


def items(path: Path, reading: Reading) -> tuple[Item, ...]:
    """List the volumes the file holds, from its header alone."""
    reading.check_stop()
    header = read_header(path)
    problem = ""
    grid: Grid | None = None
    needs: tuple[Repair, ...] = ()
    try:
        grid = Grid(header.shape, place_of(path, header, ()).affine)
    except ConsentNeededError as exc:
        problem, needs = exc.reason, exc.repairs
    except VolumeError as exc:
        problem = exc.reason
    kind = "labels" if int(header.fields["intent_code"]) == _LABEL_INTENT else "image"
    listed = (
        numbered_items(grid, header.n_volumes, kind)
        if header.n_volumes > 1
        else (volume_item(grid, "", path.name, kind),)
    )
    return tuple(replace(item, needs=needs, problem=problem) for item in listed)


def picture(path: Path, key: str, reading: Reading) -> Picture:
    """Make a picture of a volume's middle slice."""
    # A picture settles nothing, so it may assume what reading would ask for.
    request = replace(
        reading, series=key or None, allow=frozenset({Repair.ASSUME_PLACE, Repair.USE_SFORM})
    )
    try:
        return middle_picture(read(path, request))
    except ConsentNeededError as exc:
        return middle_picture(read(path, replace(request, allow=frozenset(exc.repairs[:1]))))


def _chosen_volume(path: Path, header: Header, series: str | None) -> int:
    """The number, from 0, of the volume that was asked for."""
    n_volumes = header.n_volumes
    if n_volumes == 1 and not series:
        return 0
    if series and series.isdecimal() and 1 <= int(series) <= n_volumes:
        return int(series) - 1
    if n_volumes == 1:
        raise VolumeError(path, f"it holds one volume and no {series!r}", "Ask for no item of it")
    raise ChoiceNeededError(
        path,
        f"it holds {n_volumes} volumes" + (f" and no {series!r}" if series else ""),
        f"Choose one by its number, 1 to {n_volumes}",
        items(path, Reading()),
    )


def _name(path: Path, header: Header, volume: int) -> str:
    name = _ENDINGS.sub("", path.name) or path.name
    return f"{name} volume {volume + 1}" if header.n_volumes > 1 else name


def _axial_picture(plane: npt.NDArray[Any], place: Place) -> Picture | None:
    """Make a picture of a stored plane [i, j], or None if it is not axial."""
    letters = patient_letters(place.affine)
    if letters[2] not in "IS":
        return None
    row, column = (0, 1) if letters[0] in "PA" else (1, 0)
    shown = plane if row == 0 else plane.T
    shown = shown[:: -1 if letters[row] == "A" else 1, :: -1 if letters[column] == "R" else 1]
    lengths = np.linalg.norm(place.affine[:3, :3], axis=0)
    finite = shown[np.isfinite(shown)]
    is_ct = finite.size > 0 and float(finite.min()) < _CT_BELOW
    return grey_picture(
        shown,
        (float(lengths[row]), float(lengths[column])),
        Quantity.HU if is_ct else Quantity.UNKNOWN,
    )


def identifying_facts(path: Path) -> tuple[Fact, ...]:
    """Tell the header's free text, in which anything may stand."""
    fields = read_header(path).fields
    texts = {told: _text(fields, name) for name, told in _FREE_TEXT.items()}
    return tuple(Fact("Identifying", told, text) for told, text in texts.items() if text)


def _text(fields: Any, name: str) -> str:
    text = bytes(fields[name].item()).split(b"\0")[0].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else " " for c in text).strip()


def _windows(fields: Any) -> tuple[DisplayWindow, ...]:
    low, high = float(fields["cal_min"]), float(fields["cal_max"])
    if not (np.isfinite([low, high]).all() and high > low):
        return ()
    return (DisplayWindow("", (low + high) / 2, high - low),)


def _file_facts(header: Header, volume: int) -> tuple[Fact, ...]:
    fields = header.fields
    layout = "pair of header and image" if header.is_pair else "single file"
    packed = ", gzip" if header.is_compressed else ""
    order = "big-endian" if fields.endianness == ">" else "little-endian"
    facts = [Fact("File", "Format", f"NIfTI-{header.version}, {layout}, {order}{packed}")]
    if header.n_volumes > 1:
        facts.append(Fact("File", "Volume", f"{volume + 1} of {header.n_volumes}"))
    if int(fields["intent_code"]):
        facts.append(Fact("File", "Intent", _intent(fields)))
    if fields.extensions:
        facts.append(Fact("File", "Extensions", ", ".join(_kinds(fields.extensions))))
    return tuple(facts)


def _intent(fields: Any) -> str:
    try:
        return str(fields.get_intent()[0])
    except KeyError:
        return f"code {int(fields['intent_code'])}"


def _kinds(extensions: Any) -> list[str]:
    from nibabel import nifti1

    names: Any = nifti1.extension_codes
    kinds = []
    for extension in extensions:
        code = extension.get_code()
        number = int(names.code[code]) if code in names.code else code
        kinds.append(str(names.label[code]) if code in names.label else f"code {number}")
    return kinds

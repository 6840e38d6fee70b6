"""Damage files at random and read them; run as a program, in a process of its own.

    python fuzzing.py FORMAT FIRST LAST FOLDER

Each number from FIRST to LAST makes its own damage, the same at every run. Prints one line of
JSON: how many files were read, refused, and what went wrong. A reading of more than five
seconds ends the process with a traceback.
"""

from __future__ import annotations

import faulthandler
import gzip
import io as bytes_io
import itertools
import json
import re
import sys
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import dicom_factory
import metaimage_factory
import nibabel as nib
import nifti_factory
import nrrd_factory
import numpy as np
from pydicom.uid import UID

from napari_hirescam import io
from napari_hirescam.errors import VolumeError
from napari_hirescam.source import Repair

SECONDS = 5
# What reading may hold besides one and a half times what the file announces: packages that are
# imported on the way, and a straightened copy of a tiny volume.
BASE_BYTES = 96 << 20
ADDRESS_BYTES = 3 << 30
EXTREMES = {
    2: [0, 1, -1, 2, 3, 4, 7, 8, 255, 32767, -32768],
    4: [0, 1, -1, 16, 2**31 - 1, -(2**31), 0x7F800000, 0x7FC00000, 0x00000001, 0x7F7FFFFF],
    8: [0, 1, -1, 2**63 - 1, -(2**63), 0x7FF0000000000000, 0x7FF8000000000000],
}


@dataclass(frozen=True)
class Target:
    """One way to make a damaged file.

    Parameters
    ----------
    write
        Given a generator and an empty folder, writes the damaged file and returns the path to
        read.
    original
        The voxels of the sound file where damage must be noticed or change nothing; None where
        other voxels can be right.
    """

    write: Callable[[np.random.Generator, Path], Path]
    original: np.ndarray | None = None


# --- Damage --------------------------------------------------------------------------------


def flipped(rng, content: bytes, most=8, first=0) -> bytes:
    damaged = bytearray(content)
    for _ in range(rng.integers(1, most + 1)):
        damaged[rng.integers(min(first, len(damaged) - 1), len(damaged))] ^= 1 << rng.integers(8)
    return bytes(damaged)


def cut(rng, content: bytes) -> bytes:
    return content[: rng.integers(1, len(content))]


def doubled(rng, content: bytes) -> bytes:
    first, last = sorted(rng.integers(0, len(content), 2))
    return content[:last] + content[first:]


def emptied(rng, content: bytes) -> bytes:
    first, last = sorted(rng.integers(0, len(content), 2))
    return content[:first] + bytes(last - first) + content[last:]


def strewn(rng, content: bytes) -> bytes:
    place = rng.integers(0, len(content))
    return content[:place] + rng.bytes(rng.integers(1, 64)) + content[place:]


def extreme(rng, content: bytes, header: int) -> bytes:
    """Numbers at the edge of what a field can hold, anywhere in the header."""
    damaged = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        size = int(rng.choice([2, 4, 8]))
        place = int(rng.integers(0, max(1, min(header, len(content)) - size)) // 2 * 2)
        value = int(rng.choice(np.array(EXTREMES[size], dtype=object)))
        order = "little" if rng.random() < 0.8 else "big"
        damaged[place : place + size] = (value % 2 ** (8 * size)).to_bytes(size, order)
    return bytes(damaged)


def reworded(rng, content: bytes, header: int) -> bytes:
    """Other numbers and words in the text of a header."""
    text, rest = content[:header], content[header:]
    words = list(re.finditer(rb"[-+\d.e]+|[A-Za-z]+", text))
    for _ in range(rng.integers(1, 4)):
        word = words[rng.integers(len(words))]
        other = rng.choice(
            [b"0", b"-1", b"1e308", b"nan", b"inf", b"99999999999", b"none", b"", b"2", b"x" * 500]
        )
        text = text.replace(word[0], bytes(other), 1)
    return text + rest


def damaged(rng, content: bytes, header: int, *, words=False) -> bytes:
    ways = [flipped, cut, doubled, emptied, strewn]
    choice = rng.integers(0, 10)
    if choice < len(ways):
        return ways[choice](rng, content)
    if choice == len(ways):
        return flipped(rng, content[:header]) + content[header:]
    return (reworded if words else extreme)(rng, content, header)


# --- Formats -------------------------------------------------------------------------------


def nifti_targets(folder: Path) -> list[Target]:
    seeds = {
        "one": nifti_factory.save(folder / "one.nii", qform=1),
        "two": nifti_factory.save(folder / "two.nii", kind=nib.Nifti2Image, qform=1),
        "float": nifti_factory.save(folder / "f.nii", nifti_factory.CT.astype("f4"), scl_slope=2),
        "four": nifti_factory.save(folder / "four.nii", np.stack([nifti_factory.CT] * 2, -1)),
    }
    contents = {name: path.read_bytes() for name, path in seeds.items()}
    voxels = io.read_volume(seeds["one"]).voxels

    def plain(rng, place):
        content = contents[rng.choice(list(contents))]
        return put(place / "x.nii", damaged(rng, content, 560))

    def packed_header(rng, place):
        content = contents[rng.choice(list(contents))]
        return put(place / "x.nii.gz", gzip.compress(damaged(rng, content, 560), mtime=0))

    def packed_bytes(rng, place):
        packed = gzip.compress(contents["one"], mtime=0)
        change = flipped if rng.random() < 0.7 else cut
        return put(place / "x.nii.gz", change(rng, packed))

    return [Target(plain), Target(packed_header), Target(packed_bytes, voxels)]


def npz_targets(folder: Path) -> list[Target]:
    values = np.random.default_rng(2).integers(-1000, 1001, (6, 7, 7)).astype(np.int16)
    np.savez_compressed(folder / "packed.npz", ct=values)
    np.savez(folder / "stored.npz", ct=values)
    packed, stored = ((folder / f"{name}.npz").read_bytes() for name in ("packed", "stored"))
    stream = bytes_io.BytesIO()
    np.save(stream, values)
    member = stream.getvalue()

    def archive(rng, place):
        return put(place / "trn00001.npz", flipped(rng, packed if rng.random() < 0.5 else stored))

    def structure(rng, place):
        content = packed if rng.random() < 0.5 else stored
        return put(place / "trn00001.npz", damaged(rng, content, 60))

    def header(rng, place):
        with zipfile.ZipFile(place / "trn00001.npz", "w", zipfile.ZIP_DEFLATED) as zipped:
            zipped.writestr("ct.npy", damaged(rng, member, 128, words=True))
        return place / "trn00001.npz"

    return [Target(archive, values), Target(structure), Target(header)]


def nrrd_targets(folder: Path) -> list[Target]:
    contents = [
        nrrd_factory.save(folder / f"{encoding}.nrrd", encoding=encoding).read_bytes()
        for encoding in ("raw", "gzip", "ascii")
    ]

    def write(rng, place):
        content = contents[rng.integers(len(contents))]
        header = content.index(b"\n\n")
        return put(place / "x.nrrd", damaged(rng, content, header, words=True))

    return [Target(write)]


def metaimage_targets(folder: Path) -> list[Target]:
    contents = [
        metaimage_factory.save(folder / f"{packed}.mha", compressed=packed).read_bytes()
        for packed in (False, True)
    ]

    def write(rng, place):
        content = contents[rng.integers(len(contents))]
        return put(place / "x.mha", damaged(rng, content, content.index(b"LOCAL"), words=True))

    return [Target(write)]


def dicom_targets(folder: Path) -> list[Target]:
    count = itertools.count(1)
    dicom_factory.generate_uid = lambda: UID(f"1.2.826.0.1.{next(count)}")  # the same each run
    series = dicom_factory.save_all(dicom_factory.make_series(4), folder / "series")
    contents = [path.read_bytes() for path in sorted(series.iterdir())]

    def damage(rng, content):
        return damaged(rng, content, len(content) - 108)

    def one_file(rng, place):
        return put(place / "x.dcm", damage(rng, contents[0]))

    def one_of_a_series(rng, place):
        for k, content in enumerate(contents):
            put(place / f"{k}.dcm", damage(rng, content) if k == 1 else content)
        return place

    def all_of_a_series(rng, place):
        for k, content in enumerate(contents):
            put(place / f"{k}.dcm", flipped(rng, content, first=300))
        return place

    return [Target(one_file), Target(one_of_a_series), Target(all_of_a_series)]


TARGETS = {
    "nifti": nifti_targets,
    "dicom": dicom_targets,
    "nrrd": nrrd_targets,
    "metaimage": metaimage_targets,
    "npz": npz_targets,
}


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


# --- Reading -------------------------------------------------------------------------------


def read_every_way(path: Path) -> list[object]:
    """Read as it is, then with what is asked for; what comes out is a volume or a refusal."""
    answers: list[object] = []
    try:
        if not io.can_read(path):
            answers.append("not recognised")
        items = io.list_items(path)
        answers.append(items)
        io.picture_of(path, items[0].key)
    except VolumeError as exc:
        answers.append(exc)
    wanted: list[dict[str, object]] = [{}]
    while wanted:
        options = wanted.pop()
        try:
            answers.append(io.read_volume(path, **options))
        except io.ChoiceNeededError as exc:
            answers.append(exc)
            if "series" not in options and exc.items:
                wanted.append({**options, "series": exc.items[0].key})
        except io.ConsentNeededError as exc:
            answers.append(exc)
            allowed = set(options.get("allow", ()))
            if not set(exc.repairs) & allowed:
                wanted.append({**options, "allow": allowed | {exc.repairs[-1]}})
        except VolumeError as exc:
            answers.append(exc)
    return answers


def fault(answer: object, original: np.ndarray | None) -> str:
    """What is wrong with an answer; "" if nothing."""
    if isinstance(answer, VolumeError):
        if "there is not enough memory" in answer.reason:
            return f"tried to allocate too much: {answer}"
        return "" if answer.subject and answer.reason and answer.remedy else "an empty message"
    voxels = getattr(answer, "voxels", None)
    if voxels is None:
        return ""
    if not np.isfinite(voxels).all():
        return "voxels that are no number"
    repaired = {entry.repair for entry in answer.source.repaired} - {Repair.STRAIGHTEN}
    if original is not None and not repaired and not np.array_equal(voxels, original):
        return "other voxels, and nobody noticed"
    return ""


def memory_of(field: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    return 0


def main(name: str, first: int, last: int, folder: Path) -> None:
    measures = Path("/proc/self/clear_refs").exists()
    seeds = folder / "seeds"
    seeds.mkdir()
    targets = TARGETS[name](seeds)
    if measures:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory_of("VmSize") + ADDRESS_BYTES,) * 2)
    told: Counter[str] = Counter()
    faults: list[str] = []
    peak = 0
    for number in range(first, last):
        rng = np.random.default_rng([number, *name.encode()])
        target = targets[number % len(targets)]
        place = folder / str(number)
        place.mkdir()
        path = target.write(rng, place)
        before = 0
        if measures:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            before = memory_of("VmRSS")
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        try:
            answers = read_every_way(path)
        except BaseException:  # noqa: BLE001 - whatever it is, no reader may let it out
            faults.append(f"{name} {number}: {traceback.format_exc()[-1500:]}")
            continue
        finally:
            faulthandler.cancel_dump_traceback_later()
        announced = sum(a.voxels.nbytes for a in answers if hasattr(a, "voxels"))
        grown = memory_of("VmHWM") - before if measures else 0
        peak = max(peak, grown)
        if grown > 1.5 * announced + BASE_BYTES:
            faults.append(f"{name} {number}: took {grown / 2**20:.0f} MiB")
        faults += [
            f"{name} {number}: {what}" for a in answers if (what := fault(a, target.original))
        ]
        told["read" if hasattr(answers[-1], "voxels") else "refused"] += 1
        for file in sorted(place.rglob("*"), reverse=True):
            file.unlink()
        place.rmdir()
    sys.stdout.write(json.dumps({**told, "faults": faults, "peak": peak}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))

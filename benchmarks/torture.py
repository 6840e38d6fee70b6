"""Who reads awkward CT files right: this package and the usual readers over the same files.

The files are those of the tests (`tests/torture`), and so is the judge: each voxel a reader
returns must hold what is true at the place it claims to lie at. Every peer opens every file in
a process of its own, so that a crash is counted and not suffered.

    python benchmarks/torture.py
    python benchmarks/torture.py --only DICOM --update docs/reading.md

Linux and macOS only: the processes are forked.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "benchmarks")]

from torture.cases import Case  # noqa: E402
from torture.dicom_cases import DICOM_CASES  # noqa: E402
from torture.exam import examine  # noqa: E402
from torture.judge import Answer, Made, Verdict, fault  # noqa: E402
from torture.nifti_cases import NIFTI_CASES  # noqa: E402
from torture.other_cases import METAIMAGE_CASES, NPZ_CASES, NRRD_CASES  # noqa: E402
from torture_readers import READERS  # noqa: E402

FAMILIES: dict[str, tuple[Case, ...]] = {
    "DICOM": DICOM_CASES,
    "NIfTI": NIFTI_CASES,
    "NRRD": NRRD_CASES,
    "MetaImage": METAIMAGE_CASES,
    "npz": NPZ_CASES,
}
OURS = "napari-hirescam"
SECONDS = 60
MEMORY = 12 << 30
MARKS = {
    Verdict.RIGHT: "ok",
    Verdict.ASKED: "asks",
    Verdict.REPAIRED: "mends",
    Verdict.REFUSED: "ref",
    Verdict.WARNED: "w",
    Verdict.WRONG: "**WRONG**",
    Verdict.CRASH: "**CRASH**",
}
COLUMNS = {
    "opened rightly": (Verdict.RIGHT, Verdict.ASKED, Verdict.REPAIRED),
    "refused": (Verdict.REFUSED,),
    "wrong, with a warning": (Verdict.WARNED,),
    "silently wrong": (Verdict.WRONG,),
    "crashed or hung": (Verdict.CRASH,),
}
START, END = "<!-- table: benchmarks/torture.py -->", "<!-- end of table -->"


@dataclass(frozen=True)
class Sample:
    """A case on the disk."""

    case: Case
    made: Made


def main() -> None:
    """Make the files, let everyone read them, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=FAMILIES, help="one family of files")
    parser.add_argument("--update", type=Path, help="put the tables into this Markdown file")
    parser.add_argument("--reader", choices=READERS, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.reader:
        _read_all(arguments.reader, arguments.work)
        return
    judged = []
    for family, cases in FAMILIES.items():
        if arguments.only in {None, family}:
            judged.append(_judge(family, cases))
            print("\n".join(map(_row, judged[-1].sums())), flush=True)
    text = _report(judged)
    print(text)
    if arguments.update:
        whole = arguments.update.read_text(encoding="utf-8")
        before, after = whole.split(START)[0], whole.split(END)[1]
        arguments.update.write_text(f"{before}{START}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def _report(judged: list[Judged]) -> str:
    sums = _grid(
        ["files", "cases", "reader", *COLUMNS], [row for one in judged for row in one.sums()]
    )
    return "\n\n".join([_versions(), "\n".join(sums), *(one.details() for one in judged)])


def _versions() -> str:
    packages = ("SimpleITK", "itk", "nibabel", "pynrrd", "highdicom", "pydicom", "dicom2nifti")
    found = [f"{name} {version(name)}" for name in (*packages, "monai") if _has(name)]
    return f"Measured with Python {platform.python_version()}, " + ", ".join(found) + "."


def _has(package: str) -> bool:
    module = {"pynrrd": "nrrd"}.get(package, package)
    return importlib.util.find_spec(module) is not None


@dataclass(frozen=True)
class Judged:
    """What became of one family of files, by reader.

    Parameters
    ----------
    family
        Its name.
    cases
        Its files.
    verdicts
        By reader, in the order of the cases; this package comes first.
    missing
        Readers that are not installed.
    """

    family: str
    cases: tuple[Case, ...]
    verdicts: dict[str, list[Verdict | None]]
    missing: tuple[str, ...]

    def sums(self) -> list[list[str]]:
        """One row for each reader: how many cases ended in which way."""
        rows = []
        for name, verdicts in self.verdicts.items():
            counts = Counter(verdicts)
            numbers = (sum(counts[kind] for kind in kinds) for kinds in COLUMNS.values())
            rows.append([self.family, str(len(self.cases)), name, *map(str, numbers)])
        return rows

    def details(self) -> str:
        """One row for each case."""
        rows = [
            [case.name, *(_mark(verdicts[k]) for verdicts in self.verdicts.values())]
            for k, case in enumerate(self.cases)
        ]
        lines = [f"### {self.family}, case by case", "", *_grid(["case", *self.verdicts], rows)]
        if self.missing:
            lines += ["", f"Not installed, so not judged: {'; '.join(self.missing)}."]
        return "\n".join(lines)


def _judge(family: str, cases: tuple[Case, ...]) -> Judged:
    readers = [name for name, (_, families, _) in READERS.items() if family in families]
    missing = tuple(name for name in readers if not _has(READERS[name][0]))
    with tempfile.TemporaryDirectory() as base:
        samples = []
        for k, case in enumerate(cases):
            folder = Path(base) / "files" / str(k)
            folder.mkdir(parents=True)
            samples.append(Sample(case, case.make(folder)))
        verdicts: dict[str, list[Verdict | None]] = {
            OURS: [examine(one.case, one.made).verdict for one in samples]
        }
        for name in readers:
            if name not in missing:
                verdicts[name] = _verdicts(name, samples, Path(base))
    return Judged(family, cases, verdicts, missing)


def _mark(verdict: Verdict | None) -> str:
    return "-" if verdict is None else MARKS[verdict]


def _grid(head: list[str], rows: list[list[str]]) -> list[str]:
    return [_row(head), _row(["---"] * len(head)), *map(_row, rows)]


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _verdicts(name: str, samples: list[Sample], base: Path) -> list[Verdict | None]:
    """Let a peer read all samples in processes of its own, and judge its answers."""
    work = base / "answers" / name
    work.mkdir(parents=True)
    paths = [str(one.made.path) for one in samples]
    (work / "paths.json").write_text(json.dumps(paths), encoding="utf-8")
    subprocess.run(
        [sys.executable, __file__, "--reader", name, "--work", str(work)],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Threads do not survive a fork.
        env={**os.environ, "ITK_GLOBAL_DEFAULT_THREADER": "Platform", "OMP_NUM_THREADS": "1"},
    )
    # What it says of the plain file as well is no warning about the file.
    usual = _warnings(work / "0")
    return [_verdict(one, work / str(k), usual) for k, one in enumerate(samples)]


def _warnings(answer: Path) -> set[str]:
    said = answer / "warned"
    return set(said.read_text(encoding="utf-8").splitlines()) if said.exists() else set()


def _verdict(sample: Sample, answer: Path, usual: set[str]) -> Verdict | None:
    """None if there is no volume to be right about."""
    if not answer.exists():
        return Verdict.CRASH
    if (answer / "refused").exists():
        return Verdict.REFUSED
    if not sample.case.is_volume:
        return None
    found = np.load(answer / "found.npz")
    warned = Verdict.WARNED if _warnings(answer) - usual else Verdict.WRONG
    for k in range(int(found["count"])):
        voxels, affine = found[f"voxels{k}"], found[f"affine{k}"]
        try:
            right = any(_is_right(voxels, affine, scan) for scan in sample.made.scans)
        except np.linalg.LinAlgError:  # an affine without volume puts every voxel nowhere
            right = False
        if not right:
            return warned
    return Verdict.RIGHT


def _is_right(voxels: np.ndarray, affine: np.ndarray, scan: object) -> bool:
    if scan.anywhere:  # type: ignore[attr-defined]
        return False  # a place that the file does not give was made up without a word
    if voxels.dtype.kind not in "biuf" or not np.isfinite(affine).all():
        return False
    return not fault(Answer(voxels, affine), scan)  # type: ignore[arg-type]


def _read_all(name: str, work: Path) -> None:
    """In a process of a peer's own: open each file in a fork of it."""
    module, _, read = READERS[name]
    __import__(module)
    if name.startswith("MONAI"):
        __import__("monai.transforms")
    paths = json.loads((work / "paths.json").read_text(encoding="utf-8"))
    # The first, plain one beforehand: what a library loads on first use is then in every fork.
    with contextlib.suppress(Exception):
        read(Path(paths[0]))
    for k, path in enumerate(paths):
        child = os.fork()
        if child == 0:
            _read_one(read, Path(path), work / str(k))
        os.waitpid(child, 0)


def _read_one(read: object, path: Path, result: Path) -> None:
    """Put an answer into a folder that appears whole or not at all; never returns."""
    signal.alarm(SECONDS)  # kills this process, which then counts as hung
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    draft = result.with_name(f"{result.name}.draft")
    draft.mkdir()
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = read(path)  # type: ignore[operator]
        arrays = {"count": np.array(len(found))}
        for k, (voxels, affine) in enumerate(found):
            arrays |= {f"voxels{k}": np.asarray(voxels), f"affine{k}": np.asarray(affine, float)}
        np.savez(draft / "found.npz", **arrays)  # type: ignore[arg-type]
        if said:
            lines = [" ".join(str(one.message).split()) for one in said]
            (draft / "warned").write_text("\n".join(lines), encoding="utf-8")
    except BaseException:  # noqa: BLE001 - any exception is a refusal
        (draft / "refused").write_text(traceback.format_exc(), encoding="utf-8")
    draft.rename(result)
    os._exit(0)


if __name__ == "__main__":
    main()

"""The folder of a training: who may write in it, and the files that lie there.

In `out/checkpoints` lie `last.ckpt`, from which a run goes on, and the best epoch's weights. Both
are written beside their place and renamed, the weights first: whenever a run is killed, the
checkpoint that is there finds the weights it speaks of.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import math
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from napari_hirescam.errors import SettingsError
from napari_hirescam.safe_write import replace_file
from napari_hirescam.training.machine import LOCK
from napari_hirescam.training.result import EpochRecord

LAST = "last.ckpt"
# What `safe_write` leaves behind where it is killed.
_HALF_WRITTEN = re.compile(r"\..+\.[0-9a-f]{32}\.part")
_ANEW = "Start the training anew in another folder"


@contextmanager
def held(out: Path) -> Iterator[None]:
    """Keep other trainings out of a folder, and clear away what a killed one left half written.

    Raises
    ------
    SettingsError
        A training is at work in it.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(out / LOCK, blocking=False)
    try:
        lock.acquire()
    except Timeout as exc:
        raise SettingsError(
            out, "another training is at work in it", "Wait for it, or name another folder"
        ) from exc
    except (OSError, NotImplementedError):
        pass  # some network disks know no locks, and trainings must run there too
    try:
        for file in out.rglob(".*.part"):
            if _HALF_WRITTEN.fullmatch(file.name):
                file.unlink(missing_ok=True)
        yield
    finally:
        # Before it is let go: whoever waits would hold a file that nobody else sees.
        with suppress(OSError):  # Windows removes it when it is let go
            (out / LOCK).unlink(missing_ok=True)
        lock.release()


def best_weights(out: Path, epoch: int) -> Path:
    """Name the file of the best epoch's weights."""
    return out / "checkpoints" / f"best-{epoch}.safetensors"


def read_kept(out: Path) -> dict[str, Any] | None:
    """Read what the Keeper knew at the last checkpoint; None if there is none.

    Raises
    ------
    SettingsError
        The file, or that of the best weights, is damaged, or no checkpoint of ours.
    """
    import torch

    file = out / "checkpoints" / LAST
    if not file.is_file():
        return None
    try:
        _require_checksums(file)
        content = torch.load(file, map_location="cpu", weights_only=True)
        kept: dict[str, Any] = content["callbacks"]["Keeper"]
        epoch, digest, _ = kept["best_epoch"], kept["best_sha256"], kept["run"]
    except Exception as exc:  # damaged bytes make torch fail in any way
        raise SettingsError(
            file, f"it is no checkpoint of a training: {type(exc).__name__}", _ANEW
        ) from exc
    if epoch >= 0:
        _require_sound(best_weights(out, epoch), digest)
    return kept


def _require_checksums(file: Path) -> None:
    # torch would take a flipped bit for a weight.
    with zipfile.ZipFile(file) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(damaged)


def _require_sound(weights: Path, digest: str) -> None:
    if not weights.is_file():
        raise SettingsError(weights, "the best epoch's weights are gone", _ANEW)
    if hashlib.sha256(weights.read_bytes()).hexdigest() != digest:
        raise SettingsError(weights, "the best epoch's weights are damaged", _ANEW)


def records_of(kept: Mapping[str, Any]) -> tuple[EpochRecord, ...]:
    """Make the history of what the Keeper knew."""
    return tuple(
        EpochRecord(entry["epoch"], entry["figures"], entry["is_best"]) for entry in kept["history"]
    )


def write_log(out: Path, kept: Mapping[str, Any]) -> None:
    """Write the log, and whose organ regions are in doubt, anew out of what the Keeper knew.

    Raises
    ------
    SettingsError
        The disk is full.
    """
    write_whole(out / "log.csv", _as_csv(records_of(kept)))
    if kept["doubts"]:
        write_whole(out / "organ_doubts.csv", _doubts_as_csv(kept["doubts"]))


def write_whole(file: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises
    ------
    SettingsError
        The disk is full.
    """
    with a_full_disk_said(file):
        replace_file(file, content)


@contextmanager
def a_full_disk_said(file: Path) -> Iterator[None]:
    """Raise SettingsError where there is no room to write a file."""
    try:
        yield
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise SettingsError(
            file,
            "the disk is full; the checkpoint before is untouched",
            "Make room and go on with --resume",
        ) from exc


def _as_csv(records: tuple[EpochRecord, ...]) -> bytes:
    names = sorted({name for record in records for name in record.figures})
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["epoch", "is_best", *names])
    for record in records:
        figures = (record.figures.get(name, math.nan) for name in names)
        table.writerow([record.epoch, int(record.is_best), *(f"{value:.9g}" for value in figures)])
    return text.getvalue().encode()


def _doubts_as_csv(doubts: Mapping[str, tuple[str, ...]]) -> bytes:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["case", "doubt"])
    table.writerows([case, doubt] for case in sorted(doubts) for doubt in doubts[case])
    return text.getvalue().encode()

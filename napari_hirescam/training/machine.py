"""What a training needs of this machine, asked before anything slow begins."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from napari_hirescam import safe_write
from napari_hirescam.errors import SettingsError
from napari_hirescam.training.settings import RunSettings

if TYPE_CHECKING:
    from torch import nn

_EXTRA = ("lightning", "torchmetrics")
_INSTALL = 'Install what training needs: pip install "napari-hirescam[train]"'
#: Copies of the weights on disk at worst: the checkpoint with two moments per weight and its
#: successor, the best weights and their successor, the model.
_COPIES = 2 * 3 + 2 + 1
_BYTES = 4
#: Locked by a training that is at work in a folder; see `run_folder.held`.
LOCK = ".lock"
_NOISY = ("lightning.pytorch", "lightning.fabric", "lightning")


def require_packages(run: RunSettings) -> None:
    """Raise SettingsError where a package of the extra is missing."""
    wanted = (*_EXTRA, "tensorboard") if run.tensorboard else _EXTRA
    missing = [name for name in wanted if importlib.util.find_spec(name) is None]
    if missing:
        raise SettingsError("training", f"{', '.join(missing)} is not installed", _INSTALL)


def require_device(run: RunSettings) -> None:
    """Raise SettingsError where a device, or a precision of it, is asked for in vain."""
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    there = {
        "cuda": gpus > 0,
        "gpu": gpus > 0 or torch.backends.mps.is_available(),
        "mps": torch.backends.mps.is_available(),
        "tpu": importlib.util.find_spec("torch_xla") is not None,
    }
    if not there.get(run.accelerator, True):
        raise SettingsError(
            "run.accelerator",
            f"this machine has no {run.accelerator} that torch can use",
            "Set it to 'cpu' or 'auto', or install a torch build for the device",
        )
    on_cpu = run.accelerator == "cpu" or (
        run.accelerator == "auto" and not gpus and not there["mps"]
    )
    if on_cpu and run.precision == "16-mixed":
        raise SettingsError(
            "run.precision", "'16-mixed' is for GPUs", "Use '32' or 'bf16-mixed' on a CPU"
        )
    if not on_cpu and gpus:
        asked = run.devices if isinstance(run.devices, tuple) else ()
        most = run.devices if isinstance(run.devices, int) else len(asked)
        if most > gpus or any(not 0 <= index < gpus for index in asked):
            raise SettingsError(
                "run.devices",
                f"{run.devices} are asked for, and there are {gpus}",
                f"Ask for at most {gpus}, numbered from 0",
            )


def require_folder(out: Path, *, resume: bool) -> None:
    """Raise SettingsError where a run cannot begin, or has nothing to go on from."""
    if out.exists() and not out.is_dir():
        raise SettingsError(out, "it is a file", "Name a folder")
    if resume:
        if not out.is_dir():
            raise SettingsError(out, "there is no such run", "Leave --resume out to begin one")
        return
    if out.is_dir() and any(path.name != LOCK for path in out.iterdir()):
        raise SettingsError(
            out, "it is not empty", "Go on with its run by --resume, or name another folder"
        )
    require_writable(out)


def require_writable(folder: Path) -> None:
    """Make a folder, and raise SettingsError where it cannot be written."""
    try:
        safe_write.require_writable(folder)
    except OSError as exc:
        raise SettingsError(
            folder, f"it cannot be written: {exc.strerror or exc}", "Choose another folder"
        ) from exc


def require_room(out: Path, network: nn.Module) -> None:
    """Raise SettingsError where the disk has no room for the checkpoints."""
    weights = [*network.parameters(), *network.buffers()]
    needed = _COPIES * _BYTES * sum(tensor.numel() for tensor in weights)
    free = shutil.disk_usage(out).free
    if free < needed:
        raise SettingsError(
            out,
            f"the disk has {free / 1e6:.0f} MB free, and the checkpoints need up to "
            f"{needed / 1e6:.0f} MB",
            "Make room, or choose another folder",
        )


def is_first_process() -> bool:
    """True in the process that writes: in all but one of a run over several processes not."""
    from lightning.fabric.utilities.rank_zero import rank_zero_only

    rank = getattr(rank_zero_only, "rank", None)
    return not (rank or 0) and os.environ.get("LOCAL_RANK", "0") == "0"


@contextmanager
def torch_as_found(run: RunSettings) -> Iterator[None]:
    """Leave torch's generator, switches and threads behind as they were."""
    import torch

    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    threads = torch.get_num_threads()
    try:
        # The CPU's alone: asking for the others would start each GPU there is.
        with torch.random.fork_rng(devices=[]):
            if run.threads is not None:
                torch.set_num_threads(run.threads)
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's tips and remarks to itself, and Ctrl-C ours."""
    loggers = [logging.getLogger(name) for name in _NOISY]
    levels = [logger.level for logger in loggers]
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if in_main else None
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            # They speak to whoever writes a Trainer: the number of workers, the logging interval.
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            warnings.filterwarnings("ignore", message=".*`isinstance.treespec, LeafSpec.`.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if in_main:
            signal.signal(signal.SIGINT, handler)

"""A tiny training in a process of its own, to be killed, interrupted, or one of several."""

from __future__ import annotations

import multiprocessing
import signal
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from training_cases import make_settings, make_table

from napari_hirescam.errors import Cancelled
from napari_hirescam.training import train

#: What building a network and reading a checkpoint import when they come to it.
_LAZILY = ("monai.networks.nets.resnet", "napari_hirescam.training.model_folder")


def start_training(
    out: Path, options: dict[str, Any], n_cases: int = 5
) -> tuple[ForkServerProcess, Connection]:
    """Train; goes on if there is a run.

    Returns
    -------
    The process, and the end of a pipe that gives the passes done, then "finished" or "cancelled".
    """
    context = multiprocessing.get_context("forkserver")
    # What takes seconds to import is imported once, by the server that all processes fork from.
    context.set_forkserver_preload(
        ["training_process", "napari_hirescam.training.fitting", *_LAZILY]
    )
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_train, args=(out, options, n_cases, theirs))
    process.start()
    theirs.close()
    return process, ours


def wait_for_passes(pipe: Connection, n: int) -> None:
    """Wait until n more passes are done, or the process has ended."""
    try:
        for _ in range(n):
            pipe.recv()
    except EOFError:
        return


def last_word(process: ForkServerProcess, pipe: Connection) -> str:
    """Wait for the end, and give the last that it told."""
    word = ""
    try:
        while True:
            word = str(pipe.recv())
    except EOFError:
        process.join(60)
        return word


def _train(out: Path, options: dict[str, Any], n_cases: int, pipe: Connection) -> None:
    def tell(done: int, total: int) -> None:
        pipe.send(done)

    # A test run that was started in the background hands down that Ctrl-C is to be ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        train(
            make_settings(**options),
            make_table(n_cases),
            out=out,
            resume=out.exists(),
            progress=tell,
        )
    except Cancelled:
        pipe.send("cancelled")
    else:
        pipe.send("finished")

"""Command line: the same functions as the window, without a window.

Heavy modules are imported inside the commands, so that ``--help`` answers at once.
"""

from napari_hirescam.cli import (
    convert,
    evaluate,
    explain,
    info,
    models,
    organs,
    reproduce,
    reproduce_covid,
    reproduce_luna,
    reproduce_phantom,
    reproduce_radchestct,
    reproduce_voc,
    review,
    review_results,
    sweep,
    testing,
    train,
    window,
)
from napari_hirescam.cli.app import app

__all__ = [
    "app",
    "convert",
    "evaluate",
    "explain",
    "info",
    "models",
    "organs",
    "reproduce",
    "reproduce_covid",
    "reproduce_luna",
    "reproduce_phantom",
    "reproduce_radchestct",
    "reproduce_voc",
    "review",
    "review_results",
    "sweep",
    "testing",
    "train",
    "window",
]

"""What a chooser shows of a path must agree with what reading it does."""

from __future__ import annotations

import traceback

import numpy as np

from napari_hirescam import io
from napari_hirescam.errors import VolumeError
from napari_hirescam.io.asking import Item
from torture.judge import Made, Verdict


def fault_in_listing(made: Made, verdict: Verdict, repairs: tuple[str, ...]) -> str:
    """Say how the list of items and their pictures contradict what reading gave."""
    try:
        items = io.list_items(made.path)
    except VolumeError:
        opened = verdict not in {Verdict.REFUSED, Verdict.CRASH, Verdict.WRONG}
        return "it cannot be listed, although it can be read" if opened else ""
    except Exception:  # noqa: BLE001 - a crash is what is looked for
        return "listing crashed: " + traceback.format_exc(limit=-3)
    readable = [item for item in items if item.is_readable]
    if len({item.key for item in items}) < len(items):
        return "two items have the same key"
    if verdict in {Verdict.RIGHT, Verdict.ASKED, Verdict.REPAIRED} and not readable:
        return "no item is called readable, although it can be read"
    if verdict is Verdict.ASKED and len(readable) < 2:
        return "it asks which, but lists one"
    if verdict is Verdict.REPAIRED and len(items) == 1:
        needed = {repair.value for repair in items[0].needs}
        if needed and not needed & set(repairs):
            return f"the list says that it needs {', '.join(sorted(needed))}"
    return next(filter(None, (_fault_of_picture(made, item) for item in readable)), "")


def _fault_of_picture(made: Made, item: Item) -> str:
    try:
        picture = io.picture_of(made.path, item.key)
    except VolumeError:
        return ""  # a damaged slice may well be the one in the middle
    except Exception:  # noqa: BLE001 - a crash is what is looked for
        return f"the picture of {item.title!r} crashed: " + traceback.format_exc(limit=-3)
    if picture.grey.ndim != 2 or picture.grey.dtype != np.uint8 or not picture.grey.size:
        return f"the picture of {item.title!r} is {picture.grey.dtype} {picture.grey.shape}"
    if not (np.isfinite(picture.pixel_mm).all() and min(picture.pixel_mm) > 0):
        return f"the pixels of the picture of {item.title!r} are {picture.pixel_mm} mm"
    return ""

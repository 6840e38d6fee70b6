"""What to try when the memory runs out: smaller chunks, then the processor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_hirescam.models.borrow import SplitNetwork, borrowed

if TYPE_CHECKING:
    from napari_hirescam.models.classifier import Classifier


@dataclass(frozen=True)
class Attempt:
    """One way to run the network.

    Parameters
    ----------
    device
        Where.
    slices_per_chunk
        How many slices at once, for a network that can be cut into chunks.
    note
        What the user is told if this is how it went; "" for the way that was asked for.
    """

    device: str
    slices_per_chunk: int
    note: str = ""


def attempts(classifier: Classifier) -> Iterator[Attempt]:
    """Yield the ways to run a network, from the one that was asked for to the smallest."""
    spec, device = classifier.spec, classifier.device
    chunk = spec.slices_per_chunk
    yield Attempt(device, chunk)
    chunked = isinstance(classifier.network, SplitNetwork) or spec.output.over_slices is not None
    if chunked and chunk > 1:
        yield Attempt(
            device, 1, f"The memory ran out with {chunk} slices at a time, so they ran one by one."
        )
    if device != "cpu":
        yield Attempt(
            "cpu", chunk, f"The memory of {device} ran out, so the network ran on the processor."
        )


@contextmanager
def on_device(classifier: Classifier, device: str) -> Iterator[None]:
    """Have the network on a device, and afterwards back where it was."""
    if device == classifier.device:
        yield
        return
    with borrowed(classifier.network):
        classifier.network.to(device)
        try:
            yield
        finally:
            classifier.network.to(classifier.device)


def ran_out_of_memory(error: BaseException) -> bool:
    """True for all of torch's ways to say that there is no more memory."""
    import torch

    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        # The allocators of CPU and MPS have no exception type of their own.
        isinstance(error, RuntimeError)
        and any(word in str(error) for word in ("DefaultCPUAllocator", "out of memory"))
    )

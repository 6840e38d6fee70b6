"""The logits among what a network returns.

Networks return a tensor, a tuple with auxiliary outputs, a dict; with or without a batch axis;
before a sigmoid or after it. Here all become logits [1, K].
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from napari_hirescam.models.spec import OutputSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

#: Entries of a dict of outputs that are the logits if nobody says otherwise.
_USUAL_ENTRIES = ("logits", "out", "output", "scores", "pred")
PLAIN_OUTPUT = OutputSpec()


class NoScoresError(ValueError):
    """What the network returned holds no logits [1, K] where they were expected."""


def run_network(
    network: nn.Module,
    given: Tensor,
    output: OutputSpec = PLAIN_OUTPUT,
    *,
    forward: Callable[[Tensor], Any] | None = None,
    batch: int = 1,
) -> Tensor:
    """Run a network and read its logits [1, K]; [S, K] where `output.over_slices` is set.

    Parameters
    ----------
    network
        Borrowed by the caller.
    given
        Its input, batch axis included.
    output
        Where the logits are.
    forward
        Called in place of the network, to run it with other parameters say.
    batch
        How many CTs the input holds; its logits are then [batch, K].

    Raises
    ------
    NoScoresError
        They are not there.
    """
    forward = forward or network
    if output.layer is None:
        return read_scores(forward(given), output, batch=batch)
    from napari_hirescam.models.dry_run import find_layer

    found: list[Any] = []
    thread = threading.get_ident()

    def keep(_module: nn.Module, _args: Any, result: Any) -> None:
        if threading.get_ident() == thread:
            # A copy: a sigmoid in place would otherwise overwrite the logits.
            found.append(result.clone() if hasattr(result, "clone") else result)

    hook = find_layer(network, output.layer).register_forward_hook(keep)
    try:
        forward(given)
    finally:
        hook.remove()
    if len(found) != 1:
        raise NoScoresError(
            f"output.layer {output.layer!r} runs {len(found)} times; it must run once"
        )
    return read_scores(found[0], output, batch=batch)


def read_scores(returned: Any, output: OutputSpec = PLAIN_OUTPUT, *, batch: int = 1) -> Tensor:
    """Read logits [1, K] off what a forward returned ([S, K] where slices are the batch).

    Of a `batch` of CTs they are [batch, K].

    Raises
    ------
    NoScoresError
        There is no such entry, or what is there is not a vector of scores.
    """
    import torch

    scores = _pick(returned, output.entry)
    if not isinstance(scores, torch.Tensor):
        raise NoScoresError(f"its forward returns a {type(scores).__name__}, not logits")
    shape = list(scores.shape)
    if scores.ndim <= 1 and output.over_slices is None:
        scores = scores.reshape(batch, -1)  # a forward that squeezes axes of length 1 away
    elif scores.ndim == 1:
        scores = scores[:, None]  # one label, squeezed
    elif scores.ndim > 2 and scores.shape[2:].numel() == 1:
        scores = scores.flatten(1)
    if scores.ndim != 2 or (output.over_slices is None and scores.shape[0] != batch):
        raise NoScoresError(f"the network returned scores of shape {shape}, not [{batch}, K]")
    return scores


def scores_of_ct(scores: Tensor, output: OutputSpec) -> Tensor:
    """Turn the scores of slices [S, K] into those of the CT [1, K], if the output asks for it."""
    if output.over_slices == "mean":
        return scores.mean(dim=0, keepdim=True)
    if output.over_slices == "max":
        return scores.amax(dim=0, keepdim=True)
    return scores


def _pick(returned: Any, entry: str | int | None) -> Any:
    if isinstance(returned, Mapping):
        names = list(returned)
        if entry is None:
            entry = next((name for name in _USUAL_ENTRIES if name in returned), None)
        if entry is None and len(names) == 1:
            entry = names[0]
        if entry is None or entry not in returned:
            raise NoScoresError(
                f"its forward returns a dict without {entry!r}; output.entry can be one of: "
                f"{', '.join(map(str, names))}"
                if entry is not None
                else "its forward returns a dict; say in output.entry which of these holds the "
                f"logits: {', '.join(map(str, names))}"
            )
        return returned[entry]
    if isinstance(returned, Sequence) and not isinstance(returned, str):
        position = 0 if entry is None else entry
        if not isinstance(position, int):
            found = getattr(returned, position, None)  # a named tuple
            if found is None:
                raise NoScoresError(f"its forward returns a tuple without {position!r}")
            return found
        if not -len(returned) <= position < len(returned):
            raise NoScoresError(
                f"its forward returns {len(returned)} outputs; output.entry is {position}"
            )
        return returned[position]
    if entry is not None:
        raise NoScoresError(
            f"its forward returns a {type(returned).__name__}, and output.entry is {entry!r}"
        )
    return returned

"""Does sum(HiResCAM) + bias equal the logit? Read off the head, not assumed.

The proof of the paper (arXiv 2011.08891v2) needs the logit to be an affine function of the
target layer's activation: one linear layer, then linear aggregation such as the mean over
slices. That is a property of the operations between the two, and torch's autograd graph lists
them; anything not known to be affine counts as not affine. What gradients do not see
(comparisons, an argmax, a detach) is found by following the calls, and at last the head is put
to the test with other activations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hirescam.attention.graph import (
    dependent_inputs,
    goes_around,
    inputs_of,
    operation_name,
    path_nodes,
)
from napari_hirescam.attention.operations import (
    AFFINE,
    BILINEAR,
    EVAL_NORM,
    PLAIN_WORDS,
    QUOTIENT,
)
from napari_hirescam.attention.result import Guarantee, GuaranteeState
from napari_hirescam.volume import FloatArray

if TYPE_CHECKING:
    from torch import Tensor

    from napari_hirescam.attention.capture import Captured
    from napari_hirescam.models.dry_run import DryRun

#: How far, relative to what the activation adds to the scores, a linear head may be off.
_PROBE_TOLERANCE = 1e-3


def non_affine_operations(logits_node: Any, head_node: Any) -> list[str] | None:
    """Name the operations of the head that are not affine in what they read.

    Parameters
    ----------
    logits_node, head_node
        Autograd nodes of the network's output and of the activation the head reads.

    Returns
    -------
    Plain names, each once, in the order the data meets them; empty for an affine head; None if
    the logits do not depend on the activation at all.
    """
    path = path_nodes(logits_node, head_node)
    if not path:
        return None
    members = set(path)
    found: list[str] = []
    for node in reversed(path):
        if node is head_node:
            continue
        name = operation_name(node)
        arguments = list(dependent_inputs(node, members))
        affine = not _is_users_own(node) and (
            name in AFFINE
            or (name in BILINEAR and _one_factor_depends(name, arguments))
            or (name in QUOTIENT and arguments == [0])
            or (name in EVAL_NORM and arguments == [0] and not _normalises_by_batch(node))
        )
        plain = PLAIN_WORDS.get(name, name)
        if not affine and plain not in found:
            found.append(plain)
    return found


def _is_users_own(node: Any) -> bool:
    # A user's autograd function may carry the name of any of torch's operations.
    from torch.autograd.function import BackwardCFunction

    return isinstance(node, BackwardCFunction)


def _normalises_by_batch(node: Any) -> bool:
    # cudnn's node has no such flag: it is used in training mode only.
    return bool(getattr(node, "_saved_training", True))


def _one_factor_depends(name: str, arguments: list[int]) -> bool:
    # Addmm(bias, a, b) and the like are affine in the bias besides one of the factors.
    factors = [i for i in arguments if not (name in {"Addmm", "Addmv", "Baddbmm"} and i == 0)]
    return len(factors) <= 1


def examine_head(run: DryRun | Captured, target_layer: str) -> Guarantee:
    """Say from the operations of the head whether the guarantee can hold, and why."""
    hidden = [_plain(name) for name in run.hidden]
    # A pass that makes maps records nothing ahead of the layer; a trace knows the input.
    return examine_path(
        run.logits_node,
        run.head_node,
        target_layer,
        hidden,
        getattr(run, "input_node", None),
        around=getattr(run, "goes_around", False),
        numbers_read=getattr(run, "numbers_read", ()),
    )


def examine_path(
    logits_node: Any,
    head_node: Any,
    target_layer: str,
    hidden: Sequence[str] = (),
    input_node: Any = None,
    *,
    around: bool = False,
    numbers_read: Sequence[str] = (),
) -> Guarantee:
    """Say from the operations between two graph nodes whether the guarantee can hold, and why.

    Parameters
    ----------
    logits_node, head_node
        Autograd nodes of the logits and of the target layer's output.
    target_layer
        Its name, for the sentence.
    hidden
        Calls between the two that hide from gradients that they depend on the layer.
    input_node
        Of the network's input, on the same graph; None where that is not known. What reaches
        the scores around the layer would be counted as bias, though it comes from the image.
    around
        True if it is known that something does, be it unseen by gradients.
    numbers_read
        Calls by which Python read numbers that come from the image.
    """
    found = None if logits_node is None else non_affine_operations(logits_node, head_node)
    if found is None:
        return _local(f"no gradient leads from the scores to the output of {target_layer}")
    found = list(dict.fromkeys([*found, *map(_plain, hidden)]))
    if found:
        return _local(
            f"between {target_layer} and the scores lies {' and '.join(found)}, which is not "
            "linear: the maps are a local approximation of the network"
        )
    if around or (input_node is not None and goes_around(logits_node, head_node, input_node)):
        return _local(
            f"part of what the image adds to the scores goes around {target_layer}: its maps "
            "show the rest only"
        )
    if numbers_read:
        return _local(
            f"whether it holds cannot be checked: the network reads numbers out of the image "
            f"({', '.join(numbers_read)}), and where they go cannot be followed"
        )
    guarantee = Guarantee(
        GuaranteeState.EXACT,
        f"everything between {target_layer} and the scores is linear, so HiResCAM splits each "
        "score over the places it came from",
    )
    pooled = pools_over_all_cells(logits_node, head_node)
    return guarantee.with_same_picture() if pooled else guarantee


def pools_over_all_cells(logits_node: Any, head_node: Any) -> bool:
    """True if all that reads an activation begins by averaging it over its whole grid.

    Read off the graph, and only for a pooling that leaves one number per feature map: then the
    gradient is uniform, and Grad-CAM is HiResCAM. Where slices ride on the batch axis each has
    a mean of its own; then they must go on alike until they are averaged or summed.
    """
    path = path_nodes(logits_node, head_node)
    readers = [node for node in path if head_node in inputs_of(node)]
    if not readers or not all(_is_global_mean(node, head_node) for node in readers):
        return False
    shape = head_node._input_metadata[0].shape
    return len(shape) == 5 or shape[0] == 1 or _slices_count_alike(path, readers, shape[0])


def _is_global_mean(node: Any, head_node: Any) -> bool:
    shape = head_node._input_metadata[0].shape
    ndim = len(shape)
    name = operation_name(node)
    if name == "Mean":
        dims = {dim % ndim for dim in map(_signed, getattr(node, "_saved_dim", None) or ())}
        return dims >= set(range(2, ndim)) and 1 not in dims
    if name.startswith("AdaptiveAvgPool"):
        return all(length == 1 for length in node._input_metadata[0].shape[2:])
    if name.startswith("AvgPool"):
        # One window, which must reach over all cells: a smaller one leaves some of them out.
        reached = (
            kernel - padding
            for kernel, padding in zip(node._saved_kernel_size, node._saved_padding, strict=True)
        )
        one = all(length == 1 for length in node._input_metadata[0].shape[2:])
        return one and all(r >= n for r, n in zip(reached, shape[2:], strict=True))
    return False


#: Do the same to each slice, or leave it where it is.
_SAME_FOR_ALL_SLICES = frozenset(
    [
        "Add",
        "Addmm",
        "Alias",
        "Clone",
        "Linear",
        "Mm",
        "Neg",
        "ReshapeAlias",
        "Squeeze",
        "Sub",
        "ToCopy",
        "Unsqueeze",
        "UnsafeView",
        "View",
    ]
)


def _slices_count_alike(path: Sequence[Any], readers: Sequence[Any], slices: int) -> bool:
    """True if slices, pooled each for itself, are treated alike until a mean or sum over them."""

    def by_slice(node: Any) -> bool:
        shape = tuple(node._input_metadata[0].shape)
        return shape[:1] == (slices,) or shape[:2] == (1, slices)

    apart = {node for node in readers if by_slice(node)}
    for node in reversed(path):
        if node in readers or not any(before in apart for before in inputs_of(node)):
            continue
        name = operation_name(node)
        if by_slice(node):
            apart.add(node)
        if name not in {"Mean", "Sum"} and not (name in _SAME_FOR_ALL_SLICES and by_slice(node)):
            return False
    return path[0] not in apart


def _signed(dim: int) -> int:
    # The graph stores negative dimensions as unsigned numbers.
    return dim - 2**64 if dim >= 2**63 else dim


def probe_head(
    captured: Captured, target_layer: str, *, rounding: float = 1e-5
) -> tuple[Guarantee, FloatArray]:
    """Put the head to the test, and find its bias.

    For an affine head f, f(0) is the bias, whatever layers it comes from, and
    f(-A) = 2 f(0) - f(A), f(A / 2) = (f(A) + f(0)) / 2, f(A + B) = f(A) + f(B) - f(0) where B
    is A with its values in other places. None is used to make the maps, so that the check of
    sum(HiResCAM) + f(0) against the logit can fail.

    Parameters
    ----------
    captured
        The activation A, the logits f(A) and the head f.
    target_layer
        Its name, for the sentence.
    rounding
        Relative error of a sum in the precision the head computes in.

    Returns
    -------
    The guarantee, and the bias [K] (NaN where the head is not affine).
    """
    import torch

    from napari_hirescam.models.head import HeadCannotBeReplayedError

    unknown: FloatArray = np.full(captured.logits.shape[1], np.nan)
    guarantee = examine_head(captured, target_layer)
    if not guarantee.holds:
        return guarantee, unknown
    activation = captured.activation.detach()
    moved = _moved(activation)
    try:
        with torch.no_grad():
            bias, negated, halved, of_moved, of_sum = (
                captured.head(other).double().cpu().numpy()[0]
                for other in (
                    torch.zeros_like(activation),
                    -activation,
                    activation / 2,
                    moved,
                    activation + moved,
                )
            )
    except HeadCannotBeReplayedError as exc:
        return _local(f"whether it holds cannot be checked for this network: {exc}"), unknown
    scores = captured.logits.detach().double().cpu().numpy()[0]
    size = max(np.abs(scores - bias).max(), np.abs(of_moved - bias).max())
    slack = rounding * max(np.abs(scores).max(), np.abs(bias).max(), np.abs(of_moved).max())
    astray = max(
        np.abs(negated - (2 * bias - scores)).max(),
        2 * np.abs(halved - (scores + bias) / 2).max(),
        np.abs(of_sum - (scores + of_moved - bias)).max(),
    )
    if not astray <= max(_PROBE_TOLERANCE, rounding) * size + slack:
        return (
            _local(
                f"the scores do not follow the output of {target_layer} in proportion (put to "
                f"the test, they are off by {astray:.2g}): the maps are a local approximation"
            ),
            unknown,
        )
    return guarantee, bias


def _moved(activation: Tensor) -> Tensor:
    """Give each value of an activation another place and feature, the same way every time."""
    flat = activation.flatten()
    return flat.flip(0).roll(len(flat) // 3 + 1).reshape(activation.shape)


def _plain(name: str) -> str:
    return PLAIN_WORDS.get(name, name.strip("_"))


def _local(reason: str) -> Guarantee:
    return Guarantee(GuaranteeState.LOCAL, reason)

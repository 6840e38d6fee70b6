"""The mask loss: attention to cells outside a label's organs costs.

Draelos & Carin, arXiv 2011.08891v2 and 2111.12215. The attention is signed, neither rectified
nor scaled: below zero it costs little, so a network may use other organs against a label, but
not for it. Inside the allowed region nothing is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Penalty = Literal["softplus", "l2"]
PENALTIES: tuple[Penalty, ...] = ("softplus", "l2")
Pooling = Literal["cells", "labels"]


def mask_loss(
    attention: Tensor,
    allowed: Tensor,
    known: Tensor | None = None,
    *,
    penalty: Penalty = "softplus",
    over: Pooling = "cells",
) -> Tensor:
    """Say what the attention outside the allowed cells costs.

    For each CT, over the forbidden cells of all its labels together (paper.md 3):

    - ``softplus``: the mean of ``log(1 + exp(attention))``, which is the binary cross-entropy
      with the attention as logit and zero as target; ln 2 for a network without any attention.
    - ``l2``: the Euclidean norm of the attention there.

    The costs of a batch are averaged over its CTs, so that one step on B of them is B
    accumulated steps on one, as in the paper.

    Parameters
    ----------
    attention
        Raw signed maps [B, K, d, h, w] with their graph.
    allowed
        bool of the same shape; all False for a label that is absent.
    known
        bool [B, K]; labels that are not known for a CT do not count. None if all are.
    penalty
        What a forbidden cell costs.
    over
        "cells": all forbidden cells of a CT count alike, as in the paper. "labels": each label's
        mean first, so that a present label, which has fewer of them, weighs as much as an
        absent one.

    Returns
    -------
    Scalar in single precision at least, with a graph; 0 where no cell is forbidden.

    Raises
    ------
    ValueError
        If the shapes do not fit together, or the penalty or pooling is unknown.
    """
    import torch

    _require_shapes(attention, allowed, known)
    forbidden = ~allowed
    if known is not None:
        forbidden = forbidden & known[:, :, None, None, None]
    # Half precision would sum hundreds of thousands of cells to an infinity.
    values = attention.float() if attention.dtype.itemsize < 4 else attention
    if over == "labels":
        forbidden, values = forbidden.flatten(2), values.flatten(2)
    elif over == "cells":
        forbidden, values = forbidden.flatten(1)[:, None], values.flatten(1)[:, None]
    else:
        raise ValueError(f"unknown pooling {over!r}; known are cells, labels")
    # Chosen before the penalty: what an allowed cell holds, an infinity even, has no say.
    values = torch.where(forbidden, values, 0.0)
    count = forbidden.sum(dim=2)
    if penalty == "softplus":
        costs = torch.where(forbidden, torch.nn.functional.softplus(values), 0.0).sum(dim=2)
        costs = costs / count.clamp(min=1)
    elif penalty == "l2":
        costs = torch.linalg.vector_norm(values, dim=2)
    else:
        raise ValueError(f"unknown penalty {penalty!r}; known are {', '.join(PENALTIES)}")
    with_cells = (count > 0).sum(dim=1).clamp(min=1)
    return (costs.sum(dim=1) / with_cells).mean()


def _require_shapes(attention: Tensor, allowed: Tensor, known: Tensor | None) -> None:
    import torch

    if attention.ndim != 5 or attention.shape != allowed.shape:
        raise ValueError(
            f"attention {list(attention.shape)} and allowed cells {list(allowed.shape)} must both "
            "be [B, K, d, h, w]"
        )
    if known is not None and known.shape != attention.shape[:2]:
        raise ValueError(
            f"known labels {list(known.shape)} must be {list(attention.shape[:2])}, as the maps are"
        )
    if allowed.dtype != torch.bool or (known is not None and known.dtype != torch.bool):
        raise ValueError("allowed cells and known labels must be bool")

"""What is measured over an epoch, summed over cases and processes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_hirescam.training.loading import Batch

if TYPE_CHECKING:
    from lightning.pytorch.strategies import Strategy

_UNKNOWN = -1
# The sums: loss, class loss, mask loss, CTs; share of attention inside, maps it was measured on.
_LOSSES = 4
_ALL = 6


class EpochSums:
    """Losses and shares of an epoch so far.

    Held on the device in double precision (where it has that): asking for a number at each step
    would make the accelerator wait.
    """

    def __init__(self) -> None:
        self._sums: Tensor | None = None

    def clear(self) -> None:
        """Begin anew."""
        self._sums = None

    def load(self, sums: Tensor) -> None:
        """Go on from earlier sums."""
        self._sums = sums

    def add(
        self, loss: Tensor, class_loss: Tensor, mask: Tensor, counts: Tensor | None = None
    ) -> None:
        """Add the losses [B] of a batch; `counts` is False for CTs that only fill it up."""
        sums = self._on(loss.device)
        weight = torch.ones_like(loss) if counts is None else counts.to(loss.dtype)
        each = torch.stack([loss, class_loss, mask, torch.ones_like(loss)]).detach()
        sums[:_LOSSES] += (each * weight).to(sums.dtype).sum(dim=1)

    def add_share_inside(self, maps: Tensor, batch: Batch) -> None:
        """Add the share of positive attention inside the allowed cells, of present labels."""
        if batch.allowed is None or batch.judged is None:
            return
        positive = maps.detach().float().clamp(min=0).flatten(2)
        all_of_it = positive.sum(dim=2)
        inside = (positive * batch.allowed.flatten(2)).sum(dim=2)
        shown = (batch.targets > 0) & batch.judged & (all_of_it > 0) & batch.counts[:, None]
        sums = self._on(maps.device)
        share = torch.where(shown, inside / all_of_it.clamp(min=1e-30), 0.0)
        sums[_LOSSES:] += torch.stack([share.sum(), shown.sum()]).to(sums.dtype)

    def reduced(self, strategy: Strategy) -> Tensor:
        """Sum over all processes; on the CPU."""
        sums = self._on(strategy.root_device).clone()
        total: Tensor = strategy.reduce(sums, reduce_op="sum")
        return total.cpu()

    def figures(self, split: str, strategy: Strategy) -> dict[str, float]:
        """Work out the means under their names; NaN for a mean of nothing."""
        loss, class_loss, mask, cases, share, shown = self.reduced(strategy).tolist()
        found = {
            f"{split}_loss": _mean(loss, cases),
            f"{split}_class_loss": _mean(class_loss, cases),
            f"{split}_mask_loss": _mean(mask, cases),
        }
        if shown:
            found[f"{split}_share_inside"] = share / shown
        return found

    def _on(self, device: torch.device) -> Tensor:
        kind = torch.float32 if device.type == "mps" else torch.float64
        if self._sums is None:
            self._sums = torch.zeros(_ALL, dtype=kind, device=device)
        self._sums = self._sums.to(device, kind)
        return self._sums


class LabelScores:
    """Scores of a validation split, for the AUROC of each label."""

    def __init__(self, labels: tuple[str, ...]) -> None:
        self._labels = labels
        self._scores: list[Tensor] = []
        self._targets: list[Tensor] = []

    def clear(self) -> None:
        """Begin anew."""
        self._scores, self._targets = [], []

    def add(self, logits: Tensor, batch: Batch) -> None:
        """Note the logits [B, K] of a batch."""
        counts = batch.known & batch.counts[:, None]
        self._scores.append(logits.detach().float().cpu())
        self._targets.append(torch.where(counts, batch.targets.long(), _UNKNOWN).cpu())

    def figures(self, split: str, strategy: Strategy) -> dict[str, float]:
        """Work out the AUROC of each label, NaN where one kind is missing, and their mean."""
        from torchmetrics.functional.classification import binary_auroc

        scores = _of_all(torch.cat(self._scores), strategy)
        targets = _of_all(torch.cat(self._targets), strategy)
        found = {}
        for k, label in enumerate(self._labels):
            counts = targets[:, k] != _UNKNOWN
            of_label, score = targets[counts, k], scores[counts, k]
            both = 0 < int(of_label.sum()) < len(of_label)
            # Ranks of logits are those of probabilities, but for the ties that rounding makes.
            found[f"{split}_auroc/{label}"] = (
                float(binary_auroc(_ranks(score), of_label)) if both else math.nan
            )
        defined = [value for value in found.values() if not math.isnan(value)]
        return {f"{split}_auroc": _mean(sum(defined), len(defined)), **found}


def _ranks(scores: Tensor) -> Tensor:
    """Scores as ranks in [0, 1]: torchmetrics would squash logits, and saturate."""
    ranks: Tensor = torch.unique(scores, return_inverse=True)[1]
    return ranks.double() / max(int(ranks.max()), 1)


def _of_all(values: Tensor, strategy: Strategy) -> Tensor:
    """Join the rows of all processes, which have equally many."""
    gathered: Tensor = strategy.all_gather(values.to(strategy.root_device))
    return gathered.reshape(-1, *values.shape[1:]).cpu()


def _mean(total: float, count: float) -> float:
    return total / count if count else math.nan

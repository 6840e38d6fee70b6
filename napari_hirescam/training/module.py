"""The training step as Lightning wants it: losses, optimizer, what is measured on the way."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional

from napari_hirescam.training.attention import TrainableAttention
from napari_hirescam.training.loading import Batch
from napari_hirescam.training.mask_loss import mask_loss
from napari_hirescam.training.measures import EpochSums, LabelScores
from napari_hirescam.training.samples import Unreadable
from napari_hirescam.training.settings import TrainingSettings

# Large primes: seeds of neighbouring steps and processes must not be neighbours' neighbours.
_STEP_STRIDE, _RANK_STRIDE = 1_000_003, 7_919


class TrainingModule(LightningModule):
    """Binary cross-entropy over the known labels + lambda x mask loss.

    Each CT's loss is the mean over its known labels plus lambda x its mask loss; a batch's is the
    mean over its CTs, so that nothing depends on how CTs are dealt out to passes and processes.

    Parameters
    ----------
    network
        The network that is trained; its state dict is the model's.
    attention
        Scores and maps of that network.
    settings
        Of the training.
    labels
        In the order of the outputs.
    positive_weights
        [K], what a present label weighs against an absent one.
    total_steps
        Steps of all epochs, for the schedule.
    """

    def __init__(
        self,
        network: nn.Module,
        attention: TrainableAttention,
        settings: TrainingSettings,
        labels: tuple[str, ...],
        positive_weights: Tensor,
        total_steps: int,
    ) -> None:
        super().__init__()
        self.network = network
        self.attention = attention
        self.settings = settings
        self.labels = labels
        self.total_steps = total_steps
        self.positive_weights: Tensor
        self.register_buffer("positive_weights", positive_weights, persistent=False)
        self.train_sums = EpochSums()
        self.valid_sums = EpochSums()
        self.scores = LabelScores(labels)
        self.figures: dict[str, float] = {}
        self.doubts: dict[str, tuple[str, ...]] = {}

    def losses(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Work out a batch's losses.

        Returns
        -------
        Per CT [B] the class loss and the mask loss, the logits [B, K], and the attention
        [B, K, d, h, w] (None without a mask loss).
        """
        maps = None
        if batch.allowed is None:
            logits = self.attention.logits(batch.tensor)
        else:
            logits, maps = self.attention(batch.tensor)
        logits = logits.float()
        known = batch.known.float()
        per_label = functional.binary_cross_entropy_with_logits(
            logits, batch.targets, pos_weight=self.positive_weights, reduction="none"
        )
        class_loss = (per_label * known).sum(dim=1) / known.sum(dim=1).clamp(min=1)
        outside = torch.zeros_like(class_loss)
        if maps is not None and batch.allowed is not None and batch.judged is not None:
            penalty = self.settings.loss.kind
            outside = torch.stack(
                [
                    mask_loss(maps[k], batch.allowed[k], batch.judged[k], penalty=penalty)
                    for k in [slice(k, k + 1) for k in range(len(maps))]
                ]
            )
        return class_loss, outside, logits, maps

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        """Let dropout's draws depend on where in the training they are, and on nothing before."""
        place = self.current_epoch * _STEP_STRIDE + batch_idx
        torch.manual_seed(self.settings.seed + place + self.global_rank * _RANK_STRIDE)

    def training_step(self, batch: list[Batch] | Unreadable, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Work out the loss of one pass."""
        batches = _readable(batch)
        total = sum(len(part.cases) for part in batches)
        loss = torch.zeros((), device=self.device)
        for part in batches:
            class_loss, outside, _, _ = self.losses(part)
            each = class_loss + self.settings.loss.mask_weight * outside
            loss = loss + each.sum() / total
            self.train_sums.add(each, class_loss, outside)
            self._remember_doubts(part)
        return loss

    def validation_step(self, batch: list[Batch] | Unreadable, batch_idx: int) -> None:  # noqa: ARG002
        """Note losses, scores, and how much of the attention lies inside."""
        for part in _readable(batch):
            class_loss, outside, logits, maps = self.losses(part)
            each = class_loss + self.settings.loss.mask_weight * outside
            self.valid_sums.add(each, class_loss, outside, part.counts)
            self.scores.add(logits, part)
            if maps is not None:
                self.valid_sums.add_share_inside(maps, part)
            self._remember_doubts(part)

    def on_validation_epoch_end(self) -> None:
        """Sum up the validation split, over all processes."""
        losses = self.valid_sums.figures("valid", self.trainer.strategy)
        # Single precision is what early stopping compares in; the best epoch must be its best.
        seen = torch.tensor(losses["valid_loss"], dtype=torch.float32)
        losses["valid_loss"] = float(seen)
        self.figures.update(losses)
        self.figures.update(self.scores.figures("valid", self.trainer.strategy))
        self.valid_sums.clear()
        self.scores.clear()
        # What early stopping looks at.
        self.log("valid_loss", seen)

    def on_train_epoch_start(self) -> None:
        """Begin an epoch's sums; not called where an epoch is gone on with."""
        self.figures = {}
        self.train_sums.clear()

    def on_train_epoch_end(self) -> None:
        """Sum up the training split, over all processes."""
        self.figures.update(self.train_sums.figures("train", self.trainer.strategy))
        for logger in self.loggers:
            logger.log_metrics(self.figures, step=self.current_epoch)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take along what has been summed up in this epoch."""
        checkpoint["train_sums"] = self.train_sums.reduced(self.trainer.strategy)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on summing up; one process holds what all had."""
        if self.global_rank == 0:
            self.train_sums.load(checkpoint["train_sums"])

    def configure_optimizers(self) -> Any:
        """Make optimizer and schedule."""
        chosen = self.settings.optimizer
        weights = [p for p in self.network.parameters() if p.requires_grad]
        rate, decay = chosen.learning_rate, chosen.weight_decay
        optimizer: torch.optim.Optimizer
        if chosen.name == "sgd":
            optimizer = torch.optim.SGD(weights, rate, chosen.momentum, weight_decay=decay)
        elif chosen.name == "adam":
            optimizer = torch.optim.Adam(weights, rate, weight_decay=decay)
        else:
            optimizer = torch.optim.AdamW(weights, rate, weight_decay=decay)
        if chosen.schedule == "constant":
            return optimizer
        warmup = round(chosen.warmup_share * self.total_steps)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: share_of_rate(step, warmup, self.total_steps)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _remember_doubts(self, batch: Batch) -> None:
        self.doubts.update(
            (case, of) for case, of in zip(batch.cases, batch.doubts, strict=True) if of
        )


def share_of_rate(step: int, warmup: int, total: int) -> float:
    """Share of the learning rate at a step: a straight rise, then half a cosine down to 0."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = (step - warmup) / max(total - warmup, 1)
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def _readable(batch: list[Batch] | Unreadable) -> list[Batch]:
    if isinstance(batch, Unreadable):
        raise batch.error
    return batch

"""Training networks of single images with Lightning: the experiments whose data are no CTs.

:mod:`napari_hirescam.training` trains on cases, each a CT with its organs. Slices of a few
patients by the batch, and photographs, have no such cases; loss and attention are the same.
"""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from napari_hirescam.attention.stopping import Progress, ShouldStop
from napari_hirescam.errors import AttributionError, Cancelled
from napari_hirescam.training.attention import TrainableAttention
from napari_hirescam.training.machine import quiet_lightning, torch_as_found
from napari_hirescam.training.mask_loss import mask_loss
from napari_hirescam.training.settings import RunSettings


@dataclass(frozen=True)
class ImageTraining:
    """How a network of images is trained.

    Parameters
    ----------
    epochs
        Passes over the images; their number is fixed beforehand.
    batch_size
        Images per step.
    learning_rate
        Of the optimizer.
    optimizer
        'adam' or 'sgd'.
    mask_weight
        lambda: what the mask loss weighs against the classification.
    flips
        Whether each image, with its allowed cells, is mirrored left to right half of the time.
    seed
        Of the order of the images and of flips.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: Literal["adam", "sgd"] = "adam"
    mask_weight: float = 0.0
    flips: bool = False
    seed: int = 0


def train_on_images(
    network: nn.Module,
    images: Dataset[Any],
    settings: ImageTraining,
    *,
    attention: TrainableAttention | None = None,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> None:
    """Train a network in place: binary cross-entropy + lambda x mask loss.

    Parameters
    ----------
    network
        Returns logits [B, K]; left in evaluation mode on the CPU.
    images
        Items (image [C, h, w], target float [K]) or, with a mask loss, (image, target, allowed
        bool [K, d, h, w]).
    settings
        Optimizer, length, seed.
    attention
        Of the network, at the scale that the mask loss is to have; needed where
        `settings.mask_weight` is above 0.
    progress, should_stop
        Told of and asked at each step.

    Raises
    ------
    Cancelled
        `should_stop` said so.
    AttributionError
        The loss is no number any more.
    """
    if settings.mask_weight and attention is None:
        raise ValueError("a mask loss needs attention")
    if not isinstance(images, Sized):
        raise TypeError("the number of images must be known")
    module = _Module(network, settings, attention if settings.mask_weight else None)
    loader: DataLoader[Any] = DataLoader(
        images,
        batch_size=settings.batch_size,
        shuffle=True,
        # A batch of one image has no statistics that batch norm could use.
        drop_last=len(images) % settings.batch_size == 1,
        generator=torch.Generator().manual_seed(settings.seed),
    )
    with quiet_lightning(), torch_as_found(RunSettings()):
        torch.manual_seed(settings.seed)
        trainer = Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=settings.epochs,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[_Listener(progress, should_stop, settings.epochs * len(loader))],
        )
        trainer.fit(module, loader)
    network.cpu().eval()


class _Module(LightningModule):
    """The losses of a batch of images, and the optimizer."""

    def __init__(
        self, network: nn.Module, settings: ImageTraining, attention: TrainableAttention | None
    ) -> None:
        super().__init__()
        self.network = network
        self.settings = settings
        self.attention = attention

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Work out the loss of one step."""
        batch = self._mirrored(batch) if self.settings.flips else batch
        given, target = batch[0], batch[1]
        if self.attention is None:
            loss = functional.binary_cross_entropy_with_logits(self.network(given), target)
        else:
            logits, maps = self.attention(given)
            outside = mask_loss(maps, batch[2])
            loss = functional.binary_cross_entropy_with_logits(logits, target)
            loss = loss + self.settings.mask_weight * outside
        if not torch.isfinite(loss):
            raise AttributionError(
                "training",
                f"the loss is no number any more at step {batch_idx} of an epoch",
                "Lower the learning rate",
            )
        return loss

    def _mirrored(self, batch: list[Tensor]) -> list[Tensor]:
        """Mirror half of the images along their last axis, and their allowed cells with them."""
        flip = torch.rand(len(batch[0]), device=batch[0].device) < 0.5
        return [
            part
            if part.ndim == 2  # the targets
            else torch.where(flip.view(-1, *[1] * (part.ndim - 1)), part.flip(-1), part)
            for part in batch
        ]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Make the optimizer of all weights."""
        settings = self.settings
        weights = self.network.parameters()
        if settings.optimizer == "sgd":
            return torch.optim.SGD(weights, lr=settings.learning_rate)
        return torch.optim.Adam(weights, lr=settings.learning_rate)


class _Listener(Callback):
    """Tells of each step, and stops when asked."""

    def __init__(
        self, progress: Progress | None, should_stop: ShouldStop | None, total: int
    ) -> None:
        self._progress = progress
        self._should_stop = should_stop
        self._total = total

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if self._progress is not None:
            self._progress(trainer.global_step, self._total)
        if self._should_stop is not None and self._should_stop():
            raise Cancelled("the training was stopped")

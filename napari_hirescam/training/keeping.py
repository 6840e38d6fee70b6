"""What is kept of a training while it runs, so that no moment of it can be lost twice."""

from __future__ import annotations

import hashlib
import io
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor

from napari_hirescam.errors import Cancelled, SettingsError
from napari_hirescam.training.loading import EpochSampler
from napari_hirescam.training.module import TrainingModule
from napari_hirescam.training.result import EpochRecord
from napari_hirescam.training.run_folder import (
    LAST,
    best_weights,
    records_of,
    write_log,
    write_whole,
)

# Passes between two looks at the loss on an accelerator, which has to be waited for.
_LOOK_EVERY = 50
# A checkpoint just before validation costs little beside what it saves, from this age on.
_OLD_CHECKPOINT_S = 60.0


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all, and reads nothing from it but numbers."""

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | Path,
        storage_options: Any | None = None,  # noqa: ARG002
    ) -> None:
        """Write beside the place, see it on the disk, rename."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_whole(Path(path), buffer.getvalue())


class Keeper(Checkpoint):
    """Saves checkpoints and best weights, writes the log, tells of progress, and stops on demand.

    Parameters
    ----------
    out
        The training's folder.
    samplers
        Of the training and the validation split; the first goes on where the checkpoint was made.
    batch_size
        Cases of a pass in this process.
    run
        Hash of all that the result depends on.
    every_n_steps
        Checkpoints between the ends of epochs.
    progress, report, should_stop
        As :func:`training.train` takes them.
    """

    def __init__(
        self,
        out: Path,
        samplers: tuple[EpochSampler, EpochSampler],
        batch_size: int,
        run: str,
        *,
        every_n_steps: int | None = None,
        progress: Callable[[int, int], None] | None = None,
        report: Callable[[EpochRecord], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> None:
        self._out = out
        self._folder = out / "checkpoints"
        self._samplers = samplers
        self._batch_size = batch_size
        self._run = run
        self._every = every_n_steps
        self._progress = progress
        self._report = report
        self._should_stop = should_stop
        self._saved_at = time.monotonic()
        self._kept: dict[str, Any] = {
            "run": run,
            "epoch": 0,
            "passes": 0,
            "history": [],
            "best_epoch": -1,
            "best_loss": math.inf,
            "best_sha256": "",
            "doubts": {},
            "finished": False,
            "stopped_early": False,
        }

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Deal the cases out, now that this process knows which it is."""
        for sampler in self._samplers:
            sampler.deal(trainer.global_rank)

    def state_dict(self) -> dict[str, Any]:
        """Plain values, so that a checkpoint can be read without running anything."""
        return self._kept

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint: Lightning restores its own counters, not the cases' order."""
        self._kept = state_dict
        self._samplers[0].resume(self._kept["epoch"], self._kept["passes"] * self._batch_size)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Tell of progress; save; stop if asked."""
        passes = int(trainer.num_training_batches)
        done, accumulate = batch_idx + 1, trainer.accumulate_grad_batches
        if trainer.is_global_zero and self._progress is not None:
            epochs = trainer.max_epochs or 1
            self._progress(trainer.current_epoch * passes + done, epochs * passes)
        if trainer.strategy.root_device.type == "cpu" or done % _LOOK_EVERY == 0:
            _require_finite(float(outputs["loss"]), trainer)
        stop = self._asked_to_stop(trainer)
        # After the last pass of an epoch Lightning would go on behind the validation; between
        # the passes of one step the gradients so far would be lost.
        if done < passes and done % accumulate == 0:
            due = self._every is not None and trainer.global_step % self._every == 0
            old = time.monotonic() - self._saved_at > _OLD_CHECKPOINT_S
            before_validation = done + accumulate >= passes and _any(trainer, yes=old)
            if due or stop or before_validation:
                self._kept |= {"epoch": trainer.current_epoch, "passes": done}
                self._save(trainer)
            if stop:
                raise Cancelled("the training was stopped")

    def on_validation_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Stop if asked; the epoch is gone on with from its last checkpoint."""
        if self._asked_to_stop(trainer):
            raise Cancelled("the training was stopped")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the epoch: its figures, its weights if they are the best, a checkpoint, the log."""
        if not isinstance(pl_module, TrainingModule):
            raise TypeError(f"a TrainingModule is kept, not a {type(pl_module).__name__}")
        epoch, figures = trainer.current_epoch, dict(pl_module.figures)
        _require_finite(figures["valid_loss"], trainer)
        is_best = figures["valid_loss"] < self._kept["best_loss"]
        weights = trainer.strategy.lightning_module_state_dict()
        if is_best:
            self._kept |= {"best_epoch": epoch, "best_loss": figures["valid_loss"]}
            if trainer.is_global_zero:
                self._kept["best_sha256"] = self._write_weights(weights, epoch)
        entry = {"epoch": epoch, "figures": figures, "is_best": is_best}
        self._kept |= {
            "history": [*self._kept["history"], entry],
            "epoch": epoch + 1,
            "passes": 0,
            "finished": trainer.should_stop or epoch + 1 == trainer.max_epochs,
            "stopped_early": any(c.stopped_epoch > 0 for c in trainer.early_stopping_callbacks),
        }
        self._save(trainer)
        if trainer.is_global_zero:
            for file in self._folder.glob("best-*.safetensors"):
                if file != best_weights(self._out, self._kept["best_epoch"]):
                    file.unlink(missing_ok=True)
            write_log(self._out, self._kept)
            if self._report is not None:
                self._report(records_of(self._kept)[-1])

    def _save(self, trainer: Trainer) -> None:
        module = trainer.lightning_module
        if isinstance(module, TrainingModule):
            self._kept["doubts"] = self._kept["doubts"] | _joined(module.doubts)
        trainer.save_checkpoint(self._folder / LAST)
        self._saved_at = time.monotonic()

    def _write_weights(self, state: dict[str, Tensor], epoch: int) -> str:
        from safetensors.torch import save

        own = {
            name.removeprefix("network."): value.detach().cpu().contiguous()
            for name, value in state.items()
            if name.startswith("network.")
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        content = save(own)
        write_whole(best_weights(self._out, epoch), content)
        return hashlib.sha256(content).hexdigest()

    def _asked_to_stop(self, trainer: Trainer) -> bool:
        # A scheduler that wants its machine back sends SIGTERM; Lightning notes it.
        asked = self._should_stop is not None and self._should_stop()
        asked = asked or trainer.received_sigterm
        return _any(trainer, yes=asked)


def _joined(doubts: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Join what the processes know."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return doubts
    gathered: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(gathered, doubts)
    return {case: of for part in gathered for case, of in part.items()}


def _any(trainer: Trainer, *, yes: bool) -> bool:
    """Agree among the processes: all must save or stop at the same step."""
    if trainer.world_size == 1:
        return yes
    return trainer.strategy.reduce_boolean_decision(yes, all=False)


def _require_finite(loss: float, trainer: Trainer) -> None:
    if not math.isfinite(loss):
        raise SettingsError(
            "training",
            f"the loss became {loss} in epoch {trainer.current_epoch + 1}, step "
            f"{trainer.global_step}",
            "Lower optimizer.learning_rate, clip the gradient (optimizer.gradient_clip), or use "
            "precision '32'",
        )

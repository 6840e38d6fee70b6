"""A planned training carried out by Lightning."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks.early_stopping import EarlyStopping

from napari_hirescam.attention.result import Guarantee
from napari_hirescam.errors import Cancelled, SettingsError
from napari_hirescam.review.reviewed_case import ReviewedCase
from napari_hirescam.training.attention import TrainableAttention
from napari_hirescam.training.cohort import positive_weights
from napari_hirescam.training.keeping import Keeper, WholeCheckpoints
from napari_hirescam.training.loading import EpochSampler, make_loader
from napari_hirescam.training.module import TrainingModule
from napari_hirescam.training.plan import Listeners, Plan
from napari_hirescam.training.regions import CellPlaces
from napari_hirescam.training.run_folder import LAST
from napari_hirescam.training.sample_cache import SampleCache
from napari_hirescam.training.samples import CaseSamples, SampleMaker, Unreadable

# What the result does not depend on, or what it depends on through what was made of it.
_NOT_OF_THE_RESULT = {
    "run": {"checkpoint_every_n_steps", "tensorboard", "accelerator", "strategy", "threads"},
    "data": {
        *("workers", "cache_ram_gb", "cache_folder", "cache_disk_gb", "read_all_first"),
        *("table", "rad_chestct", "phantoms", "split", "allowed", "allowed_organs"),
    },
    "model": {"start_from", "trunk_weights", "description"},
}
_OF_THE_NETWORK = ("architecture", "input", "output", "target_layer")
_GB = 1e9


class Fit:
    """The Trainer, the loaders and the module of one plan.

    Parameters
    ----------
    plan
        What is to be trained, on what.
    listeners
        Who is told, and who may stop it.
    """

    def __init__(self, plan: Plan, listeners: Listeners) -> None:
        self._plan = plan
        self._listeners = listeners
        settings, spec = plan.settings, plan.classifier.spec
        self._attention = TrainableAttention(
            plan.classifier.network,
            spec.target_layer,
            plan.classifier.input_shape,
            spec.output,
            method=settings.loss.attention,
            scale=settings.loss.scale,
        )
        self._trainer = self._make_trainer()
        self._maker = self._make_maker()

    @cached_property
    def identity(self) -> str:
        """Hash of all that the result depends on, by which a run knows its own checkpoint."""
        plan = self._plan
        settings = plan.settings.model_dump(mode="json")
        for section, names in _NOT_OF_THE_RESULT.items():
            settings[section] = {k: v for k, v in settings[section].items() if k not in names}
        cases = [
            (case.name, case.split, sorted(case.labels.items()), sorted(case.allowed.items()))
            for case in (*plan.train, *plan.valid)
        ]
        # Of a model to start from the settings tell the place alone.
        spec = plan.classifier.spec.model_dump(mode="json")
        begun = [plan.classifier.weights_sha256, *(spec[name] for name in _OF_THE_NETWORK)]
        parts: list[Any] = [settings, plan.table.labels, sorted(plan.allowed.items()), cases, begun]
        # Masks may be corrected between two runs while the cases stay the same.
        corrected = [
            (case.name, case.replaced())
            for case in (*plan.train, *plan.valid)
            if isinstance(case, ReviewedCase)
        ]
        if corrected:
            parts.append(corrected)
        text = json.dumps([*parts, self._trainer.world_size], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def notes(self) -> Iterator[str]:
        """Say what a user should know of the attention that is trained."""
        loss, guarantee = self._plan.settings.loss, self._attention.guarantee
        if loss.mask_weight and not guarantee.holds:
            yield _no_guarantee(guarantee)
        if loss.mask_weight and not self._attention.closed_form:
            yield "The mask loss takes a second derivative for each label, which takes its time."

    def read_all(self) -> None:
        """Read every case once, so that what is wrong with one is known before the first step.

        Raises
        ------
        HirescamError
            A case cannot be used; names it.
        Cancelled
            Somebody asked to stop.
        """
        plan, asked = self._plan, self._listeners.should_stop
        for cases in (plan.train, plan.valid):
            sampler = EpochSampler(len(cases), seed=None)
            with _in_plain_words():
                for batch in self.loader(cases, sampler, flip_seed=None):
                    if isinstance(batch, Unreadable):
                        raise batch.error
                    if asked is not None and asked():
                        raise Cancelled("the training was stopped")

    def run(self, *, go_on: bool) -> None:
        """Train; `go_on` from the last checkpoint.

        Raises
        ------
        HirescamError
            A case cannot be used, the loss is no number any more, the disk or memory is full.
        Cancelled
            Somebody asked to stop, or pressed Ctrl-C.
        """
        plan, settings, trainer = self._plan, self._plan.settings, self._trainer
        processes = trainer.world_size
        train_sampler = EpochSampler(len(plan.train), seed=settings.seed, processes=processes)
        valid_sampler = EpochSampler(len(plan.valid), seed=None, processes=processes)
        if not len(train_sampler):
            raise SettingsError(
                "run.devices",
                f"{processes} processes are too many for {len(plan.train)} training cases",
                "Use fewer devices",
            )
        flip_seed = settings.seed if settings.run.flips else None
        loaders = (
            self.loader(plan.train, train_sampler, flip_seed=flip_seed),
            self.loader(plan.valid, valid_sampler, flip_seed=None),
        )
        steps = -(-len(loaders[0]) // settings.optimizer.accumulate)
        labels = plan.table.labels
        weights = torch.ones(len(labels))
        if settings.loss.class_weights:
            weights = torch.tensor(positive_weights(plan.train, labels))
        module = TrainingModule(
            plan.classifier.network,
            self._attention,
            settings,
            labels,
            weights,
            steps * settings.run.epochs,
        )
        keeper = Keeper(
            plan.out,
            (train_sampler, valid_sampler),
            settings.optimizer.batch_size,
            self.identity,
            every_n_steps=settings.run.checkpoint_every_n_steps,
            progress=self._listeners.progress,
            report=self._listeners.report,
            should_stop=self._listeners.should_stop,
        )
        # Last, so that early stopping has decided before the checkpoint is written.
        callbacks: list[Any] = vars(trainer)["callbacks"]
        callbacks.append(keeper)
        plan.classifier.network.train()
        checkpoint = plan.out / "checkpoints" / LAST if go_on else None
        with _in_plain_words():
            trainer.fit(module, *loaders, ckpt_path=checkpoint, weights_only=True)

    def loader(self, cases: Any, sampler: EpochSampler, *, flip_seed: int | None) -> Any:
        """Make the loader of some cases; with a seed they are flipped."""
        settings = self._plan.settings
        return make_loader(
            CaseSamples(cases, self._maker, flip_seed),
            sampler,
            batch_size=settings.optimizer.batch_size,
            stack=self._plan.classifier.spec.input.layout == "slices",
            workers=settings.data.workers,
            pin=self._trainer.strategy.root_device.type == "cuda",
        )

    def _make_maker(self) -> SampleMaker:
        plan = self._plan
        loss, data = plan.settings.loss, plan.settings.data
        # Two loaders with their workers share what memory there is for the cache.
        readers = max(2 * data.workers, 1) * max(self._trainer.num_devices, 1)
        folder = None if data.cache_folder is None else Path(data.cache_folder).expanduser()
        disk = data.cache_disk_gb * _GB
        places = CellPlaces.of(plan.classifier, loss.placement) if loss.mask_weight else None
        return SampleMaker(
            plan.table.labels,
            plan.classifier.spec.input,
            loss,
            places,
            plan.allowed,
            SampleCache(data.cache_ram_gb * _GB / readers, folder, disk),
        )

    def _make_trainer(self) -> Trainer:
        settings, out = self._plan.settings, self._plan.out
        run, optimizer = settings.run, settings.optimizer
        callbacks: list[Any] = []
        if run.patience is not None:
            callbacks.append(EarlyStopping("valid_loss", patience=run.patience, check_finite=False))
        logger: Any = False
        if run.tensorboard:
            from lightning.pytorch.loggers import TensorBoardLogger

            logger = TensorBoardLogger(out, name="tensorboard", version="")
        try:
            return Trainer(
                max_epochs=run.epochs,
                accelerator=run.accelerator,
                devices=list(run.devices) if isinstance(run.devices, tuple) else run.devices,
                num_nodes=run.num_nodes,
                strategy=run.strategy,
                precision=run.precision,
                accumulate_grad_batches=optimizer.accumulate,
                gradient_clip_val=optimizer.gradient_clip,
                # Some layers have no other road on a GPU, and torch warns of them by name.
                deterministic="warn" if run.deterministic else False,
                callbacks=callbacks,
                plugins=[WholeCheckpoints()],
                logger=logger,
                default_root_dir=out,
                use_distributed_sampler=False,
                num_sanity_val_steps=0,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
        except (MisconfigurationException, TypeError, ValueError, ImportError) as exc:
            raise SettingsError(
                "run",
                f"Lightning refuses accelerator {run.accelerator!r}, devices {run.devices!r}, "
                f"strategy {run.strategy!r}: {' '.join(str(exc).split())}",
                "Change one of them; Lightning's documentation lists what goes together",
            ) from exc


@contextmanager
def _in_plain_words() -> Iterator[None]:
    """Say what Lightning, torch or a loader's process met that is not a fault of the code."""
    try:
        yield
    except SystemExit as exc:
        # Lightning's answer to Ctrl-C.
        raise Cancelled("the training was interrupted") from exc
    except torch.OutOfMemoryError as exc:
        raise SettingsError(
            "training",
            f"the device ran out of memory: {str(exc).splitlines()[0]}",
            "Lower optimizer.batch_size (and raise accumulate), use precision 'bf16-mixed', "
            "or a smaller model.input.shape",
        ) from exc
    except (RuntimeError, ConnectionError) as exc:
        # torch tells of a dead worker, unless it was just handing something over.
        if isinstance(exc, RuntimeError) and "DataLoader worker (pid" not in str(exc):
            raise
        raise SettingsError(
            "data.workers",
            "a process that reads ahead did not live, for want of memory most likely",
            "Lower workers or cache_ram_gb, and go on with --resume; in a script of your own, "
            "train below 'if __name__ == \"__main__\":'",
        ) from exc


def _no_guarantee(guarantee: Guarantee) -> str:
    return (
        "The sum of the attention is not the score here, so that the mask loss moves the "
        f"attention and not surely what the score is made of: {guarantee.reason}."
    )

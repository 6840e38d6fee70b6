"""Which cases a process sees when, and how they become batches."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from napari_hirescam.training.samples import CaseSamples, Draw, Sample, Unreadable

# Samples a worker prepares ahead.
_AHEAD = 2


class EpochSampler(Sampler[Draw]):
    """An order of the cases that depends on seed and epoch only, dealt out to the processes.

    A process of rank r of n takes every n-th case from the r-th on, so that one step of n
    processes sees what n accumulated passes of a single process see. For training, what is left
    over by n is left out of this epoch; for validation, the last round is filled up with draws
    that do not count.

    Parameters
    ----------
    n_cases
        Of the split.
    seed
        Of the order; None keeps the table's.
    processes
        How many there are; :meth:`deal` says which this one is.
    """

    def __init__(self, n_cases: int, *, seed: int | None, processes: int = 1) -> None:
        self._n_cases = n_cases
        self._seed = seed
        self._rank = 0
        self._processes = processes
        self._epoch = 0
        self._skip = 0

    def deal(self, rank: int) -> None:
        """Take the share of one of the processes."""
        self._rank = rank

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass; Lightning calls it."""
        self._epoch = epoch

    def resume(self, epoch: int, done: int) -> None:
        """Let the next pass be that of an epoch without its first `done` cases."""
        self._epoch, self._skip = epoch, done

    def __len__(self) -> int:
        """Count the cases this process takes in a whole epoch."""
        if self._seed is None:
            return -(-self._n_cases // self._processes)
        return self._n_cases // self._processes

    def __iter__(self) -> Iterator[Draw]:
        """Give the draws of an epoch."""
        # Now, not at the first draw: Lightning may say the next epoch's number in between.
        skip, self._skip = self._skip, 0
        return iter(self._draws()[skip:])

    def _draws(self) -> list[Draw]:
        order = np.arange(self._n_cases)
        if self._seed is not None:
            order = np.random.default_rng([self._seed, self._epoch]).permutation(self._n_cases)
        own = order[self._rank :: self._processes][: len(self)]
        draws = [Draw(int(index), self._epoch) for index in own]
        return draws + [Draw(0, self._epoch, counts=False)] * (len(self) - len(draws))


@dataclass(frozen=True)
class Batch:
    """Samples of one shape, stacked.

    Parameters
    ----------
    tensor
        [B, ...] as `TrainableAttention` takes it.
    targets, known, judged
        float32, bool, bool [B, K].
    allowed
        bool [B, K, d, h, w]; like `judged` None without a mask loss.
    counts
        bool [B].
    cases, doubts
        Of each.
    """

    tensor: Tensor
    targets: Tensor
    known: Tensor
    allowed: Tensor | None
    judged: Tensor | None
    counts: Tensor
    cases: tuple[str, ...]
    doubts: tuple[tuple[str, ...], ...]

    def to(self, device: torch.device) -> Batch:
        """Bring the tensors to a device; from pinned memory while the device is at work."""

        def moved(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=True)

        return Batch(
            moved(self.tensor),
            moved(self.targets),
            moved(self.known),
            None if self.allowed is None else moved(self.allowed),
            None if self.judged is None else moved(self.judged),
            moved(self.counts),
            self.cases,
            self.doubts,
        )

    def pin_memory(self) -> Batch:
        """Lay the tensors where an accelerator fetches them faster."""
        return Batch(
            self.tensor.pin_memory(),
            self.targets.pin_memory(),
            self.known.pin_memory(),
            None if self.allowed is None else self.allowed.pin_memory(),
            None if self.judged is None else self.judged.pin_memory(),
            self.counts.pin_memory(),
            self.cases,
            self.doubts,
        )


@dataclass(frozen=True)
class Collate:
    """Stacks samples; CTs of unequal size go one batch each.

    Parameters
    ----------
    stack
        Whether samples get a new axis in front ('slices': their own is the slices'); otherwise
        they are joined along the one they have.
    """

    stack: bool

    def __call__(self, samples: Sequence[Sample | Unreadable]) -> list[Batch] | Unreadable:
        """Make the batches of one pass."""
        groups: dict[tuple[int, ...], list[Sample]] = {}
        for sample in samples:
            if isinstance(sample, Unreadable):
                return sample
            groups.setdefault(tuple(sample.tensor.shape), []).append(sample)
        return [self._batch(group) for group in groups.values()]

    def _batch(self, samples: list[Sample]) -> Batch:
        tensors = [sample.tensor for sample in samples]
        return Batch(
            torch.stack(tensors) if self.stack else torch.cat(tensors),
            torch.from_numpy(np.stack([sample.targets for sample in samples])),
            torch.from_numpy(np.stack([sample.known for sample in samples])),
            _stacked([sample.allowed for sample in samples]),
            _stacked([sample.judged for sample in samples]),
            torch.tensor([sample.counts for sample in samples]),
            tuple(sample.case for sample in samples),
            tuple(sample.doubts for sample in samples),
        )


def _stacked(arrays: Sequence[np.ndarray | None]) -> Tensor | None:
    present = [array for array in arrays if array is not None]
    return torch.from_numpy(np.stack(present)) if present else None


def _let_ctrl_c_pass(_worker: int) -> None:
    """Stay at work: a terminal sends Ctrl-C to all, and the training itself ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def make_loader(
    samples: CaseSamples,
    sampler: EpochSampler,
    *,
    batch_size: int,
    stack: bool,
    workers: int,
    pin: bool,
) -> DataLoader[Sample | Unreadable]:
    """Make the loader of a split.

    Workers stay over the epochs, with what they hold in memory, and are spawned: a fork of a
    process in which torch has threads can hang.
    """
    return DataLoader(
        samples,  # type: ignore[arg-type]  # draws for indices
        batch_size=batch_size,
        sampler=sampler,
        collate_fn=Collate(stack),
        num_workers=workers,
        persistent_workers=workers > 0,
        prefetch_factor=_AHEAD if workers else None,
        multiprocessing_context="spawn" if workers else None,
        worker_init_fn=_let_ctrl_c_pass if workers else None,
        pin_memory=pin,
    )

"""From a case to what a training step takes; picklable, so that worker processes can do it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_hirescam import __version__
from napari_hirescam.cases import Case
from napari_hirescam.errors import CaseTableError, HirescamError
from napari_hirescam.models.preprocess import ModelInput, WindowHU, prepare_ct
from napari_hirescam.models.spec import InputSpec
from napari_hirescam.models.window import model_grid, place_window
from napari_hirescam.training.flips import draw_flip
from napari_hirescam.training.regions import (
    CellPlaces,
    allowed_on_cells,
    labels_that_count,
    masks_on_cells,
)
from napari_hirescam.training.sample_cache import SampleCache
from napari_hirescam.training.settings import LossSettings
from napari_hirescam.volume import Grid, Volume

if TYPE_CHECKING:
    from torch import Tensor


class Draw(NamedTuple):
    """Which case is wanted, in which epoch, and whether it counts (or only fills a batch)."""

    case: int
    epoch: int
    counts: bool = True


class Sample(NamedTuple):
    """One CT as a training step takes it.

    Parameters
    ----------
    case
        Its name.
    tensor
        What the network is given; see :class:`~napari_hirescam.models.preprocess.ModelInput`.
    targets
        float32 [K], 1 where a label is present.
    known
        bool [K].
    allowed
        bool [K, d, h, w]; None without a mask loss.
    judged
        bool [K], labels that the mask loss can judge; None without one.
    counts
        False if it only fills up a batch.
    doubts
        What speaks against its organ regions.
    """

    case: str
    tensor: Tensor
    targets: npt.NDArray[np.float32]
    known: npt.NDArray[np.bool_]
    allowed: npt.NDArray[np.bool_] | None
    judged: npt.NDArray[np.bool_] | None
    counts: bool
    doubts: tuple[str, ...]


@dataclass(frozen=True)
class Unreadable:
    """Stands in the place of a sample that could not be made.

    A worker's exception would reach the training as a RuntimeError with a traceback for text.
    """

    error: HirescamError

    def to(self, _device: Any) -> Unreadable:
        """Go to a device, as Lightning asks of all that a loader gives."""
        return self


@dataclass(frozen=True)
class SampleMaker:
    """What is done to each case.

    Parameters
    ----------
    labels
        Outputs of the network, in order.
    spec
        What the network eats.
    loss
        Which regions, and by which rule.
    places
        Where the cells lie; None without a mask loss.
    allowed
        Label -> organs, where a case does not say.
    cache
        For what is the same in each epoch.
    """

    labels: tuple[str, ...]
    spec: InputSpec
    loss: LossSettings
    places: CellPlaces | None
    allowed: Mapping[str, tuple[str, ...]]
    cache: SampleCache

    def make(self, case: Case, *, epoch: int = 0, flip_seed: int | None = None) -> Sample:
        """Read, prepare and (with a seed) flip a case.

        Raises
        ------
        HirescamError
            It cannot be read, or lacks an organ; names the case.
        """
        try:
            return self._make(case, epoch, flip_seed)
        except HirescamError as exc:
            if case.name in exc.subject:
                raise
            raise CaseTableError(
                f"case {case.name}", f"{exc.subject}: {exc.reason}", exc.remedy
            ) from exc

    def _make(self, case: Case, epoch: int, flip_seed: int | None) -> Sample:
        reader = _OnceRead(case)
        window = self._window(case, reader)
        model_input = window.model_input()
        tensor = model_input.tensor
        allowed = judged = None
        doubts: tuple[str, ...] = ()
        if self.places is not None:
            allowed, doubts = self._allowed(case, reader, model_input)
            judged = labels_that_count(self.labels, case.labels, allowed)
        if flip_seed is not None:
            rows, columns = tensor.shape[-2:]
            flip = draw_flip(flip_seed, epoch, case.name, square=bool(rows == columns))
            tensor = flip.of_input(tensor, self.spec)
            allowed = None if allowed is None else flip.of_cells(allowed)
        return Sample(
            case.name,
            tensor,
            np.array([case.labels.get(label, False) for label in self.labels], np.float32),
            np.array([label in case.labels for label in self.labels], bool),
            allowed,
            judged,
            counts=True,
            doubts=doubts,
        )

    def _window(self, case: Case, reader: _OnceRead) -> WindowHU:
        key = _key("ct", case.fingerprint(), self.spec.model_dump(mode="json"))
        kept = self.cache.get(key)
        if kept is not None:
            grid = Grid(kept["voxels"].shape, kept["affine"])
            margins = tuple((int(a), int(b)) for a, b in kept["margins"])
            return WindowHU(kept["voxels"], grid, self.spec, margins)
        volume = reader.ct()
        # Refused before the CT is resampled.
        place_window(model_grid(volume.grid, self.spec), self.spec, None, volume.name)
        window = prepare_ct(volume, self.spec).cut_window()
        voxels = np.ascontiguousarray(window.voxels)
        if np.issubdtype(voxels.dtype, np.floating):
            wrong = int(voxels.size - np.isfinite(voxels).sum())
            if wrong:
                raise CaseTableError(
                    f"case {case.name}",
                    f"{wrong} voxels of its CT are no numbers (NaN or infinite)",
                    "Mend the file, or leave the case out",
                )
        self.cache.put(
            key,
            {
                "voxels": voxels,
                "affine": window.grid.affine,
                "margins": np.array(window.margins, dtype=np.int64),
            },
        )
        return window

    def _allowed(
        self, case: Case, reader: _OnceRead, model_input: ModelInput
    ) -> tuple[npt.NDArray[np.bool_], tuple[str, ...]]:
        places = self.places
        if places is None:
            raise ValueError("regions need places of cells")
        present = {
            label: case.organs_of(label, self.allowed)
            if self.loss.regions == "organs"
            else ("lesion",)
            for label in self.labels
            if case.labels.get(label)
        }
        key = _key(
            "cells",
            case.fingerprint(),
            self.spec.model_dump(mode="json"),
            self.labels,
            present,
            (places.placement, places.cells, places.to_input.tolist()),
            (self.loss.regions, self.loss.rule, self.loss.dilate),
        )
        kept = self.cache.get(key)
        if kept is not None:
            shape = tuple(kept["shape"])
            cells = np.unpackbits(kept["cells"], count=int(np.prod(shape)))
            return cells.reshape(shape).astype(bool), tuple(json.loads(str(kept["doubts"])))
        rule, dilate = self.loss.rule, self.loss.dilate
        doubts: tuple[str, ...] = ()
        if self.loss.regions == "organs" and present:
            organs = case.organs(reader.ct())
            if organs is None:
                raise CaseTableError(
                    f"case {case.name}",
                    "it has no organ masks",
                    "Give masks in the table, or set data.organs to 'partition'",
                )
            doubts = organs.doubts
            allowed = allowed_on_cells(
                organs, present, self.labels, model_input, places, rule, dilate=dilate
            )
        else:
            volume = reader.ct() if present else None
            outlined = case.lesions(volume) if volume is not None else {}
            outlines = {label: mask for label, mask in outlined.items() if label in present}
            affine = volume.affine if volume is not None else np.eye(4)
            allowed = masks_on_cells(
                outlines, affine, self.labels, model_input, places, rule, dilate=dilate
            )
        self.cache.put(
            key,
            {
                "cells": np.packbits(allowed),
                "shape": np.array(allowed.shape, dtype=np.int64),
                "doubts": np.array(json.dumps(doubts)),
            },
        )
        return allowed, doubts


class CaseSamples:
    """The cases of one split, as torch's DataLoader wants them.

    Parameters
    ----------
    cases
        In the order that a :class:`Draw` counts in.
    maker
        What is done to each.
    flip_seed
        Flips and turns by this seed; None leaves the cases as they are.
    """

    def __init__(
        self, cases: Sequence[Case], maker: SampleMaker, flip_seed: int | None = None
    ) -> None:
        self.cases = cases
        self.maker = maker
        self.flip_seed = flip_seed

    def __len__(self) -> int:
        """Count the cases."""
        return len(self.cases)

    def __getitem__(self, draw: Draw) -> Sample | Unreadable:
        """Make the sample of a draw."""
        try:
            sample = self.maker.make(
                self.cases[draw.case], epoch=draw.epoch, flip_seed=self.flip_seed
            )
        except HirescamError as exc:
            return Unreadable(exc)
        return sample._replace(counts=draw.counts)


class _OnceRead:
    """Reads a case's CT when somebody wants it, and once."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._volume: Volume | None = None

    def ct(self) -> Volume:
        if self._volume is None:
            self._volume = self._case.ct()
        return self._volume


def _key(kind: str, *parts: Any) -> str:
    # Another release may prepare a CT, or find organs, in another way.
    text = json.dumps([__version__, kind, *parts], sort_keys=True, default=str)
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:40]}"

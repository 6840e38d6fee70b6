"""Where organs lie on one grid, whoever drew them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import OrganError
from napari_hirescam.volume import FloatArray, Grid

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class OrganMap:
    """A label map, and which of its values make up each organ.

    Organs may share values: "lungs" are the values of both lungs. Masks that overlap are held by
    giving each combination a value of its own; see :meth:`from_masks`.

    Parameters
    ----------
    labels
        Unsigned integers [slice, row, column]; 0 is no organ.
    affine
        4x4, index of `labels` to (I, P, L) mm; axis-aligned.
    values
        Organ -> values in `labels`. An organ without values is known to be absent.
    origin
        Who drew it: "PARTITION", "rough regions", a file's name.
    doubts
        Why it should not be trusted, one clause each; empty if nothing speaks against it.
    notes
        What was done to it, one sentence each: resampled onto the CT, say.
    """

    labels: npt.NDArray[np.unsignedinteger]
    affine: FloatArray
    values: Mapping[str, tuple[int, ...]]
    origin: str
    doubts: tuple[str, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())

    @classmethod
    def from_masks(
        cls,
        masks: Mapping[str, BoolArray],
        affine: FloatArray,
        origin: str,
        doubts: tuple[str, ...] = (),
    ) -> OrganMap:
        """Hold named masks [slice, row, column] of one grid, which may overlap.

        Raises
        ------
        ValueError
            If there is no mask, or their shapes differ.
        """
        labels: npt.NDArray[np.uint32] | None = None
        made_of: list[frozenset[str]] = [frozenset()]
        # One after the other, so that masks which are read as they are asked for need the memory
        # of one.
        for name, mask in masks.items():
            if labels is None:
                labels = np.zeros(mask.shape, dtype=np.uint32)
            if mask.shape != labels.shape:
                raise ValueError(f"masks of one grid have one shape, not {mask.shape} too")
            # Each value met under the mask is split in two: with this organ and without.
            for value in np.unique(labels[mask]):
                members = made_of[value] | {name}
                if members not in made_of:
                    made_of.append(members)
                labels[mask & (labels == value)] = made_of.index(members)
        if labels is None:
            raise ValueError("there is no mask")
        values = {
            name: tuple(k for k, members in enumerate(made_of) if name in members) for name in masks
        }
        small = np.min_scalar_type(len(made_of) - 1)
        return cls(labels.astype(small), affine, values, origin, doubts)

    @property
    def grid(self) -> Grid:
        """The grid of the labels."""
        return Grid(self.labels.shape, self.affine)

    @property
    def organs(self) -> tuple[str, ...]:
        """Names of the organs it tells of."""
        return tuple(self.values)

    def mask(self, organs: Iterable[str]) -> BoolArray:
        """Voxels that lie in any of some organs, bool [slice, row, column].

        Raises
        ------
        OrganError
            The map does not tell of one of them.
        """
        wanted = tuple(organs)
        missing = sorted(set(wanted) - set(self.values))
        if missing:
            known = ", ".join(sorted(self.values))
            raise OrganError(
                self.origin,
                f"it has no {', '.join(missing)}; it tells of: {known}",
                "Give masks that have it, or say in the table of organs what it is called there",
            )
        return voxels_of(self.labels, {v for name in wanted for v in self.values[name]})


def voxels_of(labels: npt.NDArray[np.unsignedinteger], values: Iterable[int]) -> BoolArray:
    """Voxels of a label map, or of a part of one, that have one of some values; 0 is none."""
    values = set(values) - {0}
    if len(values) == 1:
        # Several times as fast as looking every voxel up.
        alone: BoolArray = labels == next(iter(values))
        return alone
    chosen = np.zeros(int(labels.max(initial=0)) + 1, dtype=bool)
    chosen[[value for value in values if value < len(chosen)]] = True
    chosen[0] = False
    found: BoolArray = chosen[labels]
    return found

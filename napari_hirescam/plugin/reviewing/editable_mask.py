"""A mask that is painted on: limited to a range of CT numbers, undone step by step.

napari's brush, eraser, polygon and encircling stroke all hand their voxels to one method,
`Labels._apply_mask_to_data`; that is where the limit stands, so that what lies outside is neither
painted nor in the history. The method is napari's own affair: :func:`limit_holds` tries it, and
the panel offers no limit where it does not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels
from napari.utils.events import Event

from napari_hirescam.plugin.ct_layers import AXIS_LABELS, METADATA_KEY, UNITS
from napari_hirescam.plugin.reviewing.hu_range import HuRange
from napari_hirescam.review.journal import BLOCK

if TYPE_CHECKING:
    from napari_hirescam.volume import Volume

#: Kinds of this panel's layers, in their metadata.
EDIT_KIND, DIFFERENCE_KIND = "review_edit", "review_difference"

# Neither the outline's of the mask that is judged, nor one of the difference's.
_COLOUR = "#2dd4bf"
# Three indices, a value before and one after.
_BYTES_AN_INDEX = 3 * 4 + 2

Box = tuple[slice, ...]
Block = tuple[int, ...]


def review_metadata(kind: str) -> dict[str, Any]:
    """Make the metadata by which the review's planes know a layer of theirs."""
    return {METADATA_KEY: {"kind": kind, "review": True}}


class EditableMask(Labels):  # type: ignore[misc]
    """A copy of a mask on its CT, to be painted on; 1 inside, 0 outside.

    Emits `events.edited` after each change, undoing included, whoever made it.

    Parameters
    ----------
    mask
        [slice, row, column]; copied.
    ct
        On the same grid.
    name
        Of the layer.
    """

    def __init__(self, mask: npt.NDArray[Any], ct: Volume, name: str = "edited mask") -> None:
        #: What may be painted; None is all.
        self.hu_range: HuRange | None = None
        #: Whether the eraser keeps to the range, too.
        self.limit_eraser = True
        #: While True nothing can be painted, undone or filled; the history stays.
        self.frozen = False
        #: Whether the last stroke met voxels that it had to leave alone.
        self.kept_some_out = False
        self._hu = ct.voxels
        self._changed_blocks: set[Block] = set()
        super().__init__(
            np.array(mask, dtype=np.uint8),  # never the model's own array
            name=name,
            scale=ct.spacing_mm,
            translate=tuple(ct.affine[:3, 3]),
            units=UNITS,
            axis_labels=AXIS_LABELS,
            metadata=review_metadata(EDIT_KIND),
            colormap={None: "transparent", 0: "transparent", 1: _COLOUR},
            opacity=0.45,
        )
        self.events.add(edited=Event)
        self.events.data.connect(self._on_replaced)

    @property
    def _type_string(self) -> str:
        # napari takes it from the class's name, and writers and menus know "labels" only.
        return "labels"

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._undo_history)

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to do again."""
        return bool(self._redo_history)

    def take_changed(self) -> set[Block]:
        """Return the indices of the journal's blocks that changed since this was last asked."""
        changed, self._changed_blocks = self._changed_blocks, set()
        return changed

    def replace_voxels(self, box: Box, after: npt.NDArray[np.bool_]) -> int:
        """Set a box to what an operation made of it, as one step to be undone.

        Parameters
        ----------
        box
            Slices with explicit ends.
        after
            In the box's shape. The range of CT numbers does not limit it.

        Returns
        -------
        How many voxels changed.
        """
        if self.frozen:
            return 0
        differs = self.data[box] != after
        count = int(np.count_nonzero(differs))
        # napari keeps each step, as indices or as masks of the box: whichever is smaller.
        if count * _BYTES_AN_INDEX < 2 * differs.size:
            where = tuple(
                (found + part.start).astype(np.int32)
                for found, part in zip(np.nonzero(differs), box, strict=True)
            )
            self._set_voxels(where, after[differs].astype(np.uint8))
        else:
            limit, self.hu_range = self.hu_range, None
            with self.block_history():
                for value in (0, 1):
                    self._paint_region_with_mask(
                        box, differs & (after == value), value, [0, 1, 2], refresh=False
                    )
            self.hu_range = limit
        if count:
            self.refresh()
        return count

    def data_setitem(self, indices: Any, value: Any, refresh: bool = True) -> None:  # noqa: FBT001, FBT002 - napari's signature
        """Set voxels in the range, keeping to the history; see napari."""
        if self.frozen:
            return
        limit = self._limit_for(value)
        if limit is not None:
            allowed = limit.contains(self._hu[indices])
            self.kept_some_out |= not allowed.all()
            indices = tuple(np.asarray(part)[allowed] for part in indices)
            if np.ndim(value):
                value = np.asarray(value)[allowed]
        self._set_voxels(indices, value, refresh=refresh)

    def fill(self, coord: Sequence[float], new_label: int, refresh: bool = True) -> None:  # noqa: FBT001, FBT002 - napari's signature
        """Fill what hangs together; with a limit, what hangs together within the range.

        napari's own fill would run through what lies outside of the range and come up again
        behind it, in the air around the patient for a lung.
        """
        limit = self._limit_for(new_label)
        if limit is None or self.frozen:
            if not self.frozen:
                super().fill(coord, new_label, refresh)
            return
        place = tuple(round(float(c)) for c in coord)
        if any(not 0 <= c < n for c, n in zip(place, self.data.shape, strict=True)):
            return
        if not limit.contains(self._hu[place]):
            self.kept_some_out = True
            return
        if self.data[place] == new_label:
            return
        filled = sorted(self._get_dims_to_paint())
        plane = tuple(slice(None) if k in filled else c for k, c in enumerate(place))
        seed = tuple(place[k] for k in filled)
        region = (self.data[plane] == self.data[place]) & limit.contains(self._hu[plane])
        if self.contiguous:
            from skimage.segmentation import flood

            region = flood(region, seed, connectivity=1)  # type: ignore[no-untyped-call]
        first, end = self._compute_mask_bbox(region)
        key = self._build_slice_key(list(place), filled, first, end)
        part = tuple(slice(a, b) for a, b in zip(first, end, strict=True))
        self._paint_region_with_mask(key, region[part], new_label, filled, refresh)

    def abort_drawing(self) -> bool:
        """Give up an outline that is being drawn; False if there is none."""
        encircling, outline = self._overlays["brush_stroke"], self._overlays["polygon"]
        if encircling.active:
            encircling.abort(self)
        elif outline.points:
            outline.points = []
        else:
            return False
        return True

    def undo(self) -> None:
        """Take back the last stroke or operation."""
        if not self.frozen:
            super().undo()

    def redo(self) -> None:
        """Do again what was taken back."""
        if not self.frozen:
            super().redo()

    def _limit_for(self, value: Any) -> HuRange | None:
        erases = not np.any(value)
        return None if erases and not self.limit_eraser else self.hu_range

    def _set_voxels(self, indices: Any, value: Any, *, refresh: bool = True) -> None:
        super().data_setitem(indices, value, refresh)
        parts = [np.asarray(part) for part in indices]
        if parts[0].size:
            self._tell_changed(tuple(slice(int(p.min()), int(p.max()) + 1) for p in parts))

    def _apply_mask_to_data(
        self,
        data: npt.NDArray[Any],
        mask: npt.NDArray[np.bool_],
        new_label: int,
        volume_slice: Box,
    ) -> npt.NDArray[np.bool_] | None:
        if self.frozen:
            return None
        limit = self._limit_for(new_label)
        if limit is not None:
            allowed = limit.contains(self._hu[volume_slice])
            self.kept_some_out |= bool((mask & ~allowed & (data != new_label)).any())
            mask = mask & allowed
        painted: npt.NDArray[np.bool_] | None = super()._apply_mask_to_data(
            data, mask, new_label, volume_slice
        )
        if painted is not None:
            self._tell_changed(volume_slice)
        return painted

    def _load_history(self, before: Any, after: Any, undoing: bool = True) -> None:  # noqa: FBT001, FBT002 - napari's signature
        boxes = [_box_of(atom) for atom in before[-1]] if before else []
        super()._load_history(before, after, undoing)
        self._tell_changed(*boxes)

    def _abort_stroke(self) -> None:
        boxes = [_box_of(atom) for atom in self._staged_history]
        super()._abort_stroke()
        self._tell_changed(*boxes)

    def _on_replaced(self) -> None:
        # Somebody put other voxels in the layer's place: every block may have changed.
        self._tell_changed(tuple(slice(0, n) for n in self.data.shape))

    def _tell_changed(self, *boxes: Box) -> None:
        for box in boxes:
            spans = (range(part.start // BLOCK, (part.stop - 1) // BLOCK + 1) for part in box)
            self._changed_blocks.update(product(*spans))
        if boxes:
            self.events.edited()


def _box_of(atom: Any) -> Box:
    """Return the box of one change in napari's history: a masked box, or single voxels."""
    key = getattr(atom, "slice_key", None)
    if key is not None:
        return tuple(key)
    return tuple(slice(int(part.min()), int(part.max()) + 1) for part in atom[0])


@cache
def limit_holds() -> bool:
    """Try whether this version of napari keeps brush, fill and polygon to a range."""
    from napari_hirescam.volume import Volume

    hu = np.zeros((1, 8, 8), np.int16)
    hu[:, :, 4:] = 1000
    outside = hu[0] == 1000
    strokes: tuple[Callable[[EditableMask], None], ...] = (
        lambda layer: layer.paint((0, 4, 4), 1),
        lambda layer: layer.fill((0, 0, 0), 1),
        lambda layer: layer.paint_polygon([[0, 1, 1], [0, 1, 6], [0, 6, 6], [0, 6, 1]], 1),
    )
    for paint in strokes:
        layer = EditableMask(np.zeros(hu.shape, bool), Volume(hu, np.eye(4)))
        layer.brush_size = 5
        layer.hu_range = HuRange(-10, 10)
        paint(layer)
        if layer.data[0][outside].any() or not layer.data.any():
            return False
    return True

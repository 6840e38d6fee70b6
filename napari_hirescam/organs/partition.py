"""PARTITION: the lungs, and the heart and mediastinum between them, found in a chest CT."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_hirescam.errors import Cancelled, OrganError
from napari_hirescam.organs.organ_map import OrganMap
from napari_hirescam.volume import Quantity, Volume

if TYPE_CHECKING:
    from napari_hirescam.organs.work_grid import WorkGrid

Progress = Callable[[int, int], None]
ShouldStop = Callable[[], bool]

RIGHT_LUNG, HEART, LEFT_LUNG = 1, 2, 3

#: Organ -> values in the labels. The paper has one region for heart, mediastinum and vessels.
VALUES = {
    "right_lung": (RIGHT_LUNG,),
    "left_lung": (LEFT_LUNG,),
    "lungs": (RIGHT_LUNG, LEFT_LUNG),
    "heart": (HEART,),
    "mediastinum": (HEART,),
    "great_vessel": (HEART,),
}

_STEPS = 7
_MARGIN_MM = 25.0
#: Muscle, organs, fat and water: of all that was measured, and of all that is no air. Bone and
#: contrast medium are the rest.
_LEAST_SOFT = 0.03
_LEAST_SOFT_OF_SOLID = 0.5
_DARK_HU = -600
_REMEDY = (
    "Give a CT of the chest, or masks of its organs, or agree to rough regions of the body's box"
)


def find_organs(
    volume: Volume,
    *,
    rough: bool = False,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> OrganMap:
    """Find both lungs and the heart and mediastinum region in a CT of the chest.

    After PARTITION of Draelos & Carin (arXiv 2011.08891 and 2111.12215), by morphology alone.
    A lung is taken with the vessels and the disease in it; the windpipe and the main bronchi
    belong to the heart region, as all that lies between the lungs.

    Parameters
    ----------
    volume
        A CT in HU, of any spacing and field of view.
    rough
        Where the organs cannot be found, give rough regions of the body instead of an error.
    progress
        Called with (steps done, steps in all).
    should_stop
        Asked often; True ends the search.

    Returns
    -------
    The organs on the volume's own grid; ``doubts`` says why they should not be trusted.

    Raises
    ------
    OrganError
        This is no CT of a chest, or nothing in it can be told to be a lung, and `rough` is off.
    Cancelled
        `should_stop` said so.
    """
    search = _Search(volume, progress, should_stop)
    try:
        return search.run()
    except OrganError as error:
        if not rough:
            raise
        from napari_hirescam.organs.rough import rough_regions

        return rough_regions(volume, search.body_box, error.reason)


class _Search:
    """One search, and how far it has come."""

    def __init__(
        self, volume: Volume, progress: Progress | None, should_stop: ShouldStop | None
    ) -> None:
        self._volume = volume
        self._progress = progress
        self._should_stop = should_stop
        self._done = -1
        slices, rows, columns = (slice(0, n) for n in volume.voxels.shape)
        #: The body's box on the volume's grid; all of the volume while it is not known.
        self.body_box = (slices, rows, columns)

    def run(self) -> OrganMap:
        """Search step by step."""
        import numpy as np

        from napari_hirescam.organs.airways import find_airways
        from napari_hirescam.organs.body import find_body
        from napari_hirescam.organs.filling import fill_lung
        from napari_hirescam.organs.heart import mark_heart
        from napari_hirescam.organs.lungs import find_pieces
        from napari_hirescam.organs.refining import refine
        from napari_hirescam.organs.sides import find_middle, part_sides
        from napari_hirescam.organs.trust import doubts_about, missing_side
        from napari_hirescam.organs.work_grid import make_work_grid

        volume, tick = self._volume, self._tick
        self._step()
        if volume.quantity is not Quantity.HU:
            raise self._refusal("its numbers are no Hounsfield units")
        grid = make_work_grid(volume, tick)
        self._refuse_what_is_no_ct(grid)
        self._step()
        body = find_body(grid, tick)
        if body.mask.any():
            self.body_box = grid.in_ct(grid.around(body.mask, 0.0), volume.voxels.shape)
        self._step()
        airways = find_airways(grid, body, tick)
        # From here on the rest of the scan would only cost time.
        outline = np.asarray(body.mask.any(axis=1))
        box = grid.around(body.air, _MARGIN_MM)
        grid, body, airways = grid.cropped(box), body.cropped(box), airways.cropped(box)
        pieces = find_pieces(grid, body, airways.mask, tick)
        if not pieces.lung:
            raise self._refusal("no lung is to be seen in it")
        self._step()
        lungs = np.isin(pieces.labels, pieces.lung)
        middle = find_middle(grid, body, airways, lungs, outline[box[0]])
        if middle is None:
            raise self._refusal(
                "nothing in it tells right from left: it shows no spine, and the body's sides are "
                "cut off"
            )
        sides = part_sides(grid, body.air & ~airways.mask, pieces, middle, tick)
        self._step()
        filled = fill_lung(grid, sides, -1, tick), fill_lung(grid, sides, 1, tick)
        values = np.zeros(grid.hu.shape, np.uint8)
        for lung, value in zip(filled, (RIGHT_LUNG, LEFT_LUNG), strict=True):
            values[lung.mask & body.mask & ~airways.mask & (values == 0)] = value
        # Neither lung takes of the other's air.
        values[sides.right], values[sides.left] = RIGHT_LUNG, LEFT_LUNG
        self._step()
        labels = refine(volume, grid, values, tick)
        if not labels.any():
            raise self._refusal("no lung is to be seen in it")
        self._step()
        mark_heart(labels, HEART, grid, body.mask, middle, missing_side(sides), tick)
        layers = {"right": filled[0].layer, "left": filled[1].layer}
        doubts = doubts_about(grid, body, sides, airways, layers, volume)
        result = OrganMap(labels, volume.affine, VALUES, "PARTITION", tuple(doubts))
        self._step()
        return result

    def _step(self) -> None:
        self._tick()
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, _STEPS)

    def _tick(self) -> None:
        if self._should_stop is not None and self._should_stop():
            raise Cancelled("the search for organs was cancelled")

    def _refusal(self, reason: str) -> OrganError:
        return OrganError(self._volume.name, reason, _REMEDY)

    def _refuse_what_is_no_ct(self, grid: WorkGrid) -> None:
        measured = grid.hu[~grid.void]
        if measured.size == 0:
            raise self._refusal("it holds nothing but air or padding")
        soft = int(((measured > -200) & (measured < 200)).sum())
        if soft < _LEAST_SOFT * measured.size:
            raise self._refusal("hardly anything in it is as dense as tissue")
        if soft < _LEAST_SOFT_OF_SOLID * int((measured > -200).sum()):
            raise self._refusal("much of it is denser than tissue and bone are in a CT")
        if grid.hu.min() > _DARK_HU:
            raise self._refusal("nothing in it is as dark as air")

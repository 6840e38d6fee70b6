"""PARTITION: the lungs, and the heart and mediastinum between them, found in a chest CT."""

from __future__ import annotations

from collections.abc import Callable

from napari_hirescam.organs.organ_map import OrganMap
from napari_hirescam.volume import Volume

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


def find_organs(
    volume: Volume,
    *,
    rough: bool = False,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> OrganMap:
    """Find both lungs and the heart and mediastinum region in a CT of the chest.

    After PARTITION of Draelos & Carin (arXiv 2011.08891 and 2111.12215), by morphology alone.

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
    raise NotImplementedError

"""The three planes of a patient, as radiologists look at them: from the feet, from the front."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from napari_hirescam.plugin.orientation_letters import EdgeLetters, letters_of


class Plane(NamedTuple):
    """One plane through the patient; axes are those of (I, P, L).

    Parameters
    ----------
    name
        As it is written over the picture.
    normal
        Axis across the plane.
    down, right
        Axes that grow downwards and to the right on the screen.
    """

    name: str
    normal: int
    down: int
    right: int

    @property
    def order(self) -> tuple[int, int, int]:
        """The order of axes that has napari's canvas show this plane."""
        return self.normal, self.down, self.right

    @property
    def letters(self) -> EdgeLetters:
        """What lies towards each edge."""
        right, down = np.eye(3)[self.right], np.eye(3)[self.down]
        return EdgeLetters(
            letters_of(-right), letters_of(right), letters_of(-down), letters_of(down)
        )


#: By their normal axis. The patient's left is on the right of the screen, the head is up, and a
#: sagittal section looks to the left of the screen.
PLANES = (
    Plane("Axial", 0, 1, 2),
    Plane("Coronal", 1, 0, 2),
    Plane("Sagittal", 2, 0, 1),
)

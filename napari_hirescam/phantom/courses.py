"""Where the large vessels and airways run: points (I, P, L) and radii in reference mm."""

from __future__ import annotations

import numpy as np

from napari_hirescam.phantom.canvas import Points

Course = list[tuple[float, float, float]]

# fmt: off
#: Kind, course and radius at each of its points.
VESSELS: list[tuple[str, Course, list[float]]] = [
    (
        "aorta",
        [(150, -18, 0), (126, -28, -13), (100, -26, -17), (84, -17, -13), (75, 0, 0),
         (77, 20, 14), (90, 36, 23), (112, 43, 26), (205, 45, 24), (345, 42, 10)],
        [16, 16.5, 15.5, 14.5, 13.5, 13, 12.5, 12, 11.5, 10.5],
    ),
    # Trunk, right and left branch.
    ("pulmonary artery", [(152, -50, 6), (126, -44, 16), (110, -26, 18)], [14, 14, 13]),
    ("pulmonary artery", [(110, -26, 18), (110, -5, -2), (114, 0, -36)], [12, 10.5, 8.5]),
    ("pulmonary artery", [(110, -26, 18), (104, 0, 36), (110, 8, 44)], [12, 10.5, 8]),
    # Superior vena cava, the two brachiocephalic veins, inferior vena cava.
    ("vein", [(48, -24, -22), (85, -24, -28), (150, -12, -27)], [8.5, 9.5, 10]),
    ("vein", [(40, -26, 40), (58, -36, 8), (72, -27, -24)], [6.5, 7, 7]),
    ("vein", [(48, -24, -22), (28, -26, -36), (16, -18, -70)], [8, 7, 6]),
    ("vein", [(176, 2, -22), (212, 6, -17), (345, 20, -18)], [11, 11, 11]),
    # Pulmonary veins.
    ("vein", [(148, 18, -20), (140, 26, -50)], [7, 5]),
    ("vein", [(146, 20, 20), (136, 28, 50)], [7, 5]),
    # Brachiocephalic, left carotid and left subclavian artery.
    ("artery", [(77, -10, -6), (50, -8, -18), (-10, -4, -30)], [6.5, 6, 5]),
    ("artery", [(74, 0, 4), (40, -4, 14), (-10, -2, 24)], [4.2, 4, 3.8]),
    ("artery", [(75, 12, 12), (38, 10, 26), (6, 2, 62)], [5.5, 5, 4.5]),
]

#: Windpipe, right and left main bronchus.
AIRWAYS: list[tuple[Course, list[float]]] = [
    ([(-40, 6, 0), (45, 9, 0), (102, 16, -1)], [8.8, 8.6, 8.2]),
    ([(102, 16, -1), (116, 15, -20), (124, 13, -38)], [7.4, 6.8, 5.6]),
    ([(102, 16, -1), (120, 17, 18), (130, 17, 42)], [6.8, 6.2, 5.0]),
]

GULLET: Course = [(-20, 27, 5), (100, 34, 5), (170, 40, 7), (222, 33, 14), (252, 8, 40)]
# fmt: on

#: The coronary arteries over the ventricles: place along the heart's axis and angle about it,
#: for :meth:`napari_hirescam.phantom.thorax.Thorax.on_heart`.
CORONARIES: dict[str, tuple[Points, Points]] = {
    "left anterior descending": (np.linspace(-0.45, 0.92, 14), np.linspace(0.55, 0.25, 14)),
    "circumflex": (np.linspace(-0.42, -0.25, 12), np.linspace(0.65, 2.3, 12)),
    "right": (np.linspace(-0.45, -0.25, 12), np.linspace(-0.5, -2.4, 12)),
}

"""Things that a patient wears or carries outside lungs and heart, with their masks.

None of them is a finding. They are there to mislead: a network whose training patients carry a
port whenever they have a mass may learn to look for the port.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from napari_hirescam.phantom.canvas import Canvas, Points
from napari_hirescam.phantom.frame import RIB_PITCH, SPINE_Y, Build, Trunk
from napari_hirescam.phantom.thorax import SIDES, BoolArray

_METAL = 3000.0
# What lies less deep in the chest wall than this is inside the rib cage.
_OUTSIDE_CAGE_MM = -4.0


def _front(canvas: Canvas, trunk: Trunk, height: float, left: float) -> float:
    """Reference mm along P at which the skin of the front lies."""
    slice_ = int(np.argmin(np.abs(canvas.z[:, 0, 0] - height)))
    column = (trunk.body[slice_] > 0.5) & (np.abs(canvas.x[0] - left) < 1.5 * canvas.edge)
    return float(canvas.y[0][column].min())


def _solid(
    canvas: Canvas,
    trunk: Trunk,
    parts: Iterable[tuple[Points, tuple[float, float, float]]],
    hu: float = _METAL,
) -> BoolArray:
    """Paint ellipsoids (centre, radii) that stop at the rib cage; returns their mask."""
    mask = np.zeros(canvas.shape, dtype=bool)
    for centre, radii in parts:
        # At least a voxel wide, or a coarse grid would lose it between its voxels.
        wide = [max(radius, 0.6 * canvas.edge) for radius in radii]
        box, depth = canvas.ellipsoid(list(centre), wide)
        depth = np.minimum(depth, _OUTSIDE_CAGE_MM - trunk.cage[box])
        canvas.paint(canvas.coverage(depth), hu, box)
        mask[box] |= depth > 0
    return mask


def _under_skin(
    canvas: Canvas, trunk: Trunk, at: tuple[float, float], radii: tuple[float, float, float]
) -> BoolArray:
    height, left = at
    centre = np.array([height, _front(canvas, trunk, height, left) + radii[1] + 3, left])
    return _solid(canvas, trunk, [(centre, radii)])


def _port(canvas: Canvas, trunk: Trunk, _build: Build, rng: np.random.Generator) -> BoolArray:
    """Make the chamber of a port catheter, under the skin of the right chest."""
    at = (float(rng.normal(82, 6)), float(rng.normal(-66, 5)))
    return _under_skin(canvas, trunk, at, (12.0, 6.0, 12.0))


def _pacemaker(canvas: Canvas, trunk: Trunk, _build: Build, rng: np.random.Generator) -> BoolArray:
    """Make the generator of a pacemaker, under the skin below the left collarbone."""
    at = (float(rng.normal(70, 6)), float(rng.normal(74, 5)))
    return _under_skin(canvas, trunk, at, (20.0, 5.0, 23.0))


def _electrodes(canvas: Canvas, trunk: Trunk, _build: Build, rng: np.random.Generator) -> BoolArray:
    """Stick four electrodes for an electrocardiogram on the skin of the front."""
    parts = []
    for height, left in ((60, -84), (50, 92), (205, 88), (212, -86)):
        z, x = height + rng.normal(0, 6), left + rng.normal(0, 4)
        centre = np.array([z, _front(canvas, trunk, z, x) - 3, x])
        parts.append((centre, (8.0, 3.5, 8.0)))
    return _solid(canvas, trunk, parts, 1800.0)


def _axillary_clips(
    canvas: Canvas, trunk: Trunk, _build: Build, rng: np.random.Generator
) -> BoolArray:
    """Leave surgical clips in one armpit."""
    side = SIDES[("right", "left")[rng.integers(2)]]
    spread = rng.normal(0, (14, 8, 6), (7, 3))
    middle = np.array([78.0, -8.0, side * 121.0])
    return _solid(canvas, trunk, [(middle + off, (3.5, 3.0, 3.0)) for off in spread])


def _rib_plates(canvas: Canvas, trunk: Trunk, build: Build, rng: np.random.Generator) -> BoolArray:
    """Screw plates on three ribs of one side, far enough back to lie behind the lung."""
    side = SIDES[("right", "left")[rng.integers(2)]]
    first = float(build.rib_phase + RIB_PITCH * rng.integers(4, 6))
    parts = []
    for rib in range(3):
        for turn in np.linspace(0.75, 1.15, 8):
            height = first + RIB_PITCH * rib + 92 * np.sin(turn / 2) ** 2
            out = np.array([0.0, np.cos(turn), side * np.sin(turn)])
            reach = _reach(canvas, trunk, height, out) + 9.0
            parts.append((np.array([height, 5.0, 0.0]) + reach * out, (4.0, 3.5, 3.5)))
    return _solid(canvas, trunk, parts)


def _reach(canvas: Canvas, trunk: Trunk, height: float, out: Points) -> float:
    """Mm from the middle of the chest at which the rib cage ends in one direction."""
    steps = np.arange(30.0, 140.0, 1.0)
    points = np.array([height, 5.0, 0.0]) + steps[:, None] * out
    index = np.rint(canvas.index(points)).astype(int)
    index = np.clip(index, 0, np.array(canvas.shape) - 1)
    inside = trunk.cage[tuple(index.T)] > 0
    return float(steps[inside].max(initial=steps[0]))


def _spinal_screws(
    canvas: Canvas, _trunk: Trunk, build: Build, rng: np.random.Generator
) -> BoolArray:
    """Fix four vertebrae with two rods behind the spine."""
    top = build.rib_phase + 4 + RIB_PITCH * float(rng.integers(5, 7))
    mask = np.zeros(canvas.shape, dtype=bool)
    for side in SIDES.values():
        heights = top + RIB_PITCH * np.arange(4)
        rod = np.stack([heights, np.full(4, SPINE_Y + 27), np.full(4, side * 17.0)], axis=1)
        inward = np.array([0.0, -16.0, -side * 5.0])
        for path in [rod, *(np.stack([head, head + inward]) for head in rod)]:
            box, depth = canvas.tube(path, max(3.2, 0.6 * canvas.edge))
            canvas.paint(canvas.coverage(depth), _METAL, box)
            mask[box] |= depth > 0
    return mask


#: What :func:`~napari_hirescam.phantom.make_phantom` can put on or into a patient.
DEVICES: dict[str, Callable[[Canvas, Trunk, Build, np.random.Generator], BoolArray]] = {
    "port": _port,
    "pacemaker": _pacemaker,
    "electrodes": _electrodes,
    "axillary_clips": _axillary_clips,
    "rib_plates": _rib_plates,
    "spinal_screws": _spinal_screws,
}

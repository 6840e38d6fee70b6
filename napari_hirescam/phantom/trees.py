"""Vessels and airways that fork their way through an organ."""

from __future__ import annotations

import numpy as np

from napari_hirescam.phantom.canvas import Points

#: Starts and ends [n, 3] and radii [n], all in reference mm.
Segments = tuple[Points, Points, Points]

# Directions of the lobes' and segments' branches from the right hilum outwards, (I, P, side).
# fmt: off
_ROOTS = np.array([
    (-0.95, 0.15, 0.35), (-0.55, -0.6, 0.6), (-0.5, 0.5, 0.7), (-0.75, -0.2, 0.55),
    (-0.8, 0.55, 0.3), (-0.1, 0.65, 0.75), (-0.1, -0.1, 1.0), (0.1, -0.75, 0.6),
    (0.45, -0.5, 0.75), (0.75, -0.3, 0.6), (0.85, 0.35, 0.45), (0.95, 0.1, 0.15),
    (0.55, 0.65, 0.5), (0.6, 0.2, 0.8),
])
# fmt: on


def branch(
    starts: Points,
    directions: Points,
    radius: float,
    length: float,
    generations: int,
    rng: np.random.Generator,
    spread: float = 0.55,
) -> Segments:
    """Grow trees that fork in two; radii shrink by about Murray's cube law."""
    grown: list[tuple[Points, Points, Points]] = []
    at, way = starts, directions / np.linalg.norm(directions, axis=1, keepdims=True)
    radii = np.full(len(at), radius)
    for generation in range(generations):
        reach = length * 0.84**generation * rng.uniform(0.75, 1.25, (len(at), 1))
        bend = way + rng.normal(0, 0.12, way.shape)
        half = at + 0.5 * reach * bend
        tip = half + 0.5 * reach * way
        grown += [(at, half, radii), (half, tip, radii * 0.93)]
        side = np.cross(way, rng.normal(size=way.shape))
        side /= np.linalg.norm(side, axis=1, keepdims=True)
        angle = rng.uniform(0.6, 1.25, (len(at), 1)) * spread
        way = np.concatenate([way + angle * side, way - 0.85 * angle * side])
        way /= np.linalg.norm(way, axis=1, keepdims=True)
        at = np.concatenate([tip, tip])
        radii = np.concatenate([radii * 0.83, radii * 0.76])
    first, second, third = (np.concatenate(part) for part in zip(*grown, strict=True))
    return first, second, third


def lung_tree(sign: int, rng: np.random.Generator) -> tuple[Segments, Segments]:
    """Vessels and airways of one lung, grown from its hilum towards the segments."""
    hilum = np.array([120.0, 8.0, sign * 40.0])
    roots = _ROOTS * (1, 1, sign) + rng.normal(0, 0.08, _ROOTS.shape)
    seats = hilum + roots * 5
    airways_rng = np.random.Generator(np.random.PCG64(rng.integers(2**31)))
    vessels = branch(seats, roots, 3.6, 28, 9, rng)
    airways = branch(seats + np.array([2.0, 4, 0]), roots + 0.06, 2.7, 27, 6, airways_rng)
    return vessels, airways

"""Findings a radiologist would report, painted into a phantom with their masks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from napari_hirescam.phantom.canvas import Canvas, Field, Points, smoothstep
from napari_hirescam.phantom.courses import CORONARIES
from napari_hirescam.phantom.thorax import SIDES, BoolArray, Thorax

#: Which organ of :class:`~napari_hirescam.phantom.Phantom` each finding lies in.
#: "lungs" are both lungs with their pleural space; "heart" reaches to the pericardium.
FINDING_ORGAN: dict[str, str] = {
    "nodule": "lungs",
    "mass": "lungs",
    "consolidation": "lungs",
    "pleural_effusion": "lungs",
    "pneumothorax": "lungs",
    "cardiomegaly": "heart",
    "coronary_calcification": "heart",
    "pericardial_effusion": "heart",
}

_HILUM_DISTANCE = 34.0


def _place_in_lung(
    thorax: Thorax, rng: np.random.Generator, depth: float, side: str | None = None
) -> tuple[str, Points]:
    """Draw a point at least `depth` mm inside a lung and away from the hilum."""
    side = side or ("right", "left")[rng.integers(2)]
    lung = thorax.lung[side]
    points = rng.uniform((15, -75, 25), (250, 75, 112), (4000, 3)) * (1, 1, SIDES[side])
    index = np.rint(thorax.canvas.index(points)).astype(int)
    inside = ((index >= 0) & (index < lung.shape)).all(axis=1)
    points, index = points[inside], index[inside]
    deep = lung[tuple(index.T)]
    away = np.linalg.norm(points - (120, 8, SIDES[side] * 40), axis=1) > _HILUM_DISTANCE
    fits = np.flatnonzero((deep > depth) & away)
    # A lung too small for the wish takes the finding at its deepest point.
    chosen = fits[0] if len(fits) else int(np.argmax(np.where(away, deep, -1e9)))
    return side, points[chosen]


def _lobulated(
    canvas: Canvas, centre: Points, radius: float, bumps: float, rng: np.random.Generator
) -> tuple[tuple[slice, slice, slice], Field]:
    """Depth below a sphere with bumps, in the box that holds it."""
    reach = radius * (1 + 2.5 * bumps) + 2 * canvas.edge
    box = canvas.box(list(centre - reach), list(centre + reach))
    z, y, x = canvas.coordinates(box)
    offset = [c - np.float32(o) for c, o in zip((z, y, x), centre, strict=True)]
    away = np.sqrt(sum(part**2 for part in offset))
    safe = np.maximum(away, np.float32(1e-3))
    swell = np.zeros_like(away)
    for _ in range(6):
        wave = rng.normal(0, 2.2, 3)
        turn = sum(np.float32(w) * part for w, part in zip(wave, offset, strict=True)) / safe
        swell += np.cos(turn + rng.uniform(0, 2 * np.pi))
    return box, radius * (1 + bumps * swell / np.sqrt(3)) - away


def _paint_in_lung(
    thorax: Thorax, box: tuple[slice, slice, slice], cover: Field, side: str, hu: float | Field
) -> BoolArray:
    """Paint a cover clipped to one lung; returns its mask on the whole grid."""
    canvas = thorax.canvas
    lung = thorax.lung[side][box]
    canvas.paint(cover * canvas.coverage(lung), hu, box)
    mask = np.zeros(canvas.shape, dtype=bool)
    mask[box] = (cover > 0.5) & (lung > 0)
    return mask


def _nodule(thorax: Thorax, rng: np.random.Generator) -> BoolArray:
    mask = np.zeros(thorax.canvas.shape, dtype=bool)
    for _ in range(rng.integers(1, 4)):
        radius = rng.uniform(3.2, 7.0)
        side, centre = _place_in_lung(thorax, rng, radius + 2)
        box, depth = _lobulated(thorax.canvas, centre, radius, 0.10, rng)
        cover = thorax.canvas.coverage(depth)
        mask |= _paint_in_lung(thorax, box, cover, side, rng.uniform(25, 80))
    return mask


def _mass(thorax: Thorax, rng: np.random.Generator) -> BoolArray:
    canvas = thorax.canvas
    radius = rng.uniform(15, 24)
    side, centre = _place_in_lung(thorax, rng, 0.7 * radius)
    box, depth = _lobulated(canvas, centre, radius, 0.11, rng)
    core = 25 * smoothstep(depth, 4, 12)  # less blood, darker, in the middle
    mask = _paint_in_lung(thorax, box, canvas.coverage(depth), side, 55 - core)
    away = rng.normal(size=(22, 3))
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    ends = centre + away * (radius + rng.uniform(4, 14, (22, 1)))
    spicules = canvas.thin_tubes(centre + away * radius * 0.85, ends, np.full(22, 0.8))
    canvas.paint(spicules * canvas.coverage(thorax.lung[side]), 0.0)
    return mask


def _consolidation(thorax: Thorax, rng: np.random.Generator) -> BoolArray:
    canvas = thorax.canvas
    side, centre = _place_in_lung(thorax, rng, 14)
    radii = rng.uniform((26, 24, 24), (52, 42, 40))
    box, depth = canvas.ellipsoid(list(centre), list(radii), margin=14)
    z, y, x = canvas.coordinates(box)
    patches = np.zeros_like(depth)
    for _ in range(7):
        wave = rng.normal(0, 0.10, 3)
        turn = np.float32(wave[0]) * z + np.float32(wave[1]) * y + np.float32(wave[2]) * x
        patches += np.cos(turn + rng.uniform(0, 2 * np.pi))
    depth = depth + 6 * patches
    # It stops at the fissure of the lobe it began in.
    behind = thorax.oblique_fissure
    at = tuple(np.clip(np.rint(canvas.index(centre)).astype(int), 0, np.array(canvas.shape) - 1))
    lobe = np.sign(behind[at]) or np.float32(1)
    cover = canvas.coverage(np.minimum(depth, lobe * behind[box]))
    haze = np.float32(0.40) * smoothstep(np.minimum(depth, lobe * behind[box]), -11, 0)
    hu = rng.uniform(15, 45)
    mask = _paint_in_lung(thorax, box, np.maximum(0.94 * cover, haze), side, hu)
    starts, ends, wide = thorax.trees[side][1]
    bronchi = canvas.thin_tubes(starts, ends, np.maximum(0.8 * wide, 1.1))[box]
    inside = cover * canvas.coverage(thorax.lung[side][box] - 4)
    canvas.paint(np.minimum(bronchi, 1) * inside, -930.0, box)
    return mask


def _layered(
    thorax: Thorax, sign: int, depth: float, slope: float, rng: np.random.Generator
) -> Field:
    """Depth into what settles at the back (sign 1) or rises to the front (-1) of a supine chest."""
    canvas = thorax.canvas
    wall = sign * 74.0 + (0 if sign > 0 else 4)
    tilt = slope * (canvas.z - 215) * np.float32(1)
    meniscus = np.float32(9 * rng.uniform(0.5, 1.2)) * np.exp(-np.maximum(thorax.trunk.cage, 0) / 7)
    return np.asarray(sign * (canvas.y - wall) + depth + tilt + meniscus, dtype=np.float32)


def _sides(rng: np.random.Generator) -> list[str]:
    return [["right"], ["left"], ["right", "left"]][rng.choice(3, p=[0.38, 0.38, 0.24])]


def _pleural_effusion(thorax: Thorax, rng: np.random.Generator) -> BoolArray:
    canvas = thorax.canvas
    mask = np.zeros(canvas.shape, dtype=bool)
    for side in _sides(rng):
        fluid = _layered(thorax, 1, rng.uniform(20, 46), rng.uniform(0.10, 0.20), rng)
        lung = canvas.coverage(thorax.lung[side])
        # Lung pressed upon by the fluid holds less air.
        pressed = 0.55 * smoothstep(fluid, -12, 0) * lung
        canvas.paint(pressed, 20.0)
        canvas.paint(canvas.coverage(fluid) * lung, rng.uniform(4, 16))
        mask |= (fluid > 0) & (thorax.lung[side] > 0)
    return mask


def _pneumothorax(thorax: Thorax, rng: np.random.Generator) -> BoolArray:
    canvas = thorax.canvas
    side = ("right", "left")[rng.integers(2)]
    air = _layered(thorax, -1, rng.uniform(18, 42), 0.0, rng)
    air += np.float32(0.05) * np.abs(canvas.z - 120)
    lung = canvas.coverage(thorax.lung[side])
    pleura = np.maximum(1 - np.abs(air) / canvas.edge, 0) * np.float32(min(1, 1.4 / canvas.edge))
    canvas.paint(0.16 * smoothstep(air, -45, -5) * lung, -350.0)  # the lung has sunk together
    canvas.paint(canvas.coverage(air) * lung, -1000.0)
    canvas.paint(0.6 * pleura * lung, 20.0)
    return np.asarray((air > 0) & (thorax.lung[side] > 0))


def _coronary_calcification(thorax: Thorax, rng: np.random.Generator) -> BoolArray:
    canvas = thorax.canvas
    starts, ends, radii = [], [], []
    names = list(CORONARIES)
    for _ in range(rng.integers(4, 9)):
        along, around = CORONARIES[names[rng.choice(3, p=[0.5, 0.25, 0.25])]]
        path = thorax.on_heart(along, around, above=1.8)
        first = rng.integers(0, len(path) - 4)
        count = rng.integers(1, 4)
        part = path[first : first + count + 1]
        starts.append(part[:-1])
        ends.append(part[1:])
        radii.append(np.full(count, rng.uniform(1.3, 2.3)))
    chalk = canvas.thin_tubes(np.concatenate(starts), np.concatenate(ends), np.concatenate(radii))
    chalk *= thorax.organs["heart"]
    canvas.paint(np.minimum(1.2 * chalk, 1), rng.uniform(600, 1000))
    return chalk > 0.25


def _whole_heart(thorax: Thorax, _rng: np.random.Generator) -> BoolArray:
    return thorax.organs["heart"].copy()


def _pericardial_effusion(thorax: Thorax, _rng: np.random.Generator) -> BoolArray:
    # The fluid was painted with the heart; here only its place is told.
    return thorax.organs["heart"] & (thorax.heart < 0)


#: Painters in the order in which they paint. Heart size and pericardial fluid shape the
#: neighbours too, so they are already in the anatomy; their painters only tell where.
PAINTERS: dict[str, Callable[[Thorax, np.random.Generator], BoolArray]] = {
    "cardiomegaly": _whole_heart,
    "pericardial_effusion": _pericardial_effusion,
    "coronary_calcification": _coronary_calcification,
    "consolidation": _consolidation,
    "nodule": _nodule,
    "mass": _mass,
    "pneumothorax": _pneumothorax,
    "pleural_effusion": _pleural_effusion,
}

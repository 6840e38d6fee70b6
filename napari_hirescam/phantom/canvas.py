"""A patient-shaped canvas: coordinates, soft-edged painting and thin tubes.

The phantom is written in the coordinates of a reference patient, in mm along (Inferior,
Posterior, Left); a canvas knows where each voxel of the wanted grid lies in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]
Box = tuple[slice, slice, slice]

# Irrational steps of a low-discrepancy sequence: points fill a tube evenly without a generator.
_GOLDEN, _PLASTIC = 0.6180339887498949, 0.7548776662466927


@dataclass(frozen=True)
class Pose:
    """How the reference patient becomes this one: size, turn about the long axis, shift.

    Parameters
    ----------
    scale
        Patient's mm per reference mm along (I, P, L).
    turn
        Rotation about the long axis, radians.
    shift
        Patient's mm along (I, P, L).
    """

    scale: tuple[float, float, float]
    turn: float
    shift: tuple[float, float, float]

    def to_patient(self, reference: npt.ArrayLike) -> Points:
        """Map reference points [..., 3] to mm about the grid's middle."""
        i, p, left = np.moveaxis(np.asarray(reference, dtype=np.float64), -1, 0)
        i, p, left = i * self.scale[0], p * self.scale[1], left * self.scale[2]
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        p, left = cos * p - sin * left, sin * p + cos * left
        return np.stack([i, p, left], axis=-1) + self.shift


class Canvas:
    """HU on a grid, with the reference coordinates of its voxels.

    Parameters
    ----------
    shape, spacing_mm
        The grid, along (I, P, L).
    pose
        The patient's pose; its origin is the middle of the grid.

    Attributes
    ----------
    hu
        float32 of `shape`, air at first.
    z, y, x
        Reference mm along (I, P, L), shaped to broadcast: [n,1,1], [1,m,k] and [1,m,k].
    edge
        Width over which a surface fades, in mm: about one voxel.
    """

    def __init__(
        self, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], pose: Pose
    ) -> None:
        self.shape, self.spacing_mm, self.pose = shape, spacing_mm, pose
        self.edge = float(np.cbrt(np.prod(spacing_mm)))
        self.hu: Field = np.full(shape, -1000.0, dtype=np.float32)
        self._middle = np.array([(n - 1) / 2 for n in shape])
        i, p, left = (
            (np.arange(n) - middle) * step - shift
            for n, middle, step, shift in zip(
                shape, self._middle, spacing_mm, pose.shift, strict=True
            )
        )
        cos, sin = np.cos(pose.turn), np.sin(pose.turn)
        plane_p, plane_l = p[:, None], left[None, :]
        self.z: Field = (i / pose.scale[0]).astype(np.float32)[:, None, None]
        self.y: Field = ((cos * plane_p + sin * plane_l) / pose.scale[1]).astype(np.float32)[None]
        self.x: Field = ((cos * plane_l - sin * plane_p) / pose.scale[2]).astype(np.float32)[None]

    def index(self, reference: npt.ArrayLike) -> Points:
        """Map reference points [..., 3] to (fractional) voxel indices."""
        return np.asarray(self.pose.to_patient(reference) / self.spacing_mm + self._middle)

    def box(self, low: Sequence[float], high: Sequence[float]) -> Box:
        """Find the voxels that hold the reference box from `low` to `high` (may be empty)."""
        corners = np.stack(np.meshgrid(*zip(low, high, strict=True), indexing="ij"), axis=-1)
        index = self.index(corners.reshape(-1, 3))
        first = np.clip(np.floor(index.min(axis=0)) - 1, 0, self.shape).astype(int)
        last = np.clip(np.ceil(index.max(axis=0)) + 2, 0, self.shape).astype(int)
        a, b, c = (slice(int(i), int(j)) for i, j in zip(first, last, strict=True))
        return a, b, c

    def coordinates(self, box: Box) -> tuple[Field, Field, Field]:
        """Give z, y, x of the voxels of a box, shaped to broadcast."""
        return self.z[box[0]], self.y[:, box[1], box[2]], self.x[:, box[1], box[2]]

    def coverage(self, depth: Field) -> Field:
        """Turn depth below a surface (mm, negative outside) into the covered fraction."""
        return np.asarray(np.clip(depth / np.float32(self.edge) + np.float32(0.5), 0, 1))

    def paint(self, coverage: Field, value: float | Field, box: Box | None = None) -> None:
        """Mix a material into the voxels it covers."""
        there = self.hu if box is None else self.hu[box]
        there += coverage * (value - there)

    def ellipsoid(
        self,
        centre: Sequence[float],
        radii: Sequence[float],
        axes: npt.ArrayLike | None = None,
        margin: float = 0.0,
    ) -> tuple[Box, Field]:
        """Depth below an ellipsoid's surface, in the box that holds it.

        Parameters
        ----------
        centre, radii
            Reference mm.
        axes
            3x3, unit rows along which `radii` run; the patient's axes if None.
        margin
            How far beyond the surface the box reaches, in mm.
        """
        frame = np.eye(3) if axes is None else np.asarray(axes, dtype=np.float64)
        semi = np.asarray(radii, dtype=np.float64)
        reach = np.sqrt(((frame * semi[:, None]) ** 2).sum(axis=0)) + margin
        where = np.asarray(centre, dtype=np.float64)
        box = self.box(list(where - reach), list(where + reach))
        z, y, x = self.coordinates(box)
        z, y, x = z - np.float32(where[0]), y - np.float32(where[1]), x - np.float32(where[2])
        squared = np.zeros(np.broadcast_shapes(z.shape, y.shape), dtype=np.float32)
        steep = np.zeros_like(squared)
        for (a, b, c), radius in zip(
            frame.astype(np.float32), semi.astype(np.float32), strict=True
        ):
            along = (a * z + (b * y + c * x)) / radius
            along *= along
            squared += along
            steep += along / (radius * radius)
        # First-order distance: the level set's value over the length of its gradient.
        norm = np.sqrt(squared)
        depth = norm * (1 - norm) / np.sqrt(np.maximum(steep, 1e-12))
        depth[norm < 1e-3] = semi.min()
        return box, depth

    def tube(self, path: Points, radii: npt.ArrayLike, margin: float = 0.0) -> tuple[Box, Field]:
        """Depth below the surface of a wide tube along a path, in the box that holds it.

        Parameters
        ----------
        path
            [n, 3] reference mm.
        radii
            One radius, or one per point of the path, in mm.
        margin
            How far beyond the surface depths are right; further out they are at most -margin.
        """
        radius = np.broadcast_to(np.asarray(radii, dtype=np.float64), len(path))
        reach = radius[:, None] + margin
        box = self.box(list((path - reach).min(axis=0)), list((path + reach).max(axis=0)))
        shape = tuple(s.stop - s.start for s in box)
        depth = np.full(shape, -max(margin, 2 * self.edge), dtype=np.float32)
        for a, b, ra, rb in zip(path[:-1], path[1:], radius[:-1], radius[1:], strict=True):
            far = max(ra, rb) + margin
            reached = self.box(list(np.minimum(a, b) - far), list(np.maximum(a, b) + far))
            part = _overlap(reached, box)
            z, y, x = self.coordinates(part)
            step = b - a
            length = max(float(step @ step), 1e-6)
            z, y, x = (c - np.float32(o) for c, o in zip((z, y, x), a, strict=True))
            d0, d1, d2 = (np.float32(s / length) for s in step)
            t = np.clip(d0 * z + (d1 * y + d2 * x), 0, 1)
            s0, s1, s2 = (np.float32(s) for s in step)
            away = np.sqrt((z - s0 * t) ** 2 + (y - s1 * t) ** 2 + (x - s2 * t) ** 2)
            inner = tuple(
                slice(p.start - o.start, p.stop - o.start) for p, o in zip(part, box, strict=True)
            )
            new = np.float32(ra) + np.float32(rb - ra) * t - away
            depth[inner] = np.maximum(depth[inner], new)
        return box, depth

    def thin_tubes(self, starts: Points, ends: Points, radii: Points) -> Field:
        """Covered fraction of each voxel by many thin tubes, [*shape].

        The tubes are filled evenly with points that each carry a share of the volume, so a
        vessel narrower than a voxel still leaves its exact amount of blood there.

        Parameters
        ----------
        starts, ends
            [n, 3] reference mm.
        radii
            [n] mm.
        """
        if len(starts) == 0:
            return np.zeros(self.shape, dtype=np.float32)
        p, q = self.pose.to_patient(starts), self.pose.to_patient(ends)
        step = q - p
        length = np.maximum(np.linalg.norm(step, axis=1), 1e-6)
        volume = np.pi * radii**2 * length
        voxel = float(np.prod(self.spacing_mm))
        fill = np.maximum(
            np.ceil(volume / (0.15 * voxel)), np.ceil(length / (0.6 * min(self.spacing_mm)))
        ).astype(int)
        tube = np.repeat(np.arange(len(fill)), fill)
        nth = np.arange(len(tube)) - np.repeat(np.cumsum(fill) - fill, fill)
        along = step / length[:, None]
        helper = np.where(np.abs(along[:, :1]) < 0.9, [[1.0, 0, 0]], [[0, 1.0, 0]])
        first = np.cross(along, helper)
        first /= np.linalg.norm(first, axis=1, keepdims=True)
        second = np.cross(along, first)
        t = (nth + 0.5) / fill[tube]
        out = radii[tube] * np.sqrt((nth * _GOLDEN + 0.5) % 1)
        angle = 2 * np.pi * ((nth * _PLASTIC) % 1)
        points = (
            p[tube]
            + t[:, None] * step[tube]
            + (out * np.cos(angle))[:, None] * first[tube]
            + (out * np.sin(angle))[:, None] * second[tube]
        )
        share = (volume / fill / voxel)[tube]
        return np.minimum(self._deposit(points / self.spacing_mm + self._middle, share), 1)

    def bend(self, backwards_mm: npt.ArrayLike, masks: Iterable[npt.NDArray[np.bool_]]) -> None:
        """Shift the picture and masks along P, slice by slice; coordinates stay as they are.

        Parameters
        ----------
        backwards_mm
            [slices] mm towards posterior.
        masks
            Masks of the canvas's shape, changed in place (to the nearest row).
        """
        rows = np.asarray(backwards_mm, dtype=np.float64) / self.spacing_mm[1]
        for nth, row in enumerate(rows):
            whole = int(np.floor(row))
            part = np.float32(row - whole)
            plane = self.hu[nth]
            self.hu[nth] = (1 - part) * np.roll(plane, whole, 0) + part * np.roll(
                plane, whole + 1, 0
            )
        for mask in masks:
            for nth, row in enumerate(rows):
                mask[nth] = np.roll(mask[nth], round(row), 0)

    def _deposit(self, index: Points, weight: Points) -> Field:
        """Share each point's weight among the eight voxels around it."""
        base = np.floor(index).astype(np.int64)
        part = index - base
        size = np.array(self.shape)
        kept = ((base >= 0) & (base < size - 1)).all(axis=1)
        base, part, weight = base[kept], part[kept], weight[kept]
        strides = np.array([self.shape[1] * self.shape[2], self.shape[2], 1])
        flat = base @ strides
        total = np.zeros(int(np.prod(self.shape)))
        for corner in np.ndindex(2, 2, 2):
            fraction = np.where(np.array(corner), part, 1 - part).prod(axis=1)
            total += np.bincount(
                flat + int(np.dot(corner, strides)), weight * fraction, minlength=total.size
            )
        return total.reshape(self.shape).astype(np.float32)


def _overlap(one: Box, other: Box) -> Box:
    a, b, c = (
        slice(max(p.start, o.start), max(min(p.stop, o.stop), max(p.start, o.start)))
        for p, o in zip(one, other, strict=True)
    )
    return a, b, c


def smoothstep(value: Field, low: float, high: float) -> Field:
    """0 at `low`, 1 at `high` (which may be the smaller), smooth between."""
    t = np.clip((value - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))

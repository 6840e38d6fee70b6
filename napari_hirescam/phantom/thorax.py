"""Lungs, heart, great vessels, airways and what lies under the diaphragm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_hirescam.phantom.canvas import Canvas, Field, Points, smoothstep
from napari_hirescam.phantom.courses import AIRWAYS, CORONARIES, GULLET, VESSELS
from napari_hirescam.phantom.frame import Trunk
from napari_hirescam.phantom.trees import branch, lung_tree

BoolArray = npt.NDArray[np.bool_]
SIDES = {"right": -1, "left": 1}
_FAR = -40.0


@dataclass(frozen=True)
class Contents:
    """What one patient's chest holds, in reference mm and HU.

    Parameters
    ----------
    blood, heart_muscle, lung, liver
        HU; contrast medium may have made the blood brighter than muscle.
    heart_scale
        1 for a normal heart.
    heart_shift
        Offset of the heart along (I, P, L).
    pericardial_fluid
        Thickness of the fluid around the heart; 0 for none.
    dome
        Height of the right dome of the diaphragm; the left one lies lower.
    apex
        Height of the lungs' tips.
    """

    blood: float
    heart_muscle: float
    lung: float
    liver: float
    heart_scale: float
    heart_shift: tuple[float, float, float]
    pericardial_fluid: float
    dome: float
    apex: float


class Thorax:
    """Geometry of the organs on a canvas.

    Attributes
    ----------
    lung
        Side -> depth below the surface of the pleural space, [*shape] mm.
    heart
        Depth below the surface of the heart, [*shape] mm.
    trees
        Side -> (vessels, airways), each as starts, ends [n, 3] and radii [n].
    organs
        Name -> mask, filled as organs are painted.
    """

    def __init__(
        self, canvas: Canvas, trunk: Trunk, contents: Contents, rng: np.random.Generator
    ) -> None:
        self.canvas, self.trunk, self.contents = canvas, trunk, contents
        self.organs: dict[str, BoolArray] = {
            "body": trunk.body > 0.5,
            "spine": (trunk.spine > 0) & (canvas.z < 400),
        }
        self.dome = self._dome()
        self._frame_heart()
        self.heart = self._heart()
        self._vessels = self._great_vessels()
        self.lung = {side: self._lung(sign) for side, sign in SIDES.items()}
        self.trees = {side: lung_tree(sign, rng) for side, sign in SIDES.items()}

    def _dome(self) -> Field:
        """Height of the diaphragm, [1, rows, columns]."""
        x, y = self.canvas.x, self.canvas.y
        fall = np.where(y > -8, np.float32(64), np.float32(26)) * ((y + 8) / 78) ** 2
        tops = []
        for sign, lower in ((-1, 0.0), (1, 13.0)):
            off = sign * x - 58
            tops.append(self.contents.dome + lower + np.where(off > 0, 46, 10) * (off / 70) ** 2)
        left = smoothstep(x, -22, 34)
        return np.asarray(tops[0] * (1 - left) + tops[1] * left + fall, dtype=np.float32)

    def _frame_heart(self) -> None:
        """Place the ventricles: centre, radii and axes (towards the apex first)."""
        k = self.contents.heart_scale
        long = np.array([0.46, -0.52, 0.72])
        long /= np.linalg.norm(long)
        front = np.array([-0.25, -0.85, -0.46])
        front -= (front @ long) * long
        front /= np.linalg.norm(front)
        self.heart_axes = np.stack([long, front, np.cross(long, front)])
        # A large heart grows towards the apex, away from spine and great vessels.
        self.heart_centre = (
            np.array([174.0, -25.0, 21.0])
            + self.contents.heart_shift
            + (k - 1) * np.array([16.0, -8.0, 34.0])
        )
        self.heart_radii = np.array([61.0, 43.0, 46.0]) * k

    def on_heart(self, along: npt.ArrayLike, around: npt.ArrayLike, above: float = 0.0) -> Points:
        """Points on the ventricles' surface, [n, 3] reference mm.

        Parameters
        ----------
        along
            -1 at the base to 1 at the apex.
        around
            Radians about the long axis; 0 is the front, pi/2 the left back wall.
        above
            mm outside the surface.
        """
        u, phi = np.asarray(along, dtype=np.float64), np.asarray(around, dtype=np.float64)
        ring = np.sqrt(np.maximum(1 - u**2, 0))
        unit = np.stack([u + 0 * phi, ring * np.cos(phi), ring * np.sin(phi)], axis=-1)
        return np.asarray((unit * (self.heart_radii + above)) @ self.heart_axes + self.heart_centre)

    def _chambers(self) -> list[tuple[tuple[float, float, float], tuple[float, float, float]]]:
        """Offsets from the ventricles' centre and radii of right and left atrium."""
        k = self.contents.heart_scale
        return [
            ((-6 * k, 18 * k, -44 * k), (32 * k, 25 * k, 21 * k)),
            ((-27 * k, 35 + 2 * k, -16 * k), (23 * k, 18 * k, 29 * k)),
        ]

    def _heart(self) -> Field:
        depth = np.full(self.canvas.shape, _FAR, dtype=np.float32)
        parts = [
            self.canvas.ellipsoid(
                list(self.heart_centre), list(self.heart_radii), self.heart_axes, margin=18
            )
        ]
        parts += [
            self.canvas.ellipsoid(list(self.heart_centre + offset), radii, margin=18)
            for offset, radii in self._chambers()
        ]
        for box, part in parts:
            depth[box] = np.maximum(depth[box], part)
        box = parts[0][0]
        fluid = self.contents.pericardial_fluid
        room = np.minimum(self.trunk.cage - 5 - fluid, -self.trunk.spine - 7)
        np.minimum(depth, room, out=depth)
        above_dome = (self.dome - self.canvas.z) * np.float32(0.8) + 6 - fluid
        return np.asarray(np.minimum(depth, above_dome))

    def _great_vessels(self) -> list[tuple[str, tuple[slice, slice, slice], Field]]:
        base = np.asarray(self.contents.heart_shift)
        built = []
        for name, path, radii in VESSELS:
            # The vessels follow the heart, the less the further away they run.
            box, depth = self.canvas.tube(np.array(path, float) + base * 0.4, radii, margin=6)
            built.append((name, box, depth))
        return built

    def _lung(self, sign: int) -> Field:
        z, y, x = self.canvas.z, self.canvas.y, self.canvas.x
        depth = self.trunk.cage - 1.5
        aside = sign * x - 1.5 * sign
        # The mediastinum is a thin sheet in front, wide at the great vessels, thin again below.
        wide = 18 - 7 * smoothstep(z, 120, 165)
        middle = 3 + (wide - 3) * smoothstep(y, -74, -34)
        np.minimum(depth, aside - middle, out=depth)
        np.minimum(depth, (self.dome - z) * np.float32(0.82), out=depth)
        round_top = np.clip(1 - (z - self.contents.apex) / (92 - self.contents.apex), 0, 1)
        top = np.sqrt(1 - round_top**2) + 0.8 * smoothstep(z, 35, 105)
        top = np.where(z < self.contents.apex, np.float32(-0.3), top)
        ring = np.hypot((sign * x - 48) / 52, (y - 14) / 58)
        np.minimum(depth, (top - ring) * 48, out=depth)
        np.minimum(depth, -self.trunk.spine - 4, out=depth)
        gap = 4.5 + self.contents.pericardial_fluid
        np.minimum(depth, -self.heart - np.float32(gap), out=depth)
        for _, box, vessel in self._vessels:
            depth[box] = np.minimum(depth[box], -vessel - 2)
        return depth

    def paint(self, texture: Field) -> None:
        """Paint everything; `texture` is a field of unit variance for the lungs' grain."""
        self._paint_abdomen()
        self._paint_lungs(texture)
        self._paint_heart()
        self._paint_vessels_and_airways()

    def _paint_abdomen(self) -> None:
        canvas, cage = self.canvas, self.trunk.cage
        below = (canvas.z - self.dome) * np.float32(0.82)
        inside = np.minimum(cage - 2.5, -self.trunk.spine - 8)
        y, x, z = canvas.y, canvas.x, canvas.z
        # The diaphragm itself is a thin sheet of muscle.
        sheet = np.minimum(1.6 - np.abs(below - 1.5), cage - 1)
        canvas.paint(canvas.coverage(sheet), 55.0)
        edge = 0.80 * (38 - x) - 0.60 * (y + 26) - 0.12 * (z - 240)
        liver = np.minimum(np.minimum(below - 3, inside), edge)
        liver = np.minimum(liver, 30 - 0.5 * y - 0.4 * np.maximum(x + 20, 0))
        canvas.paint(canvas.coverage(liver), self.contents.liver)
        self.organs["liver"] = liver > 0
        box, depth = canvas.ellipsoid((272, 34, 84), (48, 40, 26))
        spleen = np.minimum(np.minimum(depth, below[box] - 3), inside[box])
        canvas.paint(canvas.coverage(spleen), self.contents.liver + 12, box)
        self.organs["spleen"] = _filled(canvas, box, spleen)
        box, depth = canvas.ellipsoid((272, -22, 58), (50, 38, 40))
        stomach = np.minimum(np.minimum(depth, below[box] - 4), inside[box])
        stomach = np.minimum(stomach, -liver[box] - 2)
        gas = np.minimum(stomach - 4, -26 - y[:, box[1], box[2]])
        canvas.paint(canvas.coverage(stomach), 48.0, box)
        canvas.paint(canvas.coverage(stomach - 4), 18.0, box)
        canvas.paint(canvas.coverage(gas), -990.0, box)
        vessels = branch(
            np.array([[275.0, 12, -45]]),
            np.array([[-0.5, -0.4, -0.6]]),
            5.0,
            30,
            6,
            np.random.Generator(np.random.PCG64(7)),
            spread=0.8,
        )
        portal = canvas.thin_tubes(*vessels) * canvas.coverage(liver - 5)
        canvas.paint(portal, self.contents.blood + 5)

    def _paint_lungs(self, texture: Field) -> None:
        canvas = self.canvas
        y, z = canvas.y, canvas.z
        both = np.maximum(self.lung["right"], self.lung["left"])
        air = self.contents.lung + 55 * smoothstep(y, -60, 85) + 14 * texture
        cover = canvas.coverage(both)
        canvas.paint(cover, air)
        for side in SIDES:
            inside = canvas.coverage(self.lung[side])
            fissure = np.maximum(1 - np.abs(self.oblique_fissure) / canvas.edge, 0)
            if side == "right":
                flat = np.maximum(1 - np.abs(z - 132 - 0.06 * y) / canvas.edge, 0)
                fissure = np.maximum(fissure, flat * (self.oblique_fissure < 0))
            canvas.paint(np.float32(0.7 / canvas.edge) * 0.3 * fissure * inside, -100.0)
            (starts, ends, radii), airways = self.trees[side]
            blood = canvas.thin_tubes(starts, ends, radii) * inside
            canvas.paint(np.minimum(1.1 * blood, 1), self.contents.blood - 70)
            wide = airways[2] > 1.6
            a, b, r = (part[wide] for part in airways)
            canvas.paint(canvas.thin_tubes(a, b, r + 0.9) * inside, -60.0)
            canvas.paint(np.minimum(1.3 * canvas.thin_tubes(a, b, r), 1) * inside, -985.0)
            self.organs[f"{side}_lung"] = self.lung[side] > 0
        self.organs["lungs"] = self.organs["right_lung"] | self.organs["left_lung"]

    @property
    def oblique_fissure(self) -> Field:
        """Distance behind the oblique fissure, mm: positive in the lower lobes."""
        return np.asarray(
            (self.canvas.z - 62) * np.float32(0.588) + (self.canvas.y - 58) * np.float32(0.809)
        )

    def _paint_heart(self) -> None:
        canvas, contents = self.canvas, self.contents
        fluid = contents.pericardial_fluid
        if fluid:
            sac = np.minimum(self.heart + fluid, self.trunk.cage - 3)
            sac = np.minimum(sac, -np.maximum(self.lung["right"], self.lung["left"]) - 1)
            canvas.paint(canvas.coverage(sac), 12.0)
        canvas.paint(canvas.coverage(self.heart), contents.heart_muscle)
        k, centre, axes = contents.heart_scale, self.heart_centre, self.heart_axes
        rooms = [
            (centre + np.array([1, 7, 9]) * k, np.array([42.0, 20, 21]) * k, axes),
            (centre + np.array([3, -17, -15]) * k, np.array([36.0, 14, 25]) * k, axes),
        ]
        rooms += [
            (centre + offset, np.array(radii) - 3.0, np.eye(3))
            for offset, radii in self._chambers()
        ]
        for where, radii, frame in rooms:
            box, depth = canvas.ellipsoid(list(where), list(radii), frame)
            depth = np.minimum(depth, self.heart[box] - 2.5)
            canvas.paint(canvas.coverage(depth), contents.blood, box)
        for along, around in CORONARIES.values():
            path = self.on_heart(along, around, above=2.2)
            lumen = canvas.thin_tubes(path[:-1], path[1:], np.full(len(path) - 1, 1.5))
            canvas.paint(lumen * canvas.coverage(-self.heart), contents.blood)
        sac = np.minimum(self.heart + 4 + fluid, self.trunk.cage - 2)
        self.organs["heart"] = (sac > 0) & ~self.organs["lungs"]

    def _paint_vessels_and_airways(self) -> None:
        canvas = self.canvas
        for name, box, depth in self._vessels:
            canvas.paint(canvas.coverage(depth), 60.0, box)
            hu = self.contents.blood + (12 if name != "vein" else -8)
            canvas.paint(canvas.coverage(depth - 1.2), hu, box)
            if name == "aorta":
                self.organs["aorta"] = _filled(canvas, box, depth)
        box, depth = canvas.tube(np.array(GULLET, float), 6.5)
        canvas.paint(canvas.coverage(depth), 38.0, box)
        canvas.paint(canvas.coverage(depth - 5.2), -300.0, box)
        windpipe = np.zeros(canvas.shape, dtype=bool)
        tubes = [canvas.tube(np.array(path, float), radii) for path, radii in AIRWAYS]
        for box, depth in tubes:
            canvas.paint(canvas.coverage(depth + 1.6), 45.0, box)
        for box, depth in tubes:
            canvas.paint(canvas.coverage(depth), -995.0, box)
            windpipe[box] |= depth > 0
        self.organs["trachea"] = windpipe


def _filled(canvas: Canvas, box: tuple[slice, slice, slice], depth: Field) -> BoolArray:
    mask = np.zeros(canvas.shape, dtype=bool)
    mask[box] = depth > 0
    return mask

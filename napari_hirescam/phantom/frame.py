"""Trunk and skeleton: skin, fat, muscle, ribs, spine, sternum, shoulder girdle, couch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_hirescam.phantom.canvas import Canvas, Field, smoothstep

RIB_PITCH = 23.0
SPINE_Y = 60.0
# |angle from the spine| at which each pair of ribs (with its cartilage) ends, in radians.
_RIB_ENDS = np.array([2.95] * 7 + [2.55, 2.35, 2.1, 1.5, 1.0], dtype=np.float32)


@dataclass(frozen=True)
class Build:
    """One patient's build, in reference mm.

    Parameters
    ----------
    fat
        Thickness of the fat under the skin.
    muscle
        Thickness of the chest wall's muscle.
    cage
        Half widths of the rib cage along (P, L) where it is widest.
    rib_phase
        Height of the first rib at the spine.
    marrow
        HU of cancellous bone.
    """

    fat: float
    muscle: float
    cage: tuple[float, float]
    rib_phase: float
    marrow: float


@dataclass(frozen=True)
class Trunk:
    """Fields over the whole canvas that organs are fitted into.

    Parameters
    ----------
    cage
        Depth below the inner surface of the rib cage, mm; negative outside.
    spine
        Depth below the surface of the vertebral bodies, mm; large negative far away.
    body
        Fraction of each voxel inside the skin.
    """

    cage: Field
    spine: Field
    body: Field


def _superellipse(
    canvas: Canvas, half_p: Field, half_l: Field, centre_p: Field, power: float
) -> Field:
    """Depth (first order, in the axial plane) below a superellipse of half widths [n,1,1]."""
    u = np.abs(canvas.y - centre_p) / half_p
    v = np.abs(canvas.x) / half_l
    up, vp = u ** np.float32(power - 1), v ** np.float32(power - 1)
    total = up * u + vp * v
    root = np.maximum(total, np.float32(1e-6)) ** np.float32(1 / power)
    gradient = np.hypot(up / half_p, vp / half_l) * root / np.maximum(total, np.float32(1e-6))
    depth = (1 - root) / np.maximum(gradient, np.float32(1e-4))
    return np.asarray(np.minimum(depth, np.minimum(half_p, half_l)))


def paint_trunk(canvas: Canvas, build: Build) -> Trunk:
    """Paint skin, fat, muscle and all bones; the cage is left filled with fat."""
    z = canvas.z
    widen = smoothstep(z, -20, 135) ** np.float32(0.75)
    cage_p = 44 + (build.cage[0] - 44) * widen
    cage_l = 66 + (build.cage[1] - 66) * widen - 6 * smoothstep(z, 230, 330)
    cage_y = 14 * (1 - widen)
    cage = _superellipse(canvas, cage_p, cage_l, cage_y, 2.35)

    wall = build.fat + build.muscle + 9
    front = build.cage[0] + wall - 5
    back = SPINE_Y + 54 + build.fat * 0.4
    shoulder = smoothstep(z, 70, 0)
    half_p = (front + back) / 2 - 16 * shoulder
    half_l = build.cage[1] + wall + 8 * shoulder - 5 * smoothstep(z, 200, 320)
    skin = _superellipse(canvas, half_p, half_l, (back - front) / 2 + 0 * z, 2.5)
    # A shallow furrow down the back, over the spinous processes.
    furrow = 6 * np.exp(-((canvas.x / 16) ** 2)) * (canvas.y > 60)
    skin = skin - furrow
    body = canvas.coverage(skin)

    canvas.paint(body, 20.0)
    canvas.paint(canvas.coverage(skin - 2.0), -105.0)
    _paint_muscle(canvas, build, cage, skin, shoulder)
    canvas.paint(canvas.coverage(cage), -95.0)
    spine = _paint_spine(canvas, build)
    _paint_ribs(canvas, build, cage)
    _paint_sternum(canvas, build, cage_p, cage_y)
    _paint_shoulder_girdle(canvas, build, cage)
    return Trunk(cage, spine, body)


def paint_couch(canvas: Canvas, build: Build) -> None:
    """Paint a carbon-fibre shell with a foam core, curved under the patient."""
    surface = canvas.y - (SPINE_Y + 63 + build.fat * 0.4) + (canvas.x / 190) ** 2 * 34
    across = 175 - np.abs(canvas.x)
    shell = canvas.coverage(np.minimum(np.minimum(surface, 14 - surface), across))
    foam = canvas.coverage(np.minimum(np.minimum(surface - 2.5, 11.5 - surface), across - 2.5))
    canvas.paint(shell, -150.0)
    canvas.paint(foam, -930.0)


def _paint_muscle(canvas: Canvas, build: Build, cage: Field, skin: Field, shoulder: Field) -> None:
    turn = np.abs(np.arctan2(canvas.x, canvas.y - 5))
    z = canvas.z
    beside_spine = 30 * np.exp(-(((np.abs(canvas.x) - 26) / 26) ** 2)) * (turn < 0.9)
    pectoral = 15 * np.exp(-(((turn - 2.45) / 0.42) ** 2))
    pectoral = pectoral * smoothstep(z, 5, 30) * smoothstep(z, 150, 105)
    latissimus = 9 * np.exp(-(((turn - 0.95) / 0.45) ** 2)) * smoothstep(z, 250, 160)
    thickness = 9 + build.muscle + beside_spine + pectoral + latissimus + 58 * shoulder
    muscle = np.minimum(thickness + cage, skin - build.fat * 0.75 - 2)
    # Fat planes between the layers of muscle, as lines that fade in and out.
    planes = np.abs(np.abs(cage + 24) - 7 - 3 * np.sin(3 * turn)) - np.float32(0.9)
    muscle = np.minimum(muscle, planes + 40 * (turn < 0.35) + 40 * (cage > -12))
    canvas.paint(canvas.coverage(muscle), 52.0)
    # The fat of the armpits, and around the vessels at the top of the chest.
    for side in (-1, 1):
        box, depth = canvas.ellipsoid((70, -8, side * 112), (48, 26, 20))
        fat = np.minimum(depth, -9 - cage[box])
        canvas.paint(canvas.coverage(fat), -100.0, box)


def _paint_bone(
    canvas: Canvas, depth: Field, marrow: float, box: tuple[slice, slice, slice]
) -> None:
    canvas.paint(canvas.coverage(depth), 620.0, box)
    canvas.paint(canvas.coverage(depth - 1.8), marrow, box)


def _paint_ribs(canvas: Canvas, build: Build, cage: Field) -> None:
    turn = np.abs(np.arctan2(canvas.x, canvas.y - 5))
    near = (cage < 0) & (cage > -11) & (turn > 0.24) & (canvas.z < 330)
    where = np.nonzero(near)
    out = -cage[where] - 4.8
    angle = turn[0][where[1], where[2]]
    height = canvas.z[where[0], 0, 0]
    drop = 92 * np.sin(angle * np.float32(0.5)) ** 2 * (0.5 + 0.5 * smoothstep(height, 0, 130))
    # The costal cartilages climb again towards the breastbone.
    drop -= 34 * smoothstep(angle, 2.3, 3.0) * smoothstep(height, 110, 210)
    order = (height - build.rib_phase - drop) / np.float32(RIB_PITCH)
    nearest = np.rint(order)
    rib = np.clip(nearest, 0, 11).astype(int)
    off = (order - nearest) * np.float32(RIB_PITCH) * np.float32(0.86)
    norm = np.sqrt((off / np.float32(4.9)) ** 2 + (out / np.float32(3.9)) ** 2)
    depth = (1 - norm) * np.float32(4.2)
    depth = np.where((nearest >= 0) & (nearest <= 11), depth, -9)
    depth = np.minimum(depth, (_RIB_ENDS[rib] - angle) * 100)
    bone = angle < 2.35
    hu = canvas.hu[where]
    cover = canvas.coverage(depth)
    hu += cover * (np.where(bone, np.float32(640), np.float32(105)) - hu)
    core = canvas.coverage(depth - 1.7)
    hu += core * (np.where(bone, np.float32(build.marrow + 40), np.float32(115)) - hu)
    canvas.hu[where] = hu


def _paint_spine(canvas: Canvas, build: Build) -> Field:
    """Vertebral bodies, discs, arches and processes; returns depth below the bodies."""
    box = canvas.box((-60, SPINE_Y - 32, -48), (360, SPINE_Y + 62, 48))
    z, y, x = canvas.coordinates(box)
    y = y - np.float32(SPINE_Y)
    order = (z - build.rib_phase - 4) / np.float32(RIB_PITCH)
    up = (order - np.rint(order)) * np.float32(RIB_PITCH)  # from the vertebra's middle, [n,1,1]
    waist = 1 - 0.09 * np.cos(np.pi * up / np.float32(RIB_PITCH / 2)) * 0.9
    norm = np.hypot(x / 17.5, y / 14.5)
    around = (1 - norm / waist) * np.float32(15)
    bodies = np.full(canvas.shape, -60, dtype=np.float32)
    bodies[box] = around
    plate = np.float32(9.6) - np.abs(up)
    canvas.paint(canvas.coverage(around + 0 * plate), 85.0, box)  # discs show between plates
    _paint_bone(canvas, np.minimum(around, plate), build.marrow, box)
    # The canal with its ring of bone; the laminae overlap like tiles.
    ring = np.hypot(x, y - 23)
    arch = np.minimum(np.minimum(12.5 - ring, ring - 8.3), 8.5 - np.abs(up - 2))
    arch = np.minimum(arch, y - 8)
    canvas.paint(canvas.coverage(arch), 430.0, box)
    # Transverse processes point sideways and back, the spinous one back and down.
    side = np.abs(x)
    process = np.minimum(4.2 - np.abs(y - 19 - 0.45 * side), 4.5 - np.abs(up + 3))
    process = np.minimum(process, np.minimum(side - 9, 31 - side))
    canvas.paint(canvas.coverage(process), 430.0, box)
    tilt = up - (y - 33) * np.float32(0.45)
    tilt = tilt + np.float32(RIB_PITCH) * (tilt < -RIB_PITCH / 2)
    spinous = np.minimum(np.minimum(2.8 - side, 5.5 - np.abs(tilt)), np.minimum(y - 33, 51 - y))
    canvas.paint(canvas.coverage(spinous), 420.0, box)
    canvas.paint(canvas.coverage(np.float32(8.0) - ring), 22.0, box)
    canvas.paint(canvas.coverage(np.float32(5.0) - np.hypot(x, y - 23.5)), 42.0, box)
    return bodies


def _paint_sternum(canvas: Canvas, build: Build, cage_p: Field, cage_y: Field) -> None:
    box = canvas.box((30, -130, -35), (225, -30, 35))
    z, y, x = canvas.coordinates(box)
    front = (cage_y - cage_p)[box[0]]
    width = 15 + 12 * smoothstep(z, 80, 45) - 6 * smoothstep(z, 175, 205)
    ends = np.minimum(z - 42, 208 - z)
    # Rounded edges: the corner of a plate, less the radius of its rim.
    rim = 4.6
    across = np.hypot(
        np.maximum(np.abs(x) - (width - rim), 0), np.maximum(np.abs(y - front + 6.5) - 1.2, 0)
    )
    joint = np.abs(z - 88) - 1.2
    _paint_bone(canvas, np.minimum(np.minimum(rim - across, ends), joint), build.marrow - 20, box)


def _paint_shoulder_girdle(canvas: Canvas, build: Build, cage: Field) -> None:
    for side in (-1, 1):
        clavicle = np.array([(44, -54, 24), (30, -62, 58), (16, -42, 100), (6, -20, 138)], float)
        clavicle[:, 2] *= side
        box, depth = canvas.tube(clavicle, 5.6)
        _paint_bone(canvas, depth, build.marrow + 60, box)
        # The shoulder blade: a thin plate over the back of the ribs, and its spine.
        low, high = sorted((side * 42, side * 135))
        box = canvas.box((0, 5, low), (150, 115, high))
        z, y, x = canvas.coordinates(box)
        turn = np.abs(np.arctan2(x, y - 5))
        inner = 0.62 + 0.22 * smoothstep(z, 90, 150)
        outer = 1.32 - 0.45 * smoothstep(z, 40, 150)
        plate = 2.3 - np.abs(cage[box] + 23)
        plate = np.minimum(plate, np.minimum(turn - inner, outer - turn) * 90)
        _paint_bone(canvas, np.minimum(plate, np.minimum(z - 8, 138 - z)), 420.0, box)
        spine = np.array([(44, 92, 62), (30, 90, 92), (14, 62, 128)], float)
        spine[:, 2] *= side
        box, depth = canvas.tube(spine, [4.0, 5.5, 7.5])
        _paint_bone(canvas, depth, build.marrow + 60, box)

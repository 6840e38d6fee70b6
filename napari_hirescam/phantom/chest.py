"""One seed, one patient: the chest CT phantom."""

from __future__ import annotations

import zlib
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_hirescam.phantom.canvas import Canvas, Field, Pose
from napari_hirescam.phantom.devices import DEVICES
from napari_hirescam.phantom.findings import FINDING_ORGAN, PAINTERS
from napari_hirescam.phantom.frame import Build, paint_couch, paint_trunk
from napari_hirescam.phantom.thorax import BoolArray, Contents, Thorax
from napari_hirescam.volume import Volume, scaling, translation

#: Size of the phantom along (I, P, L) in mm, unless a shape is given.
EXTENT_MM = (300.0, 260.0, 330.0)

_PREVALENCE = 0.35
_PSF_MM = (0.5, 0.7, 0.7)
# The reference patient's heights run from 0 (above the lungs' tips) to 300.
_MIDDLE_HEIGHT = 150.0


@dataclass(frozen=True, eq=False)
class Phantom:
    """A made-up chest CT and the truth about it.

    Parameters
    ----------
    volume
        int16 HU [slice, row, column]; the grid's middle is the world's origin.
    organs
        Name -> mask on the volume's grid: "lungs" (both, with the pleural space),
        "left_lung", "right_lung", "heart" (to the pericardium), "aorta", "trachea",
        "liver", "spleen", "spine" (the column of vertebral bodies), "body".
    findings
        Name -> mask of what the finding occupies; only findings that are present.
    devices
        Name -> mask of what the patient wears or carries; only what is present.
    """

    volume: Volume
    organs: dict[str, BoolArray]
    findings: dict[str, BoolArray]
    devices: dict[str, BoolArray] = field(default_factory=dict)


def make_phantom(
    seed: int,
    findings: Collection[str] | None = None,
    *,
    spacing_mm: tuple[float, float, float] = (2.5, 1.6, 1.6),
    shape: tuple[int, int, int] | None = None,
    devices: Collection[str] = (),
) -> Phantom:
    """Make a chest CT with chosen findings.

    The same arguments give the same bytes. One seed is one patient: with other findings the
    anatomy stays, but for what the findings displace; devices lie outside lungs and heart, and
    leave all else as it is.

    Parameters
    ----------
    seed
        The patient.
    findings
        Names out of ``FINDING_ORGAN``; None draws each with a chance of about a third.
    spacing_mm
        Voxel spacing along (I, P, L).
    shape
        Voxels along (I, P, L); None covers ``EXTENT_MM``.
    devices
        Names out of ``DEVICES``.

    Raises
    ------
    ValueError
        If a finding or a device is unknown or a spacing is not positive.
    """
    if min(spacing_mm) <= 0:
        raise ValueError(f"spacing must be positive, not {spacing_mm}")
    if findings is None:
        draw = _stream(seed, "findings")
        present = [name for name in FINDING_ORGAN if draw.random() < _PREVALENCE]
    else:
        unknown = sorted(set(findings) - set(FINDING_ORGAN))
        if unknown:
            known = ", ".join(FINDING_ORGAN)
            raise ValueError(f"unknown findings: {', '.join(unknown)}; known are: {known}")
        present = [name for name in FINDING_ORGAN if name in findings]
    strange = sorted(set(devices) - set(DEVICES))
    if strange:
        raise ValueError(f"unknown devices: {', '.join(strange)}; known are: {', '.join(DEVICES)}")
    if shape is None:
        rows = [round(e / s) for e, s in zip(EXTENT_MM, spacing_mm, strict=True)]
        shape = (rows[0], rows[1], rows[2])

    canvas = Canvas(shape, spacing_mm, _draw_pose(_stream(seed, "pose")))
    build = _draw_build(_stream(seed, "build"))
    trunk = paint_trunk(canvas, build)
    thorax = Thorax(canvas, trunk, _draw_contents(seed, present), _stream(seed, "trees"))
    noise = _stream(seed, "noise")
    thorax.paint(_grain(noise, canvas, 2.2))
    masks = {
        name: painter(thorax, _stream(seed, name)) & thorax.organs[FINDING_ORGAN[name]]
        for name, painter in PAINTERS.items()
        if name in present
    }
    worn = {
        name: painter(canvas, trunk, build, _stream(seed, name))
        for name, painter in DEVICES.items()
        if name in devices
    }
    canvas.bend(_kyphosis(canvas), [*thorax.organs.values(), *masks.values(), *worn.values()])
    paint_couch(canvas, build)
    _scan(canvas, noise)
    affine = scaling(spacing_mm) @ translation([-(n - 1) / 2 for n in shape])
    volume = Volume(
        np.rint(np.clip(canvas.hu, -1024, 3071)).astype(np.int16), affine, f"phantom {seed}"
    )
    return Phantom(volume, thorax.organs, masks, worn)


def _stream(seed: int, purpose: str) -> np.random.Generator:
    """One generator per purpose, so that a further finding leaves all others as they are."""
    return np.random.Generator(
        np.random.PCG64(np.random.SeedSequence([seed, zlib.crc32(purpose.encode())]))
    )


def _draw_pose(rng: np.random.Generator) -> Pose:
    tall, deep, wide = rng.uniform((0.95, 0.92, 0.92), (1.04, 1.02, 1.04))
    # The reference point at half height comes to the middle of the grid, give or take.
    shift = np.array([-_MIDDLE_HEIGHT * tall, -8, 0]) + rng.normal(0, (4, 3, 4))
    i, p, left = (float(s) for s in shift)
    return Pose((float(tall), float(deep), float(wide)), float(rng.normal(0, 0.035)), (i, p, left))


def _draw_build(rng: np.random.Generator) -> Build:
    return Build(
        fat=float(rng.uniform(6, 17)),
        muscle=float(rng.uniform(3, 8)),
        cage=(float(rng.uniform(72, 79)), float(rng.uniform(112, 120))),
        rib_phase=float(rng.uniform(-2, 14)),
        marrow=float(rng.uniform(150, 260)),
    )


def _draw_contents(seed: int, present: Collection[str]) -> Contents:
    rng = _stream(seed, "contents")
    shift = rng.normal(0, (4, 2, 3))
    usual = rng.uniform(0.88, 1.04)
    contrast = rng.uniform(100, 175)
    drawn = {
        "blood": contrast,
        "heart_muscle": 52 + 0.32 * (contrast - 45),
        "lung": rng.uniform(-885, -835),
        "liver": rng.uniform(62, 105),
        "dome": rng.uniform(196, 222),
        "apex": rng.uniform(8, 20),
    }
    large = _stream(seed, "heart size").uniform(1.24, 1.42)
    fluid = _stream(seed, "pericardial fluid").uniform(8, 15)
    return Contents(
        **{name: float(value) for name, value in drawn.items()},
        heart_scale=float(large if "cardiomegaly" in present else usual),
        heart_shift=(float(shift[0]), float(shift[1]), float(shift[2])),
        pericardial_fluid=float(fluid) if "pericardial_effusion" in present else 0.0,
    )


def _kyphosis(canvas: Canvas) -> npt.NDArray[np.float64]:
    """How far each slice lies back of the straight reference: the thoracic spine is curved."""
    height = canvas.z[:, 0, 0].astype(np.float64)
    return 7 - 21 * ((height - 140) / 150) ** 2


def _grain(rng: np.random.Generator, canvas: Canvas, size_mm: float) -> Field:
    """Smooth random field of zero mean and unit variance."""
    white = rng.standard_normal(canvas.shape, dtype=np.float32)
    sigma = [0.42 * size_mm / step for step in canvas.spacing_mm]
    smooth = ndimage.gaussian_filter(white, sigma, mode="wrap", truncate=3)
    return np.asarray(smooth / smooth.std())


def _scan(canvas: Canvas, rng: np.random.Generator) -> None:
    """Blur by the scanner's point spread and add its noise."""
    sigma = [mm / step for mm, step in zip(_PSF_MM, canvas.spacing_mm, strict=True)]
    blurred = ndimage.gaussian_filter(canvas.hu, sigma, mode="nearest", truncate=3)
    level = rng.uniform(13, 24)
    # Photons are scarcest along the widest path, so noise grows towards the body's middle.
    middle = np.exp(-((canvas.x / 150) ** 2) - (canvas.y / 130) ** 2)
    strength = np.float32(level) * (0.55 + 0.55 * middle)
    canvas.hu = np.asarray(blurred + strength * _grain(rng, canvas, 1.8), dtype=np.float32)

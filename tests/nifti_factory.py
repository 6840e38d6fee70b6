"""NIfTI files as other software writes them, and ways to damage them."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

RAS = np.array([[-0.7, 0, 0, 90.5], [0, -0.7, 0, 120.25], [0, 0, 2.5, -300], [0, 0, 0, 1]])
RNG = np.random.default_rng(7)
CT = RNG.integers(-1024, 1500, (6, 7, 8)).astype(np.int16)


def save(path: Path, voxels=CT, ras=RAS, *, sform=1, qform=0, kind=nib.Nifti1Image, **fields):
    """A NIfTI file as other software writes it; `fields` overrides header fields."""
    image = kind(voxels, ras, dtype=voxels.dtype)
    image.set_sform(ras, sform)
    image.set_qform(ras, qform)
    for name, value in fields.items():
        image.header[name] = value
    image.to_filename(path)
    return path


def patch(path: Path, offset: int, content: bytes) -> Path:
    """Overwrite bytes of an uncompressed file."""
    whole = bytearray(path.read_bytes())
    whole[offset : offset + len(content)] = content
    path.write_bytes(whole)
    return path


def value_at(volume, ras_mm) -> float:
    s, p, left = ras_mm[2], -ras_mm[1], -ras_mm[0]
    index = np.rint(volume.grid.to_index((-s, p, left))).astype(int)
    return volume.voxels[tuple(index)]

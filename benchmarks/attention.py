"""What attention maps cost: ours and the peers' on the same network and input, in one run.

Each contestant runs in a process of its own and reports the process CPU seconds and wall
seconds of its best repeat, and the peak memory it added to model, input and imports. Machines
are noisy: read the ratios (x), against an inference-mode forward pass of the same network that
is timed in turn with it (for AxialNet in chunks of 8 slices: in one piece it needs gigabytes).
Where there is a bar, the table says whether it was held.

    python benchmarks/attention.py                 # the table
    python benchmarks/attention.py --quick         # smaller inputs, one repeat
    python benchmarks/attention.py --only resnet18-128 --ours
    python benchmarks/attention.py --cuda          # and the rows of the GPU
    python benchmarks/attention.py --markdown      # the table for a document

Peers are compared where they are installed: captum, torchcam, MONAI and pytorch-grad-cam
(`pip install --no-deps grad-cam ttach opencv-python-headless`, since its dependencies replace
a CPU build of torch).
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import importlib.util
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from on_gpu import measure_on_gpu
from peers import make_peer_work

Work = Callable[[], Any]
MIB = 1024.0
METHODS = ("hirescam", "gradcam", "gradcam++", "xgradcam", "layercam")
BASELINE = "forward, inference mode"
OURS = "ours, 5 methods"
FULL_SIZE = "ours, full-size HiResCAM"
PREPARED = "ours, prepared network"
PREPARING = "ours, preparing (once)"
CHUNKS = "forward in chunks of 8"


@dataclass(frozen=True)
class Contestant:
    """One way to get maps, for one network and number of labels, and what it should cost.

    Parameters
    ----------
    cpu_x, added_x
        Bars: CPU seconds and added memory, at most, against the plain forward pass.
    added_mib
        Bar: added memory at most.
    ours_x
        Bar: CPU seconds at least, against our row of as many labels.
    """

    name: str
    network: str
    labels: int
    needs: str = "torch"
    cpu_x: float | None = None
    added_x: float | None = None
    added_mib: float | None = None
    ours_x: float | None = None


def contestants() -> list[Contestant]:
    """List every row of the table."""
    rows = []
    for network, prepared in (("resnet18-128", 0.7), ("resnet18-224", 0.5)):
        rows.append(Contestant(BASELINE, network, 80))
        rows += [
            Contestant(OURS, network, labels, cpu_x=1.15, added_x=1.1) for labels in (1, 16, 80)
        ]
        rows += [
            Contestant(FULL_SIZE, network, 16, cpu_x=1.5),
            Contestant(PREPARED, network, 16, cpu_x=prepared, added_x=1.1),
            Contestant(PREPARING, network, 16),
        ]
    for name, module, bar in [
        ("pytorch-grad-cam HiResCAM", "pytorch_grad_cam", 40.0),
        ("MONAI GradCAM", "monai", 30.0),
        ("captum gradient x activation", "captum", 10.0),
        ("torchcam GradCAM", "torchcam", 10.0),
    ]:
        rows += [
            Contestant(name, "resnet18-128", 1, module),
            Contestant(name, "resnet18-128", 16, module, ours_x=bar),
        ]
    return [
        *rows,
        Contestant(BASELINE, "axialnet", 80),
        Contestant(CHUNKS, "axialnet", 80),
        Contestant(OURS, "axialnet", 80, cpu_x=1.15, added_mib=512.0),
        Contestant(PREPARED, "axialnet", 80, cpu_x=1.0, added_mib=512.0),
    ]


def build(network: str, labels: int, *, quick: bool) -> tuple[Any, Any, str]:
    """Make the network, its input and the target layer's name."""
    import torch

    torch.manual_seed(0)
    if network == "axialnet":
        from napari_hirescam.models.axialnet import AxialNet

        slices = 12 if quick else 135
        return AxialNet(labels).eval(), torch.rand(1, slices, 3, 420, 420) - 0.449, "conv2d.7"
    from monai.networks.nets import resnet18

    size = int(network.rpartition("-")[2]) // (2 if quick else 1)
    model = resnet18(
        spatial_dims=3, n_input_channels=1, num_classes=labels, conv1_t_stride=2, shortcut_type="B"
    )
    return model.eval(), torch.randn(1, 1, size, size, size), "layer4"


def make_work(name: str, model: Any, given: Any, layer: str, labels: int) -> Work:
    """Return the function to be timed; what is done once is done here."""
    import torch

    if name == BASELINE:

        def forward() -> Any:
            with torch.inference_mode():
                return model(given)

        return forward
    if name == CHUNKS:

        def forward_in_chunks() -> Any:
            with torch.inference_mode():
                return model.head(torch.cat([model.trunk(c) for c in given[0].split(8)]))

        return forward_in_chunks
    if not name.startswith("ours"):
        return make_peer_work(name, model, given, layer, labels)
    from napari_hirescam.attention import attention_maps
    from napari_hirescam.models.prepared import prepare_network

    if name == PREPARING:
        return lambda: prepare_network(model, given, layer)
    if name == FULL_SIZE:
        return lambda: full_size(attention_maps(model, given, layer, methods=["hirescam"]), given)
    if name == PREPARED:
        model = prepare_network(model, given, layer).network
    return lambda: attention_maps(model, given, layer, methods=METHODS)


def full_size(raw: Any, given: Any) -> list[Any]:
    """Bring every label's HiResCAM map to the size of the input."""
    import numpy as np

    from napari_hirescam.attention.placement import cells_by_stretch
    from napari_hirescam.volume import Grid, resample

    maps, size = raw.maps["hirescam"], tuple(given.shape[2:])
    affine = cells_by_stretch(maps.shape[1:], size)
    return [resample(values, affine, Grid(size, np.eye(4))) for values in maps]


def peak_mib(*, start_anew: bool = False) -> float:
    """Return this process's peak resident memory in MiB; forget what was before if asked."""
    if start_anew and Path("/proc/self/clear_refs").exists():
        # What the allocator kept for later would hide what is taken now.
        with contextlib.suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status")
    if status.exists():
        line = next(row for row in status.read_text().splitlines() if row.startswith("VmHWM"))
        return float(line.split()[1]) / MIB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (MIB * MIB if sys.platform == "darwin" else MIB)


def timed(work: Work) -> tuple[float, float]:
    """Process CPU seconds and wall seconds of one call."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def run_one(contestant: Contestant, repeats: int, *, quick: bool) -> dict[str, float]:
    """Measure one contestant in this very process, in turn with the plain forward pass.

    The speed of a shared machine drifts from minute to minute; a pass measured beside each
    repeat drifts with it.
    """
    model, given, layer = build(contestant.network, contestant.labels, quick=quick)
    work = make_work(contestant.name, model, given, layer, contestant.labels)
    # A network's forward pass in one piece may need gigabytes; its chunks take as long.
    plain = CHUNKS if contestant.network == "axialnet" else BASELINE
    forward = make_work(plain, model, given, layer, contestant.labels)
    before = peak_mib(start_anew=True)
    runs = [timed(work)]
    peak = peak_mib()  # ahead of the forward pass, and of what the allocator keeps later
    bases = [timed(forward)]
    for _ in range(repeats - 1):
        runs.append(timed(work))
        bases.append(timed(forward))
    cpu, wall = (min(run[k] for run in runs) for k in (0, 1))
    base_cpu, base_wall = (min(base[k] for base in bases) for k in (0, 1))
    return {
        "cpu": cpu,
        "cpu_x": cpu / base_cpu,
        "wall": wall,
        "wall_x": wall / base_wall,
        "added_mib": peak - before,
        "peak_mib": peak,
    }


def repeats_of(contestant: Contestant, *, quick: bool) -> int:
    """Fewer repeats for what takes minutes."""
    if quick or contestant.network == "axialnet":
        return 1
    if contestant.network == "resnet18-224":
        return 4
    return 2 if contestant.labels > 1 and not contestant.name.startswith(("ours", "for")) else 9


def main() -> None:
    """Run every contestant in its own process and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--ours", action="store_true", help="leave the peers out")
    parser.add_argument("--cuda", action="store_true", help="add the rows of the GPU")
    parser.add_argument("--only", help="run one network: resnet18-128, resnet18-224 or axialnet")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    everybody = contestants()
    if options.one is not None:
        contestant = everybody[options.one]
        repeats = repeats_of(contestant, quick=options.quick)
        print(json.dumps(run_one(contestant, repeats, quick=options.quick)))
        return
    rows = []
    for index, contestant in enumerate(everybody):
        if options.only and contestant.network != options.only:
            continue
        if options.ours and contestant.needs != "torch":
            continue
        if importlib.util.find_spec(contestant.needs) is None:
            rows.append((contestant, None))
            continue
        command = [sys.executable, __file__, "--one", str(index)]
        command += ["--quick"] if options.quick else []
        print(f"... {contestant.network}, {contestant.name}, {contestant.labels}", file=sys.stderr)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stderr.strip().splitlines()[-1], file=sys.stderr)
        rows.append((contestant, json.loads(done.stdout.splitlines()[-1]) if done.stdout else None))
    show(table_of(rows), markdown=options.markdown)
    if options.cuda:
        print()
        show(measure_on_gpu(build, METHODS, quick=options.quick), markdown=options.markdown)


def table_of(rows: list[tuple[Contestant, dict[str, float] | None]]) -> list[list[str]]:
    """Lay out the figures, their ratios, and whether the bars were held."""
    added = {c.network: r["added_mib"] for c, r in rows if c.name == BASELINE and r}
    ours = {(c.network, c.labels): r["cpu_x"] for c, r in rows if c.name == OURS and r}
    table = [
        ["network", "what", "labels", "CPU s", "x", "wall s", "x", "added MiB", "x", "bar", "held"]
    ]
    for contestant, row in rows:
        cells = [contestant.network, contestant.name, str(contestant.labels)]
        if row is None:
            table.append([*cells, "did not run", *[""] * 7])
            continue
        for key in ("cpu", "wall"):
            cells += [f"{row[key]:.2f}", f"{row[f'{key}_x']:.2f}"]
        # Without the forward pass in the same table there is nothing to hold against.
        share = row["added_mib"] / added.get(contestant.network, float("nan"))
        rival = row["cpu_x"] / ours.get((contestant.network, contestant.labels), float("nan"))
        cells += [f"{row['added_mib']:.0f}", f"{share:.2f}"]
        bars = [
            (f"CPU <= {contestant.cpu_x} x", row["cpu_x"], contestant.cpu_x, 1),
            (f"memory <= {contestant.added_x} x", share, contestant.added_x, 1),
            (f"memory <= {contestant.added_mib} MiB", row["added_mib"], contestant.added_mib, 1),
            (f"CPU >= {contestant.ours_x} x ours ({rival:.0f} x)", rival, contestant.ours_x, -1),
        ]
        set_bars = [(words, value, bar, sign) for words, value, bar, sign in bars if bar]
        held = [sign * value <= sign * bar for _, value, bar, sign in set_bars]
        words = "; ".join(word for word, *_ in set_bars)
        table.append([*cells, words, "; ".join("yes" if ok else "NO" for ok in held)])
    return table


def show(table: list[list[str]], *, markdown: bool) -> None:
    """Print a table, its first row the heads."""
    if markdown:
        lines = [table[0], ["---"] * len(table[0]), *table[1:]]
        print("\n".join(f"| {' | '.join(line)} |" for line in lines))
        return
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))


if __name__ == "__main__":
    main()

"""What attention maps cost: ours and the peers' on the same network and input, in one run.

Each contestant runs in a process of its own and reports the process CPU seconds and wall
seconds of its best repeat, and the peak memory it added to model, input and imports. Machines
are noisy: read the ratios (x), against an inference-mode forward pass of the same network that
is timed in turn with it.

    python benchmarks/attention.py                 # the table
    python benchmarks/attention.py --quick         # smaller input, one repeat
    python benchmarks/attention.py --markdown      # the table for a document

Peers are compared where they are installed: captum, torchcam, MONAI and pytorch-grad-cam
(`pip install --no-deps grad-cam ttach opencv-python-headless`, since its dependencies replace
a CPU build of torch).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

Work = Callable[[], Any]
MIB = 1024.0


@dataclass(frozen=True)
class Contestant:
    """One way to get maps, for one network and number of labels."""

    name: str
    network: str
    labels: int
    needs: str = "torch"


CONTESTANTS = [
    *(
        Contestant(name, "resnet18-3d", labels, needs)
        for name, labels, needs in [
            ("forward, inference mode", 80, "torch"),
            ("ours, HiResCAM + Grad-CAM", 1, "torch"),
            ("ours, HiResCAM + Grad-CAM", 16, "torch"),
            ("ours, HiResCAM + Grad-CAM", 80, "torch"),
            ("pytorch-grad-cam HiResCAM", 1, "pytorch_grad_cam"),
            ("pytorch-grad-cam HiResCAM", 16, "pytorch_grad_cam"),
            ("MONAI GradCAM", 1, "monai"),
            ("MONAI GradCAM", 16, "monai"),
            ("captum gradient x activation", 1, "captum"),
            ("captum gradient x activation", 16, "captum"),
            ("torchcam GradCAM", 1, "torchcam"),
            ("torchcam GradCAM", 16, "torchcam"),
        ]
    ),
    Contestant("forward, inference mode", "axialnet", 80),
    Contestant("forward in chunks of 8, inference mode", "axialnet", 80),
    Contestant("ours, HiResCAM + Grad-CAM", "axialnet", 80),
]
BASELINE = "forward, inference mode"


def build(network: str, labels: int, size: int, slices: int) -> tuple[Any, Any, str]:
    """Make the network, its input and the target layer's name."""
    import torch

    torch.manual_seed(0)
    if network == "axialnet":
        from napari_hirescam.models.axialnet import AxialNet

        return AxialNet(labels).eval(), torch.rand(1, slices, 3, 420, 420) - 0.449, "conv2d.7"
    from monai.networks.nets import resnet18

    model = resnet18(
        spatial_dims=3, n_input_channels=1, num_classes=labels, conv1_t_stride=2, shortcut_type="B"
    )
    return model.eval(), torch.randn(1, 1, size, size, size), "layer4"


def make_work(name: str, model: Any, given: Any, layer: str, labels: int) -> Work:
    """Return the function to be timed."""
    import torch

    if name == BASELINE:

        def forward() -> Any:
            with torch.inference_mode():
                return model(given)

        return forward
    if name.startswith("forward in chunks"):

        def forward_in_chunks() -> Any:
            with torch.inference_mode():
                return model.head(torch.cat([model.trunk(c) for c in given[0].split(8)]))

        return forward_in_chunks
    if name.startswith("ours"):
        from napari_hirescam.attention import attention_maps

        return lambda: attention_maps(model, given, layer)
    return make_peer_work(name, model, given, layer, labels)


def make_peer_work(name: str, model: Any, given: Any, layer: str, labels: int) -> Work:
    """Return a peer's road to the maps of `labels` labels, as its own documentation shows it."""
    module = model.get_submodule(layer)
    if name.startswith("pytorch-grad-cam"):
        stand_in_for_torchvision()
        from pytorch_grad_cam import HiResCAM
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        def by_pytorch_grad_cam() -> Any:
            with HiResCAM(model=model, target_layers=[module]) as cam:
                return [cam(given, targets=[ClassifierOutputTarget(k)]) for k in range(labels)]

        return by_pytorch_grad_cam
    if name.startswith("MONAI"):
        from monai.visualize import GradCAM

        monai_cam = GradCAM(nn_module=model, target_layers=layer)
        return lambda: [monai_cam(x=given, class_idx=k) for k in range(labels)]
    if name.startswith("captum"):
        from captum.attr import LayerGradientXActivation

        product = LayerGradientXActivation(model, module)
        return lambda: [product.attribute(given, target=k).sum(1) for k in range(labels)]
    from torchcam.methods import GradCAM as TorchcamGradCAM

    def by_torchcam() -> Any:
        with TorchcamGradCAM(model, layer) as extractor:
            return [extractor(k, model(given)) for k in range(labels)]

    return by_torchcam


def stand_in_for_torchvision() -> None:
    """Let pytorch-grad-cam be imported: it asks for transforms that no CAM here uses."""
    if importlib.util.find_spec("torchvision") is not None:
        return
    unused = dict.fromkeys(("Compose", "Normalize", "ToTensor", "resize"), object)
    for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(unused)


def peak_mib() -> float:
    """Return this process's peak resident memory in MiB."""
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


def run_one(contestant: Contestant, size: int, slices: int, repeats: int) -> dict[str, float]:
    """Measure one contestant in this very process, in turn with the plain forward pass.

    The speed of a shared machine drifts from minute to minute; a pass measured beside each
    repeat drifts with it.
    """
    model, given, layer = build(contestant.network, contestant.labels, size, slices)
    work = make_work(contestant.name, model, given, layer, contestant.labels)
    forward = make_work(BASELINE, model, given, layer, contestant.labels)
    before = peak_mib()
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
    return 2 if contestant.labels > 1 and not contestant.name.startswith(("ours", "for")) else 7


def main() -> None:
    """Run every contestant in its own process and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=128, help="edge of the 3-D input")
    parser.add_argument("--slices", type=int, default=135, help="images of the AxialNet input")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--only", help="run one network: resnet18-3d or axialnet")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.size, options.slices = min(options.size, 64), min(options.slices, 12)
    if options.one is not None:
        contestant = CONTESTANTS[options.one]
        repeats = repeats_of(contestant, quick=options.quick)
        print(json.dumps(run_one(contestant, options.size, options.slices, repeats)))
        return
    rows = []
    for index, contestant in enumerate(CONTESTANTS):
        if options.only and contestant.network != options.only:
            continue
        if importlib.util.find_spec(contestant.needs) is None:
            rows.append((contestant, None))
            continue
        command = [sys.executable, __file__, "--one", str(index)]
        command += ["--size", str(options.size), "--slices", str(options.slices)]
        command += ["--quick"] if options.quick else []
        print(f"... {contestant.network}, {contestant.name}, {contestant.labels}", file=sys.stderr)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stderr.strip().splitlines()[-1], file=sys.stderr)
        rows.append((contestant, json.loads(done.stdout.splitlines()[-1]) if done.stdout else None))
    show(rows, markdown=options.markdown)


def show(rows: list[tuple[Contestant, dict[str, float] | None]], *, markdown: bool) -> None:
    """Print the figures and their ratios to the forward pass of the same network."""
    bases = {c.network: r for c, r in rows if c.name == BASELINE and r}
    head = ["network", "what", "labels", "CPU s", "x", "wall s", "x", "added MiB", "x", "peak MiB"]
    table = [head]
    for contestant, row in rows:
        cells = [contestant.network, contestant.name, str(contestant.labels)]
        if row is None:
            table.append([*cells, "not installed", *[""] * 6])
            continue
        base = bases[contestant.network]
        for key in ("cpu", "wall"):
            cells += [f"{row[key]:.2f}", f"{row[f'{key}_x']:.2f}"]
        added = row["added_mib"]
        cells += [f"{added:.0f}", f"{added / base['added_mib']:.2f}", f"{row['peak_mib']:.0f}"]
        table.append(cells)
    if markdown:
        print(
            "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *table[1:]])
        )
        return
    widths = [max(len(line[i]) for line in table) for i in range(len(head))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))


if __name__ == "__main__":
    main()

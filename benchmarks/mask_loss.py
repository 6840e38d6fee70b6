"""What the mask loss adds to a training step: forward, loss, backward, optimizer.

Steps with and without it take turns on the same network and input in one process, and the table
gives the median of each and the median of their ratios, turn by turn. Machines are noisy: read
the ratios (x). A step may cost at most 1.3 times a plain one where the maps are made of the linear
head's own weights; the rows of other heads, which need a double backward, have no bar.

    python benchmarks/mask_loss.py             # small and full-size AxialNet, few slices
    python benchmarks/mask_loss.py --cuda      # and a whole CT on the GPU, in mixed precision
    python benchmarks/mask_loss.py --quick     # the small ones only
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from napari_hirescam.models.axialnet import AxialNet, AxialNetMaxPool
from napari_hirescam.models.ctnet import CTNet
from napari_hirescam.training.attention import TrainableAttention
from napari_hirescam.training.mask_loss import mask_loss

BAR = 1.3
LAMBDA = 1 / 3
#: The sample model's.
SMALL = {"trunk_channels": (16,) * 4, "trunk_stages": 1, "conv_channels": (24, 16)}


@dataclass(frozen=True)
class Row:
    """One network on one input; `images` of a CT, `size` rows and columns."""

    name: str
    make: Callable[[], nn.Module]
    layer: str
    images: int
    size: int
    device: str = "cpu"
    half: bool = False
    turns: int = 9
    bar: float | None = BAR


def rows(*, quick: bool, cuda: bool) -> list[Row]:
    """List every row of the table."""
    found = [
        Row("AxialNet, small", lambda: AxialNet(8, 30, **SMALL), "conv2d.3", 24, 136),
        Row(
            "small, highest slice (double backward)",
            lambda: AxialNetMaxPool(8, 30, **SMALL),
            "conv2d.3",
            24,
            136,
            bar=None,
        ),
    ]
    if not quick:
        found += [Row("AxialNet, 80 labels", lambda: AxialNet(80), "conv2d.7", 3, 420, turns=5)]
    if cuda:
        full = {"device": "cuda", "images": 135, "size": 420, "turns": 10}
        for half in (False, True):
            found += [
                Row("AxialNet, 80 labels", lambda: AxialNet(80), "conv2d.7", half=half, **full),
                Row(
                    "CT-Net, 83 labels (double backward)",
                    lambda: CTNet(83, 135),
                    "features.7",
                    half=half,
                    bar=None,
                    **full,
                ),
            ]
    return found


class Step:
    """A training step with or without the mask loss, timed."""

    def __init__(self, row: Row) -> None:
        torch.manual_seed(0)
        shape = (1, row.images, 3, row.size, row.size)
        self.row = row
        network = row.make().train()
        self.attention = TrainableAttention(network, row.layer, shape, scale="per_slice")
        network.to(row.device)
        self.optimizer = torch.optim.SGD(network.parameters(), 1e-3, momentum=0.99)
        self.batch = torch.randn(shape).to(row.device)
        logits, maps = self._outcome(with_maps=True)
        if maps is None:
            raise ValueError("no maps were made")
        self.targets = (torch.rand(logits.shape) < 0.15).to(row.device, torch.float32)
        present = self.targets.bool()[..., None, None, None]
        self.allowed = present & (torch.rand(maps.shape) < 0.3).to(row.device)
        self.judged = torch.ones(logits.shape, dtype=torch.bool, device=row.device)

    def _outcome(self, *, with_maps: bool) -> tuple[Tensor, Tensor | None]:
        precision: Any = (
            torch.autocast(self.row.device, torch.bfloat16) if self.row.half else nullcontext()
        )
        with precision:
            if with_maps:
                return self.attention(self.batch)
            return self.attention.logits(self.batch), None

    def seconds(self, *, with_maps: bool) -> float:
        """Take one step; return its time."""
        on_gpu = self.row.device == "cuda"
        if on_gpu:
            torch.cuda.synchronize()
        # Other processes may share the machine: on a CPU its own seconds are counted.
        clock = time.perf_counter if on_gpu else time.process_time
        start = clock()
        self.optimizer.zero_grad()
        logits, maps = self._outcome(with_maps=with_maps)
        loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), self.targets)
        if maps is not None:
            loss = loss + LAMBDA * mask_loss(maps, self.allowed, self.judged)
        loss.backward()
        self.optimizer.step()
        if on_gpu:
            torch.cuda.synchronize()
        return clock() - start


def measure(row: Row) -> tuple[float, float, float, bool]:
    """Median seconds of a plain and a masked step, median ratio, and whether it is closed form."""
    step = Step(row)
    for _ in range(2):
        step.seconds(with_maps=False)
        step.seconds(with_maps=True)
    plain, masked = [], []
    for turn in range(row.turns):
        for with_maps in (False, True) if turn % 2 else (True, False):
            (masked if with_maps else plain).append(step.seconds(with_maps=with_maps))
    ratio = statistics.median(b / a for a, b in zip(plain, masked, strict=True))
    return (
        statistics.median(plain),
        statistics.median(masked),
        ratio,
        step.attention.closed_form,
    )


def main() -> int:
    """Print the table; 1 if a bar was not held."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small networks only")
    parser.add_argument("--cuda", action="store_true", help="a whole CT on the GPU as well")
    parser.add_argument("--threads", type=int, default=2, help="of torch on the CPU")
    given = parser.parse_args()
    if given.cuda and not torch.cuda.is_available():
        parser.error("torch finds no CUDA device")
    torch.set_num_threads(given.threads)
    failed = False
    print("| network | input | on | plain step | with mask loss | x | bar |")
    print("|---|---|---|---|---|---|---|")
    for row in rows(quick=given.quick, cuda=given.cuda):
        plain, masked, ratio, closed = measure(row)
        held = row.bar is None or (ratio <= row.bar and closed)
        failed |= not held
        bar = "" if row.bar is None else f"{row.bar:.1f} {'held' if held else 'NOT HELD'}"
        on = f"{row.device}, {'bfloat16' if row.half else 'float32'}"
        print(
            f"| {row.name} | {row.images} x 3 x {row.size} x {row.size} | {on} | "
            f"{1e3 * plain:.0f} ms | {1e3 * masked:.0f} ms | {ratio:.2f} | {bar} |",
            flush=True,
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

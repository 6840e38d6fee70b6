"""The engine on a GPU: milliseconds by CUDA events, and the share of what the device can do."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

#: Dense peak in TFLOP/s, from the makers' data sheets: (TF32 or float32 as convolutions run by
#: default, half precision). None where the sheet names no such figure.
PEAKS = {
    "T4": (8.1, 65.0),
    "V100": (15.7, 125.0),
    "A10": (62.5, 125.0),
    "A100": (156.0, 312.0),
    "L4": (60.0, 121.0),
    "L40S": (183.0, 362.0),
    "H100 PCIe": (378.0, 756.0),
    "H100": (494.0, 989.0),
    "H200": (494.0, 989.0),
    "RTX 3090": (35.6, 71.0),
    "RTX 4090": (82.6, 165.2),
}
REPEATS = 10


def peak_tflops(device_name: str, *, half: bool) -> float | None:
    """Look a device's peak up; the longest name that fits counts."""
    fitting = [name for name in PEAKS if name in device_name]
    return PEAKS[max(fitting, key=len)][half] if fitting else None


def milliseconds(work: Callable[[], Any]) -> float:
    """Median time of the device for one call, after two that warm it up."""
    import torch

    times = []
    for turn in range(REPEATS + 2):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        torch.cuda.synchronize()
        if turn >= 2:
            times.append(start.elapsed_time(end))
    return statistics.median(times)


def measure_on_gpu(
    build: Callable[..., tuple[Any, Any, str]], methods: Sequence[str], *, quick: bool
) -> list[list[str]]:
    """Make the table of the GPU: forward pass and maps, in float32 and in mixed precision."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    table = [["device", "network", "what", "labels", "ms", "x", "TFLOP/s", "of peak", "peak MiB"]]
    if not torch.cuda.is_available():
        return [*table, ["no CUDA device here", *[""] * 8]]
    from napari_hirescam.attention import attention_maps

    device = torch.cuda.get_device_name()
    for network in ("resnet18-128", "resnet18-224", "axialnet"):
        model, given, layer = build(network, 16, quick=quick)
        model, given = model.cuda(), given.cuda()
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            model(given)
        tflop = counter.get_total_flops() / 1e12
        base = float("nan")
        for half in (False, True):

            def forward(model: Any = model, given: Any = given, *, half: bool = half) -> Any:
                with torch.inference_mode(), torch.autocast("cuda", enabled=half):
                    return model(given)

            def ours(
                model: Any = model, given: Any = given, layer: str = layer, *, half: bool = half
            ) -> Any:
                return attention_maps(model, given, layer, methods=methods, mixed_precision=half)

            precision = "mixed precision" if half else "float32"
            for what, work in (("forward", forward), ("ours, 5 methods", ours)):
                torch.cuda.reset_peak_memory_stats()
                spent = milliseconds(work)
                base = spent if (what, half) == ("forward", False) else base
                rate = tflop / (spent / 1e3)
                peak = peak_tflops(device, half=half)
                table.append(
                    [
                        *(device, network, f"{what}, {precision}", "16"),
                        *(f"{spent:.1f}", f"{spent / base:.2f}", f"{rate:.1f}"),
                        f"{100 * rate / peak:.0f} %" if peak else "unknown",
                        f"{torch.cuda.max_memory_allocated() / 2**20:.0f}",
                    ]
                )
    return table

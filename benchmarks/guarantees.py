"""What is promised of each network of the test suite's zoo, and how exactly it is kept.

Prints the table of docs/guarantees.md: for every network the target layer, its grid, the state
of the guarantee, the largest residual, and how the places of its cells are known.

    python benchmarks/guarantees.py                      # the table
    python benchmarks/guarantees.py --real ../shared     # with networks that people trained

The residual is |sum(HiResCAM) + bias - logit| of the worst label, relative to the largest of
|logit|, |bias| and |sum|, in the precision the network runs in; rounding of single precision is
about 1e-7 per operation. The bias is the score of an activation that is zero everywhere.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]


def table(real: Path | None) -> Iterator[tuple[str, ...]]:
    """Give the rows: network, input, target layer, cells, state, residual, field."""
    from networks import random_ct
    from zoo import ZOO, classifier_named, input_of, network_of

    from napari_hirescam.attention import attention_maps, explain

    for name, here in ZOO.items():
        raw = attention_maps(network_of(name), input_of(name), here.layer, output=here.output)
        classifier = classifier_named(name)
        spec = classifier.spec.input
        ct = random_ct((4 if spec.layout == "slice" else spec.shape[0], *spec.shape[1:]))
        place = (2.0, 10.0, 10.0) if spec.layout == "slice" else None
        placed = explain(ct, classifier, at_mm=place)
        yield _row(name, here.shape, here.layer, raw, placed.placement_note)
    if real is None:
        return
    import torch
    from real_networks import REAL_NETWORKS, load_real

    from napari_hirescam.attention.placement import PlacementUnknownError, receptive_field
    from napari_hirescam.models.dry_run import dry_run

    for name in REAL_NETWORKS:
        network, shape, layer, output = load_real(name, real)
        given = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        raw = attention_maps(network, given, layer, output=output)
        note = ""
        try:
            receptive_field(dry_run(network, shape, layer, output))
        except PlacementUnknownError as exc:
            note = str(exc)
        yield _row(f"{name} (trained)", shape, layer, raw, note)


def _row(name: str, shape: tuple[int, ...], layer: str, raw: object, note: str) -> tuple[str, ...]:
    maps = raw.maps["hirescam"]
    residual = "-"
    if raw.guarantee.holds:
        total = maps.sum((1, 2, 3), dtype=np.float64)
        largest = np.abs([raw.logits, raw.bias, total]).max(0)
        residual = f"{(np.abs(total + raw.bias - raw.logits) / largest).max():.0e}"
    field = "measured" if "measured" in note else "not known" if "stretched" in note else ""
    cells = "x".join(map(str, maps.shape[1:]))
    size = "x".join(map(str, shape))
    return name, size, layer, cells, raw.guarantee.state.value, residual, field or "arithmetic"


def main() -> None:
    """Print the table for a document."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--real", type=Path, metavar="FOLDER", help="folder with models/ of trained networks"
    )
    real = parser.parse_args().real
    print(f"{date.today()}, torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    print("| network | input | target layer | cells | guarantee | residual | field |")
    print("|---|---|---|---|---|---|---|")
    for row in table(real):
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()

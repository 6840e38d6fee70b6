"""Train the sample model: a small AxialNet on chest phantoms.

    python sample_data/train_sample_model.py

Writes sample_data/phantom_axialnet/. Needs no GPU; takes about a quarter of an hour on two
cores. The training, validation and test patients, and the sample CT's, are all different.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from evaluate_sample_model import TEST_SEEDS, evaluate, label_table
from rich.console import Console
from torch import Tensor
from torch.nn import functional

from napari_hirescam import __version__
from napari_hirescam.models import Classifier, InputSpec, ModelSpec, load_model, save_model
from napari_hirescam.models.axialnet import AxialNet
from napari_hirescam.models.spec import Architecture
from napari_hirescam.phantom import FINDING_ORGAN, make_phantom

FOLDER = Path(__file__).resolve().parent / "phantom_axialnet"
TRAINING_SEEDS = range(10_000, 10_480)
# Nodules of 6 to 14 mm are too small for this network and a few hundred patients: tried, it did
# not tell them from vessels (AUROC 0.34 to 0.38). Coronary calcification is hardly better (0.68
# on the test patients, chance on others) and stays as the label whose attention lies in the right
# organ although its score is worth little: a map's place is no proof of skill.
LABELS = tuple(label for label in FINDING_ORGAN if label != "nodule")
ORGANS = ("lungs", "heart")
INPUT = InputSpec(
    spacing_mm=(4.0, 2.5, 2.5),
    shape=(None, 136, 136),
    padding=-1000.0,
    window_hu=(-1000.0, 800.0),
    subtract=0.449,
    layout="axial_triples",
)
# Cells of 4 voxels (10 mm); the two convolutions without padding take two of them per side.
ARGUMENTS = {
    "grid": 30,
    "trunk_channels": [16, 16, 16, 16],
    "trunk_stages": 1,
    "stem_pool": True,
    "conv_channels": [24, 16],
}
PITCH = 4
BORDER = 6  # voxels before the first cell's box: its centre is voxel 8
LEAST_SHARE = 0.02  # of a cell: one voxel
SEED = 0


@dataclass(frozen=True)
class Patients:
    """Phantoms held for training.

    Parameters
    ----------
    hu
        int16 [n, slices, rows, columns].
    organs
        float16 [n, organs, S, grid, grid], share of each cell that an organ covers.
    findings
        bool [n, labels, S, grid, grid], True in cells that hold some of a finding.
    present
        float32 [n, labels], 1 where a finding is present.
    """

    hu: npt.NDArray[np.int16]
    organs: npt.NDArray[np.float16]
    findings: npt.NDArray[np.bool_]
    present: npt.NDArray[np.float32]


def _make(seed: int) -> tuple[npt.NDArray[np.generic], ...]:
    phantom = make_phantom(seed, spacing_mm=INPUT.spacing_mm or (4.0, 2.5, 2.5))
    nothing = np.zeros(phantom.volume.voxels.shape, dtype=bool)
    organs = cell_shares(np.stack([phantom.organs[name] for name in ORGANS]))
    findings = cell_shares(np.stack([phantom.findings.get(name, nothing) for name in LABELS]))
    present = np.array([label in phantom.findings for label in LABELS], dtype=np.float32)
    return phantom.volume.voxels, organs.astype(np.float16), findings > LEAST_SHARE, present


def make_patients(seeds: Iterable[int], cache: Path) -> Patients:
    """Make phantoms with two processes, or take them from an earlier run's cache."""
    seeds = list(seeds)
    file = cache / f"patients_{seeds[0]}_{len(seeds)}.npz"
    if not file.exists():
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            made = list(pool.map(_make, seeds, chunksize=8))
        hu, organs, findings, present = (np.stack(part) for part in zip(*made, strict=True))
        np.savez(file, hu=hu, organs=organs, findings=findings, present=present)
    with np.load(file) as content:
        return Patients(**{name: content[name] for name in content.files})


def cell_shares(masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Share of each cell's box that masks [n, slices, rows, columns] cover, [n, S, grid, grid]."""
    reach = BORDER + PITCH * ARGUMENTS["grid"]
    inside = place(masks, 0.0)[:, None, :, BORDER:reach, BORDER:reach]
    return functional.avg_pool3d(inside, (3, PITCH, PITCH))[:, 0].numpy()


def place(stack: npt.NDArray[np.generic], fill: float) -> Tensor:
    """Pad and crop [n, slices, rows, columns] to the network's input, as `prepare` does."""
    _, height, width = INPUT.shape
    tensor = torch.from_numpy(stack.astype(np.float32))
    margins = []
    for size, room in ((tensor.shape[3], width), (tensor.shape[2], height)):
        before = (room - size) // 2
        margins += [before, room - size - before]
    return functional.pad(tensor, margins, value=fill)


def _batch(
    patients: Patients, chosen: npt.NDArray[np.intp], rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images [n, S, 3, h, w], organs and findings of the cells, labels; moved by whole cells."""
    down, back, left = (int(step) for step in rng.integers(-1, 2, 3))
    low, high = INPUT.window_hu
    hu = place(patients.hu[chosen], low) + float(rng.normal(0, 8))
    # What is rolled over the edge is air in the plane, and neck or belly along the body.
    hu = hu.roll((3 * down, PITCH * back, PITCH * left), (1, 2, 3))
    images = (hu.clamp(low, high) - low) / (high - low) - INPUT.subtract
    organs, findings = (
        torch.from_numpy(part[chosen].astype(np.float32)).roll((down, back, left), (2, 3, 4))
        for part in (patients.organs, patients.findings)
    )
    present = torch.from_numpy(patients.present[chosen])
    return images.unflatten(1, (-1, 3)), organs, findings, present


def _head_scale(patients: Patients) -> Tensor:
    """Weight per label that lets a finding of usual size move its logit by about four."""
    cells = patients.findings.sum(axis=(2, 3, 4)).sum(axis=0) / patients.present.sum(axis=0)
    slices = patients.findings.shape[2]
    return torch.from_numpy((2 * slices / cells).astype(np.float32))


def _rarity(patients: Patients) -> Tensor:
    """Weight per label of a cell that holds the finding, against one that does not."""
    filled = patients.findings.mean(axis=(0, 2, 3, 4))
    return torch.from_numpy((0.1 / filled).clip(4, 800).astype(np.float32))


def train(
    patients: Patients, *, epochs: int, mask_weight: float, batch: int = 4, rate: float = 4e-3
) -> AxialNet:
    """Train with three losses.

    Binary cross-entropy of the logits. A head start that a few hundred patients need: the first
    feature maps, one per label, are also taught where the finding lies; in the first quarter of
    the steps nothing else is. And, after the AxialNet paper's mask loss (arXiv 2111.12215), the
    part of each logit that positive attention brings in from where it may not come from:
    outside the label's organ, and anywhere if the finding is absent.
    """
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(mode=True)
    rng = np.random.Generator(np.random.PCG64(SEED))
    network = AxialNet(len(LABELS), **ARGUMENTS)
    rest = [parameter for name, parameter in network.named_parameters() if name != "fc.weight"]
    # The head's weights are learned in units of the label's scale: nodules fill few cells, and
    # need large ones; effusions fill hundreds.
    scale = _head_scale(patients)[:, None, None, None]
    units = torch.zeros_like(network.fc.weight)
    for k in range(len(LABELS)):
        units[k, k] = 1.0
    units.requires_grad_()
    with torch.no_grad():
        network.fc.bias.fill_(-2.0)
    organ_of = [ORGANS.index(FINDING_ORGAN[label]) for label in LABELS]
    seen = _rarity(patients)[:, None, None, None]
    optimiser = torch.optim.Adam([{"params": rest}, {"params": [units]}])
    per_epoch = len(patients.present) // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [rate, rate / 4], total_steps=epochs * per_epoch, pct_start=0.2
    )
    network.train()
    for epoch in range(epochs):
        order = rng.permutation(len(patients.present))
        losses = []
        for step in range(per_epoch):
            chosen = order[step * batch : (step + 1) * batch]
            images, organs, findings, present = _batch(patients, chosen, rng)
            n, slices = images.shape[:2]
            before_relu = network.conv2d[:-1](network.features(images.flatten(0, 1)))
            found = before_relu[:, : len(LABELS)].unflatten(0, (n, slices)).movedim(2, 1)
            dense = functional.binary_cross_entropy_with_logits(found, findings, pos_weight=seen)
            weight = scale * units
            attention = torch.einsum("sfij,mfij->smij", before_relu.relu(), weight)
            attention = attention.unflatten(0, (n, slices)).movedim(2, 1) / slices
            logits = attention.sum(dim=(2, 3, 4)) + network.fc.bias
            loss = functional.binary_cross_entropy_with_logits(logits, present)
            allowed = organs[:, organ_of] * present[:, :, None, None, None]
            stray = (attention.relu() * (1 - allowed)).sum(dim=(2, 3, 4)).mean()
            rough = units.diff(dim=2).square().sum() + units.diff(dim=3).square().sum()
            total = 5 * dense
            if epoch * per_epoch + step > epochs * per_epoch // 4:
                total = total + loss + mask_weight * stray + 1e-3 * rough
            total.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            optimiser.zero_grad(set_to_none=True)
            losses.append((dense.item(), loss.item(), stray.item()))
        dense_, class_, stray_ = np.mean(losses, axis=0)
        print(
            f"epoch {epoch + 1}/{epochs}: cells {dense_:.4f}  class {class_:.4f}  "
            f"stray {stray_:.4f}",
            flush=True,
        )
    with torch.no_grad():
        network.fc.weight.copy_(scale * units)
    return network.eval()


def main() -> None:
    """Make the phantoms, train, judge on unseen patients, write the model folder."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--epochs", type=int, default=12)
    options.add_argument("--mask-weight", type=float, default=0.1)
    options.add_argument("--patients", type=int, default=len(TRAINING_SEEDS))
    options.add_argument("--folder", type=Path, default=FOLDER)
    options.add_argument(
        "--cache", type=Path, default=Path(tempfile.gettempdir()) / "hirescam_phantoms"
    )
    chosen = options.parse_args()
    chosen.cache.mkdir(parents=True, exist_ok=True)
    patients = make_patients(TRAINING_SEEDS[: chosen.patients], chosen.cache)
    network = train(patients, epochs=chosen.epochs, mask_weight=chosen.mask_weight)

    spec = ModelSpec(
        name="phantom-axialnet",
        description=(
            "A small AxialNet that finds made-up findings in made-up chest CTs. "
            "For trying the plugin; it knows nothing of real patients."
        ),
        architecture=Architecture(name="axialnet", arguments=ARGUMENTS),
        weights="weights.safetensors",
        labels=LABELS,
        input=INPUT,
        target_layer=network.default_target_layer,
        slices_per_chunk=25,
        organs={label: (FINDING_ORGAN[label],) for label in LABELS},
        provenance={
            "script": "sample_data/train_sample_model.py",
            "software": f"napari-hirescam {__version__}",
            "training_phantoms": chosen.patients,
            "training_seeds": f"{TRAINING_SEEDS[0]} to {TRAINING_SEEDS[chosen.patients - 1]}",
            "epochs": chosen.epochs,
            "loss": (
                "binary cross-entropy of the labels, and of the cells that hold findings (one "
                f"feature map per label), + {chosen.mask_weight:.3g} x logit from stray attention"
            ),
            "seed": SEED,
        },
    )
    report = evaluate(Classifier(spec, network, device="cpu"), TEST_SEEDS)
    Console(width=110).print(label_table(report))
    metrics = {
        "held_out_phantoms": report.patients,
        "held_out_seeds": f"{TEST_SEEDS[0]} to {TEST_SEEDS[report.patients - 1]}",
        "auroc": {label: round(score, 3) for label, score in report.auroc.items()},
        "mean_auroc": round(report.mean_auroc, 3),
    }
    save_model(chosen.folder, spec.model_copy(update={"metrics": metrics}), network.state_dict())
    load_model(chosen.folder)  # what was written can be read again
    print(f"wrote {chosen.folder}")


if __name__ == "__main__":
    main()

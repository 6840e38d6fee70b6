"""``reproduce phantom``: the paper's four-way table on confounded phantoms.

AxialNet without and with the mask loss learns from phantoms in whom each finding comes with a cue
outside its organ. HiResCAM and Grad-CAM of both networks are measured on test patients in whom
the cue is as telling as in training, and on others in whom it says nothing
(arXiv 2011.08891v2, Tables 1 and 2; 2111.12215).
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from napari_hirescam.attention.stopping import ShouldStop
from napari_hirescam.errors import SettingsError
from napari_hirescam.evaluation.results_folder import require_report_packages
from napari_hirescam.reproduce.phantom_cohort import Cohorts, hold_all, make_cohorts
from napari_hirescam.reproduce.phantom_pictures import side_by_side

if TYPE_CHECKING:
    from napari_hirescam.evaluation.cohort import CohortResult
    from napari_hirescam.training import EpochRecord, TrainingSettings

WITHOUT, WITH = "no mask loss", "mask loss"
NETWORKS = (WITHOUT, WITH)
CONFOUNDED, UNCONFOUNDED = "confounded", "unconfounded"
TEST_SETS = (CONFOUNDED, UNCONFOUNDED)
METHODS = ("hirescam", "gradcam")
#: Below this mean AUROC on the validation patients a network has learned nothing: its units died,
#: say. To beat such a network is no merit of the mask loss.
LEARNED_AUROC = 0.6

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Preset:
    """How large the experiment is.

    Parameters
    ----------
    train, valid, test
        Patients; `test` in each of the two test sets.
    agreement
        Share of confounded patients in whom finding and cue agree.
    spacing_mm
        Of the phantoms and of the network's input.
    shape
        Slices, rows and columns of the input.
    network
        Arguments of AxialNet.
    mask_weight
        lambda of the network with mask loss.
    epochs, batch_size, learning_rate
        Of the trainings.
    cohort_seed
        Which patients.
    n_replicates
        Of the intervals.
    seeds
        Trainings of each of the two networks.
    """

    train: int
    valid: int
    test: int
    epochs: int
    agreement: float = 0.95
    spacing_mm: tuple[float, float, float] = (4.0, 6.0, 6.0)
    shape: tuple[int, int, int] = (75, 64, 64)
    network: Mapping[str, Any] = field(default_factory=dict)
    mask_weight: float = 1 / 3
    batch_size: int = 4
    learning_rate: float = 2e-3
    # Settings were chosen on the patients of seed 0, test sets and all; those of seed 1 were seen
    # under earlier settings.
    cohort_seed: int = 2
    n_replicates: int = 1000
    seeds: int = 3

    def settings(self, name: str, seed: int) -> TrainingSettings:
        """Settings of one training: the two networks differ in nothing but lambda."""
        from napari_hirescam.training.settings_file import settings_of

        return settings_of(
            {
                "name": f"phantom, {name}, seed {seed}",
                "seed": seed,
                "model": {
                    "architecture": {"name": "axialnet", "arguments": dict(self.network)},
                    "input": {
                        "spacing_mm": self.spacing_mm,
                        "shape": self.shape,
                        "padding": -1000.0,
                        "window_hu": (-1000.0, 800.0),
                        "subtract": 0.449,
                        "layout": "axial_triples",
                    },
                },
                "loss": {"mask_weight": self.mask_weight if name == WITH else 0.0},
                "optimizer": {
                    "name": "adamw",
                    "learning_rate": self.learning_rate,
                    "weight_decay": 1e-4,
                    "batch_size": self.batch_size,
                    "warmup_share": 0.2,
                    "gradient_clip": 1.0,
                },
                "run": {"epochs": self.epochs, "patience": None, "flips": False,
                        "accelerator": "cpu"},
            },
            "reproduce phantom",
        )  # fmt: skip

    def cohorts(self) -> Cohorts:
        """Draw the patients."""
        return make_cohorts(
            self.train,
            self.valid,
            self.test,
            seed=self.cohort_seed,
            agreement=self.agreement,
            spacing_mm=self.spacing_mm,
        )


_NETWORK = {
    "grid": 12,
    "trunk_channels": [24, 24, 24, 24],
    "trunk_stages": 0,
    "conv_channels": [24, 16],
}
PRESETS = {
    "full": Preset(train=400, valid=60, test=80, epochs=24, network=_NETWORK, mask_weight=8.0),
    "small": Preset(
        train=140, valid=24, test=24, epochs=12, network=_NETWORK, mask_weight=8.0, seeds=1
    ),
}


@dataclass(frozen=True, eq=False)
class Outcome:
    """What the experiment gave.

    Parameters
    ----------
    preset, seeds
        How it was made.
    cohorts
        The patients; they hold no voxels any more.
    results
        (network, test set) -> what was measured, one for each seed.
    histories
        Network -> epochs of each seed.
    picture, shown
        The maps of the first seed's networks in one patient for each finding, and for which.
    """

    preset: Preset
    seeds: tuple[int, ...]
    cohorts: Cohorts
    results: Mapping[tuple[str, str], tuple[CohortResult, ...]]
    histories: Mapping[str, tuple[tuple[EpochRecord, ...], ...]]
    picture: bytes = b""
    shown: tuple[str, ...] = ()

    def failures(self) -> dict[int, str]:
        """Seeds of which a network learned nothing, told by validation patients, and which."""
        found: dict[int, list[str]] = {}
        for name, histories in self.histories.items():
            for seed, history in zip(self.seeds, histories, strict=False):
                kept = [record for record in history if record.is_best][-1:]
                auroc = kept[0].figures.get("valid_auroc", math.nan) if kept else math.nan
                if auroc < LEARNED_AUROC:
                    found.setdefault(seed, []).append(f"{name}, validation AUROC {auroc:.2f}")
        return {seed: "; ".join(words) for seed, words in found.items()}

    def without_failures(self) -> Outcome:
        """The same for the seeds of which both networks learned something; all if none did."""
        failures = self.failures()
        kept = [k for k, seed in enumerate(self.seeds) if seed not in failures]
        if not kept or len(kept) == len(self.seeds):
            return self
        return replace(
            self,
            seeds=tuple(self.seeds[k] for k in kept),
            results={key: tuple(of[k] for k in kept) for key, of in self.results.items()},
            histories={name: tuple(of[k] for k in kept) for name, of in self.histories.items()},
        )


def carry_out(
    preset: Preset,
    out: Path,
    *,
    seeds: Sequence[int],
    tell: Tell | None = None,
    should_stop: ShouldStop | None = None,
) -> Outcome:
    """Make the phantoms, train, measure.

    Parameters
    ----------
    preset
        How large.
    out
        Folder; the trained networks are left in ``models``.
    seeds
        Of the trainings of each network; they differ in first weights and in the order of the
        patients, not in the patients.
    tell
        Called with (what is done, steps done, steps in all).
    should_stop
        Asked often.

    Raises
    ------
    SettingsError
        A package is missing, or the folder holds something else.
    Cancelled
        `should_stop` said so.
    """
    from napari_hirescam.evaluation.cohort import evaluate_cohort
    from napari_hirescam.models import load_model
    from napari_hirescam.training import train
    from napari_hirescam.training.machine import require_packages

    if not seeds:
        raise SettingsError("seeds", "there is none, so nothing to train", "Give one or more")
    say = tell or (lambda _what, _done, _total: None)
    wanted = {(name, seed): preset.settings(name, seed) for seed in seeds for name in NETWORKS}
    require_packages(wanted[WITH, seeds[0]].run)
    require_report_packages()
    out.mkdir(parents=True, exist_ok=True)
    places = {key: _place_of_model(out, *key) for key in wanted}
    cohorts = preset.cohorts()
    confounded, unconfounded = hold_all(
        (cohorts.confounded, cohorts.unconfounded),
        progress=partial(say, "Making phantoms"),
        should_stop=should_stop,
    )
    results: dict[tuple[str, str], list[CohortResult]] = {}
    histories: dict[str, list[tuple[EpochRecord, ...]]] = {}
    for (name, seed), settings in wanted.items():
        which = f"{name}, seed {seed}"
        folder = places[name, seed]
        with TemporaryDirectory(dir=out, prefix=".training-") as scratch:
            trained = train(
                settings,
                confounded,
                out=Path(scratch) / "run",
                progress=partial(say, f"Training: {which}"),
                should_stop=should_stop,
            )
            _put(trained.model_folder, folder)
        histories.setdefault(name, []).append(trained.history)
        classifier = load_model(folder, device="cpu")
        thresholds = None
        for part, table in ((CONFOUNDED, confounded), (UNCONFOUNDED, unconfounded)):
            found = evaluate_cohort(
                classifier,
                table,
                methods=METHODS,
                split="test",
                tune_on="valid",
                thresholds=thresholds,
                prepared=True,
                progress=partial(say, f"Measuring: {which}"),
                should_stop=should_stop,
            )
            # Tuned on confounded validation patients, as everything is but the last test.
            thresholds = found.thresholds
            results.setdefault((name, part), []).append(found)
    first = {name: load_model(places[name, seeds[0]], device="cpu") for name in NETWORKS}
    picture, shown = side_by_side(cohorts.confounded.of("test"), confounded.of("test"), first)
    return Outcome(
        preset,
        tuple(seeds),
        cohorts,
        {key: tuple(found) for key, found in results.items()},
        {name: tuple(epochs) for name, epochs in histories.items()},
        picture,
        shown,
    )


def _place_of_model(out: Path, name: str, seed: int) -> Path:
    """Say where a network will be left; refuse to put it in the place of anything else."""
    folder = out / "models" / f"{name.replace(' ', '_')}_seed{seed}"
    if folder.exists() and not (folder / "model.yaml").is_file():
        raise SettingsError(
            folder, "it is no model folder of an earlier run", "Choose another --out"
        )
    return folder


def _put(model_folder: Path, place: Path) -> None:
    """Bring a network to its place, where one of an earlier run may lie."""
    if place.exists():
        shutil.rmtree(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(model_folder, place)

"""``reproduce radchestct``: the paper's recipe on the data set it was made with.

AxialNet on 80 labels of organ and abnormality, trained twice: without and with the mask loss
(lambda 1/3), both by the paper's settings. Organ regions come from PARTITION, rough regions where
it finds none. Thresholds are tuned on the validation cases, and HiResCAM and Grad-CAM of both
networks are measured on the test cases (arXiv 2011.08891v2, Table 2; 2111.12215).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hirescam.cases import CaseTable, with_found_organs
from napari_hirescam.errors import SettingsError
from napari_hirescam.evaluation.results_folder import require_report_packages

if TYPE_CHECKING:
    from napari_hirescam.evaluation.cohort import CohortResult
    from napari_hirescam.training import EpochRecord, TrainingResult, TrainingSettings

ProgressCallback = Callable[[str, int, int], None]
StopCallback = Callable[[], bool]

#: What the paper feeds AxialNet: slices, rows, columns at 0.8 mm.
SHAPE = (405, 420, 420)
SPACING_MM = 0.8
WITHOUT, WITH = "AxialNet", "AxialNet, mask loss"
_STRIDE, _LOST_BY_CONVOLUTIONS = 32, 8
_FOLDERS = {WITHOUT: "axialnet", WITH: "axialnet-mask-loss"}
_METHODS = ("hirescam", "gradcam")


@dataclass(frozen=True)
class Recipe:
    """What of the paper's recipe can be chosen.

    Parameters
    ----------
    mask_weight
        lambda of the second network; the first has 0.
    shape, spacing_mm
        Of the network's input. Anything but the paper's is said in the report.
    network
        Arguments of AxialNet; empty for the paper's ResNet-18.
    trunk_weights
        ImageNet weights of the trunk, a file; None starts from chance, which is said.
    epochs, patience
        Of the training.
    seed
        Of weights, order and flips.
    rough_regions
        Whether rough regions serve where PARTITION finds none, as in the paper.
    workers, accelerator, precision
        See the training's settings.
    """

    mask_weight: float = 1 / 3
    shape: tuple[int, int, int] = SHAPE
    spacing_mm: float = SPACING_MM
    network: Mapping[str, Any] = field(default_factory=dict)
    trunk_weights: str | None = None
    epochs: int = 100
    patience: int = 15
    seed: int = 0
    rough_regions: bool = True
    workers: int = 4
    accelerator: str = "auto"
    precision: str = "32"

    def settings(self, name: str, cache: Path) -> TrainingSettings:
        """Settings of one training: the paper's, but for what was chosen.

        Raises
        ------
        SettingsError
            They make no sense.
        """
        from napari_hirescam.training.settings_file import settings_of

        network = dict(self.network)
        if not network:
            network["grid"] = self._grid()
        content: dict[str, Any] = {
            "preset": "paper",
            "name": name,
            "seed": self.seed,
            "model": {
                "architecture": {"name": "axialnet", "arguments": network},
                "input": {
                    "spacing_mm": (self.spacing_mm,) * 3,
                    "shape": self.shape,
                    "window_hu": (-1000.0, 800.0),
                    "subtract": 0.449,
                    "layout": "axial_triples",
                },
                "trunk_weights": self.trunk_weights,
            },
            "data": {
                "organs": "masks",  # the cases bring PARTITION's
                # The list of labels is the paper's, whatever part of the scans is at hand.
                "constant_labels": "keep",
                "workers": self.workers,
                "cache_folder": str(cache),
            },
            "loss": {"mask_weight": self.mask_weight if name == WITH else 0.0},
            "run": {
                "epochs": self.epochs,
                "patience": self.patience,
                "accelerator": self.accelerator,
                "precision": self.precision,
            },
        }
        return settings_of(content, f"reproduce radchestct, {name}")

    def _grid(self) -> int:
        """Cells of a side of AxialNet's last layer: a 32nd of the input, less 4 convolutions."""
        _, rows, columns = self.shape
        grid = -(-rows // _STRIDE) - _LOST_BY_CONVOLUTIONS
        if rows != columns or grid < 1 or self.shape[0] % 3:
            smallest = _STRIDE * _LOST_BY_CONVOLUTIONS + 1
            raise SettingsError(
                "--shape",
                f"AxialNet cannot be built for {' x '.join(map(str, self.shape))}",
                f"Give slices by threes, and as many rows as columns, {smallest} or more",
            )
        return grid

    def departures(self) -> list[str]:
        """Where this is not the paper's recipe, a sentence each."""
        told = []
        if self.shape != SHAPE or self.spacing_mm != SPACING_MM:
            size = " x ".join(map(str, self.shape))
            told.append(
                f"The networks see {size} voxels of {self.spacing_mm:g} mm, not the paper's "
                f"{' x '.join(map(str, SHAPE))} of {SPACING_MM:g} mm."
            )
        if self.network:
            told.append(f"AxialNet was built with {dict(self.network)}, not as in the paper.")
        if self.trunk_weights is None:
            told.append(
                "The ResNet-18 started from random weights; the paper's from ImageNet weights "
                "(--trunk-weights)."
            )
        if abs(self.mask_weight - 1 / 3) > 1e-6:
            told.append(f"The mask loss has lambda {self.mask_weight:g}, in the paper 1/3.")
        if (self.epochs, self.patience) != (100, 15):
            told.append(
                f"It trained for {self.epochs} epochs at most with patience {self.patience}, in "
                "the paper for 100 with 15."
            )
        if not self.rough_regions:
            told.append("Cases without sure organ regions were refused; the paper has rough ones.")
        return told


@dataclass(frozen=True, eq=False)
class Outcome:
    """What the recipe gave.

    Parameters
    ----------
    table
        The cases.
    recipe
        As it was carried out.
    trainings, results
        Network's name -> its training, and what was measured on the test cases.
    """

    table: CaseTable
    recipe: Recipe
    trainings: dict[str, TrainingResult]
    results: dict[str, CohortResult]


def carry_out(
    table: CaseTable,
    out: Path,
    recipe: Recipe,
    *,
    resume: bool = False,
    device: str | None = None,
    progress: ProgressCallback | None = None,
    report: Callable[[str, EpochRecord], None] | None = None,
    note: Callable[[str], None] | None = None,
    should_stop: StopCallback | None = None,
) -> Outcome:
    """Train both networks and measure them on the test cases.

    Parameters
    ----------
    table
        Cases in splits train, valid and test; see
        :func:`~napari_hirescam.cases.read_rad_chestct`.
    out
        Folder; each network gets one in it, the organ regions and prepared CTs too.
    recipe
        What to do.
    resume
        Go on with a run that was stopped: what is finished is not done again.
    device
        For measuring; None for the fastest there is.
    progress
        Called with (what is done, steps done, steps in all).
    report
        Called with (network, figures of its epoch).
    note
        Called with what a user should know.
    should_stop
        Asked often.

    Raises
    ------
    HirescamError
        See :func:`~napari_hirescam.training.train` and
        :func:`~napari_hirescam.evaluation.cohort.evaluate_cohort`.
    Cancelled
        `should_stop` said so.
    """
    from napari_hirescam.evaluation.cohort import evaluate_cohort
    from napari_hirescam.models import load_model
    from napari_hirescam.training import train

    require_report_packages()
    for split in ("train", "valid", "test"):
        table.of(split)  # an empty one is refused before days of training
    cases = with_found_organs(table, out / "organs", rough=recipe.rough_regions)
    settings = {name: recipe.settings(name, out / "prepared") for name in _FOLDERS}
    trainings: dict[str, TrainingResult] = {}
    results: dict[str, CohortResult] = {}
    for name, folder in _FOLDERS.items():
        trainings[name] = train(
            settings[name],
            cases,
            out=out / folder,
            # A run that was stopped in the first training has not begun the second.
            resume=resume and (out / folder).exists(),
            progress=_titled(progress, f"Training {name}"),
            report=_of_network(report, name),
            note=note,
            should_stop=should_stop,
        )
    for name in _FOLDERS:
        results[name] = evaluate_cohort(
            load_model(trainings[name].model_folder, device=device),
            cases,
            methods=_METHODS,
            split="test",
            tune_on="valid",
            placement="stretch",
            rule="nearest",
            prepared=True,
            keep_in=out / _FOLDERS[name] / "measured",
            progress=_titled(progress, f"Measuring {name}"),
            should_stop=should_stop,
        )
        results[name].save(out / _FOLDERS[name] / "evaluation", overwrite=True)
    return Outcome(table, recipe, trainings, results)


def _titled(progress: ProgressCallback | None, title: str) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    tell = progress

    def step(done: int, total: int) -> None:
        tell(title, done, total)

    return step


def _of_network(
    report: Callable[[str, EpochRecord], None] | None, name: str
) -> Callable[[EpochRecord], None] | None:
    if report is None:
        return None
    tell = report

    def epoch(record: EpochRecord) -> None:
        tell(name, record)

    return epoch

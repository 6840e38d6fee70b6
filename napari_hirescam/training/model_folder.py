"""The model that comes out of a training, with its metrics in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from napari_hirescam import __version__
from napari_hirescam.models import ModelSpec, load_model, save_model
from napari_hirescam.models.spec import Architecture
from napari_hirescam.training.machine import is_first_process
from napari_hirescam.training.plan import Plan
from napari_hirescam.training.result import TrainingResult
from napari_hirescam.training.run_folder import (
    a_full_disk_said,
    best_weights,
    records_of,
    write_whole,
)
from napari_hirescam.training.settings import TrainingSettings

_DIGITS = 4
_WEIGHTS = "weights.safetensors"


def write_settings(out: Any, settings: TrainingSettings) -> None:
    """Write the settings of a run, defaults and all, into its folder."""
    import yaml

    content = settings.model_dump(mode="json", exclude_none=True)
    write_whole(out / "settings.yaml", yaml.safe_dump(content, sort_keys=False).encode())


def make_result(plan: Plan, kept: Mapping[str, Any]) -> TrainingResult:
    """Write the model folder of the best epoch, and say how the training went.

    Parameters
    ----------
    plan
        The training.
    kept
        What the Keeper knew at the last checkpoint.

    Raises
    ------
    ModelFileError
        What was written cannot be read again.
    SettingsError
        The disk is full.
    """
    from safetensors.torch import load_file

    folder = plan.out / "model"
    best = int(kept["best_epoch"])
    history = records_of(dict(kept))
    result = TrainingResult(folder, history, best, bool(kept["stopped_early"]))
    if not is_first_process():
        return result
    weights = load_file(best_weights(plan.out, best))
    figures = next(record.figures for record in history if record.epoch == best)
    with a_full_disk_said(folder):
        save_model(folder, _spec(plan, best, len(history), figures), weights)
        _copy_code(plan, folder)
    if plan.classifier.spec.architecture.python is None:
        load_model(folder, device="cpu")
    return result


def _spec(plan: Plan, best: int, epochs: int, figures: Mapping[str, float]) -> ModelSpec:
    settings, spec = plan.settings, plan.classifier.spec
    auroc = {
        label: _rounded(figures[f"valid_auroc/{label}"])
        for label in plan.table.labels
        if not math.isnan(figures[f"valid_auroc/{label}"])
    }
    losses = {
        name: _rounded(figures[name])
        for name in ("valid_loss", "valid_class_loss", "valid_mask_loss", "valid_share_inside")
        if name in figures
    }
    metrics = {
        "split": "valid, which chose the epoch",
        "cases": len(plan.valid),
        "best_epoch": best + 1,
        **losses,
        "auroc": auroc,
        **({"mean_auroc": _rounded(figures["valid_auroc"])} if auroc else {}),
    }
    provenance = {
        "software": f"napari-hirescam {__version__}",
        "torch": version("torch"),
        "lightning": version("lightning"),
        "data": plan.table.name,
        "training_cases": len(plan.train),
        "epochs": epochs,
        "seed": settings.seed,
        "mask_weight": settings.loss.mask_weight if settings.loss.mask_weight else 0.0,
        "settings": _told(settings),
    }
    if settings.model.start_from is not None:
        provenance["started_from"] = {
            "name": spec.name,
            "weights_sha256": plan.classifier.weights_sha256,
        }
    return spec.model_copy(
        update={
            "name": settings.name if "name" in settings.model_fields_set else spec.name,
            "description": settings.model.description or spec.description,
            "weights": _WEIGHTS,
            "weights_key": None,
            "weights_sha256": None,
            "organs": _organs(plan),
            "metrics": metrics,
            "provenance": provenance,
        }
    )


def _organs(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Label -> organs as trained; where no table says, all that any case allows."""
    organs = dict(plan.allowed)
    for label in plan.table.labels:
        if label not in organs:
            named = {organ for case in plan.train for organ in case.allowed.get(label, ())}
            if named:
                organs[label] = tuple(sorted(named))
    return organs


def _told(settings: TrainingSettings) -> dict[str, Any]:
    """What of the settings goes with the model: no paths, and nothing of the machine."""
    content = settings.model_dump(mode="json", exclude_none=True)
    run = {name: content["run"].get(name) for name in ("epochs", "patience", "flips", "precision")}
    data = {"organs": content["data"]["organs"]}
    told = {"loss": content["loss"], "optimizer": content["optimizer"], "run": run, "data": data}
    return {"preset": settings.preset, **told} if settings.preset else told


def _copy_code(plan: Plan, folder: Any) -> None:
    """Take a model's own Python along; the model to start from has it in its folder."""
    architecture: Architecture = plan.classifier.spec.architecture
    source = plan.classifier.folder
    if architecture.python is not None and source is not None:
        target = folder / architecture.python
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, (source / architecture.python).read_bytes())


def _rounded(value: float) -> float:
    return round(value, _DIGITS)

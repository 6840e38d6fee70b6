"""Whole trainings, tiny: what comes out, and that no interruption changes it."""

from __future__ import annotations

import csv
import json
import os
import signal
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training_cases import ALLOWED, LABELS, make_settings, make_table
from training_process import last_word, start_training, wait_for_passes

from napari_hirescam.attention import explain
from napari_hirescam.errors import Cancelled, SettingsError
from napari_hirescam.models import load_model
from napari_hirescam.training import TrainingResult, TrainingSettings, train
from napari_hirescam.training.network import make_classifier
from napari_hirescam.training.run_folder import read_kept


def weights_of(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "model" / "weights.safetensors")


def same_weights(first: Path, second: Path) -> bool:
    a, b = weights_of(first), weights_of(second)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def figures_of(result: TrainingResult) -> str:
    return json.dumps([(r.epoch, dict(r.figures), r.is_best) for r in result.history])


class StopAt:
    """Lets n questions pass, counted from the first training step on, and then says yes."""

    # Each of a table's nine cases is looked through before.
    BEFORE = 9

    def __init__(self, n: int) -> None:
        self.left = n + self.BEFORE

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, TrainingResult]:
    out = tmp_path_factory.mktemp("trained") / "run"
    return out, train(make_settings(), make_table(), out=out)


class TestWhatComesOut:
    def test_the_model_opens_and_explains_a_ct(self, trained):
        _, result = trained
        classifier = load_model(result.model_folder, device="cpu")

        explanation = explain(make_table().cases[0].ct(), classifier)

        assert classifier.labels == LABELS
        assert explanation.guarantee.holds
        assert all(explanation.verified(label) for label in LABELS)

    def test_the_model_says_how_it_was_made_and_how_good_it_is(self, trained):
        _, result = trained
        spec = load_model(result.model_folder, device="cpu").spec
        best = result.history[result.best_epoch]

        assert spec.organs == ALLOWED
        assert spec.target_layer == "conv2d.1"
        assert spec.metrics["best_epoch"] == result.best_epoch + 1
        assert spec.metrics["cases"] == 4
        assert spec.metrics["valid_loss"] == pytest.approx(best.figures["valid_loss"], abs=1e-4)
        for label in LABELS:
            measured = best.figures[f"valid_auroc/{label}"]
            assert spec.metrics["auroc"][label] == pytest.approx(measured, abs=1e-4)
        assert spec.provenance["mask_weight"] == pytest.approx(1 / 3)
        assert spec.provenance["training_cases"] == 5
        assert spec.provenance["settings"]["optimizer"]["learning_rate"] == 0.02

    def test_the_best_epoch_is_the_one_of_the_lowest_validation_loss(self, trained):
        _, result = trained
        losses = [record.figures["valid_loss"] for record in result.history]

        assert len(losses) == 3
        assert result.best_epoch == int(np.argmin(losses))
        assert not result.stopped_early

    def test_the_validation_loss_is_that_of_the_model_that_was_written(self, trained):
        """The weights are the best epoch's: scoring its cases anew gives the loss of the log."""
        _, result = trained
        classifier = load_model(result.model_folder, device="cpu")
        losses = []
        for case in make_table().of("valid").cases:
            logits = classifier.logits(classifier.prepare(case.ct())).double()
            present = torch.tensor([float(case.labels[label]) for label in LABELS]).double()
            p = torch.sigmoid(logits)
            losses.append(-(present * p.log() + (1 - present) * (1 - p).log()).mean().item())

        logged = result.history[result.best_epoch].figures["valid_class_loss"]
        assert np.mean(losses) == pytest.approx(logged, rel=1e-5)

    def test_the_log_holds_what_was_reported(self, trained):
        out, result = trained
        with (out / "log.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))

        assert [int(row["epoch"]) for row in rows] == [0, 1, 2]
        for row, record in zip(rows, result.history, strict=True):
            assert float(row["valid_loss"]) == pytest.approx(record.figures["valid_loss"])
            assert int(row["is_best"]) == record.is_best

    def test_nothing_lies_about_that_nobody_asked_for(self, trained, tmp_path, monkeypatch):
        out, _ = trained

        assert {path.name for path in out.iterdir()} == {
            *("model", "checkpoints", "log.csv", "settings.yaml"),
        }
        assert not [p for p in Path.cwd().iterdir() if p.name == "lightning_logs"]

    def test_torch_is_left_as_it_was(self, tmp_path):
        torch.manual_seed(5)
        expected = torch.rand(3)
        torch.manual_seed(5)
        threads = torch.get_num_threads()

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            train(make_settings(run={"epochs": 1}), make_table(), out=tmp_path / "run")

        assert torch.equal(torch.rand(3), expected)
        assert torch.get_num_threads() == threads
        assert not torch.are_deterministic_algorithms_enabled()

    def test_the_seed_decides(self, trained, tmp_path):
        out, _ = trained
        train(make_settings(), make_table(), out=tmp_path / "same")
        train(make_settings(seed=1), make_table(), out=tmp_path / "other")

        assert same_weights(out, tmp_path / "same")
        assert not same_weights(out, tmp_path / "other")

    def test_progress_and_records_are_told(self, tmp_path):
        told, records = [], []

        result = train(
            make_settings(optimizer={"batch_size": 2}),
            make_table(),
            out=tmp_path / "run",
            progress=lambda done, total: told.append((done, total)),
            report=records.append,
        )

        assert told == [(k, 9) for k in range(1, 10)]
        assert tuple(records) == result.history

    def test_it_learns(self, tmp_path):
        result = train(
            make_settings(
                optimizer={"name": "adam", "learning_rate": 0.02, "batch_size": 4},
                run={"epochs": 10, "flips": False},
                loss={"mask_weight": 0.1},
            ),
            make_table(12, 6),
            out=tmp_path / "run",
        )

        assert result.history[result.best_epoch].figures["valid_auroc"] > 0.9


class TestEarlyStopping:
    def settings(self, **run):
        # A rate so high that the first epoch is the best one.
        return make_settings(
            optimizer={"learning_rate": 0.9, "schedule": "constant", "gradient_clip": 1.0},
            run={"epochs": 9, "patience": 2, **run},
        )

    def test_it_stops_after_patience_and_keeps_the_best(self, tmp_path):
        result = train(self.settings(), make_table(), out=tmp_path / "run")

        losses = [record.figures["valid_loss"] for record in result.history]
        assert result.stopped_early
        assert len(losses) == result.best_epoch + 3
        assert min(losses) == losses[result.best_epoch]

    def test_a_resumed_run_stops_at_the_same_epoch(self, tmp_path):
        whole = train(self.settings(), make_table(), out=tmp_path / "whole")
        passes = 9 * (len(whole.history) - 1) - 7  # in the last epoch but one
        with pytest.raises(Cancelled):
            train(self.settings(), make_table(), out=tmp_path / "cut", should_stop=StopAt(passes))

        resumed = train(self.settings(), make_table(), out=tmp_path / "cut", resume=True)

        assert figures_of(resumed) == figures_of(whole)
        assert resumed.stopped_early

    def test_a_finished_run_is_not_trained_on(self, tmp_path):
        whole = train(self.settings(), make_table(), out=tmp_path / "run")
        before = weights_of(tmp_path / "run")

        again = train(self.settings(), make_table(), out=tmp_path / "run", resume=True)

        assert again == whole
        after = weights_of(tmp_path / "run")
        assert all(torch.equal(before[name], after[name]) for name in before)


#: With all that has a state: momentum, schedule, accumulation, order and flips.
STATEFUL: dict[str, dict] = {"optimizer": {"accumulate": 2, "momentum": 0.9}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, TrainingResult]:
    """Train by the settings of `TestResume` without an interruption."""
    out = tmp_path_factory.mktemp("whole") / "run"
    return out, train(make_settings(**STATEFUL), make_table(), out=out)


class TestResume:
    def settings(self, **run):
        return make_settings(**STATEFUL, run=run)

    # Each epoch asks nine times: five passes, four cases of validation.
    @pytest.mark.parametrize(
        "asked",
        [1, 6, 9, 14, 26, *(pytest.param(n, marks=pytest.mark.long) for n in (4, 8, 12, 21))],
    )
    def test_stopped_anywhere_it_ends_as_if_it_never_had(self, asked, tmp_path, whole):
        out, result = whole
        stop = StopAt(asked)
        with pytest.raises(Cancelled):
            train(self.settings(), make_table(), out=tmp_path / "run", should_stop=stop)
        # Asked at a step, it has saved it; but for those before the first whole one.
        assert (read_kept(tmp_path / "run") is None) == (asked in (4, 6, 8))

        resumed = train(self.settings(), make_table(), out=tmp_path / "run", resume=True)

        assert same_weights(out, tmp_path / "run")
        assert figures_of(resumed) == figures_of(result)

    def test_killed_at_random_moments_it_ends_as_if_it_never_had(self, tmp_path, whole):
        out = tmp_path / "run"
        options = {**STATEFUL, "run": {"checkpoint_every_n_steps": 1}}
        rng = np.random.default_rng()
        ends = []
        for _ in range(4):
            process, pipe = start_training(out, options)
            wait_for_passes(pipe, int(rng.integers(1, 7)))
            time.sleep(float(rng.uniform(0, 0.03)))
            process.kill()
            process.join()
            ends.append(process.exitcode)

        # A later one may have come to its end before it was hit.
        assert ends[0] == -signal.SIGKILL

        process, pipe = start_training(out, options)

        assert last_word(process, pipe) == "finished"
        assert same_weights(whole[0], out)

    def test_other_settings_or_cases_are_not_mixed_in(self, tmp_path):
        out = tmp_path / "run"
        with pytest.raises(Cancelled):
            train(self.settings(), make_table(), out=out, should_stop=StopAt(3))
        before = (out / "checkpoints" / "last.ckpt").read_bytes()

        for settings, table in (
            (self.settings(epochs=4), make_table()),
            (make_settings(seed=9), make_table()),
            (self.settings(), make_table(6, 4)),
        ):
            with pytest.raises(SettingsError, match="other settings, cases or processes"):
                train(settings, table, out=out, resume=True)

        assert (out / "checkpoints" / "last.ckpt").read_bytes() == before

    def test_what_the_result_does_not_depend_on_may_change(self, tmp_path, whole):
        out = tmp_path / "run"
        with pytest.raises(Cancelled):
            train(self.settings(), make_table(), out=out, should_stop=StopAt(3))

        again = make_settings(
            **STATEFUL, run={"checkpoint_every_n_steps": 1}, data={"cache_ram_gb": 0}
        )
        train(again, make_table(), out=out, resume=True)

        assert same_weights(whole[0], out)

    def test_a_damaged_checkpoint_is_said_to_be_one(self, tmp_path):
        out = tmp_path / "run"
        with pytest.raises(Cancelled):
            train(self.settings(), make_table(), out=out, should_stop=StopAt(3))
        (out / "checkpoints" / "last.ckpt").write_bytes(b"no checkpoint")

        with pytest.raises(SettingsError, match="no checkpoint of a training"):
            train(self.settings(), make_table(), out=out, resume=True)

    def test_checkpoints_come_every_n_steps(self, tmp_path):
        out, seen = tmp_path / "run", []

        def look(done, total):
            kept = read_kept(out)
            seen.append((kept["epoch"], kept["passes"]) if kept else None)

        settings = make_settings(run={"epochs": 1, "checkpoint_every_n_steps": 2})
        train(settings, make_table(), out=out, progress=look)

        # The pass that makes a checkpoint tells of its progress first.
        assert seen == [None, None, (0, 2), (0, 2), (0, 4)]

    def test_ctrl_c_ends_it_cleanly(self, tmp_path, whole):
        out = tmp_path / "run"
        process, pipe = start_training(out, STATEFUL)
        wait_for_passes(pipe, 2)
        os.kill(process.pid, signal.SIGINT)

        assert last_word(process, pipe) == "cancelled"
        assert process.exitcode == 0
        train(self.settings(), make_table(), out=out, resume=True)
        assert same_weights(whole[0], out)


def test_two_processes_step_as_one_with_twice_the_passes(tmp_path):
    """One step over all eight cases: by one process, and by two with half of them each."""
    plain = {"momentum": 0.0, "weight_decay": 0.0, "schedule": "constant"}
    alone = {"optimizer": {**plain, "accumulate": 8}, "run": {"epochs": 1}}
    shared = {
        "optimizer": {**plain, "accumulate": 4},
        "run": {"epochs": 1, "devices": 2, "strategy": "ddp_fork"},
    }
    begun = first_weights(make_settings(**shared))

    for name, options in (("alone", alone), ("shared", shared)):
        process, pipe = start_training(tmp_path / name, options, 8)
        assert last_word(process, pipe) == "finished", name

    one, two = weights_of(tmp_path / "alone"), weights_of(tmp_path / "shared")
    for name, first in begun.items():
        moved = (one[name] - first).abs().max()
        assert moved > 0, name
        assert torch.allclose(one[name], two[name], rtol=0, atol=1e-3 * float(moved)), name


def first_weights(settings: TrainingSettings) -> dict[str, torch.Tensor]:
    """Give the weights that a training begins with."""
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        network = make_classifier(settings, LABELS).network
    return {name: value.detach().clone() for name, value in network.named_parameters()}

"""``train`` on the command line: the documented example, made small, and what it says."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from napari_hirescam.cli import app
from napari_hirescam.models import load_model
from napari_hirescam.training import read_settings

EXAMPLE = Path(__file__).resolve().parents[1] / "docs" / "train_example.yaml"


def run(*arguments: object):
    return CliRunner().invoke(app, ["train", *map(str, arguments)])


@pytest.fixture
def config(tmp_path) -> Path:
    """The example with fewer and coarser phantoms."""
    content = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    content["model"]["input"] |= {"spacing_mm": [20, 16, 16], "shape": [15, 24, 24]}
    content["model"]["architecture"]["arguments"] |= {"grid": 2}
    content["data"]["phantoms"] |= {"train": 4, "valid": 3, "spacing_mm": [20, 16, 16]}
    content["run"] |= {"epochs": 2}
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def test_the_documented_example_trains_a_model(config, tmp_path):
    out = tmp_path / "out"

    result = run(config, "--out", out)

    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("epoch")] == ["1/2", "2/2"]
    assert "AUROC on the validation split" in result.output
    assert f"Wrote {out / 'model'}: epoch" in result.output
    classifier = load_model(out / "model", device="cpu")
    assert classifier.labels == ("pleural_effusion", "pneumothorax", "cardiomegaly")
    assert classifier.spec.organs["cardiomegaly"] == ("heart",)


def test_the_example_as_it_stands_is_sound():
    settings = read_settings(EXAMPLE)

    assert settings.loss.mask_weight == pytest.approx(1 / 3, abs=1e-4)


def test_ctrl_c_says_how_to_go_on(config, tmp_path, monkeypatch):
    import napari_hirescam.training

    out, real = tmp_path / "out", napari_hirescam.training.train

    def interrupted(*given, should_stop, **more):
        os.kill(os.getpid(), signal.SIGINT)
        return real(*given, should_stop=should_stop, **more)

    monkeypatch.setattr(napari_hirescam.training, "train", interrupted)
    before = signal.getsignal(signal.SIGINT)

    stopped = run(config, "--out", out)

    assert stopped.exit_code == 130
    assert f"Go on with: napari-hirescam train {config} --out {out} --resume" in stopped.output
    assert signal.getsignal(signal.SIGINT) is before
    monkeypatch.undo()
    assert run(config, "--out", out, "--resume").exit_code == 0


def test_a_wrong_configuration_is_one_line(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("model: {start_from: nowhere}\nrun: {epoch: 3}\n", encoding="utf-8")

    result = run(file, "--out", tmp_path / "out")

    assert result.exit_code == 1
    assert "run.epoch" in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["lambda 1/3", "../out", "a: b", "CON", "..", "x" * 300])
def test_a_name_that_is_no_folder_s_asks_for_one(config, tmp_path, monkeypatch, name):
    content = yaml.safe_load(config.read_text(encoding="utf-8"))
    config.write_text(yaml.safe_dump({**content, "name": name}), encoding="utf-8")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    result = run(config)

    assert result.exit_code == 1
    assert "Give --out" in result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "small.yaml"]


def test_a_second_run_does_not_overwrite_the_first(config, tmp_path):
    assert run(config, "--out", tmp_path / "out").exit_code == 0
    before = (tmp_path / "out" / "log.csv").read_bytes()

    again = run(config, "--out", tmp_path / "out")

    assert again.exit_code == 1
    assert "not empty" in again.output
    assert (tmp_path / "out" / "log.csv").read_bytes() == before

"""What a training is told: presets, relations between fields, and messages that name the field."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_hirescam.errors import SettingsError
from napari_hirescam.models import INPUT_PRESETS
from napari_hirescam.training import TrainingSettings, read_settings
from napari_hirescam.training.settings_file import settings_of

AXIALNET = {"architecture": {"name": "axialnet"}, "input": "axialnet"}


def refusal(**content) -> str:
    with pytest.raises(SettingsError) as caught:
        settings_of({"model": AXIALNET, **content}, "settings")
    return str(caught.value)


def test_the_papers_preset_holds_the_published_settings():
    settings = TrainingSettings.model_validate({"preset": "paper", "model": AXIALNET})

    assert settings.model.input == INPUT_PRESETS["axialnet"]
    assert settings.loss.mask_weight == pytest.approx(1 / 3)
    assert (settings.loss.placement, settings.loss.rule) == ("stretch", "nearest")
    assert (settings.loss.scale, settings.loss.kind) == ("per_slice", "softplus")
    optimizer = settings.optimizer
    assert (optimizer.name, optimizer.schedule, optimizer.batch_size) == ("sgd", "constant", 1)
    assert optimizer.learning_rate == 1e-3
    assert optimizer.momentum == 0.99
    assert optimizer.weight_decay == 1e-7
    assert (settings.run.epochs, settings.run.patience, settings.run.flips) == (100, 15, True)


def test_a_field_that_is_given_wins_over_the_preset():
    content = {"preset": "paper", "model": AXIALNET, "optimizer": {"momentum": 0.5}}

    settings = TrainingSettings.model_validate(content)

    assert settings.optimizer.momentum == 0.5
    assert settings.optimizer.name == "sgd"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"optimiser": {}}, "optimiser"),
        ({"preset": "papers"}, "preset"),
        ({"loss": {"mask_weight": -1}}, "loss.mask_weight"),
        ({"loss": {"mask_weight": float("nan")}}, "loss.mask_weight"),
        ({"loss": {"rule": "nearest"}}, "needs placement 'stretch'"),
        ({"loss": {"rule": "half", "dilate": True}}, "'dilate' goes with"),
        ({"optimizer": {"learning_rate": 0}}, "optimizer.learning_rate"),
        ({"run": {"epochs": 0}}, "run.epochs"),
        ({"model": {**AXIALNET, "input": "axialnet", "labels": ["a", "b", "a"]}}, "twice: a"),
        ({"model": {**AXIALNET, "input": "axialnet", "labels": []}}, "model.labels"),
        ({"seed": 2**64 - 1}, "seed"),
        ({"run": {"threads": 10**9}}, "run.threads"),
        ({"optimizer": {"learning_rate": 1e300}}, "optimizer.learning_rate"),
        ({"data": {"table": "a.csv", "rad_chestct": "b"}}, "one of 'table' and 'rad_chestct'"),
        ({"model": {"architecture": {"name": "axialnet"}}}, "'input' is needed"),
        ({"model": {"input": "axialnet"}}, "'architecture' or 'start_from'"),
        ({"model": {**AXIALNET, "input": "axial"}}, "there are: ct-net, axialnet"),
        ({"model": {"start_from": "m", "labels": ["a"]}}, "come from the model"),
        ({"model": {"architecture": {"program": "a.pt2"}, "input": "axialnet"}}, "registered"),
    ],
)
def test_a_wrong_field_is_named(content, words):
    assert words in refusal(**content)


def test_all_wrong_fields_are_named_at_once():
    text = refusal(run={"epochs": 0, "patience": 0}, seed=-1)

    assert "run.epochs" in text
    assert "run.patience" in text
    assert "seed" in text


class TestFile:
    def write(self, tmp_path: Path, text: str) -> Path:
        file = tmp_path / "config.yaml"
        file.write_text(text, encoding="utf-8")
        return file

    def test_paths_are_relative_to_the_file(self, tmp_path):
        file = self.write(
            tmp_path,
            "model: {start_from: models/a}\n"
            "data: {rad_chestct: {folder: rad, tables: /abs}, cache_folder: cache}\n",
        )

        settings = read_settings(file)

        assert settings.model.start_from == str(tmp_path / "models/a")
        assert settings.data.rad_chestct.folder == str(tmp_path / "rad")
        assert settings.data.rad_chestct.tables == "/abs"
        assert settings.data.cache_folder == str(tmp_path / "cache")

    def test_a_table_may_be_given_by_its_path_alone(self, tmp_path):
        file = self.write(tmp_path, "model: {start_from: m}\ndata: {table: cohort.csv}\n")

        assert read_settings(file).data.table.file == str(tmp_path / "cohort.csv")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("seed: [", "not plain YAML"),
            ("seed: 1\nseed: 2\n", "there twice"),
            ("- 1\n", "holds no fields"),
            ("!!python/object/apply:os.system [id]", "not plain YAML"),
        ],
    )
    def test_what_is_no_settings_file_is_refused(self, tmp_path, text, words):
        with pytest.raises(SettingsError, match=words):
            read_settings(self.write(tmp_path, text))

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(SettingsError, match="no such file"):
            read_settings(tmp_path / "none.yaml")


def test_a_mistyped_setting_is_named_in_plain_words():
    wrong = {"loss": {"mask_wieght": 1}, "data": {"phantoms": {}}}
    with pytest.raises(SettingsError, match=r"mine\.yaml: .*loss\.mask_wieght: there is no such"):
        settings_of(wrong, "mine.yaml")

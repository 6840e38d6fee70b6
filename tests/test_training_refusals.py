"""What cannot be trained is refused before the first step, with the place and a remedy."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from training_cases import LABELS, SHAPE, BlobCase, make_settings, make_table

from napari_hirescam.cases import CaseTable
from napari_hirescam.errors import CaseTableError, HirescamError, ModelFileError, SettingsError
from napari_hirescam.models import load_model
from napari_hirescam.models.axialnet import resnet18_trunk
from napari_hirescam.training import run_folder, train
from napari_hirescam.training.network import make_classifier


def never(*_: int) -> None:
    pytest.fail("a step was taken")


def refusal(tmp_path: Path, table: CaseTable | None = None, **sections) -> HirescamError:
    out = sections.pop("out", tmp_path / "run")
    with pytest.raises(HirescamError) as caught:
        train(make_settings(**sections), table or make_table(), out=out, progress=never)
    assert not (out / "model").exists()
    return caught.value


class TestData:
    def test_a_label_without_an_organ(self, tmp_path):
        error = refusal(tmp_path, data={"allowed_organs": {"blob": ("left_lung",)}})

        assert isinstance(error, CaseTableError)
        assert "no organ is allowed for label 'ring'" in str(error)

    def test_without_a_mask_loss_it_needs_none(self, tmp_path):
        settings = make_settings(
            data={"allowed_organs": {}}, loss={"mask_weight": 0}, run={"epochs": 1}
        )

        result = train(settings, make_table(c1="no organs"), out=tmp_path / "run")

        assert result.history[0].figures["valid_mask_loss"] == 0

    @pytest.mark.parametrize("fault", ["nan", "no organs", "lacks an organ"])
    def test_a_faulty_case_is_named_before_the_first_step_if_asked(self, tmp_path, fault):
        error = refusal(tmp_path, make_table(c4=fault), data={"read_all_first": True})

        assert "case c4" in str(error)

    def test_a_faulty_case_is_named_when_it_is_read(self, tmp_path):
        with pytest.raises(CaseTableError, match="case c4: 1 voxels"):
            train(make_settings(), make_table(c4="nan"), out=tmp_path / "run")

    def test_an_empty_split(self, tmp_path):
        assert "no case is in split 'valid'" in str(refusal(tmp_path, make_table(5, 0)))

    @pytest.mark.parametrize("everywhere", [True, False])
    def test_a_label_that_cannot_be_learned(self, tmp_path, everywhere):
        table = make_table()
        cases = tuple(
            replace(case, labels={**case.labels, "ring": everywhere}) for case in table.cases
        )

        error = refusal(tmp_path, replace(table, cases=cases))

        assert "present in every case or in none (of those known): ring" in str(error)

    def test_a_label_the_table_has_not(self, tmp_path):
        error = refusal(tmp_path, model={"labels": ["blob", "mass"]})

        assert "it has no label mass" in str(error)

    def test_no_data_at_all(self, tmp_path):
        with pytest.raises(SettingsError, match="it names no cases"):
            train(make_settings(), out=tmp_path / "run")


class TestMachine:
    @pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
    @pytest.mark.parametrize("accelerator", ["gpu", "cuda"])
    def test_a_gpu_that_is_not_there(self, tmp_path, accelerator, monkeypatch):
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

        error = refusal(tmp_path, run={"accelerator": accelerator})

        assert f"no {accelerator}" in error.reason
        assert error.subject == "run.accelerator"

    def test_more_gpus_than_there_are(self, tmp_path, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

        error = refusal(tmp_path, run={"accelerator": "cuda", "devices": 3})

        assert "there are 2" in str(error)

    @pytest.mark.parametrize(
        "run",
        [
            {"devices": 0},
            {"devices": -5},
            {"devices": []},
            {"devices": [0, 1]},
            {"strategy": "nonsense"},
        ],
    )
    def test_what_lightning_cannot_set_up(self, tmp_path, run):
        error = refusal(tmp_path, run=run)

        assert isinstance(error, SettingsError)
        assert error.subject == "run"
        assert next(iter(run)) in error.reason

    def test_half_precision_on_a_cpu(self, tmp_path):
        assert "for GPUs" in str(refusal(tmp_path, run={"precision": "16-mixed"}))

    def test_a_folder_with_something_in_it(self, tmp_path):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "mine.txt").write_text("mine")

        error = refusal(tmp_path)

        assert "not empty" in error.reason
        assert "--resume" in error.remedy
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.txt"]

    def test_nothing_to_go_on_from(self, tmp_path):
        with pytest.raises(SettingsError, match="no such run"):
            train(make_settings(), make_table(), out=tmp_path / "run", resume=True)

    @pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
    def test_a_folder_that_cannot_be_written(self, tmp_path):
        (tmp_path / "closed").mkdir(mode=0o500)

        assert "cannot be written" in str(refusal(tmp_path, out=tmp_path / "closed" / "run"))

    def test_a_cache_folder_that_is_a_file(self, tmp_path):
        (tmp_path / "cache").write_text("mine")

        error = refusal(tmp_path, data={"cache_folder": str(tmp_path / "cache")})

        assert "cannot be written" in error.reason

    def test_a_disk_without_room_for_the_checkpoints(self, tmp_path, monkeypatch):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))

        error = refusal(tmp_path)

        assert "checkpoints need up to" in error.reason

    def test_a_disk_that_is_full_later_loses_nothing(self, tmp_path, monkeypatch):
        out = tmp_path / "run"
        written = []

        def full_at_the_third(file: Path, content: bytes) -> None:
            written.append(file.name)
            if file.name == run_folder.LAST and written.count(file.name) == 3:
                raise OSError(28, "No space left on device")
            file.write_bytes(content)

        with monkeypatch.context() as patch:
            patch.setattr(run_folder, "replace_file", full_at_the_third)
            with pytest.raises(SettingsError, match="the disk is full") as caught:
                train(make_settings(), make_table(), out=out)
        assert "--resume" in caught.value.remedy

        result = train(make_settings(), make_table(), out=out, resume=True)

        whole = train(make_settings(), make_table(), out=tmp_path / "whole")
        assert result.history == whole.history

    def test_a_loss_that_is_no_number(self, tmp_path):
        settings = make_settings(optimizer={"learning_rate": 1e18, "schedule": "constant"})

        with pytest.raises(SettingsError, match=r"the loss became (nan|inf)") as caught:
            train(settings, make_table(), out=tmp_path / "run")

        assert "learning_rate" in caught.value.remedy

    def test_a_package_that_is_missing(self, tmp_path, monkeypatch):
        monkeypatch.setattr(
            "napari_hirescam.training.machine.importlib.util.find_spec", lambda name: None
        )

        error = refusal(tmp_path)

        assert 'pip install "napari-hirescam[train]"' in error.remedy


class TestNetwork:
    def test_an_unknown_target_layer(self, tmp_path):
        error = refusal(tmp_path, model={"target_layer": "conv2d.99"})

        assert error.subject == "model.target_layer"

    def test_an_unknown_architecture(self, tmp_path):
        error = refusal(tmp_path, model={"architecture": {"name": "axialnets"}})

        assert isinstance(error, ModelFileError)
        assert "axialnet" in error.reason

    def test_an_input_the_network_cannot_take(self, tmp_path):
        small = {"shape": [6, 4, 4], "layout": "axial_triples"}

        assert "the network failed on an input" in str(refusal(tmp_path, model={"input": small}))

    def test_a_model_that_sees_a_part_only(self, tmp_path):
        window = {"shape": list(SHAPE), "layout": "axial_triples", "fit": "window"}

        assert "sees a part of a CT only" in str(refusal(tmp_path, model={"input": window}))

    def test_an_unknown_list_of_labels(self, tmp_path):
        assert "radchest-80" in str(refusal(tmp_path, model={"labels": "radchest-81"}))


class TestStart:
    @pytest.fixture(scope="class")
    @classmethod
    def first(cls, tmp_path_factory) -> Path:
        out = tmp_path_factory.mktemp("first") / "run"
        return train(make_settings(), make_table(), out=out).model_folder

    def test_a_training_goes_on_from_a_model(self, first, tmp_path):
        settings = make_settings(
            name="finer",
            optimizer={"learning_rate": 1e-9, "weight_decay": 0},
            run={"epochs": 1},
        ).model_copy(
            update={"model": make_settings().model.model_validate({"start_from": str(first)})}
        )

        result = train(settings, make_table(), out=tmp_path / "run")

        before = load_file(first / "weights.safetensors")
        after = load_file(result.model_folder / "weights.safetensors")
        assert torch.allclose(before["fc.weight"], after["fc.weight"], atol=1e-6)
        spec = load_model(result.model_folder, device="cpu").spec
        assert spec.name == "finer"
        assert spec.provenance["started_from"]["name"] == "tiny"

    def test_labels_of_another_table_are_refused(self, first, tmp_path):
        settings = make_settings().model_copy(
            update={"model": make_settings().model.model_validate({"start_from": str(first)})}
        )
        cases = tuple(
            BlobCase(f"c{k}", f"p{k}", split, {"mass": k % 2 == 0})
            for k, split in enumerate(["train", "train", "valid"])
        )

        with pytest.raises(CaseTableError, match="it has no label blob, ring"):
            train(settings, CaseTable("other", ("mass",), cases), out=tmp_path / "run")

    def test_a_pretrained_trunk_is_loaded(self, tmp_path):
        """By our own names and by torchvision's, its classifier left out."""
        torch.manual_seed(4)
        trunk = resnet18_trunk([4, 4, 4, 4], 1).state_dict()
        torchvision = {
            {"0": "conv1", "1": "bn1", "4": "layer1"}[name[0]] + name[1:]: value
            for name, value in trunk.items()
        }
        extra = {"fc.weight": torch.zeros(1000, 4), "layer2.0.conv1.weight": torch.zeros(1)}

        for content in (trunk, {**torchvision, **extra}):
            file = tmp_path / "trunk.safetensors"
            save_file({name: value.contiguous() for name, value in content.items()}, file)
            settings = make_settings(model={"trunk_weights": str(file)})
            network = make_classifier(settings, LABELS).network

            loaded = network.features.state_dict()
            assert all(torch.equal(loaded[name], value) for name, value in trunk.items())

    def test_a_trunk_of_another_network_is_refused(self, tmp_path):
        file = tmp_path / "trunk.safetensors"
        save_file({"0.weight": torch.zeros(4, 3, 3, 3)}, file)

        error = refusal(tmp_path, model={"trunk_weights": str(file)})

        assert isinstance(error, ModelFileError)
        assert "does not fit 'features'" in error.reason

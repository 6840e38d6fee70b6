"""MONAI bundles: read with our own parser, and nothing in them is ever evaluated."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import torch
import yaml
from model_folders import write_bundle
from networks import random_ct

from napari_hirescam.errors import ModelFileError
from napari_hirescam.models import load_model
from napari_hirescam.models.architectures import build_by_name
from napari_hirescam.models.bundle import read_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


def change_json(file: Path, **fields: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def network_def(bundle: Path, **arguments: object) -> None:
    change_json(bundle / "configs" / "inference.json", network_def=arguments)


def test_the_facts_of_a_bundle(bundle) -> None:
    facts = read_bundle(bundle)
    assert facts.architecture == "monai.ResNet"
    assert facts.arguments == {
        "block": "basic",
        "layers": [1, 1, 1, 1],
        "spatial_dims": 3,
        "n_input_channels": 1,
        "num_classes": 2,
        "block_inplanes": [2, 4, 4, 8],
    }
    assert facts.labels == ("no nodule", "nodule")
    assert (facts.channels, facts.spatial_shape) == (1, (32, 32, 32))
    assert facts.value_range == (0.0, 1.0)
    assert facts.weights == bundle / "models" / "model.pt"
    assert facts.name == "Nodule classifier"
    network = build_by_name(facts.architecture, 2, facts.arguments, bundle)
    network.load_state_dict(torch.load(facts.weights, weights_only=True), strict=True)


def test_a_zipped_bundle_gives_the_same_facts(bundle, tmp_path) -> None:
    zipped = tmp_path / "bundle.zip"
    with zipfile.ZipFile(zipped, "w") as made:
        for file in (f for f in bundle.rglob("*") if f.is_file()):
            made.write(file, f"nodules_v1/{file.relative_to(bundle)}")
    here, there = read_bundle(bundle), read_bundle(zipped)
    assert there.weights.read_bytes() == here.weights.read_bytes()
    assert (there.arguments, there.labels) == (here.arguments, here.labels)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_bundle_alone_is_no_model_and_says_what_to_do(bundle, tmp_path, zipped) -> None:
    path = bundle
    if zipped:
        path = tmp_path / "bundle.zip"
        with zipfile.ZipFile(path, "w") as made:
            for file in (f for f in bundle.rglob("*") if f.is_file()):
                made.write(file, file.relative_to(bundle))
    with pytest.raises(ModelFileError, match=r"holds a monai\.ResNet, but .*New model folder"):
        load_model(path)


def test_a_model_yaml_beside_completes_a_bundle(bundle) -> None:
    facts = read_bundle(bundle)
    spec = {
        "format": 1,
        "name": facts.name,
        "architecture": {"name": facts.architecture, "arguments": facts.arguments},
        "weights": "models/model.pt",
        "labels": list(facts.labels),
        "input": {"shape": [32, 32, 32], "window_hu": [-1000, 400]},
        "target_layer": "layer4",
    }
    (bundle / "model.yaml").write_text(yaml.safe_dump(spec))
    classifier = load_model(bundle)
    logits = classifier.logits(classifier.prepare(random_ct((32, 32, 32))))
    assert logits.shape == (2,)


@pytest.mark.parametrize(
    "target",
    ["ResNet", "monai.networks.nets.ResNet", "monai.networks.nets.resnet.ResNet"],
)
def test_a_network_may_be_named_short_or_in_full(bundle, target) -> None:
    network_def(bundle, _target_=target, num_classes=2)
    assert read_bundle(bundle).architecture == "monai.ResNet"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"_target_": "builtins.open", "file": "{mark}", "mode": "w"}, "'builtins.open', which is"),
        ({"_target_": "os.system", "command": "touch {mark}"}, "'os.system', which is not"),
        ({"_target_": "pathlib.Path.touch"}, "which is not a classifier"),
        ({"_target_": "monai.networks.nets.os.system"}, "which is not a classifier"),
        ({"_target_": "monai.bundle.download"}, "which is not a classifier"),
        ({"_target_": "UNet"}, "'UNet', which is not a classifier"),
        ({"_target_": ["resnet10"]}, "which is not a classifier"),
        ({"_target_": "$__import__('os').mkdir('{mark}')"}, "which MONAI would evaluate"),
        ({"_target_": "resnet10", "num_classes": "$open('{mark}', 'w')"}, "num_classes is"),
        ({"_target_": "resnet10", "act": ["relu", {"a": " $1"}]}, r"act\[1\]\.a is"),
        ({"_target_": "resnet10", "num_classes": "@labels"}, "'@labels', which MONAI"),
        ({"_target_": "resnet10", "num_classes": "%other.json#n"}, "which MONAI would"),
        ({"_target_": "resnet10", "$x": 1}, "a key of network_def"),
        ({"_target_": "resnet10", "_mode_": "callable"}, "the network has _mode_"),
        ({"_target_": "resnet10", "_requires_": ["x"]}, "the network has _requires_"),
    ],
)
def test_what_monai_would_run_is_refused_by_name(bundle, tmp_path, arguments, words) -> None:
    mark = tmp_path / "executed"
    filled = json.loads(json.dumps(arguments).replace("{mark}", str(mark)))
    network_def(bundle, **filled)
    with pytest.raises(ModelFileError, match=words):
        load_model(bundle)
    assert not mark.exists()


def test_monais_own_parser_would_have_run_it(tmp_path) -> None:
    """Proves that the payload of the test above is a real one."""
    from monai.bundle import ConfigParser

    mark = tmp_path / "executed"
    parser = ConfigParser({"net": {"_target_": "builtins.open", "file": str(mark), "mode": "w"}})
    parser.get_parsed_content("net").close()
    assert mark.exists()


def test_expressions_outside_the_network_are_not_looked_at(bundle, tmp_path) -> None:
    mark = tmp_path / "executed"
    change_json(
        bundle / "configs" / "inference.json",
        imports=[f"$open({str(mark)!r}, 'w')"],
        device="$torch.device('cpu')",
        network="$@network_def.to(@device)",
    )
    assert read_bundle(bundle).architecture == "monai.ResNet"
    assert not mark.exists()


def test_a_wish_for_other_weights_is_left_out_and_said(bundle) -> None:
    network_def(bundle, _target_="DenseNet121", spatial_dims=3, pretrained=True, progress=True)
    facts = read_bundle(bundle)
    assert facts.arguments == {"spatial_dims": 3}
    assert "the bundle's own weights" in facts.notes[0]


def test_a_bundle_of_code_in_its_weights_is_refused_when_they_are_read(bundle, tmp_path) -> None:
    from test_model_folder import Payload

    from napari_hirescam.models.weights import read_state_dict

    mark = tmp_path / "executed"
    torch.save(Payload(mark), bundle / "models" / "model.pt")
    with pytest.raises(ModelFileError, match="opening it could run code"):
        read_state_dict(read_bundle(bundle).weights)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("image", "prediction", "expected"),
    [
        ({}, {}, (None, None, None, ())),
        (
            {"num_channels": 0, "spatial_shape": ["*", 64, 64], "value_range": [1]},
            {"channel_def": {"0": "a", "2": "c"}},
            (None, None, None, ()),
        ),
        (
            {"num_channels": 3, "spatial_shape": [64, 96], "value_range": [-1, 0, 1]},
            {"channel_def": {"1": "b", "0": "a"}},
            (3, (64, 96), (-1.0, 1.0), ("a", "b")),
        ),
        (
            {"num_channels": True, "spatial_shape": "64"},
            {"channel_def": ["a"]},
            (None,) * 3 + ((),),
        ),
    ],
)
def test_what_the_metadata_does_not_say_is_unknown(bundle, image, prediction, expected) -> None:
    formats = {"inputs": {"image": image}, "outputs": {"pred": prediction}}
    change_json(bundle / "configs" / "metadata.json", network_data_format=formats)
    facts = read_bundle(bundle)
    found = (facts.channels, facts.spatial_shape, facts.value_range, facts.labels)
    assert found == expected


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("configs/metadata.json", "{", "cannot be read as JSON"),
        ("configs/metadata.json", "[1]", "not a JSON object"),
        ("configs/inference.json", "[" * 100_000, "cannot be read as JSON"),
        ("configs/inference.json", "{}", "no 'network_def' was found"),
        ("configs/inference.json", '{"network_def": 3}', "which is not a classifier"),
    ],
)
def test_damaged_bundles_are_refused(bundle, name, text, words) -> None:
    (bundle / name).write_text(text)
    with pytest.raises(ModelFileError, match=words):
        read_bundle(bundle)


def test_a_bundle_without_weights_or_metadata_says_so(bundle, tmp_path) -> None:
    (bundle / "models" / "model.pt").unlink()
    with pytest.raises(ModelFileError, match="the bundle has no weights"):
        read_bundle(bundle)
    with pytest.raises(ModelFileError, match="no MONAI bundle"):
        read_bundle(tmp_path)

"""``reproduce voc``: HiResCAM and Grad-CAM against the segmentation of photographs."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from napari_hirescam.cli import app
from napari_hirescam.errors import CaseTableError, InputError, SettingsError
from napari_hirescam.models.architectures import build_by_name
from napari_hirescam.models.spec import InputSpec
from napari_hirescam.reproduce.voc import (
    THRESHOLDS,
    VocRow,
    measure_voc,
    measures,
    stretched,
    tuned_iou,
)
from napari_hirescam.reproduce.voc_classes import IMAGENET_OF_VOC, VOC_CLASSES
from napari_hirescam.reproduce.voc_data import find_voc, read_voc_image
from napari_hirescam.reproduce.voc_network import efficientnet, image_network, with_layers
from napari_hirescam.reproduce.voc_page import differences_of, summaries_of

#: A word that the name of every ImageNet class of a VOC class is known by.
WORDS = {
    "aeroplane": "plane|airliner",
    "bicycle": "bike|bicycle",
    "boat": "boat|canoe|catamaran|ship|gondola|schooner|trimaran|yawl|liner",
    "bottle": "bottle",
    "bus": "bus",
    "car": "ambulance|wagon|cab|convertible|jeep|limousine|minivan|Model T|car",
    "cat": "cat",
    "chair": "chair",
    "cow": "ox",
    "diningtable": "dining table",
    "horse": "sorrel",
    "motorbike": "moped|scooter",
    "person": "player|groom|diver",
    "pottedplant": "flowerpot",
    "sheep": "ram|sheep",
    "sofa": "couch",
    "train": "train|locomotive|freight car|passenger car",
    "tvmonitor": "monitor|screen|television",
}


def make_voc(folder: Path, *, listed: bool = False) -> Path:
    """Write two images: a dog on the left third, void beside it; a car and a dog."""
    rng = np.random.default_rng(0)
    for part in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for name, parts in {
        "one": {12: (0, 30), 255: (30, 36)},
        "two": {7: (0, 20), 12: (60, 90)},
    }.items():
        pixels = rng.integers(0, 255, size=(60, 90, 3), dtype=np.uint8)
        values = np.zeros((60, 90), dtype=np.uint8)
        for value, (first, last) in parts.items():
            values[:, first:last] = value
        Image.fromarray(pixels).save(folder / f"JPEGImages/{name}.jpg")
        image = Image.fromarray(values, mode="P")
        image.putpalette([k % 256 for k in range(768)])
        image.save(folder / f"SegmentationClass/{name}.png")
    if listed:
        (folder / "ImageSets/Segmentation/val.txt").write_text("two\n")
    return folder


def make_model(folder: Path, labels: tuple[str, ...] = ("dog", "car"), **changes: object) -> Path:
    """Write a folder of a VGG-16 that was never trained."""
    folder.mkdir()
    section = {
        "shape": [1, 64, 96],
        "fit": "resize",
        "layout": "slice",
        "channels": 3,
        "window_hu": [0, 255],
        "channel_mean": [0.485, 0.456, 0.406],
        "channel_std": [0.229, 0.224, 0.225],
    }
    torch.manual_seed(0)
    given = InputSpec(**{**section, **changes})
    network = build_by_name("vgg16-64", len(labels), {}, folder, given)
    torch.save(network.state_dict(), folder / "weights.pt")
    spec = {
        "format": 1,
        "name": "VGG-16, untrained",
        "architecture": {"name": "vgg16-64"},
        "weights": "weights.pt",
        "labels": list(labels),
        "input": {**section, **changes},
        "target_layer": "conv.1",
    }
    (folder / "model.yaml").write_text(yaml.safe_dump(spec))
    return folder


def test_every_voc_class_has_imagenet_classes_of_its_own() -> None:
    assert tuple(IMAGENET_OF_VOC) == VOC_CLASSES
    everything = [k for outputs in IMAGENET_OF_VOC.values() for k in outputs]
    assert len(set(everything)) == len(everything)
    assert min(everything) >= 0
    assert max(everything) < 1000
    assert len(IMAGENET_OF_VOC["dog"]) == 118


def test_the_classes_are_called_so(shared_dir) -> None:
    """The list of names tells that each position is what it is said to be."""
    import re

    names = (shared_dir / "models/efficientnet_lite0/imagenet_classes.txt").read_text().splitlines()
    for voc, word in WORDS.items():
        for k in IMAGENET_OF_VOC[voc]:
            assert re.search(word, names[k]), (voc, k, names[k])
    # The ends of the runs, and what lies just beyond them.
    dogs, cats, birds = (IMAGENET_OF_VOC[name] for name in ("dog", "cat", "bird"))
    assert names[dogs[0]] == "Chihuahua"
    assert names[dogs[-1]] == "Mexican hairless"
    assert "wolf" in names[dogs[-1] + 1]
    assert "hyena" not in names[cats[0]]
    assert "cougar" in names[cats[-1] + 1]
    assert names[cats[0]].startswith("tabby")
    ends = [names[k].partition(",")[0] for k in (birds[0], 24, 80, 100, 127, 146)]
    assert ends == [
        "cock", "great grey owl", "black grouse", "black swan", "white stork", "albatross",
    ]  # fmt: skip
    assert {7, 24, 80, 100, 127, 146} <= set(birds)


def test_images_are_found_by_the_validation_list_or_all(tmp_path) -> None:
    folder = make_voc(tmp_path)
    assert find_voc(folder).names == ("one", "two")
    assert find_voc(make_voc(folder, listed=True)).names == ("two",)
    assert len(find_voc(make_voc(tmp_path), limit=1, seed=1).names) == 1


def test_an_image_and_its_segmentation_shrink_together(tmp_path) -> None:
    image = read_voc_image(make_voc(tmp_path), "one", 20, 30)
    assert image.pixels.shape == (20, 30, 3)
    assert image.classes == ("dog",)
    assert image.pixels_of("dog")[:, :10].all()
    assert image.pixels_of("dog").sum() == 200
    assert image.void[:, 10:12].all()
    assert image.void.sum() == 40


def test_classes_are_never_mixed_by_shrinking(tmp_path) -> None:
    """Halfway between dog (12) and background would lie a bus (6)."""
    folder = make_voc(tmp_path)
    file = folder / "SegmentationClass/one.png"
    values = np.array(Image.open(file))
    Image.fromarray(values).save(file)
    found = read_voc_image(folder, "one", 23, 31).segmentation
    assert set(np.unique(found)) == {0, 12, 255}


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda f: (f / "JPEGImages/one.jpg").unlink(), "1 of 2 images lack"),
        (lambda f: (f / "JPEGImages/one.jpg").write_bytes(b"\xff\xd8\xff"), "cannot be read"),
        (
            lambda f: Image.new("RGB", (90, 60)).save(f / "SegmentationClass/one.png"),
            "not indices of classes",
        ),
        (lambda f: Image.new("L", (9, 6)).save(f / "SegmentationClass/one.png"), "9, 6"),
        (
            lambda f: Image.new("L", (90, 60), 21).save(f / "SegmentationClass/one.png"),
            "value 21 is of no class",
        ),
    ],
)
def test_spoilt_images_are_refused(tmp_path, spoil, reason) -> None:
    folder = make_voc(tmp_path)
    spoil(folder)
    with pytest.raises(CaseTableError, match=reason):
        list(find_voc(folder).read(20, 30))


def test_another_folder_is_refused(tmp_path) -> None:
    with pytest.raises(CaseTableError, match="no folder JPEGImages"):
        find_voc(tmp_path)


def test_measures_of_a_map_by_hand() -> None:
    """2 x 2 cells over 4 x 4 pixels: the object is the left half, a quarter of it void."""
    values = np.array([[2.0, 1.0], [-1.0, 1.0]])
    inside = np.zeros((4, 4), dtype=bool)
    void = np.zeros((4, 4), dtype=bool)
    inside[:, :2] = True
    void[:1, :2] = True
    inside &= ~void
    found = measures(values, inside, void)
    # cell 0: half void, half object, attention 2; the others: 1 and 1 outside
    assert found["share"] == pytest.approx(1 / 3)
    assert found["chance"] == pytest.approx(6 / 14)
    assert found["extent"] == 0.25  # above half of the maximum, not at it
    assert found["hit"] == 1
    assert found["hit_chance"] == 0.5
    none = measures(-np.abs(values), inside, void)
    assert np.isnan([none[key] for key in ("share", "extent", "hit")]).all()
    assert set(none["ious"]) == {0.0}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_iou_by_counting_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(3, 4)) + 0.1
    inside, void = rng.random((12, 16)) < 0.4, rng.random((12, 16)) < 0.2
    inside &= ~void
    heat = stretched(values, inside.shape)
    for threshold, iou in zip(THRESHOLDS, measures(values, inside, void)["ious"], strict=True):
        both = either = 0
        for place in np.ndindex(*inside.shape):
            if not void[place]:
                both += heat[place] > threshold and inside[place]
                either += heat[place] > threshold or inside[place]
        assert iou == pytest.approx(both / either) if either else np.isnan(iou)


def test_a_map_is_stretched_after_it_was_scaled() -> None:
    heat = stretched(np.array([[4.0, -3.0], [0.0, 2.0]]), (4, 4))
    assert heat[0, 0] == 1
    assert heat[-1, -1] == 0.5
    assert heat[0, -1] == 0
    assert heat[0, 1] == pytest.approx(0.75)  # a quarter of the way to the next cell's centre


def test_the_threshold_of_an_image_is_tuned_on_the_others() -> None:
    row = VocRow("a", "dog", "l", "hirescam", 0, 1, *(0.0,) * 5, (), 0.0, 0.0)
    good_at = lambda k: tuple(float(j == k) for j in range(len(THRESHOLDS)))  # noqa: E731
    rows = [
        replace(row, image="a", ious=good_at(3)),
        replace(row, image="b", ious=good_at(3)),
        replace(row, image="c", ious=good_at(7)),
        replace(row, image="c", ious=good_at(7)),
        replace(row, image="c", ious=good_at(7)),
    ]
    ious, thresholds = tuned_iou(rows)
    assert thresholds == pytest.approx([THRESHOLDS[k] for k in (7, 7, 3, 3, 3)])
    assert ious.tolist() == [0] * 5
    alone, _ = tuned_iou(rows[:1])
    assert np.isnan(alone).all()


def test_a_model_folder_is_exact_at_its_layer_and_not_before(tmp_path) -> None:
    network = image_network(make_model(tmp_path / "vgg"), ("features.29",))
    assert network.outputs == {"dog": (0,), "car": (1,)}
    findings = measure_voc(find_voc(make_voc(tmp_path / "voc")), network)
    assert {(row.image, row.label) for row in findings.rows} == {
        ("one", "dog"), ("two", "dog"), ("two", "car"),
    }  # fmt: skip
    assert findings.guarantees["conv.1"].startswith("exact")
    assert findings.guarantees["features.29"].startswith("local")
    for row in findings.rows:
        exact = row.layer == "conv.1" and row.method == "hirescam"
        assert np.isfinite(row.residual) == exact
        assert not exact or abs(row.residual) < 1e-4
        assert (row.difference == 0) == (row.method == "hirescam")
        assert row.rank in (1, 2)
    assert len(summaries_of(findings, 0)) == 4
    gain = differences_of(findings, 0)[0].means["share"]
    shares = {m: [r.share for r in findings.rows if (r.layer, r.method) == ("conv.1", m)]
              for m in ("hirescam", "gradcam")}  # fmt: skip
    assert gain.value == pytest.approx(
        np.nanmean(np.subtract(shares["hirescam"], shares["gradcam"]))
    )


def test_an_image_is_prepared_as_its_network_was_trained(tmp_path) -> None:
    network = image_network(make_model(tmp_path / "vgg"))
    pixels = np.zeros((64, 96, 3), dtype=np.uint8)
    pixels[..., 1] = 255
    tensor = network.tensor_of(pixels)
    assert tensor.shape == (1, 3, 64, 96)
    expected = [(0 - 0.485) / 0.229, (1 - 0.456) / 0.224, (0 - 0.406) / 0.225]
    assert tensor[0, :, 5, 7].tolist() == pytest.approx(expected, rel=1e-5)


def test_networks_of_other_things_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="grey levels"):
        image_network(make_model(tmp_path / "ct", window_hu=[-1000, 400]))
    with pytest.raises(InputError, match="neither classes of VOC"):
        image_network(make_model(tmp_path / "other", ("mass", "nodule")))
    network = image_network(make_model(tmp_path / "vgg"))
    with pytest.raises(InputError, match=r"conv\.9"):
        with_layers(network, ("conv.9",))
    cats = image_network(make_model(tmp_path / "cats", ("cat",)))
    with pytest.raises(CaseTableError, match="no image has a class"):
        measure_voc(find_voc(make_voc(tmp_path / "voc")), cats)


def test_the_missing_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(SettingsError, match=r'pip install "napari-hirescam\[voc\]"'):
        efficientnet()


def test_the_command_leaves_a_report_its_figures_and_pictures(tmp_path) -> None:
    model, data = make_model(tmp_path / "vgg"), make_voc(tmp_path / "voc")
    arguments = ["reproduce", "voc", "--model", str(model), "--data", str(data)]
    arguments += ["--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    figures = json.loads((tmp_path / "out/figures.json").read_text())
    assert len(figures["rows"]) == 3 * 2
    assert figures["summaries"][0]["n"] == 3
    shown = f"{figures['summaries'][0]['means']['share']['value']:.3f}"
    assert shown in (tmp_path / "out/report.html").read_text()
    assert len(list((tmp_path / "out/pictures").iterdir())) == 3
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 1
    assert "--overwrite" in again.output


def test_efficientnet_on_real_photographs(shared_dir) -> None:
    """After pooling one linear layer reads: one map. Earlier Grad-CAM's is the larger one."""
    pytest.importorskip("efficientnet_lite_pytorch")
    images = find_voc(shared_dir / "data/voc2012_subset")
    findings = measure_voc(images, efficientnet())
    assert findings.guarantees["_swish"].startswith("identical by construction")
    assert findings.guarantees["_blocks.10"].startswith("local approximation")
    found = {(s.layer, s.method): s for s in summaries_of(findings, 0)}
    last, earlier = (found[layer, "hirescam"] for layer in ("_swish", "_blocks.10"))
    assert last.n == 16
    assert found["_swish", "gradcam"].largest_difference < 1e-5
    assert last.means["share"].value > 1.5 * last.chance
    assert earlier.means["extent"].value < found["_blocks.10", "gradcam"].means["extent"].value / 2
    dogs = [row for row in findings.rows if row.label == "dog" and row.layer == "_swish"]
    assert min(row.rank for row in dogs) == 1
    assert all(row.output in IMAGENET_OF_VOC["dog"] for row in dogs)

"""Networks that people really trained, brought as a user would bring them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from networks import random_ct
from real_networks import REAL_NETWORKS, load_real, make_real_folder

from napari_hirescam.attention import explain
from napari_hirescam.attention.raw import attention_maps
from napari_hirescam.models import load_model
from napari_hirescam.models.dry_run import find_layer

#: One linear layer reads the cells of these themselves; the others average them first.
READ_CELL_BY_CELL = {"luna", "luna-growing", "luna-shrinking", "simple-cnn"}


@pytest.mark.parametrize("name", REAL_NETWORKS)
def test_a_real_network_is_explained_exactly(name, shared_dir) -> None:
    """The map's sum is the logit; Grad-CAM shows the same only where cells are averaged."""
    network, shape, layer, output = load_real(name, shared_dir)
    torch.manual_seed(0)
    x = torch.rand(shape)
    raw = attention_maps(network, x, layer, methods=("hirescam", "gradcam"), output=output)
    assert raw.guarantee.holds
    sums = raw.maps["hirescam"].sum(axis=(1, 2, 3))
    scale = float(np.abs(raw.logits).max())
    assert sums + raw.bias == pytest.approx(raw.logits, abs=1e-5 * scale)
    largest = np.abs(raw.maps["hirescam"]).max()
    difference = np.abs(raw.maps["hirescam"] - raw.maps["gradcam"]).max() / largest
    if name in READ_CELL_BY_CELL:
        assert difference > 0.1
    else:
        assert difference < 1e-5


@pytest.mark.parametrize("name", REAL_NETWORKS)
def test_a_real_network_loads_from_its_model_folder(name, shared_dir, tmp_path) -> None:
    folder = make_real_folder(name, tmp_path / name, shared_dir)
    classifier = load_model(folder, trust=lambda _request: True, device="cpu")
    network, shape, _, output = load_real(name, shared_dir)
    assert classifier.input_shape == shape
    ct = random_ct((40, 60, 60))
    at_mm = (20.0, 30.0, 30.0)
    result = explain(ct, classifier, at_mm=at_mm, methods=("hirescam",))
    given = classifier.prepare(ct, at_mm).tensor
    layer = find_layer(network, output.layer) if output.layer else network
    found = []
    hook = layer.register_forward_hook(lambda _m, _a, scores: found.append(scores))
    with torch.no_grad():
        network(given)
    hook.remove()
    expected = found[0].reshape(-1)
    assert result.logits == pytest.approx(expected.numpy(), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("name", ["luna", "luna-growing", "luna-shrinking"])
def test_the_nodule_networks_know_a_place_without_a_nodule(name, shared_dir) -> None:
    network, shape, _, _ = load_real(name, shared_dir)
    file = shared_dir / "models" / "luna_nodule" / "cls_val_example.pt"
    crop = torch.load(file, weights_only=True, map_location="cpu")[0]
    skipped = (crop.shape[1] - shape[2]) // 2
    with torch.no_grad():
        scores = network(crop[None, :, skipped : skipped + shape[2]])
    assert scores.softmax(1)[0, 1] < 0.01


def test_the_logit_ahead_of_a_networks_own_sigmoid_is_found(shared_dir) -> None:
    network, shape, layer, output = load_real("m3dv", shared_dir)
    x = torch.rand(shape)
    raw = attention_maps(network, x, layer, methods=("hirescam",), output=output)
    with torch.no_grad():
        probability = network(x)
    assert probability.shape == ()  # its own forward squeezes the batch axis away
    assert torch.sigmoid(torch.tensor(raw.logits[0])) == pytest.approx(probability.item(), abs=1e-6)


def test_a_photograph_is_named_by_efficientnet(shared_dir) -> None:
    """The layout read off the weights is the right one: padding and all."""
    image_module = pytest.importorskip("PIL.Image")
    network, shape, _, _ = load_real("efficientnet-lite0", shared_dir)
    folder = shared_dir / "data" / "voc2012_subset" / "JPEGImages"
    with image_module.open(folder / "2010_000682.jpg") as photograph:
        width, height = photograph.size
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        square = photograph.crop((left, top, left + side, top + side)).resize(shape[2:])
        grey = torch.from_numpy(np.asarray(square.convert("RGB"), dtype=np.float32))
    with torch.no_grad():
        scores = network(((grey - 127) / 128).permute(2, 0, 1)[None])
    classes = (shared_dir / "models" / "efficientnet_lite0" / "imagenet_classes.txt").read_text()
    assert classes.splitlines()[int(scores.argmax())].startswith("trolleybus")
    assert scores.softmax(1).max() > 0.5

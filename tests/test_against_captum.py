"""Raw maps against captum on every network of the zoo that captum can run, and its own cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam, LayerGradientXActivation
from torch import Tensor, nn
from zoo import ZOO, input_of, network_of

from napari_hirescam.attention import attention_maps


class FirstScores(nn.Module):
    """What captum can read: a network that returns one tensor [1, K]."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.network = network_of(name)
        self.read = ZOO[name].read

    def forward(self, x: Tensor) -> Tensor:
        return self.read(self.network(x))


def spatial(maps: Tensor) -> np.ndarray:
    """Bring [1, 1, d, h, w] or [S, 1, h, w] to [d, h, w]."""
    values = maps.detach().numpy()
    return values[0, 0] if values.ndim == 5 else values[:, 0]


CAPTUM_CAN = [name for name, here in ZOO.items() if not here.no_captum]


@pytest.mark.parametrize("name", CAPTUM_CAN)
def test_raw_maps_are_captums(name) -> None:
    here, network = ZOO[name], FirstScores(name).eval()
    layer = network.network.get_submodule(here.layer)
    given = input_of(name)
    found = attention_maps(network.network, given, here.layer, output=here.output)
    for k in range(here.n_labels):
        product = LayerGradientXActivation(network, layer).attribute(given, target=k)
        expected = spatial(product.sum(1, keepdim=True))
        largest = np.abs(expected).max()
        assert np.abs(found.maps["hirescam"][k] - expected).max() <= 1e-5 * largest
        if product.ndim == 4 and len(product) > 1:
            # Captum averages each slice's gradient by itself; one weight for the volume is ours.
            continue
        expected = spatial(LayerGradCam(network, layer).attribute(given, target=k))
        assert np.abs(found.maps["gradcam"][k] - expected).max() <= 1e-5 * largest


def test_captum_cannot_run_few_networks_and_it_is_said_why() -> None:
    assert {name for name, here in ZOO.items() if here.no_captum} == {
        "shared ReLU, first call",
        "shared ReLU, last call",
        "switches gradients off by itself",
        "its own sigmoid, logits ahead of it",
        "one label, squeezed",
    }


class TwoConvolutions(nn.Module):
    """Shaped like the larger of captum's two test networks, with weights for a sum by hand.

    Image 10 x 10 -> convolution 3 x 3 with 2 kernels, all 1 and all 2 -> ReLU -> max pool 2 ->
    convolution 3 x 3 from 2 to 4 kernels, weights all 1 -> ReLU -> max pool 2 -> 4 numbers ->
    linear to 8, weights all 1 -> ReLU -> linear to 10, weights all 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 4, 3)
        self.pool1, self.pool2 = nn.MaxPool2d(2), nn.MaxPool2d(2)
        self.relu1, self.relu2, self.relu3 = nn.ReLU(), nn.ReLU(), nn.ReLU()
        self.fc1, self.fc2 = nn.Linear(4, 8), nn.Linear(8, 10)
        for parameter in self.parameters():
            nn.init.ones_(parameter) if parameter.ndim > 1 else nn.init.zeros_(parameter)
        with torch.no_grad():
            self.conv1.weight[1] = 2

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(self.relu1(self.conv1(x)))
        x = self.pool2(self.relu2(self.conv2(x)))
        return self.fc2(self.relu3(self.fc1(x.flatten(1))))


def test_a_case_worked_out_by_hand_through_two_convolutions() -> None:
    """An image of ones: conv1 gives 9 and 18, conv2 9 (9 + 18) = 243 in each of 2 x 2 cells.

    The pool keeps one cell of the four, equal as they are, of each of 4 features; that feature
    adds 243 to each of 8 sums, each of which is added to the score: 8 * 243 * 4 = 7776.
    """
    network = TwoConvolutions().eval()
    result = attention_maps(network, torch.ones(1, 1, 10, 10), "conv2")
    assert result.logits.tolist() == [7776.0] * 10
    hirescam = result.maps["hirescam"][0, 0]
    assert sorted(hirescam.ravel()) == [0, 0, 0, 7776]
    # Grad-CAM spreads the same gradient evenly: a quarter of it in each cell.
    assert result.maps["gradcam"][0, 0].tolist() == [[1944, 1944], [1944, 1944]]
    expected = LayerGradCam(network, network.conv2).attribute(torch.ones(1, 1, 10, 10), target=0)
    assert spatial(expected).ravel().tolist() == [1944] * 4


def test_captums_published_gradients_of_the_four_by_four_image() -> None:
    """The published case at the ReLU: an image of 0 to 15, Grad-CAM [[0, 4], [28, 32.5]].

    Two 3 x 3 kernels of ones with biases of -50 and -75, ReLU, and a linear layer whose weights
    are 1 for five of the eight cells and -1 for three; the numbers are those of its test suite.
    """
    first, second = nn.Conv2d(1, 2, 3, 1), nn.ReLU()
    with torch.no_grad():
        first.weight[0], first.weight[1] = 1.0, 1.0
        first.bias.copy_(torch.tensor([-50.0, -75.0]))
    last = nn.Linear(8, 4, bias=False)
    nn.init.ones_(last.weight)
    with torch.no_grad():
        last.weight[:, 5:] = -1.0
    network = nn.Sequential(first, second, nn.Flatten(), last).eval()
    image = torch.arange(16.0).view(1, 1, 4, 4)
    result = attention_maps(network, image, "0")
    # Sums of 3 x 3: 45, 54, 81, 90.
    assert result.maps["gradcam"][0, 0].tolist() == [[11.25, 13.5], [20.25, 22.5]]
    assert result.maps["hirescam"][0, 0].tolist() == [[0, 4], [25, 25]]
    at_relu = attention_maps(network, image, "1")
    assert at_relu.maps["gradcam"][0, 0].tolist() == [[0, 4], [28, 32.5]]
    assert at_relu.maps["hirescam"][0, 0].tolist() == [[0, 4], [25, 25]]
    assert at_relu.bias.tolist() == [0, 0, 0, 0]


def by_the_papers(activation: np.ndarray, gradient: np.ndarray) -> dict[str, np.ndarray]:
    """Write Grad-CAM++, XGrad-CAM and LayerCAM as loops, from the papers' equations.

    Chattopadhay et al., equations 10 and 19, with the derivatives of exp(S) for a network whose
    last feature layer is piecewise linear: second and third are the square and the cube.
    Fu et al., equation 11. Jiang et al., equation 4, without the ReLU around the sum.
    """
    features = range(len(activation))
    plus, cross, layer = (np.zeros(activation.shape[1:]) for _ in range(3))
    for f in features:
        a, g = activation[f], gradient[f]
        weight = 0.0
        for place in np.ndindex(a.shape):
            below = 2 * g[place] ** 2 + a.sum() * g[place] ** 3
            alpha = g[place] ** 2 / below if below != 0 else 0.0
            weight += alpha * max(g[place], 0)
        plus += weight * a
        total = a.sum()
        if total == 0:  # a feature that is nowhere adds nothing
            continue
        cross += sum(a[place] / total * g[place] for place in np.ndindex(a.shape)) * a
        for place in np.ndindex(a.shape):
            layer[place] += max(g[place], 0) * a[place]
    return {"gradcam++": plus, "xgradcam": cross, "layercam": layer}


@pytest.mark.parametrize("name", ["frozen", "global average pooling", "slices as batch, mean"])
def test_other_methods_are_the_papers_equations(name) -> None:
    here = ZOO[name]
    given = input_of(name)
    twin = network_of(name)
    seen: list[Tensor] = []
    hook = twin.get_submodule(here.layer).register_forward_hook(
        lambda _m, _a, result: seen.append(result.clone()) or seen[-1]
    )
    logits = twin(given.clone().requires_grad_())
    hook.remove()
    methods = ["gradcam++", "xgradcam", "layercam"]
    found = attention_maps(twin, given, here.layer, methods=methods)
    for k in range(here.n_labels):
        (gradient,) = torch.autograd.grad(logits[0, k], seen[0], retain_graph=True)
        parts = [seen[0].detach().double(), gradient.double()]
        if parts[0].ndim == 5:
            parts = [part[0] for part in parts]
        else:
            parts = [part.transpose(0, 1) for part in parts]
        for method, expected in by_the_papers(*(part.numpy() for part in parts)).items():
            largest = np.abs(expected).max()
            assert np.abs(found.maps[method][k] - expected).max() <= 1e-4 * largest, method

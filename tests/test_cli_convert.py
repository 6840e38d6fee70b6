"""``convert``: a checkpoint becomes a folder that loads and scores the same, or one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from model_folders import write_bundle
from monai.networks import nets
from networks import random_ct
from test_axialnet import small_axialnet
from torch import nn
from typer.testing import CliRunner

from napari_hirescam.cli import app
from napari_hirescam.io import write_volume
from napari_hirescam.models import load_model

HERE = Path(__file__).parent


def convert(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["convert", *(str(a) for a in arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, " ".join(result.output.split())


def same_scores(folder: Path, network: nn.Module, given: torch.Tensor) -> bool:
    loaded = load_model(folder, device="cpu").network.eval()
    with torch.inference_mode():
        return torch.equal(loaded(given), network.eval()(given))


@pytest.fixture(scope="module")
def resnet_file(tmp_path_factory) -> Path:
    """Weights of a narrow 3-D ResNet with three outputs."""
    network = nets.ResNet("basic", [1, 1, 1, 1], [4, 8, 8, 8], n_input_channels=1, num_classes=3)
    file = tmp_path_factory.mktemp("weights") / "resnet.pt"
    torch.save(network.state_dict(), file)
    return file


def test_a_3d_resnet_is_recognised_and_scores_the_same(tmp_path) -> None:
    torch.manual_seed(0)
    resnet = nets.resnet18(spatial_dims=3, n_input_channels=1, num_classes=3)
    torch.save(resnet.state_dict(), tmp_path / "resnet.pt")
    out = tmp_path / "model"
    code, text = convert(tmp_path / "resnet.pt", "--out", out, "--labels", "a,b,c", "--shape", 32)
    assert code == 0, text
    for words in (
        "Guessed: --architecture monai.resnet18: all 105 tensors",
        "Guessed: --window -1000 to 800 HU",
        "Guessed: --arg conv1_t_stride=1: a stride leaves no trace",
        "Guessed: --target-layer layer4",
        "from noise, since no CT is open",
    ):
        assert words in text
    assert same_scores(out, resnet, torch.randn(1, 1, 32, 32, 32))
    spec = load_model(out).spec
    assert spec.labels == ("a", "b", "c")
    assert spec.weights == "weights.safetensors"
    assert spec.target_layer == "layer4"


def test_what_is_said_is_taken_and_not_guessed(tmp_path, resnet_file) -> None:
    (tmp_path / "labels.csv").write_text("index,label\n1,b\n0,a\n2,c\n")
    out = tmp_path / "model"
    code, text = convert(
        resnet_file, "--out", out, "--labels", tmp_path / "labels.csv", "--shape", "any,48,48",
        "--window", "-600,400", "--scale", "none", "--spacing", "2,1,1", "--orientation", "SPL",
        "--padding", "-1000", "--target-layer", "layer3", "--activation", "softmax",
        "--arg", "conv1_t_stride=2", "--name", "mine",
    )  # fmt: skip
    assert code == 0, text
    assert "--window -1000" not in text
    assert "conv1_t_stride=1" not in text
    spec = load_model(out).spec
    assert (spec.name, spec.labels, spec.target_layer) == ("mine", ("a", "b", "c"), "layer3")
    assert spec.activation == "softmax"
    assert spec.architecture.arguments["conv1_t_stride"] == 2
    given = spec.input
    assert given.shape == (None, 48, 48)
    assert given.window_hu == (-600, 400)
    assert given.scale_to is None
    assert given.spacing_mm == (2, 1, 1)
    assert (given.orientation, given.padding) == ("SPL", -1000)


def test_what_is_read_off_for_a_named_architecture_is_said_too(tmp_path) -> None:
    """A stride, an activation and an entry taken without a word would be a wrong network."""
    made = {"num_classes": 3, "bias_downsample": False, "act": "leakyrelu", "conv1_t_stride": 2}
    network = nets.ResNet("basic", [1, 1, 1, 1], [4, 8, 8, 8], n_input_channels=1, **made)
    state = network.state_dict()
    torch.save({"model": state, "ema": state}, tmp_path / "resnet.pt")
    code, text = convert(
        tmp_path / "resnet.pt", "--out", tmp_path / "model", "--labels", "a,b,c", "--shape", 32,
        "--architecture", "monai.ResNet", "--arg", "act=leakyrelu",
    )  # fmt: skip
    assert code == 0, text
    for words in (
        "Guessed: --key model: the checkpoint also holds ema",
        "Guessed: --arg conv1_t_stride=2: a stride leaves no trace",
        "Guessed: --arg no_max_pool=false",
        "Guessed: --orientation IPL",
        "Guessed: --fit centre",
    ):
        assert words in text
    assert "conv1_t_stride=2, read off" not in text
    assert "act=relu" not in text
    assert same_scores(tmp_path / "model", network, torch.randn(1, 1, 32, 32, 32))


TWO_HEADS = """
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc, self.aux = nn.Conv3d(1, 4, 3), nn.Linear(4, 3), nn.Linear(4, 7)
    def forward(self, x):
        x = self.conv(x).mean((2, 3, 4))
        return {"out": self.fc(x), "aux": self.aux(x)}
"""


@pytest.mark.parametrize(
    ("labels", "words"), [("a,b,c", "Wrote"), ("a,b", "--labels: The network")]
)
def test_the_labels_of_ones_own_network_are_counted_at_the_proof(tmp_path, labels, words) -> None:
    """Which of two heads is the one that counts, shapes do not tell."""
    (tmp_path / "net.py").write_text(TWO_HEADS)
    layers = {"conv": nn.Conv3d(1, 4, 3), "fc": nn.Linear(4, 3), "aux": nn.Linear(4, 7)}
    torch.save(nn.ModuleDict(layers).state_dict(), tmp_path / "net.pt")
    _, text = convert(
        tmp_path / "net.pt", "--out", tmp_path / "model", "--labels", labels, "--shape", 8,
        "--python", tmp_path / "net.py", "--trust",
    )  # fmt: skip
    assert words in text


def test_a_2d_densenet_looks_at_one_slice(tmp_path) -> None:
    torch.manual_seed(0)
    network = nets.DenseNet121(2, 3, 2)
    torch.save({"model": network.state_dict(), "epoch": 4}, tmp_path / "dense.pth")
    out = tmp_path / "model"
    code, text = convert(
        tmp_path / "dense.pth", "--out", out, "--labels", "no,yes", "--shape", "1,64,64"
    )
    assert code == 0, text
    assert "Guessed: --layout slice" in text
    assert same_scores(out, network, torch.randn(1, 3, 64, 64))
    assert load_model(out).spec.input.channel_std == pytest.approx((0.229, 0.224, 0.225))


def test_the_authors_checkpoint_converts_with_a_preset(tmp_path) -> None:
    """A narrow AxialNet in the author's checkpoint, 80 labels, with the shipped list of names."""
    network = small_axialnet(80)
    checkpoint = {"params": network.state_dict(), "optimizer": {"lr": 0.001}}
    torch.save(checkpoint, tmp_path / "AxialNet_epoch4")
    out = tmp_path / "model"
    code, text = convert(
        tmp_path / "AxialNet_epoch4", "--out", out, "--labels", "radchest-80",
        "--preset", "axialnet", "--shape", "30,128,128",
    )  # fmt: skip
    assert code == 0, text
    assert "axialnet-maxpool" in text
    spec = load_model(out).spec
    assert len(spec.labels) == 80
    assert spec.input.subtract == pytest.approx(0.449)
    assert spec.provenance["checkpoint_entry"] == "params"
    assert same_scores(out, network, torch.randn(1, 2, 3, 128, 128))


def test_a_proof_on_a_ct_is_said(tmp_path, resnet_file) -> None:
    ct = random_ct((40, 40, 40))
    file = write_volume(tmp_path / "ct.nii.gz", ct.voxels, ct.grid)
    code, text = convert(
        resnet_file, "--out", tmp_path / "model", "--labels", "a,b,c", "--shape", 32, "--ct", file
    )
    assert code == 0, text
    assert "from the CT 'ct'" in text


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([], "--labels: the network has 3 outputs"),
        (["--labels", "a,b"], "--labels: there are 2, and the network has 3 outputs"),
        (["--labels", "a,b,c"], "--shape: the weights do not tell the size"),
        (["--labels", "a,b,c", "--shape", "1,2"], "--shape: '1,2' is not 3 numbers"),
        (["--labels", "a,b,c", "--shape", "32", "--window", "5,1"], "--window: the lower bound"),
        (["--labels", "a,b,c", "--shape", "32", "--window", "a,b"], "--window: 'a' is not a num"),
        (["--labels", "a,a,c", "--shape", "32"], "labels: listed twice: a"),
        (["--labels", "no.csv", "--shape", "32"], "--labels: there is no file no.csv"),
        (["--labels", "a,b,c", "--shape", "32", "--channels", "2"], "--shape: The network failed"),
        (["--labels", "a,b,c", "--shape", "32", "--target-layer", "layer9"], "--target-layer"),
        (["--labels", "a,b,c", "--shape", "32", "--arg", "spatial"], "--arg: 'spatial' is not"),
        (["--labels", "a,b,c", "--architecture", "axialnet"], "do not fit the architecture"),
        (["--labels", "a,b,c", "--architecture", "axalnet"], "'axalnet' is not known"),
        (["--labels", "a,b,c", "--callable", "Net"], "--callable"),
        (["--labels", "a,b,c", "--shape", "32", "--key", "params"], "no entry 'params'"),
    ],
)
def test_a_fault_names_its_option_and_nothing_is_written(
    tmp_path, resnet_file, more, words
) -> None:
    code, text = convert(resnet_file, "--out", tmp_path / "model", *more)
    assert code == 1
    assert words in text
    assert not (tmp_path / "model").exists()


def test_a_folder_that_is_there_is_refused_before_the_work(tmp_path, resnet_file) -> None:
    out = tmp_path / "model"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    code, text = convert(resnet_file, "--out", out, "--labels", "a,b,c", "--shape", 32)
    assert code == 1
    assert "already" in text
    assert "Guessed" not in text
    arguments = (resnet_file, "--out", out, "--labels", "a,b,c", "--shape", 32, "--overwrite")
    assert convert(*arguments)[0] == 0
    assert load_model(out).labels == ("a", "b", "c")


def test_a_monai_bundle_brings_network_labels_and_size(tmp_path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    code, text = convert(bundle, "--out", tmp_path / "model")
    assert code == 0, text
    assert "Guessed: --labels no nodule, nodule: what the bundle's metadata says" in text
    assert "Guessed: --window" in text
    spec = load_model(tmp_path / "model").spec
    assert spec.labels == ("no nodule", "nodule")
    assert spec.input.shape == (32, 32, 32)


def test_the_range_that_a_bundle_names_is_the_one_its_input_is_scaled_to(tmp_path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    file = bundle / "configs" / "metadata.json"
    file.write_text(file.read_text().replace('"value_range": [0, 1]', '"value_range": [-1, 1]'))
    code, text = convert(bundle, "--out", tmp_path / "model")
    assert code == 0, text
    assert "Guessed: --scale -1 to 1, what the bundle's metadata says" in text
    assert load_model(tmp_path / "model").spec.input.scale_to == (-1, 1)


# ---- real networks -------------------------------------------------------------------------

LUNA = (
    "--labels", "no nodule,nodule", "--python", HERE / "models" / "luna_network.py",
    "--shape", "32,48,48", "--window", "-1000,1000", "--scale", "none", "--orientation", "SPL",
    "--padding", "edge", "--fit", "window",
)  # fmt: skip


def test_the_nodule_network_needs_a_yes_to_its_python(tmp_path, luna_weights) -> None:
    code, text = convert(luna_weights, "--out", tmp_path / "luna", *LUNA)
    assert code == 1
    assert "brings its own Python code" in text
    assert not (tmp_path / "luna").exists()


def test_the_nodule_network_converts_with_the_layer_where_the_map_is_exact(
    tmp_path, luna_weights, shared_dir
) -> None:
    out = tmp_path / "luna"
    code, text = convert(luna_weights, "--out", out, *LUNA, "--trust")
    assert code == 0, text
    assert "Guessed: --callable NoduleNet, of: NoduleNet, Block" in text
    assert "Guessed: --target-layer block4: exact there" in text
    # The yes holds for the folder: the code is the same.
    model = load_model(out, device="cpu")
    assert model.spec.activation == "softmax"
    crop = torch.load(shared_dir / "models/luna_nodule/cls_val_example.pt", weights_only=True)
    crop = crop[0] if isinstance(crop, list | tuple) else crop
    with torch.inference_mode():
        logits = model.network.eval()(crop.reshape(1, 1, 32, 48, 48).float().clip(-1000, 1000))
    # A real crop without a nodule.
    assert logits.softmax(1)[0, 1] < 1e-3


SIMPLE_CNN = """
from torch import nn


class SimpleCNN(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.layer1 = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.layer2 = nn.Sequential(nn.Linear(32 * 112 * 112, num_classes))

    def forward(self, x):
        return self.layer2(self.layer1(x).flatten(1))
"""


def test_the_2d_covid_network_tells_its_own_size(tmp_path, shared_dir) -> None:
    weights = shared_dir / "models" / "covid_ct_simplecnn" / "SimpleCNN.pt"
    (tmp_path / "simple_cnn.py").write_text(SIMPLE_CNN)
    out = tmp_path / "model"
    code, text = convert(
        weights, "--out", out, "--labels", "COVID,no COVID", "--trust",
        "--python", tmp_path / "simple_cnn.py",
    )  # fmt: skip
    assert code == 0, text
    assert "Guessed: --arg num_classes=2, read off the shapes" in text
    assert "Guessed: --shape 224" in text
    spec = load_model(out, device="cpu").spec
    assert spec.input.shape == (1, 224, 224)
    assert spec.input.layout == "slice"
    assert spec.target_layer == "layer1"

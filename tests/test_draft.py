"""From a weights file to a proven model folder: what is read, guessed, refused, written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from model_folders import write_bundle
from monai.networks import nets
from networks import ConvThenLinear, plain_input, random_ct
from safetensors.torch import save_file
from test_axialnet import small_axialnet
from torch import nn

from napari_hirescam.errors import Cancelled, HirescamError, InputError, ModelFileError
from napari_hirescam.models import load_model
from napari_hirescam.models.draft import (
    build_network,
    draft_spec,
    plain_value,
    save_draft,
    validated,
)
from napari_hirescam.models.guess import guess_architectures
from napari_hirescam.models.input_guess import fitting_lengths, suggest_input
from napari_hirescam.models.label_text import read_labels
from napari_hirescam.models.own_python import REQUIRED, agree_to_run, network_makers
from napari_hirescam.models.proving import prove
from napari_hirescam.models.spec import Architecture, InputSpec, ModelSpec, OutputSpec
from napari_hirescam.models.weights_facts import WeightsFacts, inspect_weights

HERE = Path(__file__).parent


def saved(folder: Path, network: nn.Module, name: str = "weights.pt") -> Path:
    torch.save(network.state_dict(), folder / name)
    return folder / name


def small_resnet(**changes: object) -> nn.Module:
    settings = {"spatial_dims": 3, "n_input_channels": 1, "num_classes": 3, **changes}
    return nets.ResNet("basic", [1, 1, 1, 1], [4, 8, 8, 8], **settings)


# ---- what a weights file tells -------------------------------------------------------------


def test_the_authors_checkpoint_tells_its_entry_and_sizes(tmp_path) -> None:
    network = small_axialnet(4)
    torch.save({"params": network.state_dict(), "optimizer": {"state": {}}}, tmp_path / "epoch9")
    facts = inspect_weights(tmp_path / "epoch9")
    assert facts.entry == "params"
    assert facts.parameters == sum(p.numel() for p in network.parameters())
    assert (facts.spatial_rank, facts.in_channels, facts.output_width) == (2, 3, 4)


def test_a_checkpoint_of_several_entries_can_be_read_at_any(tmp_path) -> None:
    first, second = small_resnet(), small_resnet()
    torch.save({"state_dict": first.state_dict(), "ema": second.state_dict()}, tmp_path / "w.pt")
    assert inspect_weights(tmp_path / "w.pt").entries == ("state_dict", "ema")
    facts = inspect_weights(tmp_path / "w.pt", "ema")
    assert facts.entry == "ema"
    assert torch.equal(facts.state["fc.weight"], second.state_dict()["fc.weight"])


def test_the_one_unusual_entry_is_found(tmp_path) -> None:
    torch.save({"epoch": 3, "best_net": small_resnet().state_dict()}, tmp_path / "w.pt")
    assert inspect_weights(tmp_path / "w.pt").entry == "best_net"


def test_what_training_put_before_the_names_and_the_loss_is_set_aside(tmp_path) -> None:
    network = small_resnet()
    state = {f"model._orig_mod.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": {**state, "criterion.pos_weight": torch.ones(3)}}, tmp_path / "w.pt")
    facts = inspect_weights(tmp_path / "w.pt")
    assert facts.prefix == "model._orig_mod."
    assert facts.left_out == ("criterion.pos_weight",)
    assert set(facts.plain_state) == set(network.state_dict())
    guess = guess_architectures(facts)[0]
    architecture = Architecture(name=guess.name, arguments=dict(guess.arguments))
    built = build_network(facts, architecture, 3)
    assert torch.equal(built.state_dict()["fc.weight"], network.state_dict()["fc.weight"])


def test_a_users_network_that_is_really_called_model_keeps_its_names(tmp_path) -> None:
    source = "from torch import nn\nclass Net(nn.Module):\n    def __init__(self):\n"
    source += "        super().__init__()\n        self.model = nn.Linear(2, 2)\n"
    (tmp_path / "net.py").write_text(source)
    torch.save({"model.weight": torch.eye(2), "model.bias": torch.zeros(2)}, tmp_path / "w.pt")
    facts = inspect_weights(tmp_path / "w.pt")
    code = agree_to_run(tmp_path / "net.py", lambda _request: True)
    built = build_network(facts, Architecture(python="net.py", callable="Net"), 2, code)
    assert torch.equal(built.model.weight, torch.eye(2))


class _Payload:
    def __reduce__(self):
        return (open, ("ran_by_payload", "w"))


def test_code_in_a_weights_file_never_runs_and_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {"a": torch.zeros(1)}, "extra": _Payload()}, tmp_path / "w.pt")
    with pytest.raises(ModelFileError, match="holds more than weights"):
        inspect_weights(tmp_path / "w.pt")
    assert not (tmp_path / "ran_by_payload").exists()


def test_a_missing_file_is_one_sentence(tmp_path) -> None:
    with pytest.raises(ModelFileError, match="there is no such file"):
        inspect_weights(tmp_path / "w.pt")


# ---- which architecture it is --------------------------------------------------------------


def _fits(network: nn.Module, folder: Path) -> tuple[str, dict[str, object], int]:
    """Guess from safetensors, whose names are in no order."""
    save_file(network.state_dict(), folder / "w.safetensors")
    best = guess_architectures(inspect_weights(folder / "w.safetensors"))[0]
    assert best.exact
    return best.name, dict(best.arguments), best.n_labels


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (
            lambda: nets.resnet18(spatial_dims=3, n_input_channels=1, num_classes=4),
            ("monai.resnet18", {"spatial_dims": 3, "n_input_channels": 1}, 4),
        ),
        (
            lambda: small_resnet(spatial_dims=2, shortcut_type="A"),
            (
                "monai.ResNet",
                {
                    "block": "basic",
                    "layers": [1, 1, 1, 1],
                    "block_inplanes": [4, 8, 8, 8],
                    "spatial_dims": 2,
                    "n_input_channels": 1,
                    "shortcut_type": "A",
                },
                3,
            ),
        ),
        (
            lambda: nets.DenseNet121(2, 3, 5),
            ("monai.DenseNet121", {"spatial_dims": 2, "in_channels": 3}, 5),
        ),
        (
            lambda: nets.DenseNet(3, 1, 2, 8, 4, (2, 2), bn_size=2),
            (
                "monai.DenseNet",
                {
                    "spatial_dims": 3,
                    "in_channels": 1,
                    "init_features": 8,
                    "growth_rate": 4,
                    "bn_size": 2,
                    "block_config": [2, 2],
                },
                2,
            ),
        ),
        (
            lambda: nets.SEResNext50(spatial_dims=2, in_channels=1, num_classes=2),
            ("monai.SEResNext50", {"spatial_dims": 2, "in_channels": 1}, 2),
        ),
        (
            lambda: nets.EfficientNetBN(
                "efficientnet-b0", pretrained=False, spatial_dims=3, in_channels=1, num_classes=6
            ),
            (
                "monai.EfficientNetBN",
                {
                    "model_name": "efficientnet-b0",
                    "pretrained": False,
                    "spatial_dims": 3,
                    "in_channels": 1,
                },
                6,
            ),
        ),
        (
            lambda: small_axialnet(4),
            (
                "axialnet",
                {
                    "grid": 4,
                    "trunk_channels": [4, 8, 8, 16],
                    "trunk_stages": 3,
                    "conv_channels": [8, 6],
                },
                4,
            ),
        ),
    ],
)
def test_the_architecture_and_its_arguments_are_read_off_the_shapes(
    tmp_path, make, expected
) -> None:
    assert _fits(make(), tmp_path) == expected


def test_what_has_no_weights_is_said_to_be_unseen(tmp_path) -> None:
    facts = inspect_weights(saved(tmp_path, small_resnet()))
    assert "stride" in guess_architectures(facts)[0].unseen["conv1_t_stride"]
    assert "relu" in guess_architectures(facts)[0].unseen["act"]


def test_networks_of_the_same_weights_are_all_offered_the_published_one_first(tmp_path) -> None:
    facts = inspect_weights(saved(tmp_path, small_axialnet()))
    exact = [guess.name for guess in guess_architectures(facts) if guess.exact]
    assert exact[0] == "axialnet"
    assert {"axialnet-maxpool", "axialnet-sigmoid"} <= set(exact)


def test_a_network_with_a_part_of_its_own_is_near_but_not_exact(tmp_path) -> None:
    network = small_resnet()
    network.attention = nn.Linear(3, 3)
    guess = guess_architectures(inspect_weights(saved(tmp_path, network)))[0]
    assert guess.name == "monai.ResNet"
    assert not guess.exact
    assert guess.matched == guess.total - 2


def test_a_tensor_of_another_shape_does_not_match(tmp_path) -> None:
    state = small_resnet().state_dict()
    state["layer2.0.conv2.weight"] = torch.zeros(8, 8, 1, 1, 1)
    torch.save(state, tmp_path / "w.pt")
    guess = guess_architectures(inspect_weights(tmp_path / "w.pt"))[0]
    assert guess.matched == guess.total - 1


def test_unknown_weights_have_no_guess_and_the_search_can_be_stopped(tmp_path) -> None:
    facts = inspect_weights(saved(tmp_path, ConvThenLinear()))
    assert guess_architectures(facts) == ()
    facts = inspect_weights(saved(tmp_path, small_axialnet()))
    with pytest.raises(Cancelled):
        guess_architectures(facts, lambda: True)


def test_a_monai_bundle_says_its_network_and_its_size(tmp_path) -> None:
    facts = inspect_weights(write_bundle(tmp_path / "bundle"))
    assert facts.bundle.labels == ("no nodule", "nodule")
    best = guess_architectures(facts)[0]
    assert best.said
    assert best.exact
    assert (best.name, best.n_labels) == ("monai.ResNet", 2)
    architecture = Architecture(name=best.name, arguments=dict(best.arguments))
    guess = suggest_input(facts, architecture, build_network(facts, architecture, 2))
    assert guess.input.shape == (32, 32, 32)
    assert not guess.unknown


# ---- labels --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "nodule\nmass\neffusion\n",
        "nodule, mass ,effusion",
        "\n  nodule,\n  mass,\n  effusion\n",
        "['nodule', 'mass', 'effusion']",
        '"nodule"\n"mass"\n"effusion"',
    ],
)
def test_labels_are_read_as_people_write_them(text) -> None:
    assert read_labels(text) == ("nodule", "mass", "effusion")


@pytest.mark.parametrize(
    "table",
    [
        "label\nnodule\nmass\neffusion\n",
        "index,label\n2,effusion\n0,nodule\n1,mass\n",
        "1,nodule\n2,mass\n3,effusion\n",
        "id,auc,finding\n0,0.9,nodule\n1,0.8,mass\n2,0.7,effusion\n",
        "nodule,mass,effusion\n",
    ],
)
def test_a_table_gives_labels_in_the_order_of_its_output_numbers(tmp_path, table) -> None:
    (tmp_path / "labels.csv").write_text(table, encoding="utf-8-sig")
    assert read_labels(tmp_path / "labels.csv") == ("nodule", "mass", "effusion")


def test_names_with_commas_survive_on_lines_of_their_own(tmp_path) -> None:
    (tmp_path / "labels.txt").write_text("nodule, solid\nnodule, ground glass\n")
    assert read_labels(tmp_path / "labels.txt") == ("nodule, solid", "nodule, ground glass")


def test_a_published_list_is_known_by_its_name() -> None:
    assert len(read_labels("radchest-80")) == 80


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("", "no names"),
        ("nodule\nnodule\n", "listed twice: nodule"),
        ("0,nodule\n2,mass\n", "without a gap"),
        ("a,b\nc,d\n", "none is called 'label'"),
    ],
)
def test_a_table_that_cannot_be_the_labels_is_refused(tmp_path, table, words) -> None:
    (tmp_path / "labels.csv").write_text(table)
    with pytest.raises(InputError, match=words):
        read_labels(tmp_path / "labels.csv")


# ---- the user's own Python -----------------------------------------------------------------


def test_a_python_file_is_looked_at_without_running_it(tmp_path) -> None:
    marker = tmp_path / "ran"
    (tmp_path / "net.py").write_text(
        f"open({str(marker)!r}, 'w')\n"
        "from torch import nn\n"
        "class Block(nn.Module):\n    def __init__(self, width): ...\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, num_classes, in_channels, depth=18, *, norm='batch', extra):\n"
        "        self.block = Block(3)\n"
        "def build(n_labels): return Net(n_labels)\n"
    )
    makers = network_makers(tmp_path / "net.py")
    assert [maker.name for maker in makers] == ["Net", "Block", "build"]
    assert makers[0].is_module
    assert makers[0].suggest(7, 1) == {"num_classes": 7, "in_channels": 1, "extra": REQUIRED}
    assert not marker.exists()


def test_a_file_that_is_no_network_says_so(tmp_path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "b.py").write_text("def (:\n")
    with pytest.raises(ModelFileError, match="no class or function"):
        network_makers(tmp_path / "a.py")
    with pytest.raises(ModelFileError, match="not Python"):
        network_makers(tmp_path / "b.py")


def test_the_code_runs_only_after_a_yes_which_holds_for_the_saved_folder(tmp_path) -> None:
    torch.manual_seed(1)
    python = tmp_path / "network.py"
    python.write_text((HERE / "models" / "luna_network.py").read_text())
    with pytest.raises(HirescamError, match="not been agreed to"):
        agree_to_run(python, lambda _request: False)
    asked = []
    code = agree_to_run(python, lambda request: asked.append(request.path) or True)
    assert asked == [python]
    network = code_network(code)
    facts = inspect_weights(saved(tmp_path, network))
    spec = draft_spec(
        facts,
        Architecture(python="network.py", callable="NoduleNet"),
        ("no", "yes"),
        InputSpec(shape=(32, 48, 48)),
        "block4",
    )
    folder = save_draft(tmp_path / "model", spec, network, code)
    # Nobody is asked again: it is the same code.
    loaded = load_model(folder)
    assert torch.equal(loaded.network.head_linear.weight, network.head_linear.weight)
    (folder / "network.py").write_text(python.read_text() + "\n# changed\n")
    with pytest.raises(HirescamError, match="not been agreed to"):
        load_model(folder)


def test_the_yes_is_not_carried_into_a_folder_with_other_code(tmp_path) -> None:
    python = tmp_path / "network.py"
    python.write_text((HERE / "models" / "luna_network.py").read_text())
    code = agree_to_run(python, lambda _request: True)
    network = code_network(code)
    facts = inspect_weights(saved(tmp_path, network))
    architecture = Architecture(python="network.py", callable="NoduleNet")
    given = InputSpec(shape=(32, 48, 48))
    spec = draft_spec(facts, architecture, ("no", "yes"), given, "block4")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "torch.py").write_text("print('not seen by anybody')\n")
    folder = save_draft(tmp_path / "model", spec, network, code, overwrite=True)
    with pytest.raises(HirescamError, match="not been agreed to"):
        load_model(folder)


def code_network(code) -> nn.Module:
    from napari_hirescam.models.own_python import build_agreed

    return build_agreed(code, "NoduleNet", {})


# ---- the input -----------------------------------------------------------------------------


def test_the_papers_networks_get_the_papers_input(tmp_path) -> None:
    facts = inspect_weights(saved(tmp_path, small_axialnet()))
    guess = suggest_input(facts, Architecture(name="axialnet"), small_axialnet())
    assert guess.input.shape == (405, 420, 420)
    assert guess.input.layout == "axial_triples"
    assert guess.guessed["preset"].startswith("axialnet")
    assert not guess.unknown


class _OneSize(nn.Module):
    """A 2-D network whose linear layer fits 64 x 64 pixels only."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3, padding=1)
        self.fc = nn.Linear(2 * 64 * 64, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.relu(self.conv(x)).flatten(1))


def test_the_size_is_found_where_only_one_fits_and_asked_for_where_all_do(tmp_path) -> None:
    facts = inspect_weights(saved(tmp_path, _OneSize()))
    guess = suggest_input(facts, Architecture(python="a.py", callable="A"), _OneSize())
    assert guess.input.shape == (1, 64, 64)
    assert guess.input.layout == "slice"
    assert guess.input.channels == 3
    assert guess.input.channel_mean is not None
    assert not guess.unknown
    pooled = small_resnet()
    assert fitting_lengths(pooled, 3, 1)[1]
    facts = inspect_weights(saved(tmp_path, pooled))
    assert suggest_input(facts, Architecture(name="monai.ResNet"), pooled).unknown == ("shape",)


def test_a_wrong_field_is_named() -> None:
    with pytest.raises(InputError) as caught:
        validated(InputSpec, {"shape": (4, 4, 4), "window_hu": (10, -10)})
    assert caught.value.subject == "window_hu"
    with pytest.raises(InputError, match="not a plain value"):
        plain_value("[1, 2")
    assert plain_value("[1, 2]") == [1, 2]


# ---- the proof -----------------------------------------------------------------------------


def spec_for(network: nn.Module, tmp_path: Path, **changes: object) -> ModelSpec:
    facts = inspect_weights(saved(tmp_path, network))
    parts = {"labels": ("a", "b", "c"), "input": plain_input((6, 8, 10)), "layer": "act2"}
    parts |= changes
    architecture = Architecture(python="a.py", callable="A")
    return draft_spec(facts, architecture, parts["labels"], parts["input"], parts["layer"])


def test_a_proof_gives_the_networks_own_scores_of_the_ct(tmp_path) -> None:
    network = ConvThenLinear()
    spec, ct = spec_for(network, tmp_path), random_ct((6, 8, 10))
    steps: list[tuple[int, int]] = []
    proof = prove(spec, network, ct, progress=lambda done, of: steps.append((done, of)))
    assert proof.holds
    assert proof.on_ct
    assert proof.logits_shape == (1, 3)
    assert proof.activation_shape == (1, 4, 6, 8, 10)
    with torch.inference_mode():
        given = torch.from_numpy(ct.voxels.astype(np.float32))[None, None]
        expected = network.eval()(given)[0]
    assert proof.logits == pytest.approx(expected.tolist(), rel=1e-5)
    assert steps[-1][0] == steps[-1][1] > 0


@pytest.mark.parametrize(
    ("last", "words"),
    [(nn.Softmax(1), "sum to 1, as after a softmax"), (nn.Sigmoid(), "a sigmoid")],
)
def test_scores_that_are_probabilities_already_are_remarked_on(tmp_path, last, words) -> None:
    torch.manual_seed(0)
    network = ConvThenLinear()
    spec, ct = spec_for(network, tmp_path), random_ct((6, 8, 10))
    assert not prove(spec, network, ct).notes
    network.fc = nn.Sequential(network.fc, last)
    assert words in " ".join(prove(spec, network, ct).notes)
    ahead = spec.model_copy(update={"output": OutputSpec(layer="fc.0")})
    assert not prove(ahead, network, ct).notes


def test_without_a_ct_the_proof_runs_on_noise_and_says_so(tmp_path) -> None:
    network = ConvThenLinear()
    proof = prove(spec_for(network, tmp_path), network, None)
    assert proof.holds
    assert not proof.on_ct
    assert "noise" in proof.given


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"labels": ("a", "b")}, "labels", "3 outputs, and there are 2 labels"),
        ({"input": plain_input((6, 8, 12))}, "input", "size, channels or layout"),
        ({"input": plain_input((6, 8, 10), channels=2)}, "input", "size, channels or layout"),
        ({"layer": "act9"}, "target_layer", "the nearest are"),
        ({"layer": "fc"}, "target_layer", "without spatial axes"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(tmp_path, changes, field, words) -> None:
    network = ConvThenLinear()
    proof = prove(spec_for(network, tmp_path, **changes), network, None)
    assert not proof.holds
    assert proof.problems[0].field == field
    assert words in proof.problems[0].text


def test_scores_that_are_not_numbers_do_not_pass(tmp_path) -> None:
    network = ConvThenLinear()
    with torch.no_grad():
        network.fc.bias[1] = torch.nan
    proof = prove(spec_for(network, tmp_path), network, None)
    assert [p.field for p in proof.problems] == ["input"]
    assert "1 of 3 scores" in proof.problems[0].text


def test_a_ct_the_model_cannot_use_is_a_problem_of_the_input(tmp_path) -> None:
    network = ConvThenLinear()
    spec = spec_for(network, tmp_path, input=plain_input((6, 800, 1000)))
    proof = prove(spec, network, random_ct((6, 8, 10)))
    assert [p.field for p in proof.problems] == ["input"]


def test_axialnet_is_proven_in_chunks_and_a_wrong_image_size_is_named(tmp_path) -> None:
    network = small_axialnet(4)
    facts = inspect_weights(saved(tmp_path, network))
    settings = {"layout": "axial_triples", "window_hu": (-1000, 800)}

    def spec(size: int) -> ModelSpec:
        given = InputSpec(shape=(30, size, size), **settings)
        labels = ("a", "b", "c", "d")
        layer = network.default_target_layer
        return draft_spec(facts, Architecture(name="axialnet"), labels, given, layer)

    proof = prove(spec(128), network, None)
    assert proof.holds
    assert proof.activation_shape == (10, 6, 4, 4)
    too_large = prove(spec(256), network, None)
    assert {problem.field for problem in too_large.problems} == {"labels", "input"}


def test_a_proof_can_be_stopped_and_leaves_the_network_as_it_was(tmp_path) -> None:
    network = ConvThenLinear().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    answers = iter([False, False, False, True])
    with pytest.raises(Cancelled):
        prove(spec_for(network, tmp_path), network, None, should_stop=lambda: next(answers, True))
    assert network.training
    assert all(not module._forward_pre_hooks for module in network.modules())
    assert all(torch.equal(before[n], v) for n, v in network.state_dict().items())


def test_where_a_devices_memory_runs_out_the_cpu_takes_over_and_it_is_said(tmp_path) -> None:
    runs: list[int] = []

    class Greedy(ConvThenLinear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            runs.append(1)
            if len(runs) == 1:
                raise torch.OutOfMemoryError("out of memory")
            return super().forward(x)

    network = Greedy()
    proof = prove(spec_for(network, tmp_path), network, None, device="cpu:0")
    assert proof.holds
    assert "ran on the CPU" in proof.notes[-1]
    runs.clear()
    # Where there is no other device, it is said as it is.
    proof = prove(spec_for(network, tmp_path), network, None, device="cpu")
    assert "out of memory" in proof.problems[0].text


# ---- writing -------------------------------------------------------------------------------


def test_a_saved_folder_loads_and_scores_the_same(tmp_path) -> None:
    torch.manual_seed(0)
    network = small_resnet().eval()
    facts = inspect_weights(saved(tmp_path, network))
    guess = guess_architectures(facts)[0]
    architecture = Architecture(name=guess.name, arguments=dict(guess.arguments))
    spec = draft_spec(facts, architecture, ("a", "b", "c"), plain_input((32, 32, 32)), "layer4")
    built = build_network(facts, architecture, 3)
    folder = save_draft(tmp_path / "model", spec, built)
    assert {f.name for f in folder.iterdir()} == {"model.yaml", "weights.safetensors"}
    loaded = load_model(folder)
    given = torch.randn(1, 1, 32, 32, 32)
    with torch.inference_mode():
        assert torch.equal(loaded.network.eval()(given), network(given))
    assert loaded.spec.provenance["converted_from"] == "weights.pt"


def test_a_folder_that_is_there_is_never_written_into_without_the_word(tmp_path) -> None:
    network = ConvThenLinear()
    spec = spec_for(network, tmp_path)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "mine.txt").write_text("keep")
    with pytest.raises(ModelFileError, match="there already"):
        save_draft(folder, spec, network)
    assert [f.name for f in folder.iterdir()] == ["mine.txt"]
    save_draft(folder, spec, network, overwrite=True)
    assert (folder / "model.yaml").exists()
    assert (folder / "mine.txt").read_text() == "keep"


def test_weights_that_share_memory_are_each_saved(tmp_path) -> None:
    network = ConvThenLinear(channels=4)
    network.conv2.bias = network.conv1.bias
    folder = save_draft(tmp_path / "model", spec_for(network, tmp_path), network)
    state = inspect_weights(folder / "weights.safetensors").state
    assert torch.equal(state["conv1.bias"], state["conv2.bias"])


def test_facts_of_a_state_dict_without_convolutions() -> None:
    facts = WeightsFacts(
        Path("w.pt"), {"a.weight": torch.zeros(5, 7), "b.weight": torch.zeros(2, 5)}
    )
    assert facts.spatial_rank is None
    assert facts.in_channels is None
    assert facts.output_width == 2


def test_a_folder_that_could_not_be_finished_is_not_left_behind(tmp_path, monkeypatch) -> None:
    network = ConvThenLinear()
    spec = spec_for(network, tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")

    def full(*_given: object) -> str:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("napari_hirescam.models.folder.sha256_of", full)  # after the weights
        with pytest.raises(ModelFileError, match="No space left"):
            save_draft(tmp_path / "model", spec, network)
        with pytest.raises(ModelFileError, match="No space left"):
            save_draft(tmp_path / "mine", spec, network, overwrite=True)
    assert not (tmp_path / "model").exists()
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"
    assert save_draft(tmp_path / "model", spec, network).is_dir()


@pytest.mark.parametrize(
    "text",
    ["names = ['b', 'a']", "{0: 'b', 1: 'a'}", '{"1": "a", "0": "b"}', "ids = {'a': 1, 'b': 0}"],
)
def test_labels_are_read_as_they_stand_in_code(text) -> None:
    assert read_labels(text) == ("b", "a")


def test_a_dict_without_an_order_is_refused() -> None:
    with pytest.raises(InputError, match="does not number its names"):
        read_labels("{'a': 'x', 'b': 'y'}")


def test_numbers_that_are_no_order_do_not_change_it(tmp_path) -> None:
    """A count of cases that happens to run from 0 on would have swapped the labels."""
    (tmp_path / "labels.csv").write_text("label,cases\nb,1\na,0\n")
    assert read_labels(tmp_path / "labels.csv") == ("b", "a")
    (tmp_path / "labels.csv").write_text("label;index\na;1\nb;0\n")
    assert read_labels(tmp_path / "labels.csv") == ("b", "a")

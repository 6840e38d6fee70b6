"""Model folders: written and read back, checked, and never trusted with code unasked."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from model_folders import make_luna_folder
from networks import random_ct
from safetensors.torch import save_file
from test_axialnet import small_axialnet

from napari_hirescam.attention import examine_target_layer, explain
from napari_hirescam.errors import ModelFileError, UntrustedModelError
from napari_hirescam.models import InputSpec, ModelSpec, load_model, save_model
from napari_hirescam.models import folder as model_folder
from napari_hirescam.models.axialnet import AxialNet
from napari_hirescam.models.label_lists import read_label_list

SPEC = ModelSpec(
    name="small AxialNet",
    architecture={
        "name": "axialnet",
        "arguments": {
            "grid": 4,
            "trunk_channels": [4, 8, 8, 8],
            "trunk_stages": 3,
            "conv_channels": [8, 6],
        },
    },
    weights="weights.safetensors",
    labels=("nodule", "mass", "effusion", "cardiomegaly"),
    input=InputSpec(shape=(None, 128, 128), layout="axial_triples"),
    target_layer="conv2d.3",
)


class Payload:
    """A pickle that would leave a file behind if it were ever executed."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_model(tmp_path / "model", SPEC, small_axialnet().state_dict())


def change(folder: Path, **fields: object) -> Path:
    """Overwrite fields of model.yaml; a None removes the field."""
    file = folder / "model.yaml"
    content = {**yaml.safe_load(file.read_text()), **fields}
    file.write_text(yaml.safe_dump({k: v for k, v in content.items() if v is not None}))
    return folder


def test_a_saved_model_loads_with_the_same_scores(folder) -> None:
    classifier = load_model(folder)
    ct = random_ct((9, 128, 128))
    with torch.no_grad():
        expected = small_axialnet()(classifier.prepare(ct).tensor)
    assert torch.equal(classifier.logits(classifier.prepare(ct)), expected[0])
    assert classifier.labels == SPEC.labels
    assert load_model(folder / "model.yaml").weights_sha256 == classifier.weights_sha256


def test_the_report_of_a_model_needs_no_ct(folder) -> None:
    spacing = {**SPEC.input.model_dump(mode="json"), "spacing_mm": [3.0, 2.0, 2.0]}
    report = examine_target_layer(load_model(change(folder, input=spacing)))
    assert report.guarantee.holds
    assert report.channels == 6
    assert report.cells == (16, 4, 4)
    assert report.cell_mm == (9.0, 32.0, 32.0)


def test_the_authors_checkpoint_loads_unchanged(tmp_path) -> None:
    """A dict of `params` and `optimizer`, without extension, saved by training code."""
    torch.manual_seed(0)
    network = AxialNet(80).eval()
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.99)
    file = tmp_path / "AxialNet_epoch4.pt"
    torch.save({"params": network.state_dict(), "optimizer": optimiser.state_dict()}, file)
    spec = {
        "format": 1,
        "name": "AxialNet",
        "architecture": {"name": "axialnet"},
        "weights": file.name,
        "labels": "radchest-80",
        "input": {"shape": [405, 420, 420], "layout": "axial_triples"},
        "target_layer": "conv2d.7",
    }
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(spec))
    classifier = load_model(tmp_path)
    loaded = classifier.network.state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in network.state_dict().items())
    assert classifier.labels == read_label_list("radchest-80")


def test_weights_of_a_data_parallel_training_load(folder) -> None:
    state = {f"module.{k}": v.contiguous() for k, v in small_axialnet().state_dict().items()}
    save_file(state, folder / "weights.safetensors")
    assert load_model(change(folder, weights_sha256=None)).labels == SPEC.labels


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"labels": ["nodule", "mass", "effusion"]}, r"fc.weight \(file \[4, 6, 4, 4\]"),
        ({"labels": ["a", "a", "b", "c"]}, "labels: .*listed twice: a"),
        ({"labels": "radchest-81"}, "no list 'radchest-81' is shipped.* radchest-80"),
        ({"labels": "../trust"}, "no list '../trust' is shipped"),
        ({"target_layer": "conv2d.9"}, "no layer 'conv2d.9'; the nearest are conv2d"),
        ({"target_layer": None}, "target_layer: Field required"),
        ({"architecture": {"name": "resnet"}}, "'resnet' is not known"),
        ({"architecture": {"name": "axialnet", "arguments": {"gird": 4}}}, "do not fit: .*gird"),
        ({"weights": "nothing.safetensors"}, "the weights file is missing"),
        ({"weights": "../model/weights.safetensors"}, None),
        ({"weights": "../../elsewhere.safetensors"}, "outside its folder"),
        ({"weights_sha256": "0" * 64}, "these are other weights"),
        ({"colour": "red"}, "colour: Extra inputs"),
        (
            {"input": {"shape": [9, 40, 40], "layout": "axial_triples"}},
            "failed on an input of shape",
        ),
        ({"organs": {"fracture": ["bone"]}}, "labels the model has not: fracture"),
    ],
)
def test_a_wrong_field_is_named(folder, fields, words) -> None:
    change(folder, **fields)
    if words is None:  # a way around that ends in the folder is no way out of it
        assert load_model(folder).labels == SPEC.labels
        return
    with pytest.raises(ModelFileError, match=words) as caught:
        load_model(folder)
    assert str(folder.name) in str(caught.value)


def test_a_layer_without_spatial_axes_is_refused(tmp_path, luna_weights) -> None:
    folder = make_luna_folder(tmp_path / "luna", luna_weights, target_layer="head_linear")
    with pytest.raises(ModelFileError, match="without spatial axes"):
        load_model(folder, trust=lambda _request: True)


@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\x80\x04N."])
@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt"])
def test_damaged_weights_are_refused(folder, name, content) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(ModelFileError, match=name):
        load_model(change(folder, weights=name, weights_sha256=None))


def test_truncated_weights_are_refused(folder) -> None:
    file = folder / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelFileError, match="cannot be read as safetensors"):
        load_model(change(folder, weights_sha256=None))


def test_a_pickle_with_a_payload_is_refused_and_not_run(folder, tmp_path) -> None:
    mark = tmp_path / "executed"
    (folder / "raw.pt").write_bytes(pickle.dumps({"params": Payload(mark)}))
    torch.save({"params": Payload(mark)}, folder / "zipped.pt")
    for name in ("raw.pt", "zipped.pt"):
        with pytest.raises(ModelFileError, match=r"opening it could run code"):
            load_model(change(folder, weights=name, weights_sha256=None))
    assert not mark.exists()
    pickle.loads(pickle.dumps(Payload(mark)))  # noqa: S301 - proves that the payload works
    assert mark.exists()


def test_yaml_tags_do_not_run_code(folder, tmp_path) -> None:
    mark = tmp_path / "executed"
    (folder / "model.yaml").write_text(f"!!python/object/apply:os.mkdir ['{mark}']")
    with pytest.raises(ModelFileError, match="not plain YAML"):
        load_model(folder)
    assert not mark.exists()


def test_a_field_that_is_there_twice_is_refused(folder) -> None:
    """The last one would count: labels in another order than people read."""
    file = folder / "model.yaml"
    file.write_text(file.read_text() + "labels: [mass, nodule, effusion, cardiomegaly]\n")
    with pytest.raises(ModelFileError, match="'labels' is there twice"):
        load_model(folder)


@pytest.mark.parametrize(
    "more",
    [
        "metrics: &a {x: *a}\n",
        "metrics:\n  a0: &a0 [x, x]\n"
        + "".join(f"  a{k}: &a{k} [*a{k - 1}, *a{k - 1}]\n" for k in range(1, 40)),
    ],
)
def test_aliases_that_swell_without_end_are_refused(folder, more) -> None:
    file = folder / "model.yaml"
    file.write_text(file.read_text() + more)
    with pytest.raises(ModelFileError, match="endlessly large"):
        load_model(folder)


def test_a_name_that_no_file_can_have_is_said(folder) -> None:
    file = folder / "model.yaml"
    file.write_text(file.read_text().replace("weights.safetensors", "w" * 300))
    with pytest.raises(ModelFileError, match="cannot be read: File name too long"):
        load_model(folder)


def test_a_folder_without_a_model_says_so(tmp_path) -> None:
    with pytest.raises(ModelFileError, match="no such model file"):
        load_model(tmp_path)


def test_user_code_runs_only_after_a_yes_that_is_remembered(tmp_path, luna_weights) -> None:
    folder = make_luna_folder(tmp_path / "luna", luna_weights)
    asked = []

    def answer(yes: bool):
        return lambda request: asked.append(request) or yes

    with pytest.raises(UntrustedModelError, match=r"network.py"):
        load_model(folder)
    with pytest.raises(UntrustedModelError):
        load_model(folder, trust=answer(False))
    assert load_model(folder, trust=answer(True)).labels == ("no nodule", "nodule")
    assert len(asked) == 2
    assert "class NoduleNet" in asked[0].code
    assert load_model(folder).labels == ("no nodule", "nodule")
    # Any change of what takes part needs a new yes.
    code = folder / "network.py"
    code.write_text(code.read_text() + "\n# changed\n")
    with pytest.raises(UntrustedModelError):
        load_model(folder)


def test_other_weights_need_a_new_yes(tmp_path, luna_weights) -> None:
    """Code may do anything with what it finds in the weights."""
    folder = make_luna_folder(tmp_path / "luna", luna_weights)
    load_model(folder, trust=lambda _request: True)
    weights = folder / "weights.pt"
    state = torch.load(weights, weights_only=True, map_location="cpu")
    state["model_state"]["head_linear.bias"] += 1
    torch.save(state, weights)
    with pytest.raises(UntrustedModelError):
        load_model(folder)


def test_bytecode_beside_the_file_does_not_run_in_its_place(tmp_path, luna_weights) -> None:
    """What is shown is what runs: a cached .pyc with other code in it is passed over."""
    import importlib.util
    import py_compile

    folder = make_luna_folder(tmp_path / "luna", luna_weights)
    mark = tmp_path / "executed"
    other = tmp_path / "other.py"
    other.write_text(f"open({str(mark)!r}, 'w')\n")
    cached = importlib.util.cache_from_source(str(folder / "network.py"))
    py_compile.compile(
        str(other), cached, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    assert load_model(folder, trust=lambda _request: True).labels == ("no nodule", "nodule")
    assert not mark.exists()


def test_every_file_python_could_run_takes_part_in_the_yes(tmp_path, luna_weights) -> None:
    folder = make_luna_folder(tmp_path / "luna", luna_weights)
    (folder / "layers.py").write_text("# a neighbour\n")
    shown = []
    load_model(folder, trust=lambda request: not shown.append(request.code))
    assert "a neighbour" in shown[0]
    load_model(folder)
    (folder / "layers.py").write_text("# another neighbour\n")
    with pytest.raises(UntrustedModelError):
        load_model(folder)


def test_code_cannot_hide_from_the_terminal_it_is_shown_on(tmp_path, luna_weights) -> None:
    folder = make_luna_folder(tmp_path / "luna", luna_weights)
    code = folder / "network.py"
    code.write_text(code.read_text() + "# \x1b[1A\x1b[2K\n")
    shown = []
    load_model(folder, trust=lambda request: not shown.append(request.code))
    assert "\x1b" not in shown[0]
    assert "\\x1b[1A" in shown[0]


def test_code_cannot_hide_behind_line_ends_encodings_and_file_names(tmp_path) -> None:
    """Python itself would take each of these for code that no reader saw."""
    mark = tmp_path / "executed"
    network = "from torch import nn\nclass Net(nn.Module):\n    pass\n"
    payload = f"open({str(mark)!r}, 'w')"
    folder = tmp_path / "model"
    save_model(folder, SPEC, {"a": torch.zeros(1)})
    spec = yaml.safe_load((folder / "model.yaml").read_text())
    spec["architecture"] = {"python": "network.py", "callable": "Net", "arguments": {}}
    (folder / "model.yaml").write_text(yaml.safe_dump(spec))
    code = folder / "network.py"

    def shown() -> str:
        asked: list[str] = []
        with pytest.raises(ModelFileError):  # the weights are not its own
            load_model(folder, trust=lambda request: not asked.append(request.code))
        return asked[0]

    code.write_bytes(f"# a comment\r{payload}\r{network}".encode())
    assert f"# a comment\n{payload}\n" in shown()
    assert mark.exists()  # agreed to, and seen
    mark.unlink()
    # In the encoding that the first line names, the second is no comment.
    hidden = payload.replace("'", "\\x27")
    code.write_text(f"# coding: unicode_escape\n# \\x0a{hidden}\n{network}")
    shown()
    assert not mark.exists()
    code.write_bytes(b"# caf\xe9\n" + network.encode())
    with pytest.raises(ModelFileError, match="not text in UTF-8"):
        load_model(folder, trust=lambda _request: True)
    code.write_text(network)
    (folder / "\x1b[2Klayers.py").write_text("# a neighbour\n")
    assert "\x1b" not in shown()


def test_what_the_code_is_called_with_is_shown(tmp_path, luna_weights) -> None:
    """Code that only imports something harmless-looking can be told to do anything with it."""
    folder = make_luna_folder(tmp_path / "luna", luna_weights)
    mark = tmp_path / "executed"
    (folder / "network.py").write_text("from subprocess import run\n")
    spec = yaml.safe_load((folder / "model.yaml").read_text())
    spec["architecture"].update(callable="run", arguments={"args": ["touch", str(mark)]})
    (folder / "model.yaml").write_text(yaml.safe_dump(spec))
    asked = []
    with pytest.raises(UntrustedModelError):
        load_model(folder, trust=lambda request: bool(asked.append(request)))
    assert f"run(args=['touch', {str(mark)!r}])" in asked[0].code
    assert not mark.exists()


def test_the_model_yaml_that_was_read_is_the_one_agreed_to(
    tmp_path, luna_weights, monkeypatch
) -> None:
    """Exchanged between the reading and the question, it gets no remembered yes."""
    folder = make_luna_folder(tmp_path / "luna", luna_weights)
    load_model(folder, trust=lambda _request: True)
    file = folder / "model.yaml"
    agreed = file.read_bytes()
    file.write_bytes(agreed.replace(b"NoduleNet", b"nn"))
    ask_about = model_folder.read_user_code

    def exchanged(*given):
        file.write_bytes(agreed)
        return ask_about(*given)

    monkeypatch.setattr(model_folder, "read_user_code", exchanged)
    with pytest.raises(UntrustedModelError):
        load_model(folder)


def test_code_that_ends_the_program_does_not_end_ours(tmp_path, luna_weights) -> None:
    folder = make_luna_folder(tmp_path / "luna", luna_weights)
    (folder / "network.py").write_text("raise SystemExit(3)")
    with pytest.raises(ModelFileError, match="SystemExit"):
        load_model(folder, trust=lambda _request: True)


def test_a_yes_that_cannot_be_remembered_still_counts(tmp_path, luna_weights) -> None:
    from napari_hirescam.models import trust

    trust._store().parent.rmdir()
    trust._store().parent.write_text("not a folder")
    folder = make_luna_folder(tmp_path / "luna", luna_weights)
    assert load_model(folder, trust=lambda _request: True).labels == ("no nodule", "nodule")
    with pytest.raises(UntrustedModelError):
        load_model(folder)


def test_links_inside_a_folder_are_followed(folder, tmp_path) -> None:
    """Model caches keep the files elsewhere and link to them."""
    cache = tmp_path / "snapshot"
    cache.mkdir()
    for file in folder.iterdir():
        (cache / file.name).symlink_to(file)
    assert load_model(cache).labels == SPEC.labels


@pytest.mark.parametrize("device", ["warp-drive", "cuda:77"])
def test_a_device_that_is_not_there_names_those_that_are(folder, device) -> None:
    with pytest.raises(ModelFileError, match=r"This machine has: .*cpu"):
        load_model(folder, device=device)


@pytest.mark.parametrize(
    "text", ["[" * 5000, "name: 2026-13-45", "name: !!int abc", "- a\n- b", "", "\x00"]
)
def test_senseless_model_files_are_refused(folder, text) -> None:
    (folder / "model.yaml").write_text(text)
    with pytest.raises(ModelFileError, match=r"model\.yaml"):
        load_model(folder)


@pytest.mark.parametrize("arguments", [{"grid": -1}, {"n_labels": -3}, {"trunk_channels": []}])
def test_senseless_arguments_are_refused(folder, arguments) -> None:
    with pytest.raises(ModelFileError, match="do not fit"):
        load_model(change(folder, architecture={"name": "axialnet", "arguments": arguments}))


def test_spacings_that_are_not_numbers_are_refused(folder) -> None:
    section = {**SPEC.input.model_dump(mode="json"), "spacing_mm": [float("nan"), 1.0, 1.0]}
    with pytest.raises(ModelFileError, match="spacing_mm"):
        load_model(change(folder, input=section))


def test_weights_of_another_kind_of_number_are_refused(folder) -> None:
    state = dict(small_axialnet().state_dict())
    state["fc.bias"] = state["fc.bias"].to(torch.complex64)
    torch.save(state, folder / "weights.pt")
    with pytest.raises(ModelFileError, match=r"kind of numbers: fc\.bias"):
        load_model(change(folder, weights="weights.pt", weights_sha256=None))


def test_a_damaged_list_of_trusted_models_trusts_nothing(tmp_path, luna_weights) -> None:
    from napari_hirescam.models import trust

    folder = make_luna_folder(tmp_path / "luna", luna_weights)
    load_model(folder, trust=lambda _request: True)
    trust._store().write_bytes(b"\xff[broken")
    with pytest.raises(UntrustedModelError):
        load_model(folder)


def test_failing_user_code_is_named(tmp_path, luna_weights) -> None:
    folder = make_luna_folder(tmp_path / "luna", luna_weights)
    (folder / "network.py").write_text("raise RuntimeError('no GPU in this office')")
    with pytest.raises(ModelFileError, match="no GPU in this office"):
        load_model(folder, trust=lambda _request: True)


def test_probabilities_are_as_the_file_says(folder) -> None:
    logits = np.array([0.0, 1.0, -1.0, 2.0])
    sigmoid = load_model(folder).probabilities(logits)
    softmax = load_model(change(folder, activation="softmax")).probabilities(logits)
    assert sigmoid == pytest.approx([0.5, 0.731059, 0.268941, 0.880797], abs=1e-6)
    assert softmax.sum() == pytest.approx(1.0)
    assert explain(random_ct((9, 128, 128)), load_model(folder)).probabilities.max() < 1

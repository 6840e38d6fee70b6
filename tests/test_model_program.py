"""Saved programs, .pt2 and TorchScript: explained like any network, and never run unasked."""

from __future__ import annotations

import contextlib
import io
import json
import re
import warnings
import zipfile
from pathlib import Path

import numpy as np
import program_files as files
import pytest
import torch
from networks import classifier_of, plain_input, random_ct

from napari_hirescam.attention import explain
from napari_hirescam.errors import ModelFileError, UntrustedModelError
from napari_hirescam.models import load_model
from napari_hirescam.models.pt2_archive import clean_pt2
from napari_hirescam.models.pt2_strings import is_arithmetic
from napari_hirescam.models.torchscript import load_torchscript
from napari_hirescam.models.torchscript_code import clean_torchscript

INPUT = plain_input(files.SHAPE, window_hu=(-1000, 400), scale_to=(0, 1))


def yes(_request: object) -> bool:
    return True


def torch_alone_runs(program: Path, mark: Path) -> bool:
    """True if torch's own loader runs the payload: proof that it is a real one."""
    with contextlib.suppress(Exception):  # it fails after the harm is done
        torch.export.load(program)
    return mark.exists()


@pytest.fixture(scope="session")
def pt2(tmp_path_factory) -> Path:
    return files.write_pt2(tmp_path_factory.mktemp("pt2") / "net.pt2", files.eager_network())


@pytest.fixture(scope="session")
def free_pt2(tmp_path_factory) -> Path:
    torch.manual_seed(1)
    file = tmp_path_factory.mktemp("free") / "net.pt2"
    return files.write_pt2(file, files.AnyDepth().eval(), free_depth=True)


@pytest.mark.parametrize("layer", ["act2", "conv2", "act1", "norm", "pool"])
def test_a_pt2_is_explained_as_the_network_it_was_made_from(pt2, tmp_path, layer) -> None:
    """At each layer, those ahead of a ReLU in place too; the guarantee is found as well."""
    folder = files.model_of(tmp_path / "model", pt2, target_layer=layer)
    ct = random_ct(files.SHAPE)
    found = explain(ct, load_model(folder, trust=yes))
    eager = explain(ct, classifier_of(files.eager_network(), layer, INPUT, 3))
    assert found.logits == pytest.approx(eager.logits, abs=1e-6)
    assert found.guarantee.state == eager.guarantee.state
    for label, known in zip(found.labels, eager.labels, strict=True):
        for method in ("hirescam", "gradcam"):
            raw, expected = found.map(label, method).values, eager.map(known, method).values
            largest = float(np.abs(expected).max())
            assert largest > 0
            assert raw == pytest.approx(expected, abs=1e-6 * largest)


def test_functions_between_the_modules_of_a_pt2_can_be_explained(tmp_path) -> None:
    """A hook cannot reach them in the network itself; in the program they have names."""
    torch.manual_seed(2)
    eager = files.Functional().eval()
    program = files.write_pt2(tmp_path / "net.pt2", eager)
    folder = files.model_of(tmp_path / "model", program, target_layer="relu_2")
    classifier = load_model(folder, trust=yes)
    ct = random_ct(files.SHAPE)
    result = explain(ct, classifier)
    assert result.guarantee.holds
    assert classifier.network.get_submodule("stem")
    x = classifier.prepare(ct).tensor
    with torch.no_grad():
        assert result.logits == pytest.approx(eager(x)[0].numpy(), abs=1e-6)
        early = torch.relu(eager.shared(torch.relu(eager.stem(x))))
        features = torch.relu(eager.shared(early[..., ::2, ::2]))[0]
    cells = features[0].numel()
    for k, label in enumerate(result.labels):
        weights = eager.fc.weight[k].detach()[:, None, None, None]
        closed_form = (weights * features).sum(0) / cells
        assert result.map(label, "hirescam").values == pytest.approx(closed_form.numpy(), abs=1e-6)


def test_a_pass_that_is_broken_off_does_not_disturb_the_next(tmp_path) -> None:
    """A module whose calls the export kept counts them when it runs."""
    torch.manual_seed(2)
    eager = files.Functional().eval()
    program = files.write_pt2(tmp_path / "net.pt2", eager, keep_calls_of=("shared",))
    folder = files.model_of(tmp_path / "model", program, target_layer="relu_2")
    network = load_model(folder, trust=yes).network

    def break_off(*_: object) -> None:
        raise InterruptedError

    hook = network.get_submodule("relu_1").register_forward_hook(break_off)
    with pytest.raises(InterruptedError):
        network(torch.zeros(1, 1, *files.SHAPE))
    hook.remove()
    x = torch.randn(1, 1, *files.SHAPE)
    with torch.no_grad():
        assert torch.equal(network(x), eager(x))


@pytest.mark.parametrize("traced", [False, True])
def test_torchscript_is_explained_at_its_operations(tmp_path, traced) -> None:
    """It has no modules that could be hooked; its operations are named instead."""
    script = files.write_torchscript(tmp_path / "net.ts", files.eager_network(), traced=traced)
    folder = files.model_of(tmp_path / "model", script, target_layer="relu__1")
    ct = random_ct(files.SHAPE)
    found = explain(ct, load_model(folder, trust=yes))
    eager = explain(ct, classifier_of(files.eager_network(), "act2", INPUT, 3))
    assert found.logits == pytest.approx(eager.logits, abs=1e-6)
    assert found.guarantee.holds
    assert found.map("b", "hirescam").values == pytest.approx(
        eager.map("label 1", "hirescam").values, abs=1e-6
    )


def test_the_weights_of_torchscript_are_parameters(tmp_path) -> None:
    script = files.write_torchscript(tmp_path / "net.ts", files.eager_network())
    network = load_model(files.model_of(tmp_path / "m", script, target_layer="relu_"), trust=yes)
    names = {name for name, _ in files.eager_network().named_parameters()}
    assert {name for name, _ in network.network.named_parameters()} == names


def test_a_program_runs_only_after_a_yes_that_shows_what_it_does(pt2, tmp_path) -> None:
    folder = files.model_of(tmp_path / "model", pt2)
    asked = []
    with pytest.raises(UntrustedModelError, match="brings its own saved program"):
        load_model(folder)
    with pytest.raises(UntrustedModelError):
        load_model(folder, trust=lambda request: bool(asked.append(request)))
    load_model(folder, trust=yes)
    load_model(folder)
    shown = asked[0].code
    for words in ("aten.conv3d.default  2", "aten.linear.default  1", "may show a patient"):
        assert words in shown
    assert asked[0].what == "saved program"
    # Other weights in the same program, and another reading of it, need a new yes.
    with (folder / "model.yaml").open("a") as stream:
        stream.write("description: changed\n")
    with pytest.raises(UntrustedModelError):
        load_model(folder)
    load_model(folder, trust=yes)
    files.write_pt2(folder / "net.pt2", files.ConvThenLinear(files.SHAPE).eval())
    with pytest.raises(UntrustedModelError):
        load_model(folder)


def test_the_code_of_torchscript_is_shown(tmp_path) -> None:
    script = files.write_torchscript(tmp_path / "net.ts", files.eager_network())
    asked = []
    folder = files.model_of(tmp_path / "model", script, target_layer="relu_")
    with pytest.raises(UntrustedModelError):
        load_model(folder, trust=lambda request: bool(asked.append(request)))
    assert "def forward(self" in asked[0].code


def test_another_program_than_the_one_named_by_digest_is_refused(pt2, tmp_path) -> None:
    folder = files.model_of(tmp_path / "model", pt2, weights_sha256="0" * 64)
    with pytest.raises(ModelFileError, match="these are other weights"):
        load_model(folder, trust=yes)


def test_the_size_of_the_input_is_fixed_by_the_export(pt2, tmp_path) -> None:
    folder = files.model_of(tmp_path / "model", pt2, input={"shape": [8, 8, 10]})
    with pytest.raises(ModelFileError, match=r"input of shape \[1, 1, 6, 8, 10\].*\[1, 1, 8, 8"):
        load_model(folder, trust=yes)


def test_sizes_left_free_at_the_export_stay_free(free_pt2, tmp_path) -> None:
    for depth in (4, 12):
        section = {"shape": [depth, 8, 10]}
        folder = files.model_of(tmp_path / f"m{depth}", free_pt2, input=section, target_layer="act")
        result = explain(random_ct((depth, 8, 10)), load_model(folder, trust=yes))
        assert result.guarantee.holds
        assert result.map("a", "hirescam").values.shape == (depth, 8, 10)
    folder = files.model_of(tmp_path / "odd", free_pt2, input={"shape": [4, 9, 10]})
    with pytest.raises(ModelFileError, match=r"input of shape \[1, 1, any, 8, 10\]"):
        load_model(folder, trust=yes)


def test_a_wrong_number_of_labels_is_named(pt2, tmp_path) -> None:
    folder = files.model_of(tmp_path / "model", pt2, labels=["a", "b"])
    with pytest.raises(ModelFileError, match=r"output has shape \[1, 3\], and there are 2 labels"):
        load_model(folder, trust=yes)


def test_sample_inputs_are_never_read(pt2, tmp_path) -> None:
    """The first road: torch falls back to a full unpickling of the sample inputs."""
    mark = tmp_path / "executed"
    bad = files.poisoned(pt2, tmp_path / "bad.pt2", files.poisoned_sample_inputs(mark))
    assert load_model(files.model_of(tmp_path / "m", bad), trust=yes).labels == ("a", "b", "c")
    assert not mark.exists()
    assert torch_alone_runs(bad, mark)


def test_pickled_weights_are_refused(pt2, tmp_path) -> None:
    """The second road."""
    mark = tmp_path / "executed"
    bad = files.poisoned(pt2, tmp_path / "bad.pt2", files.poisoned_weight(mark))
    with pytest.raises(ModelFileError, match=r"could run code: the pickled tensor 'fc\.bias'"):
        load_model(files.model_of(tmp_path / "m", bad), trust=yes)
    assert not mark.exists()
    assert torch_alone_runs(bad, mark)


def test_shapes_that_are_more_than_arithmetic_are_refused(free_pt2, tmp_path) -> None:
    """The third road: torch has sympy evaluate them."""
    mark = tmp_path / "executed"
    with_code = files.in_graph(
        "Mul(Integer(2)", f"__import__('os').mkdir('{mark}') or Mul(Integer(2)"
    )
    bad = files.poisoned(free_pt2, tmp_path / "bad.pt2", with_code)
    folder = files.model_of(tmp_path / "m", bad, target_layer="act")
    with pytest.raises(ModelFileError, match=r"could run code: expr_str .*__import__"):
        load_model(folder, trust=yes)
    assert not mark.exists()
    assert torch_alone_runs(bad, mark)


def test_opaque_objects_are_refused(pt2, tmp_path) -> None:
    mark = tmp_path / "executed"
    bad = files.poisoned(pt2, tmp_path / "bad.pt2", files.poisoned_constant(mark))
    with pytest.raises(ModelFileError, match="could run code"):
        load_model(files.model_of(tmp_path / "m", bad), trust=yes)
    assert not mark.exists()
    assert torch_alone_runs(bad, mark)


@pytest.mark.parametrize(
    "target",
    [
        "torch.load",
        "torch.ops.load_library",
        "torch.hub.load",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.save.default",
        "torch.ops.mine.launch.default",
        "torch.ops.aten.__globals__",
        "_operator.attrgetter",
        "_operator.methodcaller",
        "math.factorial",
        "#mine:launch",
        "",
    ],
)
def test_operations_that_are_not_torchs_arithmetic_are_refused(pt2, tmp_path, target) -> None:
    with_target = files.in_graph("torch.ops.aten.linear.default", target)
    bad = files.poisoned(pt2, tmp_path / "bad.pt2", with_target)
    with pytest.raises(ModelFileError, match="could run code: target"):
        load_model(files.model_of(tmp_path / "m", bad), trust=yes)


def test_names_that_would_be_pasted_into_code_are_refused(pt2, tmp_path) -> None:
    """torch generates Python from the graph; a placeholder could bring a default value."""
    mark = tmp_path / "executed"
    name = f"x=open('{mark}','w')"
    bad = files.poisoned(
        pt2, tmp_path / "bad.pt2", files.in_graph('"name": "x"', f'"name": "{name}"')
    )
    with pytest.raises(ModelFileError, match=r"could run code: name .x=open"):
        load_model(files.model_of(tmp_path / "m", bad), trust=yes)
    assert not mark.exists()


def test_guards_are_dropped(pt2, tmp_path) -> None:
    mark = tmp_path / "executed"

    def with_guard(parts: files.Parts) -> None:
        graph = json.loads(parts["models/model.json"])
        graph["guards_code"] = [f"open({str(mark)!r}, 'w')"]
        parts["models/model.json"] = json.dumps(graph).encode()

    bad = files.poisoned(pt2, tmp_path / "bad.pt2", with_guard)
    classifier = load_model(files.model_of(tmp_path / "m", bad), trust=yes)
    assert explain(random_ct(files.SHAPE), classifier).guarantee.holds
    assert not mark.exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("builtins.tuple", "collections.defaultdict", "in_spec"),
        ('"as_bool": false', '"as_operator": "torch.load"', "the field 'as_operator'"),
        ("L__self__", "L__self__'", "the module path"),
    ],
)
def test_other_parts_of_the_graph_are_held_to_their_form(pt2, tmp_path, old, new, words) -> None:
    bad = files.poisoned(pt2, tmp_path / "bad.pt2", files.in_graph(old, new))
    with pytest.raises(ModelFileError, match=words):
        load_model(files.model_of(tmp_path / "m", bad), trust=yes)


def test_machine_code_is_refused(pt2, tmp_path) -> None:
    def with_library(parts: files.Parts) -> None:
        parts["data/aotinductor/model/net.so"] = b"\x7fELF"

    bad = files.poisoned(pt2, tmp_path / "bad.pt2", with_library)
    with pytest.raises(ModelFileError, match="compiled machine code"):
        load_model(files.model_of(tmp_path / "m", bad), trust=yes)


def test_only_known_parts_reach_torch(pt2, tmp_path) -> None:
    def with_more(parts: files.Parts) -> None:
        parts["data/weights/model.pt"] = files.torch_pickle(tmp_path / "executed")
        parts["extra/readme.txt"] = b"hello"

    bad = files.poisoned(pt2, tmp_path / "bad.pt2", with_more)
    clean = clean_pt2(bad.read_bytes(), bad)
    assert b"readme" not in clean.data
    assert b"executed" not in clean.data
    assert "data/weights/model.pt" in clean.listing.partition("set aside")[2]


def test_torchscript_that_writes_files_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    script = files.write_torchscript(tmp_path / "net.ts", files.Saves())
    with pytest.raises(ModelFileError, match=r"its code uses .*save, which a classifier"):
        load_model(files.model_of(tmp_path / "m", script), trust=yes)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    "line",
    [
        'torch . save(x, "mark")',
        'ops.\\\n    aten.save(x, "mark")',
        '(torch).save(x, "mark")',
        't = torch\n    t.save(x, "mark")',
        'getattr(torch, "sa" "ve")(x, "mark")',
        'y = (torch.  # a comment\n    from_file)("mark", False, 4)',
    ],
)
def test_torchscript_cannot_hide_that_it_reaches_files(tmp_path, monkeypatch, line) -> None:
    """The same calls in other words; torch itself runs them."""
    monkeypatch.chdir(tmp_path)
    Path("mark").write_bytes(bytes(16))
    script = files.write_torchscript(tmp_path / "net.ts", files.AnyDepth().eval())
    begin = re.compile(r"(def forward\(self: __torch__\.program_files[^)]*\) -> Tensor:\n)")
    bad = files.with_code(script, tmp_path / "bad.ts", begin, rf"\g<1>    {line}\n")
    torch.jit.load(bad)(torch.zeros(1, 1, *files.SHAPE))
    Path("mark").unlink(missing_ok=True)
    with pytest.raises(ModelFileError, match=r"its code uses .* which a classifier"):
        load_model(files.model_of(tmp_path / "m", bad, target_layer="relu_"), trust=yes)
    assert not Path("mark").exists()


def test_torchscript_that_runs_as_it_is_loaded_is_refused(tmp_path, monkeypatch) -> None:
    """Default values are worked out then, and so is what restores an object."""
    script = files.write_torchscript(tmp_path / "net.ts", files.AnyDepth().eval())
    default = files.with_code(
        script,
        tmp_path / "default.ts",
        re.compile(r"x: Tensor\)"),
        "x: Tensor, y: int=torch.len([1]))",
    )
    restores = files.with_code(
        script,
        tmp_path / "restores.ts",
        re.compile(r"(  def forward\(self: __torch__\.program_files)"),
        r"  def __setstate__(self: __torch__.program_files.AnyDepth, x: int) -> NoneType:\n"
        r"    return None\n\g<1>",
    )
    for bad, words in ((default, "a default value of 'forward'"), (restores, "__setstate__")):
        with pytest.raises(ModelFileError, match=words):
            load_model(files.model_of(tmp_path / bad.stem, bad, target_layer="relu_"), trust=yes)


@pytest.mark.parametrize("traced", [False, True])
def test_the_graph_that_torch_made_of_the_code_is_looked_at_too(tmp_path, traced) -> None:
    """Should the code ever be read otherwise than by torch: nothing runs before the graph is."""
    script = files.write_torchscript(tmp_path / "net.ts", files.Saves(), traced=False)
    with pytest.raises(ModelFileError, match="it uses aten::save"):
        load_torchscript(script.read_bytes(), script, (1, 1, *files.SHAPE))
    plain = files.write_torchscript(tmp_path / "plain.ts", files.AnyDepth().eval(), traced=traced)
    assert load_torchscript(plain.read_bytes(), plain, (1, 1, *files.SHAPE)).get_submodule("relu_")


def test_torchscript_that_shows_one_program_and_runs_another_is_refused(tmp_path) -> None:
    """A zip can hold a name twice; torch and Python take different ones."""
    script = files.write_torchscript(tmp_path / "net.ts", files.AnyDepth().eval())
    with zipfile.ZipFile(script) as archive:
        name = next(n for n in archive.namelist() if n.endswith("code/__torch__/program_files.py"))
        code = archive.read(name)
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(script, "a") as archive:
        archive.writestr(name, code.replace(b"torch.mean", b"torch.sum"))
    with pytest.raises(ModelFileError, match=r"it holds 'code/__torch__/program_files\.py' twice"):
        load_model(files.model_of(tmp_path / "m", script, target_layer="relu_"), trust=yes)


def test_only_what_was_shown_of_torchscript_reaches_torch(tmp_path) -> None:
    """What a network was traced with may show a patient; torch keeps it in the file."""
    script = files.write_torchscript(tmp_path / "net.ts", files.eager_network(), traced=True)
    with zipfile.ZipFile(script, "a") as archive:
        archive.writestr("net/extra/readme.txt", b"hello")
    clean = clean_torchscript(script.read_bytes(), script)
    with zipfile.ZipFile(io.BytesIO(clean.data)) as archive:
        names = archive.namelist()
    assert not [n for n in names if "traced_inputs" in n or "readme" in n or "debug" in n]
    aside = clean.listing.partition("set aside and never read")[2]
    assert "traced_inputs" in aside
    assert "readme" in aside


def test_torchscript_that_cannot_be_followed_is_refused_in_one_line(tmp_path, capfd) -> None:
    script = files.write_torchscript(tmp_path / "net.ts", files.Loops())
    folder = files.model_of(tmp_path / "m", script, target_layer="conv")
    with pytest.raises(ModelFileError, match=r"cannot be turned into a graph.*torch\.export\.save"):
        load_model(folder, trust=yes)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "neither a .pt2 file nor TorchScript"),
        (b"PK\x03\x04", "neither a .pt2 file nor TorchScript"),
        (None, "the program is missing"),
    ],
)
def test_damaged_programs_are_refused(pt2, tmp_path, content, words) -> None:
    folder = files.model_of(tmp_path / "m", pt2)
    if content is None:
        (folder / "net.pt2").unlink()
    else:
        (folder / "net.pt2").write_bytes(content)
    with pytest.raises(ModelFileError, match=words):
        load_model(folder, trust=yes)


@pytest.mark.parametrize("part", ["models/model.json", "data/weights/model_weights_config.json"])
@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"[" * 50_000])
def test_pt2_files_with_damaged_parts_are_refused(pt2, tmp_path, part, content) -> None:
    bad = files.poisoned(pt2, tmp_path / "bad.pt2", lambda parts: parts.update({part: content}))
    with pytest.raises(ModelFileError, match=r"bad\.pt2"):
        load_model(files.model_of(tmp_path / "m", bad), trust=yes)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("s0", True),
        ("2*s40 + 1", True),
        ("Mul(Integer(2), Symbol('s40', positive=True, integer=True))", True),
        ("Pow(Symbol('s0'), Integer(3))", True),
        ("FloorDiv(s0 - 1, 2)", True),
        ("9**9**9", False),
        ("Pow(Integer(9), Integer(99))", False),
        ("__import__('os')", False),
        ("Symbol(__import__('os'))", False),
        ("Symbol('s0', positive=exec('1'))", False),
        ("Mul(*[1])", False),
        ("s0.__class__", False),
        ("(lambda: 1)()", False),
        ("[s0]", False),
        ("'s0'", False),
        ("s" * 5000, False),
        ("(" * 5000, False),
        ("", False),
    ],
)
def test_shapes_are_arithmetic_or_nothing(text, plain) -> None:
    assert is_arithmetic(text) == plain

"""The assistant "New model folder...": each step fills its part, says its faults beside the field,
and nothing is written before the proof holds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from model_folders import HERE, write_bundle
from monai.networks import nets
from napari.qt.threading import FunctionWorker
from plugin_cases import make_volume
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QPlainTextEdit
from torch import nn

from napari_hirescam.models import load_model
from napari_hirescam.models.trust import TrustRequest
from napari_hirescam.plugin.argument_table import ArgumentTable
from napari_hirescam.plugin.new_model_dialog import NewModelDialog
from napari_hirescam.plugin.trust_dialog import TrustDialog

WEIGHTS, NETWORK, LABELS, INPUT, LAYER, PROOF = range(6)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return nets.ResNet("basic", [1, 1, 1, 1], [4, 8, 8, 8], n_input_channels=1, num_classes=3)


@pytest.fixture(scope="module")
def weights(tmp_path_factory, network) -> Path:
    file = tmp_path_factory.mktemp("weights") / "epoch_12.pt"
    torch.save({"state_dict": network.state_dict(), "ema": network.state_dict()}, file)
    return file


@pytest.fixture
def open_dialog(qtbot):
    dialogs = []

    def make(volume=None) -> NewModelDialog:
        dialog = NewModelDialog(volume)
        qtbot.addWidget(dialog)
        dialog.show()
        dialogs.append(dialog)
        return dialog

    yield make
    for dialog in dialogs:
        dialog.reject()
    FunctionWorker.await_workers(10000)


def settle(qtbot, dialog) -> None:
    qtbot.waitUntil(lambda: not any(step.busy for step in dialog.steps), timeout=20000)


def press_next(qtbot, dialog) -> None:
    dialog.next.click()
    settle(qtbot, dialog)


def load(qtbot, dialog, file: Path) -> None:
    dialog.weights.load(file)
    settle(qtbot, dialog)


def fill_size(dialog, *size: object) -> None:
    for line, length in zip(dialog.input.form.shape, size, strict=True):
        line.setText(str(length))


def go_to_proof(qtbot, dialog, file: Path, size: int = 32) -> None:
    load(qtbot, dialog, file)
    press_next(qtbot, dialog)
    press_next(qtbot, dialog)
    dialog.labels.text.setPlainText("a, b, c")
    press_next(qtbot, dialog)
    fill_size(dialog, size, size, size)
    press_next(qtbot, dialog)
    press_next(qtbot, dialog)
    assert dialog.current == PROOF


def test_from_weights_to_a_folder_that_loads(qtbot, open_dialog, weights, network, tmp_path):
    dialog = open_dialog(make_volume())
    go_to_proof(qtbot, dialog, weights)
    assert "this CT" in dialog.proof.prove_button.text()
    assert not dialog.proof.save_button.isEnabled()
    dialog.proof.prove_button.click()
    settle(qtbot, dialog)
    assert "Proven on the CT 'chest'" in dialog.proof.outcome.plain
    assert dialog.proof.save_button.isEnabled()
    with qtbot.waitSignal(dialog.saved, timeout=10000) as heard:
        dialog.proof.save_to(tmp_path / "model")
    assert heard.args == [tmp_path / "model"]
    assert not dialog.isVisible()
    model = load_model(tmp_path / "model", device="cpu")
    assert model.labels == ("a", "b", "c")
    assert model.spec.target_layer == "layer4"
    assert model.spec.architecture.name == "monai.ResNet"
    given = torch.randn(1, 1, 32, 32, 32)
    with torch.inference_mode():
        assert torch.equal(model.network.eval()(given), network.eval()(given))


def test_the_weights_say_what_they_are(qtbot, open_dialog, weights):
    dialog = open_dialog()
    load(qtbot, dialog, weights)
    assert "This is monai.ResNet: all 65 tensors" in dialog.weights.match.plain
    assert [dialog.weights.entry.itemText(k) for k in range(2)] == ["state_dict", "ema"]
    dialog.weights.entry.setCurrentText("ema")
    dialog.weights.entry.activated.emit(1)
    settle(qtbot, dialog)
    assert dialog.draft.facts.entry == "ema"


def test_a_monai_bundle_brings_its_labels(qtbot, open_dialog, tmp_path):
    dialog = open_dialog()
    load(qtbot, dialog, write_bundle(tmp_path / "bundle"))
    press_next(qtbot, dialog)
    press_next(qtbot, dialog)
    assert dialog.labels.text.toPlainText() == "no nodule\nnodule"
    press_next(qtbot, dialog)
    assert [line.text() for line in dialog.input.form.shape] == ["32"] * 3


def test_a_file_that_is_no_weights_is_said_and_leads_nowhere(qtbot, open_dialog, tmp_path):
    dialog = open_dialog()
    press_next(qtbot, dialog)
    assert "Choose a weights file" in dialog.weights.fault.plain
    (tmp_path / "w.pt").write_bytes(b"")
    load(qtbot, dialog, tmp_path / "w.pt")
    assert "cannot be read" in dialog.weights.fault.plain
    press_next(qtbot, dialog)
    assert dialog.current == WEIGHTS


def test_arguments_that_leave_no_trace_are_marked(qtbot, open_dialog, weights):
    dialog = open_dialog()
    load(qtbot, dialog, weights)
    press_next(qtbot, dialog)
    table = dialog.network.arguments.table
    notes = {
        table.item(row, 0).text(): table.item(row, 2).text() for row in range(table.rowCount())
    }
    assert notes["layers"] == "read off the weights"
    assert "not visible in the weights" in notes["conv1_t_stride"]
    dialog.network.arguments.set_value("conv1_t_stride", 2)
    press_next(qtbot, dialog)
    assert dialog.draft.architecture.arguments["conv1_t_stride"] == 2
    assert dialog.draft.network.conv1.stride == (2, 2, 2)


def test_an_architecture_that_does_not_fit_names_the_keys(qtbot, open_dialog, weights):
    dialog = open_dialog()
    load(qtbot, dialog, weights)
    press_next(qtbot, dialog)
    dialog.network.name.setCurrentText("axialnet")
    press_next(qtbot, dialog)
    assert dialog.current == NETWORK
    assert "missing: features.0.weight" in dialog.network.fault.plain


def test_the_users_python_is_asked_about_and_no_means_no(
    qtbot, open_dialog, luna_weights, monkeypatch
):
    asked = []
    dialog = open_dialog()
    load(qtbot, dialog, luna_weights)
    press_next(qtbot, dialog)
    assert dialog.network.by_python.isChecked()
    dialog.network.choose_python(HERE / "models" / "luna_network.py")
    assert dialog.network.maker.currentText() == "NoduleNet"
    answers = iter([False, True])

    def answer(request, _should_stop):
        asked.append(request.path.name)
        return next(answers)

    monkeypatch.setattr(dialog.network._question, "ask", answer)
    press_next(qtbot, dialog)
    assert dialog.current == NETWORK
    assert "not been agreed to" in dialog.network.fault.plain
    press_next(qtbot, dialog)
    assert dialog.current == LABELS
    assert asked == ["luna_network.py"] * 2


def test_labels_are_counted_as_they_are_typed(qtbot, open_dialog, weights, tmp_path):
    dialog = open_dialog()
    load(qtbot, dialog, weights)
    press_next(qtbot, dialog)
    press_next(qtbot, dialog)
    labels = dialog.labels
    labels.text.setPlainText("nodule\nmass")
    assert labels.count.plain == "2 of 3 outputs have a name"
    press_next(qtbot, dialog)
    assert dialog.current == LABELS
    assert "outputs of the network: 3" in labels.fault.plain
    labels.text.setPlainText("nodule\nmass\nmass")
    assert "listed twice: mass" in labels.count.plain
    labels.text.setPlainText("a,b,c,d")
    assert labels.count.plain == "4 labels for 3 outputs"
    (tmp_path / "labels.csv").write_text("index,label\n1,mass\n0,nodule\n2,cyst\n")
    labels.read_file(tmp_path / "labels.csv")
    assert labels.text.toPlainText() == "nodule\nmass\ncyst"
    press_next(qtbot, dialog)
    assert dialog.draft.labels == ("nodule", "mass", "cyst")


def test_a_fault_of_the_input_stands_beside_its_field(qtbot, open_dialog, weights):
    dialog = open_dialog()
    load(qtbot, dialog, weights)
    press_next(qtbot, dialog)
    press_next(qtbot, dialog)
    dialog.labels.text.setPlainText("a,b,c")
    press_next(qtbot, dialog)
    form = dialog.input.form
    assert "do not tell" in form.remarks["shape"].plain
    press_next(qtbot, dialog)
    assert "number is missing" in form.remarks["shape"].plain
    fill_size(dialog, 32, 32, 32)
    form.window_hu[1].setText("-2000")
    press_next(qtbot, dialog)
    assert dialog.current == INPUT
    assert "lower bound" in form.remarks["window_hu"].plain
    assert not form.remarks["shape"].plain
    form.window_hu[1].setText("400")
    press_next(qtbot, dialog)
    assert dialog.draft.input.window_hu == (-1000, 400)


def test_a_preset_fills_the_form_and_comes_back_as_it_was(qtbot, open_dialog, weights):
    from napari_hirescam.models.draft import validated
    from napari_hirescam.models.spec import INPUT_PRESETS, InputSpec

    dialog = open_dialog()
    for preset in INPUT_PRESETS.values():
        dialog.input.form.show_spec(preset)
        assert validated(InputSpec, dialog.input.form.fields()) == preset
    odd = InputSpec(
        shape=(None, 48, 40), scale_to=None, window_hu=(-1000, 1000), padding=-900.0,
        orientation="SPL", channels=3, channel_mean=(0.5, 0.4, 0.3), channel_std=(1, 2, 3),
        layout="slices", fit="resize",
    )  # fmt: skip
    dialog.input.form.show_spec(odd)
    assert validated(InputSpec, dialog.input.form.fields()) == odd


def test_the_layer_where_the_map_is_exact_is_preselected(qtbot, open_dialog, weights):
    dialog = open_dialog()
    go_to_proof(qtbot, dialog, weights)
    dialog.go_to(LAYER)
    assert dialog.layer.name.text() == "layer4"
    assert "Identical by construction" in dialog.layer.verdict.text()
    dialog.layer.table.select("layer3")
    assert "Local approximation" in dialog.layer.verdict.text()
    press_next(qtbot, dialog)
    assert dialog.draft.target_layer == "layer3"


def test_a_proof_that_fails_says_where_and_nothing_can_be_saved(qtbot, open_dialog, weights):
    dialog = open_dialog(make_volume())
    go_to_proof(qtbot, dialog, weights)
    dialog.go_to(INPUT)
    dialog.input.form.channels.setValue(2)
    press_next(qtbot, dialog)
    # The layers cannot be listed either, and that is said; a name can be typed all the same.
    assert "step Input" in dialog.layer.fault.plain
    dialog.layer.name.setText("layer4")
    press_next(qtbot, dialog)
    dialog.proof.prove()
    settle(qtbot, dialog)
    assert dialog.proof.outcome.plain.startswith("Input: The network failed")
    assert dialog._list.item(INPUT).text() == "✘ Input"
    assert not dialog.proof.save_button.isEnabled()


def test_a_proof_holds_for_the_model_that_was_proven_only(qtbot, open_dialog, weights, tmp_path):
    dialog = open_dialog()
    go_to_proof(qtbot, dialog, weights)
    assert "noise" in dialog.proof.prove_button.text()
    dialog.proof.prove()
    settle(qtbot, dialog)
    assert dialog.proof.proven
    dialog.go_to(INPUT)
    dialog.input.form.window_hu[1].setText("123")
    press_next(qtbot, dialog)
    press_next(qtbot, dialog)
    assert not dialog.proof.proven
    dialog.proof.save_to(tmp_path / "model")
    settle(qtbot, dialog)
    assert "Prove the model first" in dialog.proof.fault.plain
    assert not (tmp_path / "model").exists()


def test_going_back_keeps_the_form_but_not_the_proof_of_another_network(
    qtbot, open_dialog, weights
):
    dialog = open_dialog()
    go_to_proof(qtbot, dialog, weights)
    dialog.proof.prove()
    settle(qtbot, dialog)
    dialog.go_to(NETWORK)
    for _ in range(4):
        press_next(qtbot, dialog)
    assert dialog.current == PROOF
    assert dialog.draft.labels == ("a", "b", "c")
    assert dialog.draft.input.shape == (32, 32, 32)
    assert not dialog.proof.proven


def test_an_existing_folder_is_not_written_into(qtbot, open_dialog, weights, tmp_path):
    dialog = open_dialog()
    go_to_proof(qtbot, dialog, weights)
    dialog.proof.prove()
    settle(qtbot, dialog)
    (tmp_path / "mine.txt").write_text("keep")
    dialog.proof.save_to(tmp_path)
    settle(qtbot, dialog)
    assert "it is there already" in dialog.proof.fault.plain
    assert dialog.isVisible()
    assert [f.name for f in tmp_path.iterdir()] == ["mine.txt"]


def test_a_change_in_an_earlier_step_is_gone_through_again(qtbot, open_dialog, weights):
    dialog = open_dialog()
    go_to_proof(qtbot, dialog, weights)
    dialog.go_to(LABELS)
    press_next(qtbot, dialog)
    assert dialog.current == INPUT
    dialog.go_to(PROOF)
    assert dialog.current == INPUT


def test_other_weights_are_never_proven_with_the_network_of_the_first(
    qtbot, open_dialog, weights, network, tmp_path
):
    dialog = open_dialog()
    go_to_proof(qtbot, dialog, weights)
    dialog.go_to(WEIGHTS)
    other = tmp_path / "other.pt"
    torch.save(network.state_dict(), other)
    load(qtbot, dialog, other)
    dialog._list.setCurrentRow(PROOF)
    assert dialog.current != PROOF
    dialog.go_to(PROOF)
    dialog.proof.prove()
    settle(qtbot, dialog)
    assert not dialog.proof.proven


def test_labels_and_name_of_one_bundle_are_not_given_to_another(qtbot, open_dialog, tmp_path):
    """They fit by their number, and nobody typed them."""
    first = write_bundle(tmp_path / "first")
    second = write_bundle(tmp_path / "second")
    metadata = second / "configs" / "metadata.json"
    text = metadata.read_text().replace('"no nodule"', '"healthy"').replace('"nodule"', '"covid"')
    metadata.write_text(text.replace("Nodule classifier", "Covid classifier"))
    dialog = open_dialog()

    def walk(bundle: Path) -> None:
        load(qtbot, dialog, bundle)
        while dialog.current != PROOF:
            press_next(qtbot, dialog)

    walk(first)
    assert dialog.draft.labels == ("no nodule", "nodule")
    dialog.proof.description.setText("mine")
    dialog.go_to(WEIGHTS)
    walk(second)
    assert dialog.draft.labels == ("healthy", "covid")
    assert dialog.proof.name.text() == "Covid classifier"
    assert dialog.proof.description.text() == "mine"


def test_what_is_edited_counts_when_a_later_step_is_clicked(qtbot, open_dialog, weights):
    dialog = open_dialog()
    go_to_proof(qtbot, dialog, weights)
    dialog._list.setCurrentRow(LABELS)
    assert dialog.current == LABELS
    dialog.labels.text.setPlainText("c, b, a")
    dialog._list.setCurrentRow(PROOF)
    assert dialog.current == INPUT
    assert dialog.draft.labels == ("c", "b", "a")


def test_the_name_cannot_change_under_the_proof(qtbot, open_dialog, weights):
    dialog = open_dialog()
    go_to_proof(qtbot, dialog, weights)
    dialog.proof.prove()
    assert not dialog.proof.name.isEnabled()
    settle(qtbot, dialog)
    assert dialog.proof.name.isEnabled()


def test_code_behind_many_blanks_is_in_sight(qtbot):
    request = TrustRequest(Path("<b>net</b>.py"), "0" * 64, "x = 1" + " " * 5000 + "; hidden()")
    dialog = TrustDialog(request)
    qtbot.addWidget(dialog)
    dialog.show()
    code = dialog.findChild(QPlainTextEdit)
    assert code.horizontalScrollBar().maximum() == 0
    assert any(
        "<b>" in label.text() and label.textFormat() == Qt.TextFormat.PlainText
        for label in dialog.findChildren(QLabel)
    )


def test_a_proof_can_be_cancelled(qtbot, open_dialog, weights, monkeypatch):
    from napari_hirescam.errors import Cancelled

    def endless(*_args, progress, should_stop):
        while not should_stop():
            progress(1, 2)
        raise Cancelled("stopped")

    dialog = open_dialog()
    go_to_proof(qtbot, dialog, weights)
    monkeypatch.setattr("napari_hirescam.models.proving.prove", endless)
    dialog.proof.prove_button.click()
    assert dialog.proof.prove_button.text() == "Cancel"
    dialog.proof.prove_button.click()
    settle(qtbot, dialog)
    assert not dialog.proof.proven
    assert dialog.proof.prove_button.text().startswith("Prove")


def test_the_argument_table_reads_what_it_shows(qtbot):
    table = ArgumentTable()
    qtbot.addWidget(table)
    arguments = {"layers": [1, 2], "norm": "batch", "pool": True, "rate": 0.5, "none": None}
    table.fill(arguments, {"stride": "left at 1"})
    assert table.arguments() == arguments
    table.set_value("stride", 2)
    assert table.arguments()["stride"] == 2


@pytest.mark.parametrize("size", [(620, 500), (800, 600), (1100, 800)])
def test_no_remark_of_the_input_page_is_clipped(qtbot, open_dialog, weights, size):
    dialog = open_dialog()
    load(qtbot, dialog, weights)
    press_next(qtbot, dialog)
    press_next(qtbot, dialog)
    dialog.labels.text.setPlainText("a, b, c")
    press_next(qtbot, dialog)
    assert dialog.current == INPUT
    dialog.resize(*size)
    remarks = {f: r for f, r in dialog.input.form.remarks.items() if r.plain}
    assert {"shape", "fit", "orientation"} <= remarks.keys()

    def cut() -> list[str]:
        return [f for f, r in remarks.items() if r.height() < r.heightForWidth(r.width())]

    qtbot.waitUntil(lambda: dialog.width() == size[0] and not cut(), timeout=2000)
    # A remark has the page's width, however narrow the field it is under.
    assert len({remark.width() for remark in remarks.values()}) == 1

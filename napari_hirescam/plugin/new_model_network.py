"""Second step of "New model folder...": what network the weights belong to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QCompleter,
    QFileDialog,
    QGridLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QRadioButton,
    QSpinBox,
)

from napari_hirescam.errors import HirescamError, InputError
from napari_hirescam.models.spec import Architecture
from napari_hirescam.plugin.argument_table import ArgumentTable
from napari_hirescam.plugin.jobs import Progress, ShouldStop
from napari_hirescam.plugin.new_model_step import ModelDraft, Remark, Step
from napari_hirescam.plugin.trust_dialog import TrustQuestion

if TYPE_CHECKING:
    from torch import nn

    from napari_hirescam.models.guess import Guess
    from napari_hirescam.models.own_python import NetworkMaker
    from napari_hirescam.models.trust import UserCode
    from napari_hirescam.models.weights_facts import WeightsFacts

_MOST_OUTPUTS = 100_000


class NetworkStep(Step):
    """A registered architecture, guessed from the weights, or the user's own Python."""

    def __init__(self, draft: ModelDraft) -> None:
        super().__init__(
            draft,
            "Network",
            "What the weights belong to. It is built now and given the weights, strictly.",
        )
        self._question = TrustQuestion(self)
        self._seen: WeightsFacts | None = None
        self._makers: tuple[NetworkMaker, ...] = ()
        self.by_name = QRadioButton("Registered")
        self.by_python = QRadioButton("My own Python")
        group = QButtonGroup(self)
        group.addButton(self.by_name)
        group.addButton(self.by_python)
        self.by_name.setChecked(True)
        self.name = QComboBox()
        self.name.setEditable(True)
        self.name.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.name.setToolTip("Those that fit the weights come first. Type to search.")
        completer = QCompleter(self.name.model(), self.name)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.name.setCompleter(completer)
        self.python = QLineEdit()
        self.python.setPlaceholderText("Python file with the network's class")
        self._browse = QPushButton("Browse…")
        self._browse.clicked.connect(self._ask_file)
        self.maker = QComboBox()
        self.maker.setToolTip("Class or function that makes the network. Read without running it.")
        self.python_remark = Remark()
        self.outputs = QSpinBox()
        self.outputs.setRange(1, _MOST_OUTPUTS)
        self.outputs.setToolTip("Width of the network's last layer: one label for each.")
        self.arguments = ArgumentTable()
        grid = QGridLayout()
        grid.addWidget(self.by_name, 0, 0)
        grid.addWidget(self.name, 0, 1, 1, 2)
        grid.addWidget(self.by_python, 1, 0)
        grid.addWidget(self.python, 1, 1)
        grid.addWidget(self._browse, 1, 2)
        grid.addWidget(self.maker, 2, 1, 1, 2)
        grid.addWidget(self.python_remark, 3, 1, 1, 2)
        grid.addWidget(QLabel("Outputs"), 4, 0)
        grid.addWidget(self.outputs, 4, 1, Qt.AlignmentFlag.AlignLeft)
        grid.setColumnStretch(1, 1)
        self.body.addLayout(grid)
        self.body.addWidget(self.arguments, 1)

        self.by_name.toggled.connect(self._on_way_changed)
        self.name.currentTextChanged.connect(self._on_name_changed)
        self.python.editingFinished.connect(self._on_python_edited)
        self.maker.currentTextChanged.connect(self._on_maker_changed)
        self.arguments.edited.connect(self.fault.clear_text)
        self._on_way_changed()

    def enter(self) -> None:
        """Offer the architectures that fit these weights."""
        facts = self.draft.facts
        if facts is None or facts is self._seen:
            return
        self._seen = facts
        fitting = [guess.name for guess in self.draft.guesses]
        others = [name for name in self.draft.known_names if name not in fitting]
        self.name.blockSignals(True)
        self.name.clear()
        self.name.addItems([*dict.fromkeys(fitting), *others])
        self.name.setCurrentIndex(0)
        self.name.blockSignals(False)
        self.outputs.setValue(facts.output_width or 1)
        # Whoever's weights are in no register has brought a file already, or will.
        known = bool(self.draft.guesses)
        (self.by_name if known else self.by_python).setChecked(True)
        self._fill_arguments()

    def choose_python(self, file: Path) -> None:
        """Look what a Python file holds, without running it."""
        from napari_hirescam.models.own_python import network_makers

        self.by_python.setChecked(True)
        self.python.setText(str(file))
        self.python_remark.clear_text()
        try:
            self._makers = network_makers(file)
        except HirescamError as error:
            self._makers = ()
            self.python_remark.fault(str(error))
        self.maker.clear()
        self.maker.addItems([maker.name for maker in self._makers])

    def submit(self) -> None:
        """Build the network and load the weights, in a thread."""
        facts = self.draft.facts
        if facts is None or self.busy:
            return
        try:
            arguments = self.arguments.arguments()
            if self.by_python.isChecked():
                architecture, file = self._python_architecture(arguments)
            else:
                name = self.name.currentText().strip()
                architecture, file = Architecture(name=name, arguments=arguments), None
        except HirescamError as error:
            self.fault.fault(str(error))
            return
        n_outputs = self.outputs.value()

        def work(_progress: Progress, should_stop: ShouldStop) -> tuple[nn.Module, UserCode | None]:
            from napari_hirescam.models.draft import build_network
            from napari_hirescam.models.own_python import agree_to_run

            code = None
            if file is not None:
                code = agree_to_run(file, lambda asked: self._question.ask(asked, should_stop))
            return build_network(facts, architecture, n_outputs, code), code

        def done(built: tuple[nn.Module, UserCode | None]) -> None:
            self.draft.network, self.draft.code = built
            self.draft.architecture, self.draft.n_outputs = architecture, n_outputs
            self.submitted.emit()

        self.work(work, facts.file.name, "Building the network", done)

    def _python_architecture(self, arguments: dict[str, Any]) -> tuple[Architecture, Path]:
        text, maker = self.python.text().strip(), self.maker.currentText().strip()
        if not text or not maker:
            raise InputError(
                "My own Python", "no file with a network is chosen", "Choose the Python file"
            )
        file = Path(text)
        return Architecture(python=file.name, callable=maker, arguments=arguments), file

    def _guess(self) -> Guess | None:
        name = self.name.currentText().strip()
        return next((guess for guess in self.draft.guesses if guess.name == name), None)

    def _fill_arguments(self) -> None:
        self.fault.clear_text()
        facts = self.draft.facts
        if self.by_python.isChecked():
            name = self.maker.currentText()
            maker = next((maker for maker in self._makers if maker.name == name), None)
            given = facts and maker and maker.suggest(facts.output_width, facts.in_channels)
            notes = {
                key: f"left out: {value!r}"
                for key, value in (maker.arguments if maker else {}).items()
                if key not in (given or {})
            }
            self.arguments.fill(given or {}, notes)
            return
        guess = self._guess()
        if guess is None:
            self.arguments.fill({}, {})
            return
        self.outputs.setValue(guess.n_labels)
        source = "said by the bundle" if guess.said else "read off the weights"
        notes = dict.fromkeys(guess.arguments, source)
        for key, words in guess.unseen.items():
            left = "" if key in guess.arguments else "left at "
            notes[key] = f"not visible in the weights; {left}{words}"
        self.arguments.fill(guess.arguments, notes)

    def _on_way_changed(self) -> None:
        own = self.by_python.isChecked()
        self.name.setEnabled(not own)
        for field in (self.python, self._browse, self.maker):
            field.setEnabled(own)
        self._fill_arguments()

    def _on_name_changed(self, _name: str) -> None:
        if not self.by_python.isChecked():
            self._fill_arguments()

    def _on_maker_changed(self, _name: str) -> None:
        if self.by_python.isChecked():
            self._fill_arguments()

    def _on_python_edited(self) -> None:
        text = self.python.text().strip()
        if text:
            self.choose_python(Path(text))

    def _ask_file(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Open a Python file", "", "Python (*.py)")
        if name:
            self.choose_python(Path(name))

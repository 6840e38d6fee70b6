"""How a new review is done: its name, organs, questions, order, blinding and repeats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QWidget,
)

from napari_hirescam.organs.organ_tables import BUILT_IN

if TYPE_CHECKING:
    from napari_hirescam.review.form import Order, Plan

_ORDERS: dict[str, Order] = {
    "as given": "given",
    "random, by scan": "random",
    "worst first, by the checks": "worst_first",
}
_FROM_FILE = "as the mask or table says"
_MOST_REPEATS, _LARGEST_SEED = 50, 999_999


class ReviewPlanForm(QGroupBox):
    """Fields of :class:`~napari_hirescam.review.form.Plan`, and what becomes items."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("How it is reviewed", parent)
        self.name = QLineEdit()
        self.organs = QLineEdit()
        self.organs.setPlaceholderText("all that the masks tell of; or left_lung, right_lung")
        self.labels = QLineEdit()
        self.labels.setPlaceholderText("all that have a map; or nodule, effusion; - for none")
        self.organ_table = QComboBox()
        self.organ_table.setEditable(True)
        self.organ_table.addItems([_FROM_FILE, *BUILT_IN])
        self.organ_table.setToolTip("Which value of a mask is which organ: built in, or a file.")
        self.model = QLineEdit()
        self.model.setPlaceholderText("none; a model folder makes maps on demand")
        self.questions = QLineEdit()
        self.questions.setPlaceholderText("the usual form; or a YAML file with your questions")
        self.order = QComboBox()
        self.order.addItems(list(_ORDERS))
        self.seed = QSpinBox()
        self.seed.setRange(0, _LARGEST_SEED)
        self.seed.setToolTip("The same seed gives the same order and the same repeats.")
        self.repeats = QSpinBox()
        self.repeats.setRange(0, _MOST_REPEATS)
        self.repeats.setSuffix(" %")
        self.repeats.setToolTip("Items that come back once, unannounced: how far readers agree "
                                "with themselves.")  # fmt: skip
        self.hide_scores = QCheckBox("&scores and checks")
        self.hide_names = QCheckBox("na&mes")
        self.hide_readers = QCheckBox("&other readers until done")
        self.hide_readers.setChecked(True)
        self.check = QCheckBox("&Run the automatic checks now (reads every CT once)")
        form = QFormLayout(self)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Name", self.name)
        form.addRow("Organs", self.organs)
        form.addRow("Labels", self.labels)
        form.addRow("Mask values", self.organ_table)
        form.addRow("Model", _with_browse(self.model, self._ask_model))
        form.addRow("Questions", _with_browse(self.questions, self._ask_questions))
        form.addRow(
            "Order", _row(self.order, QLabel("seed"), self.seed, QLabel("repeats"), self.repeats)
        )
        form.addRow("Hide", _row(self.hide_scores, self.hide_names, self.hide_readers))
        form.addRow("", self.check)

    def plan(self) -> Plan:
        """Read the plan.

        Raises
        ------
        ReviewError
            The file of questions cannot be used.
        """
        from napari_hirescam.review.form import Blinding, Form, Plan
        from napari_hirescam.review.form_file import read_form

        questions = self.questions.text().strip()
        return Plan(
            name=self.name.text().strip() or "Mask review",
            form=read_form(questions) if questions else Form(),
            blinding=Blinding(
                scores=self.hide_scores.isChecked(),
                names=self.hide_names.isChecked(),
                other_readers=self.hide_readers.isChecked(),
            ),
            order=_ORDERS[self.order.currentText()],
            seed=self.seed.value(),
            repeat_share=self.repeats.value() / 100,
        )

    def choices(self) -> dict[str, Any]:
        """Read what :func:`~napari_hirescam.review.work_list.plan_items` takes."""
        table = self.organ_table.currentText().strip()
        model = self.model.text().strip()
        return {
            "organs": _listed(self.organs.text()),
            "labels": _listed(self.labels.text()),
            "organ_table": None if table in {"", _FROM_FILE} else table,
            "model": Path(model).expanduser() if model else None,
        }

    def _ask_model(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Model folder", self.model.text())
        if name:
            self.model.setText(name)

    def _ask_questions(self) -> None:
        name, _ = QFileDialog.getOpenFileName(
            self, "Questions", self.questions.text(), "YAML (*.yaml *.yml);;All files (*)"
        )
        if name:
            self.questions.setText(name)


def _listed(text: str) -> tuple[str, ...] | None:
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    return () if names == ("-",) else names or None


def _row(*widgets: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)
    layout.addStretch(1)
    return row


def _with_browse(line: QLineEdit, ask: Any) -> QWidget:
    button = QPushButton("Browse…")
    button.setAutoDefault(False)
    button.clicked.connect(lambda _down: ask())
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(line, 1)
    layout.addWidget(button)
    return row

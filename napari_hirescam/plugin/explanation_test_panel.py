"""The panel that tests the shown map: remove its cells, blank out the CT, randomise weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_hirescam.errors import HirescamError
from napari_hirescam.plugin.finding_view import FindingView, wrapped_words
from napari_hirescam.plugin.jobs import CurrentJob, Job, Progress, ShouldStop, tell_error

if TYPE_CHECKING:
    from napari_hirescam.attention import Explanation
    from napari_hirescam.evaluation.findings import Finding
    from napari_hirescam.models import Classifier
    from napari_hirescam.volume import Volume

    Point = tuple[float, float, float]

_NOTHING = "Run the model, and choose a label whose map is to be tested."


@dataclass(frozen=True)
class _Test:
    """A button, and what it starts."""

    text: str
    tip: str
    running: str


_TESTS = {
    "removal": _Test(
        "Remove cells",
        "Set the cells the map points at to zero, and put them back: does the score follow, and "
        "more than for random cells? Runs the layers above the target layer some hundreds of "
        "times: seconds for one linear layer, longer for many.",
        "Removing cells",
    ),
    "occlusion": _Test(
        "Blank out CT",
        "Replace the CT where the map points by its local mean: does the score fall, and more "
        "than for random places? Takes a dozen forward passes or two.",
        "Blanking out the CT",
    ),
    "randomisation": _Test(
        "Randomise weights",
        "Let a copy of the network forget, layer by layer: does the map change? One that stays "
        "says nothing of what the network learned. Takes some dozens of forward passes.",
        "Randomising weights",
    ),
}


@dataclass(frozen=True, eq=False)
class _Subject:
    """The map that the host shows."""

    volume: Volume
    classifier: Classifier
    explanation: Explanation
    label: str
    method: str
    at_mm: Point | None

    @property
    def title(self) -> str:
        from napari_hirescam.attention import METHODS

        return f"{self.label}, {METHODS[self.method].title}"

    def is_that_of(self, other: _Subject | None) -> bool:
        return (
            other is not None
            and self.volume is other.volume
            and self.classifier is other.classifier
            and self.explanation is other.explanation
            and (self.label, self.method, self.at_mm) == (other.label, other.method, other.at_mm)
        )


class ExplanationTestPanel(QWidget):
    """Three tests of one map; what they found is dropped as soon as another map is shown.

    The host says by :meth:`set_subject` which map that is.
    """

    busy_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._subject: _Subject | None = None
        self._findings: dict[str, Finding] = {}
        self._shown: str | None = None
        self._running = ""
        self._current = CurrentJob()
        self.destroyed.connect(self._current.abandon)
        self._build()
        self._refresh(_NOTHING)

    # -- what the host says and asks ---------------------------------------------------------

    @property
    def job(self) -> Job | None:
        """The test that is going on."""
        return self._current.job

    @property
    def finding(self) -> Finding | None:
        """What is shown."""
        return self._findings.get(self._shown) if self._shown else None

    @property
    def status_text(self) -> str:
        """What the panel says of itself, above the plot."""
        text: str = self.status.text()
        return text

    def set_subject(
        self,
        volume: Volume | None,
        classifier: Classifier | None,
        explanation: Explanation | None,
        label: str | None,
        method: str | None,
        at_mm: Point | None = None,
    ) -> None:
        """Say which map is shown; None where there is none.

        A test of another map that is going on is stopped, and what was found of it is dropped.
        Saying the same again changes nothing.

        Parameters
        ----------
        volume, classifier, explanation
            As the map was made from them.
        label, method
            Which map of the explanation.
        at_mm
            (I, P, L) mm of the window's centre, for a patch network; may be left out.
        """
        subject: _Subject | None = None
        if (
            volume is not None
            and classifier is not None
            and explanation is not None
            and label is not None
            and method is not None
        ):
            subject = _Subject(volume, classifier, explanation, label, method, at_mm)
        before = self._subject
        if subject is before or (subject is not None and subject.is_that_of(before)):
            return
        said = self._drop(before)
        self._subject = subject
        here = _NOTHING if subject is None else f"Test the map of {subject.title}."
        self._refresh(f"{here} {said}".strip())

    def start(self, key: str) -> None:
        """Start a test of the shown map, or show what it found before."""
        subject = self._subject
        if subject is None or self._current.job is not None:
            return
        if key in self._findings:
            self._show(key)
            return

        def work(progress: Progress, should_stop: ShouldStop) -> Finding:
            return _run_test(key, subject, progress, should_stop)

        self._running = key
        self._current.job = job = Job(work, subject=subject.volume.name)
        job.progressed.connect(self._on_progress)
        job.succeeded.connect(self._on_succeeded)
        job.failed.connect(self._on_failed)
        job.cancelled.connect(self._on_cancelled)
        job.ended.connect(self._on_ended)
        self._on_progress(0, 0)
        self._refresh(f"{_TESTS[key].running}: {subject.title}.")
        self.busy_changed.emit()
        job.start()

    def cancel(self) -> None:
        """Ask the test to stop."""
        if self._current.job is not None:
            self._current.job.stop()
            self.stop.setText("Cancelling…")
            self.stop.setEnabled(False)

    def abandon(self) -> None:
        """Stop everything and report nothing any more."""
        self._drop(None)
        self._refresh("")
        self.view.saver.abandon()

    # -- widgets -----------------------------------------------------------------------------

    def _build(self) -> None:
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        self.buttons: dict[str, QPushButton] = {}
        for key, test in _TESTS.items():
            button = QPushButton(test.text)
            button.setToolTip(test.tip)
            button.setCheckable(True)
            button.clicked.connect(lambda _checked, key=key: self._on_clicked(key))
            # As wide as its text asks, no narrower: three of them fit into the narrowest dock.
            button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            self.buttons[key] = button
            row.addWidget(button, len(test.text))
        self.bar = QProgressBar()
        self.stop = QPushButton("Cancel")
        self.stop.clicked.connect(self.cancel)
        self.work_row = QWidget()
        going = QHBoxLayout(self.work_row)
        going.setContentsMargins(0, 0, 0, 0)
        going.addWidget(self.bar, 1)
        going.addWidget(self.stop)
        self.status = wrapped_words()
        self.view = FindingView()
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(4)
        whole.addLayout(row)
        whole.addWidget(self.work_row)
        whole.addWidget(self.status)
        whole.addWidget(self.view, 1)
        whole.addStretch(0)  # takes the room only where there is no result

    def _refresh(self, said: str) -> None:
        """Bring every widget in line with what is known."""
        busy = self._current.job is not None
        finding = self.finding
        for key, button in self.buttons.items():
            button.setEnabled(self._subject is not None and not busy)
            button.setChecked(finding is not None and key == self._shown)
        self.work_row.setVisible(busy)
        if not busy:
            self.stop.setText("Cancel")
            self.stop.setEnabled(True)
        self.status.setText(said)
        self.status.setVisible(bool(said))
        self.view.show_finding(finding)

    # -- what happens ------------------------------------------------------------------------

    def _on_clicked(self, key: str) -> None:
        self.buttons[key].setChecked(key == self._shown)
        self.start(key)

    def _on_progress(self, done: int, total: int) -> None:
        self.bar.setRange(0, total)
        self.bar.setValue(done)

    def _on_succeeded(self, finding: Finding) -> None:
        self._findings[finding.key] = finding
        self._current.job = None
        self._show(finding.key)

    def _show(self, key: str) -> None:
        self._shown = key
        self._refresh("")

    def _on_failed(self, error: HirescamError) -> None:
        self._current.job = None
        self._refresh(str(error))
        tell_error(error)

    def _on_cancelled(self) -> None:
        self._current.job = None
        self._refresh(f"{_TESTS[self._running].running} was cancelled.")

    def _on_ended(self) -> None:
        self._current.job = None
        self.busy_changed.emit()

    def _drop(self, before: _Subject | None) -> str:
        """Forget what was found, and stop what is going on; say so."""
        said = ""
        if self._current.job is not None:
            self._current.abandon()
            if before is not None:
                said = f"The test of {before.title} was stopped."
            self.busy_changed.emit()
        elif self._findings and before is not None:
            said = f"What was found of {before.title} is gone, since another map is shown."
        self._findings.clear()
        self._shown = None
        return said


def _run_test(key: str, subject: _Subject, progress: Progress, should_stop: ShouldStop) -> Finding:
    from napari_hirescam.evaluation import explanation_tests

    tests: dict[str, Callable[..., Finding]] = {
        "removal": explanation_tests.removal_test,
        "occlusion": explanation_tests.occlusion_test,
        "randomisation": explanation_tests.randomisation_test,
    }
    return tests[key](
        subject.volume,
        subject.classifier,
        subject.label,
        subject.method,
        explanation=subject.explanation,
        at_mm=subject.at_mm,
        progress=progress,
        should_stop=should_stop,
    )

"""What the steps of "New model folder..." share: the draft they fill, faults, jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QProgressBar, QSizePolicy, QVBoxLayout, QWidget

from napari_hirescam.models.spec import Architecture, InputSpec, OutputSpec
from napari_hirescam.plugin.jobs import CurrentJob, Job, Work
from napari_hirescam.plugin.verdict import DOUBT_COLOUR, GOOD_COLOUR, WRONG_COLOUR

if TYPE_CHECKING:
    from torch import nn

    from napari_hirescam.errors import HirescamError
    from napari_hirescam.models.guess import Guess
    from napari_hirescam.models.trust import UserCode
    from napari_hirescam.models.weights_facts import WeightsFacts
    from napari_hirescam.volume import Volume


@dataclass
class ModelDraft:
    """What the steps have found out so far; each fills its own part.

    Parameters
    ----------
    volume
        The CT the model is proven on; None proves on noise.
    """

    volume: Volume | None
    facts: WeightsFacts | None = None
    guesses: tuple[Guess, ...] = ()
    known_names: tuple[str, ...] = ()
    architecture: Architecture | None = None
    code: UserCode | None = None
    network: nn.Module | None = None
    n_outputs: int | None = None
    labels: tuple[str, ...] = ()
    activation: str = "sigmoid"
    input: InputSpec | None = None
    output: OutputSpec = field(default_factory=OutputSpec)
    target_layer: str = ""


class Remark(QLabel):
    """A line beside a field, hidden while there is nothing to say."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        self.plain = ""
        self.clear_text()

    def clear_text(self) -> None:
        """Say nothing."""
        self._say("", "", "")

    def fault(self, text: str) -> None:
        """Say what is wrong; an empty text says that nothing is."""
        self._say("✘", WRONG_COLOUR, text)

    def doubt(self, text: str) -> None:
        """Say what to look at."""
        self._say("⚠", DOUBT_COLOUR, text)

    def good(self, text: str) -> None:
        """Say what holds."""
        self._say("✔", GOOD_COLOUR, text)

    def _say(self, sign: str, colour: str, text: str) -> None:
        self.plain = text
        lines = "<br>".join(escape(line) for line in text.splitlines())
        self.setText(f'<span style="color:{colour}">{sign}</span> {lines}' if text else "")
        self.setVisible(bool(text))


class Step(QWidget):
    """One page: a title, a sentence, fields; `submitted` when its part of the draft stands.

    Parameters
    ----------
    draft
        Filled by this step.
    title
        In the list of steps.
    sentence
        What is asked here.
    """

    submitted = Signal()
    busy_changed = Signal()

    def __init__(self, draft: ModelDraft, title: str, sentence: str) -> None:
        super().__init__()
        self.draft = draft
        self.title = title
        self._current = CurrentJob()
        self.destroyed.connect(self._current.abandon)
        heading = QLabel(f"<h3>{escape(title)}</h3>{escape(sentence)}")
        heading.setWordWrap(True)
        self.fault = Remark()
        self._bar = QProgressBar()
        self._bar.setTextVisible(True)
        self._bar.hide()
        self.body = QVBoxLayout()
        layout = QVBoxLayout(self)
        layout.addWidget(heading)
        layout.addLayout(self.body, 1)
        layout.addWidget(self.fault)
        layout.addWidget(self._bar)

    @property
    def busy(self) -> bool:
        """True while something runs in a thread."""
        return self._current.job is not None

    def enter(self) -> None:
        """Take over what earlier steps changed; called whenever the page is shown."""

    def submit(self) -> None:
        """Put this step's part into the draft, then emit `submitted`; or say what is wrong."""
        self.submitted.emit()

    def abandon(self) -> None:
        """Stop what runs, and hear no more of it."""
        self._current.abandon()
        self._bar.hide()

    def stop(self) -> None:
        """Ask what runs to stop."""
        if self._current.job is not None:
            self._current.job.stop()

    def work(self, work: Work, subject: str, words: str, done: Callable[[Any], None]) -> None:
        """Run something in a thread, in place of what ran before.

        Parameters
        ----------
        work
            As for :class:`Job`.
        subject
            What it is about, for its failure.
        words
            Shown in the progress bar.
        done
            Called with the result in the GUI thread.
        """
        self._current.abandon()
        self.fault.clear_text()
        job = Job(work, subject)
        job.progressed.connect(self._on_progressed)
        job.succeeded.connect(done)
        job.failed.connect(self.on_failed)
        job.ended.connect(self._on_ended)
        self._current.job = job
        self._bar.setRange(0, 0)
        self._bar.setFormat(words)
        self._bar.show()
        job.start()
        self.busy_changed.emit()

    def on_failed(self, error: HirescamError) -> None:
        """Say a failure on the page."""
        self.fault.fault(str(error))

    def _on_progressed(self, done: int, total: int) -> None:
        self._bar.setRange(0, total)
        self._bar.setValue(done)

    def _on_ended(self) -> None:
        self._current.job = None
        self._bar.hide()
        self.busy_changed.emit()

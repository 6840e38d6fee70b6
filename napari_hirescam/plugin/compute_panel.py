"""Where, and in which precision, a run is computed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from napari_hirescam.models import Classifier

AUTOMATIC = "auto"
_NAMES = {"cpu": "CPU", "cuda": "CUDA (NVIDIA)", "mps": "MPS (Apple)"}


@dataclass(frozen=True)
class ComputeSettings:
    """How to compute.

    Parameters
    ----------
    device
        'cpu', 'cuda' or 'mps'; None for the fastest there is.
    mixed_precision
        Compute with fewer digits where the device is faster so.
    prepared
        Run a faster copy of the network that is made once.
    """

    device: str | None = None
    mixed_precision: bool = False
    prepared: bool = False

    def place(self, classifier: Classifier) -> Classifier:
        """Bring a classifier's network to the device."""
        from napari_hirescam.models.classifier import devices

        device = self.device or devices()[0]
        if device != _device_of(classifier):
            classifier.network.to(device)
        return as_placed(classifier)


def as_placed(classifier: Classifier) -> Classifier:
    """Make the classifier say where its network is; the very same one if it does already.

    Classifiers of several target layers share one network, which a run of any may have moved.
    """
    from napari_hirescam.models import Classifier

    device = _device_of(classifier)
    if device == classifier.device:
        return classifier
    return Classifier(
        classifier.spec,
        classifier.network,
        folder=classifier.folder,
        weights_sha256=classifier.weights_sha256,
        device=device,
    )


def _device_of(classifier: Classifier) -> str:
    first = next(classifier.network.parameters(), None)
    return classifier.device if first is None else str(first.device.type)


class ComputePanel(QWidget):
    """Device and precision. What the machine has is looked up when the panel is first shown."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.device = QComboBox()
        self.device.addItem("Automatic", AUTOMATIC)
        self.device.setToolTip(
            "Where the network runs. If its memory runs out, the run goes on in parts, then on "
            "the CPU, and says so."
        )
        self.mixed = QCheckBox("Mixed precision")
        self.mixed.setEnabled(False)
        self.prepared = QCheckBox("Faster copy of the network")
        self.prepared.setToolTip(
            "Make a copy once that computes the same faster (batch norms folded, weights "
            "reordered), check that it does, and run that. It pays from the second run on and "
            "takes the memory of a second network."
        )
        self._why = QLabel()
        self._why.setWordWrap(True)
        row = QHBoxLayout()
        row.addWidget(QLabel("Device"))
        row.addWidget(self.device, 1)
        row.addWidget(self.mixed)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 2, 6, 4)
        layout.addLayout(row)
        layout.addWidget(self.prepared)
        layout.addWidget(self._why)
        self._found: list[str] = []
        self.device.currentIndexChanged.connect(self._on_changed)
        self.mixed.toggled.connect(self._on_changed)
        self.prepared.toggled.connect(self._on_changed)

    @property
    def settings(self) -> ComputeSettings:
        """What is chosen."""
        device = self.device.currentData()
        chosen = ComputeSettings(None if device == AUTOMATIC else device)
        on = self.mixed.isEnabled() and self.mixed.isChecked()
        return replace(chosen, mixed_precision=on, prepared=self.prepared.isChecked() and not on)

    def look_up(self) -> None:
        """Ask torch, once, what this machine has; torch takes a second to import."""
        if self._found:
            return
        from napari_hirescam.models.classifier import devices

        self.offer(devices())

    def offer(self, found: list[str]) -> None:
        """Offer these devices, the fastest first."""
        self._found = found
        self.device.setItemText(0, f"Automatic: {_NAMES.get(found[0], found[0])}")
        for name in found:
            self.device.addItem(_NAMES.get(name, name), name)
        self._on_changed()

    def _on_changed(self, _value: object = None) -> None:
        device = self.device.currentData()
        if device == AUTOMATIC and self._found:
            device = self._found[0]
        useful = device not in {"cpu", AUTOMATIC}
        self.mixed.setEnabled(useful)
        self.prepared.setEnabled(not (useful and self.mixed.isChecked()))
        if not useful:
            why = "Mixed precision is for accelerators: on the CPU it is no faster."
        elif self.mixed.isChecked():
            why = "Fewer digits, and so a larger residual: it is shown with each map."
        else:
            why = ""
        self.mixed.setToolTip(
            "Compute most of the network in 16 bits: faster, with a larger residual."
        )
        self._why.setText(f"<small>{why}</small>")
        self._why.setVisible(bool(why))
        self.changed.emit()

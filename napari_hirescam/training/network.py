"""The network that is to be trained, with what it says about itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hirescam.errors import HirescamError, ModelFileError, SettingsError
from napari_hirescam.models import Classifier, ModelSpec, load_model
from napari_hirescam.models.architectures import build_by_name, default_target_layer
from napari_hirescam.models.dry_run import UnknownLayerError
from napari_hirescam.models.label_lists import label_list_names, read_label_list
from napari_hirescam.models.trust import AskTrust
from napari_hirescam.models.weights import read_state_dict
from napari_hirescam.training.settings import TrainingSettings

if TYPE_CHECKING:
    from torch import nn

_SETTINGS = "settings"
_SHOWN = 5
#: What a checkpoint of a whole ResNet has beyond the trunk: its own classifier.
_NO_TRUNK = ("fc.", "classifier.", "head.")
#: torchvision's names for the parts of a ResNet, in the order in which our trunk holds them.
_RESNET_PARTS = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")


def wanted_labels(settings: TrainingSettings) -> tuple[str, ...] | None:
    """Name the labels that the settings ask for; None leaves it to the table.

    Raises
    ------
    SettingsError
        There is no such list.
    """
    labels = settings.model.labels
    if not isinstance(labels, str):
        return labels
    try:
        return read_label_list(labels)
    except KeyError as exc:
        raise SettingsError(
            "model.labels",
            f"no list {labels!r} is shipped",
            f"List the labels one by one, or name one of: {', '.join(label_list_names())}",
        ) from exc


def make_classifier(
    settings: TrainingSettings, labels: tuple[str, ...], *, trust: AskTrust | None = None
) -> Classifier:
    """Build the network, or load the model to go on from, on the CPU.

    Its weights are drawn from torch's generator: seed it first.

    Parameters
    ----------
    settings
        Of the training.
    labels
        Of the outputs, where the network is built anew.
    trust
        Asked before code of the model to start from runs.

    Raises
    ------
    ModelFileError, UntrustedModelError
        Architecture, model or weights cannot be used.
    SettingsError
        They cannot be trained: unknown target layer, a network that fails on its input or gives
        another number of scores, scores that exclude one another, a model that sees a part only.
    """
    if settings.model.start_from is not None:
        classifier = load_model(settings.model.start_from, trust=trust, device="cpu")
        if classifier.spec.architecture.program is not None:
            raise SettingsError(
                settings.model.start_from,
                "a saved program cannot be trained",
                "Start from a model with 'name' or 'python' under 'architecture'",
            )
    else:
        classifier = _new(settings, labels)
    if settings.model.trunk_weights is not None:
        _load_trunk(classifier.network, settings.model.trunk, Path(settings.model.trunk_weights))
    if settings.model.target_layer is not None:
        try:
            classifier = classifier.with_target_layer(settings.model.target_layer)
        except UnknownLayerError as exc:
            raise SettingsError("model.target_layer", str(exc), "Name one of its layers") from exc
    _check(classifier)
    for parameter in classifier.network.parameters():
        parameter.requires_grad_(True)
    return classifier


def _new(settings: TrainingSettings, labels: tuple[str, ...]) -> Classifier:
    model = settings.model
    if model.architecture is None or model.input is None:
        raise ValueError("a new network needs an architecture and an input")
    network = build_by_name(
        model.architecture.name or "",
        len(labels),
        model.architecture.arguments,
        Path(_SETTINGS),
        model.input,
    )
    layer = model.target_layer or default_target_layer(network)
    if layer is None:
        raise SettingsError(
            "model.target_layer",
            f"the usual layer of {model.architecture.name!r} is not known",
            "Name the layer whose output the last linear layer reads",
        )
    spec = ModelSpec(
        name=settings.name,
        description=model.description,
        architecture=model.architecture,
        weights="weights.safetensors",
        labels=labels,
        input=model.input,
        output=model.output,
        target_layer=layer,
    )
    return Classifier(spec, network, device="cpu")


def _check(classifier: Classifier) -> None:
    spec = classifier.spec
    if spec.activation != "sigmoid":
        raise SettingsError(
            spec.name,
            "its scores exclude one another (softmax), and labels are trained one by one",
            "Start from a model with activation 'sigmoid'",
        )
    if spec.input.needs_point:
        raise SettingsError(
            "model.input",
            "the network sees a part of a CT only, and nobody says which",
            "Use fit 'centre' or 'resize', and layout 'volume', 'axial_triples' or 'slices'",
        )
    try:
        run = classifier.dry_run
    except HirescamError:
        raise
    except UnknownLayerError as exc:
        raise SettingsError("model.target_layer", str(exc), "Name one of its layers") from exc
    except Exception as exc:  # a forward can fail in any way
        raise SettingsError(
            "model",
            f"the network failed on an input of shape {list(classifier.input_shape)}: "
            f"{' '.join(str(exc).split())}",
            "Check 'input', 'target_layer' and 'architecture'",
        ) from exc
    if run.logits_shape != (1, len(spec.labels)):
        raise SettingsError(
            "model",
            f"the network gives scores of shape {list(run.logits_shape)}, and there are "
            f"{len(spec.labels)} labels",
            "Check 'architecture.arguments' and 'labels'",
        )


def _load_trunk(network: nn.Module, name: str, file: Path) -> None:
    """Load weights of a part; what the file has for a classifier of its own is left out."""
    try:
        trunk = network.get_submodule(name)
    except AttributeError as exc:
        raise SettingsError(
            "model.trunk", f"the network has no part {name!r}", "Name the part in 'trunk'"
        ) from exc
    given = {
        _own_name(key.removeprefix(f"{name}.")): value
        for key, value in read_state_dict(file).items()
        if not key.startswith(_NO_TRUNK)
    }
    own = trunk.state_dict()
    missing = [k for k in own if k not in given and not k.endswith("num_batches_tracked")]
    wrong = [
        f"{k} (file {list(given[k].shape)}, network {list(own[k].shape)})"
        for k in own
        if k in given and given[k].shape != own[k].shape
    ]
    if missing or wrong:
        first = ", ".join((missing or wrong)[:_SHOWN])
        raise ModelFileError(
            file,
            f"it does not fit {name!r}: {'it lacks' if missing else 'other shapes of'} {first}",
            "Give weights of the same network",
        )
    fitting: dict[str, Any] = {k: v for k, v in given.items() if k in own}
    trunk.load_state_dict(fitting, strict=False)


def _own_name(key: str) -> str:
    """Bring torchvision's name of a ResNet's weight to that of our trunk, which is a sequence."""
    first, dot, rest = key.partition(".")
    return f"{_RESNET_PARTS.index(first)}{dot}{rest}" if first in _RESNET_PARTS else key

"""Suggesting how a CT is fed to a network, from its name and the shapes of its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_hirescam.models.spec import INPUT_PRESETS, Architecture, InputSpec
from napari_hirescam.models.weights_facts import WeightsFacts

if TYPE_CHECKING:
    from torch import nn

#: Lengths of a cube or square that networks are commonly trained with, the commonest first.
_USUAL_LENGTHS = {2: (224, 256, 512, 128, 384, 299, 64, 96, 32), 3: (96, 128, 64, 112, 32, 160)}
#: Means and deviations of ImageNet's channels, which three-channel 2-D networks are fed by.
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
#: Images that CT-Net's input makes of a CT; AxialNet's makes one more.
_CTNET_IMAGES = 134


@dataclass(frozen=True)
class InputGuess:
    """An input section to begin with.

    Parameters
    ----------
    input
        The section.
    guessed
        Field -> what was taken and why, for every field that the user should look at.
    unknown
        Fields that nothing tells and that must be given.
    """

    input: InputSpec
    guessed: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


def suggest_input(
    facts: WeightsFacts, architecture: Architecture, network: nn.Module
) -> InputGuess:
    """Suggest an input section from the architecture's name and the weights' shapes."""
    name = architecture.name or ""
    if name and not name.startswith("monai."):
        preset = "axialnet"
        if architecture.arguments.get("slices") == _CTNET_IMAGES:
            preset = "ct-net"
        given = INPUT_PRESETS[preset]
        if facts.in_channels == 1:
            given = given.model_copy(update={"layout": "volume"})
        return InputGuess(given, {"preset": f"{preset}: how the papers' networks are fed"})
    rank, channels = facts.spatial_rank or 3, facts.in_channels or 1
    fitting, any_size = fitting_lengths(network, rank, channels)
    length = (fitting or _USUAL_LENGTHS[rank])[0]
    said = facts.bundle.spatial_shape if facts.bundle is not None else None
    bundle = facts.bundle
    guessed = {
        "window_hu": "-1000 to 800 HU, scaled to 0..1",
        "spacing_mm": "the CT's own",
        "orientation": "IPL: slices from head to feet, rows to the back, columns to the left"
        + ("; MONAI's transforms mostly make RAS" if bundle is not None else ""),
        "fit": "centre: padded and cropped about the CT's middle",
    }
    unknown: tuple[str, ...] = ()
    if said is not None and len(said) == rank:
        guessed["shape"] = "what the bundle's metadata says"
    elif fitting and not any_size:
        guessed["shape"] = f"{length}: of the usual sizes the network's last layer takes this one"
    else:
        unknown = ("shape",)
    settings: dict[str, Any] = {"channels": channels, "shape": (length,) * 3}
    if said is not None and len(said) == rank:
        settings["shape"] = said
    if bundle is not None and bundle.value_range is not None:
        settings["scale_to"] = bundle.value_range
        low, high = bundle.value_range
        guessed["window_hu"] = "-1000 to 800 HU"
        guessed["scale_to"] = f"{low:g} to {high:g}, what the bundle's metadata says"
    if rank == 2:
        flat = settings["shape"][-2:]
        settings |= {"layout": "slice", "fit": "resize", "shape": (1, *flat)}
        guessed["layout"] = "slice: a 2-D network looks at the slice the user chooses"
        guessed["fit"] = "resize: the whole slice, resampled"
        if channels == len(_IMAGENET[0]):
            settings |= {"channel_mean": _IMAGENET[0], "channel_std": _IMAGENET[1]}
            guessed["channel_mean"] = "ImageNet's, usual for three channels"
    return InputGuess(InputSpec(**settings), guessed, unknown)


def fitting_lengths(network: nn.Module, rank: int, channels: int) -> tuple[tuple[int, ...], bool]:
    """Try the usual cubes or squares, without arithmetic, and tell which the network takes.

    Returns
    -------
    lengths, any_size
        Those taken, the commonest first; and True if the size makes no difference (or nothing
        could be tried).
    """
    import torch

    from napari_hirescam.models.borrow import borrowed
    from napari_hirescam.models.traced_pass import floating_type

    own = [*network.named_parameters(), *network.named_buffers()]
    stand_ins = {name: torch.empty_like(value, device="meta") for name, value in own}
    lengths = _USUAL_LENGTHS[rank]
    taken = []
    with borrowed(network), torch.inference_mode():
        for length in lengths:
            shape = (1, channels, *(length,) * rank)
            given = torch.zeros(shape, device="meta", dtype=floating_type(network))
            try:
                torch.func.functional_call(network, stand_ins, (given,))
            except Exception:  # noqa: BLE001, S112 - a size that a forward refuses, in any way
                continue
            taken.append(length)
    return tuple(taken), len(taken) in (0, len(lengths))

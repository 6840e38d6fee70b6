"""A network made ready for many forward passes: fewer and faster operations, same results.

Batch norms in eval mode are affine, so each is folded into the convolution or linear layer it
alone reads; on a CPU the memory layout with channels last is used, and the weights of the
convolutions below the target layer are reordered once instead of in every pass; there, too, a
convolution that a ReLU and a 3-D max pool follow goes through them slab by slab. The result is a
frozen copy; the user's network is never changed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from napari_hirescam.errors import Cancelled
from napari_hirescam.models.borrow import borrowed
from napari_hirescam.models.dry_run import find_layer, is_input
from napari_hirescam.models.faster_layers import PackedConvolution, can_be_packed, fold_norm
from napari_hirescam.models.module_calls import ModuleCalls, give_up_if
from napari_hirescam.models.same_results import Results
from napari_hirescam.models.scores import PLAIN_OUTPUT
from napari_hirescam.models.slab_stem import PooledConvolution, can_be_pooled_in_slabs
from napari_hirescam.models.spec import OutputSpec
from napari_hirescam.models.traced_pass import floating_type

#: Largest difference allowed, relative to the largest value of logits or activation.
_TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-12}

_Replacements = dict[str, nn.Module]
Stamp = tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, eq=False)
class Preparation:
    """A network ready to be run often, or the reasons why it was left as it is.

    Parameters
    ----------
    network
        The prepared copy; the very network that was given if nothing could be gained. Layers
        keep their dotted names. Gradients can be taken only from the target layer on.
    folded, packed
        Batch norms that are gone, and convolutions whose weights are reordered.
    in_slabs
        Convolutions that do the work of their ReLU and max pool as well, slab by slab.
    notes
        One clause for each thing that was not done, and why.
    stamp
        Of the weights and buffers it was made from; see :meth:`is_current`.
    """

    network: nn.Module
    folded: int = 0
    packed: int = 0
    in_slabs: int = 0
    notes: tuple[str, ...] = ()
    stamp: Stamp = ()

    @property
    def is_prepared(self) -> bool:
        """True if `network` is a copy that was changed."""
        return bool(self.folded or self.packed or self.in_slabs)

    def is_current(self, network: nn.Module) -> bool:
        """True if weights and buffers of the network this was made from are still the same."""
        return not self.is_prepared or self.stamp == _stamp(network)


def prepare_network(
    network: nn.Module,
    example: Tensor | Sequence[int],
    target_layer: str,
    output: OutputSpec = PLAIN_OUTPUT,
    *,
    should_stop: Callable[[], bool] | None = None,
) -> Preparation:
    """Copy a network into one that computes the same faster.

    What can be folded is found by watching one forward pass, not by names. The copy then has to
    prove itself: on the example its logits and the output of the target layer must be those of
    the network, within 1e-5 of the largest value (1e-12 in double precision).

    Parameters
    ----------
    network
        Any torch module; left as it was. Its weights are shared where they stay the same.
    example
        An input, batch axis included, or the shape of one (then noise is used).
    target_layer
        Dotted name of the layer whose output must stay what it is.
    output
        Where the logits are.
    should_stop
        Asked before each layer.

    Returns
    -------
    The copy, or the network itself with the reason.

    Raises
    ------
    UnknownLayerError
        The target layer does not exist.
    Cancelled
        `should_stop` said so.
    """
    stop = should_stop or (lambda: False)
    if not is_input(network, target_layer):
        find_layer(network, target_layer)
    kind = floating_type(network)
    if isinstance(network, torch.jit.ScriptModule):
        return Preparation(network, notes=("a TorchScript program cannot be taken apart",))
    if kind not in _TOLERANCES:
        return Preparation(network, notes=(f"{kind} is too coarse to prove that nothing changed",))
    try:
        with torch.inference_mode(False), torch.no_grad(), torch.random.fork_rng(devices=[]):
            return _prepare(network, _as_tensor(example, network), target_layer, output, stop)
    except (Cancelled, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as exc:  # noqa: BLE001 - what the user's network does to a copy is unknown
        words = f"{type(exc).__name__}: {' '.join(str(exc).split())}"
        return Preparation(network, notes=(f"the network cannot be prepared: {words}",))


def _prepare(
    network: nn.Module,
    given: Tensor,
    target_layer: str,
    output: OutputSpec,
    stop: Callable[[], bool],
) -> Preparation:
    with borrowed(network, stop):
        original = _twin(network)
        stamp = _stamp(network)
    traced = _twin(original)
    names = {module: name for name, module in traced.named_modules()}
    watched = [
        find_layer(traced, name)
        for name in (target_layer, output.layer)
        if name and not is_input(traced, name)
    ]
    calls = ModuleCalls(traced, tuple(watched), stop)
    with calls:
        expected = Results.of(traced, given, target_layer, output)
    calls.finish()
    if calls.numbers_read:
        # It may leave out a batch norm for one input and not for the next.
        words = f"what it does may depend on its input ({', '.join(calls.numbers_read)})"
        return Preparation(network, notes=(words,))
    if not expected.say_something:
        return Preparation(network, notes=("its target layer is dead or NaN on this input",))
    pairs = calls.foldable
    shapes = {names[module]: shape for module, shape in calls.below.items()}
    chains = [tuple(names[module] for module in chain) for chain in calls.pooled_below]

    def folded() -> _Replacements:
        made: _Replacements = {}
        for maker, norm in pairs:
            made |= {names[maker]: fold_norm(maker, norm), names[norm]: nn.Identity()}
        return made

    notes: list[str] = []
    for way in _ways(original, folded, shapes, chains):
        give_up_if(stop)
        try:
            replacements = way.replacements()
            if not replacements:
                continue
            trial = _assembled(original, replacements, channels_last=way.channels_last)
            with _stoppable(trial, stop):
                found = Results.of(trial, given, target_layer, output)
        except (Cancelled, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as exc:  # noqa: BLE001 - the network may need what was taken from it
            notes.append(f"{way.name}: {' '.join(str(exc).split())}")
            continue
        difference = found.difference_from(expected)
        if difference <= _TOLERANCES[given.dtype]:
            # A fresh copy again: the trial may have changed what the network keeps as state.
            ready = _assembled(original, replacements, channels_last=way.channels_last)
            packed, in_slabs = (
                sum(isinstance(module, kind) for module in replacements.values())
                for kind in (PackedConvolution, PooledConvolution)
            )
            return Preparation(ready, len(pairs), packed, in_slabs, tuple(notes), stamp)
        notes.append(f"{way.name}: its results differ by {difference:.1g} of the largest value")
    return Preparation(
        network, notes=tuple(notes) or ("nothing in this network can be folded or reordered",)
    )


@contextmanager
def _stoppable(network: nn.Module, stop: Callable[[], bool]) -> Iterator[None]:
    # Taken off again: the new layers are those of the final copy as well.
    with ExitStack() as stack:
        for module in network.modules():
            hook = module.register_forward_pre_hook(lambda *_: give_up_if(stop))
            stack.callback(hook.remove)
        yield


@dataclass(frozen=True)
class _Way:
    """One combination of the means; the most thorough is tried first."""

    name: str
    channels_last: bool
    replacements: Callable[[], _Replacements]


def _ways(
    original: nn.Module,
    folded: Callable[[], _Replacements],
    shapes: dict[str, tuple[int, ...]],
    chains: list[tuple[str, ...]],
) -> list[_Way]:
    plain = _Way("batch norms folded", channels_last=False, replacements=folded)
    # Measured on CPUs only; on other devices torch's own choice of layout stands.
    if {tensor.device.type for tensor in original.parameters()} != {"cpu"}:
        return [plain]

    def with_packed() -> _Replacements:
        made = folded()
        layers = {**dict(original.named_modules()), **made}
        packed = {
            name: PackedConvolution(layers[name], shape)
            for name, shape in shapes.items()
            if can_be_packed(layers[name])
        }
        in_slabs: _Replacements = {}
        for maker, relu, pool in chains:
            if can_be_pooled_in_slabs(layers[maker], layers[pool]):
                in_slabs[maker] = PooledConvolution(layers[maker], layers[pool])
                in_slabs |= {relu: nn.Identity(), pool: nn.Identity()}
        return made | packed | in_slabs

    last = _Way("channels last", channels_last=True, replacements=folded)
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return [last, plain]
    return [_Way("weights reordered", channels_last=True, replacements=with_packed), last, plain]


def _assembled(
    original: nn.Module, replacements: _Replacements, *, channels_last: bool
) -> nn.Module:
    """Copy a network with some of its layers replaced."""
    result = _twin(original)
    layers = dict(result.named_modules(remove_duplicate=False))
    swaps = {layers[name]: module for name, module in replacements.items()}
    for parent in list(layers.values()):
        for name, child in parent.named_children():
            if child in swaps:
                setattr(parent, name, swaps[child])
    if channels_last:
        for parameter in result.parameters():
            if parameter.ndim in (4, 5):
                parameter.data = _with_channels_last(parameter.data)
    for parameter in result.parameters():
        parameter.requires_grad_(False)
    return result.eval()


def _with_channels_last(weight: Tensor) -> Tensor:
    layout = torch.channels_last if weight.ndim == 4 else torch.channels_last_3d
    # With one channel both layouts count as contiguous, so that asking for one changes nothing;
    # but the strides of the first convolution's weights decide for all that follow.
    return torch.empty_like(weight, memory_format=layout).copy_(weight)


def _twin(network: nn.Module) -> nn.Module:
    """Copy modules and buffers, share the numbers of the parameters, freeze."""
    memo: dict[int, Any] = {
        id(parameter): nn.Parameter(parameter.detach(), requires_grad=False)
        for parameter in network.parameters()
    }
    return copy.deepcopy(network, memo).eval()


def _stamp(network: nn.Module) -> Stamp:
    """Sum up what a network's weights and buffers hold.

    Their contents, not how often torch counted a write: writing to `weight.data` is not counted.
    Reading all of them once takes a hundredth of a pass.
    """
    kept = [*network.named_parameters(), *network.named_buffers()]
    return tuple((name, str(t.device), tuple(t.shape), *_digest(t.detach())) for name, t in kept)


def _digest(values: Tensor) -> tuple[str, ...]:
    # The exclusive or of all bits misses a change of every sign; the sum does not, which in turn
    # misses what is small beside it.
    if values.is_quantized or values.layout is not torch.strided:
        return (str(values._version),)  # noqa: SLF001
    try:
        bits = torch.hash_tensor(values)
    except (RuntimeError, NotImplementedError):  # not of every type, nor on every device
        bits = values.contiguous().flatten().view(torch.uint8).sum()
    return str(bits.item()), str(values.sum().item())


def _as_tensor(example: Tensor | Sequence[int], network: nn.Module) -> Tensor:
    first = next(network.parameters(), None)
    device = torch.device("cpu") if first is None else first.device
    if not isinstance(example, Tensor):
        example = torch.randn(tuple(example), generator=torch.Generator().manual_seed(0))
    return example.detach().to(device, floating_type(network))

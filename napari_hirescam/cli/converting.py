"""The steps of ``convert``: options read, gaps filled and said, faults named by their option."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hirescam.cli.converting_fields import Say, input_of, labels_of
from napari_hirescam.cli.option_values import (
    entry,
    key_value,
    named_by_option,
    number,
    numbers,
    option_of,
)
from napari_hirescam.errors import AttributionError, InputError
from napari_hirescam.models.architectures import default_target_layer
from napari_hirescam.models.draft import (
    build_network,
    draft_spec,
    placeholder_layer,
    save_draft,
    suggest_activation,
    validated,
)
from napari_hirescam.models.guess import Guess, guess_architectures
from napari_hirescam.models.own_python import REQUIRED, agree_to_run, network_makers
from napari_hirescam.models.proving import Proof, prove
from napari_hirescam.models.spec import Architecture, OutputSpec
from napari_hirescam.models.weights_facts import WeightsFacts, inspect_weights

if TYPE_CHECKING:
    from torch import nn

    from napari_hirescam.models import ModelSpec
    from napari_hirescam.models.trust import AskTrust, UserCode
    from napari_hirescam.volume import Volume


@dataclass(frozen=True)
class NetworkOptions:
    """What the user said of the network."""

    architecture: str | None
    arguments: tuple[str, ...]
    python: Path | None
    callable: str | None
    key: str | None


@dataclass(frozen=True, eq=False)
class Conversion:
    """A model that is not written yet."""

    facts: WeightsFacts
    spec: ModelSpec
    network: nn.Module
    code: UserCode | None

    def prove(self, volume: Volume | None, progress: Callable[[int, int], None]) -> Proof:
        """Run the network once, on a CT or on noise."""
        return prove(self.spec, self.network, volume, progress=progress)

    def save(self, folder: Path, *, overwrite: bool) -> None:
        """Write the folder."""
        save_draft(folder, self.spec, self.network, self.code, overwrite=overwrite)


def input_options(**given: Any) -> dict[str, Any]:
    """Read the options of the input section that were given, by field.

    Raises
    ------
    InputError
        An option cannot be read; `subject` is the option.
    """
    lists = {
        "shape": 3,
        "window_hu": 2,
        "scale_to": 2,
        "spacing_mm": 3,
        "channel_mean": None,
        "channel_std": None,
    }
    fields: dict[str, Any] = {}
    for field, value in given.items():
        if value is None:
            continue
        if field in lists:
            fields[field] = numbers(value, lists[field], option_of(field))
        elif field == "padding" and value not in ("minimum", "edge"):
            fields[field] = number(value, "--padding")
        else:
            fields[field] = value
    return fields


def convert_draft(
    checkpoint: Path,
    *,
    network: NetworkOptions,
    labels: str | None,
    preset: str | None,
    given: Mapping[str, Any],
    more: Mapping[str, Any],
    output: Mapping[str, Any],
    ask: AskTrust,
    guess: Say,
) -> Conversion:
    """Put the draft together; `guess` is told everything that was not said.

    Raises
    ------
    HirescamError
        What cannot be known, named by its option, or does not fit.
    """
    facts = inspect_weights(checkpoint, network.key)
    for name in facts.left_out:
        guess(f"{name} belongs to the loss and is left out")
    if network.key is None and facts.entry is not None and len(facts.entries) > 1:
        others = ", ".join(name for name in facts.entries if name != facts.entry)
        guess(f"--key {facts.entry}: the checkpoint also holds {others}")
    architecture, code, width = _architecture(facts, network, ask, guess)
    if labels is None and facts.bundle is not None and facts.bundle.labels:
        labels = "\n".join(facts.bundle.labels)
        guess(f"--labels {', '.join(facts.bundle.labels)}: what the bundle's metadata says")
    # What a file of one's own makes is seen at the proof: shapes tell which layer is last only
    # where there is one head.
    names = labels_of(labels, width, sure=code is None)
    built = build_network(facts, architecture, len(names), code)
    input_spec = input_of(facts, architecture, built, preset, given, guess)
    fields = {key: value for key, value in more.items() if value is not None}
    if "activation" not in fields:
        fields["activation"] = suggest_activation(len(names))
        guess(f"--activation {fields['activation']}")
    chosen = {key: entry(value) for key, value in output.items() if value is not None}
    if input_spec.layout == "slices" and "over_slices" not in chosen:
        chosen["over_slices"] = "mean"
        guess("--over-slices mean: the CT's score is the mean of its slices'")
    layer = fields.pop("target_layer", None)
    with named_by_option():
        fields["output"] = validated(OutputSpec, chosen)
        spec = draft_spec(
            facts, architecture, names, input_spec, layer or placeholder_layer(built), **fields
        )
    if layer is None:
        spec = _with_preferred_layer(spec, built, guess)
    return Conversion(facts, spec, built, code)


def require(proof: Proof) -> None:
    """Raise InputError naming the option at fault if the proof does not hold."""
    if not proof.holds:
        first = proof.problems[0]
        rest = " ".join(problem.text for problem in proof.problems[1:])
        text = f"{first.text} {rest}".strip().removesuffix(".")
        raise InputError(option_of(first.field), text, "Nothing was written")


def _architecture(
    facts: WeightsFacts, given: NetworkOptions, ask: AskTrust, guess: Say
) -> tuple[Architecture, UserCode | None, int | None]:
    arguments = dict(key_value(text) for text in given.arguments)
    if given.python is not None:
        return _own_architecture(facts, given, arguments, ask, guess)
    if given.callable is not None:
        raise InputError("--callable", "it names something in a Python file", "Give --python too")
    guesses = guess_architectures(facts)
    if given.architecture is not None:
        same = next((g for g in guesses if g.name == given.architecture), None)
        read_off = dict(same.arguments) if same else {}
        if same:
            _say_arguments(same, arguments, guess)
        architecture = Architecture(name=given.architecture, arguments=read_off | arguments)
        return architecture, None, same.n_labels if same else facts.output_width
    if not guesses or not guesses[0].exact:
        near = _nearest(guesses)
        raise InputError(
            "--architecture",
            f"no registered architecture has the weights of {facts.file.name}{near}",
            "Name it with --architecture and --arg, or bring your own with --python and --callable",
        )
    best = guesses[0]
    guess(f"--architecture {best.name}: all {best.total} tensors are its own")
    others = [g.name for g in guesses[1:] if g.exact and g.name != best.name and not best.said]
    if others:
        guess(f"the weights are also those of {', '.join(others)}; name yours if it is one")
    _say_arguments(best, arguments, guess)
    return (
        Architecture(name=best.name, arguments={**best.arguments, **arguments}),
        None,
        best.n_labels,
    )


def _say_arguments(taken: Guess, given: Mapping[str, Any], guess: Say) -> None:
    """Say which arguments were not given and were read off the weights, or could not be."""
    source = "said by the bundle" if taken.said else "read off the shapes"
    for name, value in taken.arguments.items():
        if name not in given and name not in taken.unseen:
            guess(f"--arg {name}={value}, {source}")
    for name, words in taken.unseen.items():
        if name not in given:
            guess(f"--arg {name}={words}")


def _own_architecture(
    facts: WeightsFacts,
    given: NetworkOptions,
    arguments: dict[str, Any],
    ask: AskTrust,
    guess: Say,
) -> tuple[Architecture, UserCode, int | None]:
    python = given.python
    if python is None:
        raise ValueError("without a Python file there is nothing of the user's own")
    makers = network_makers(python)
    name = given.callable or makers[0].name
    if given.callable is None:
        guess(f"--callable {name}, of: {', '.join(maker.name for maker in makers)}")
    maker = next((maker for maker in makers if maker.name == name), None)
    suggested = maker.suggest(facts.output_width, facts.in_channels) if maker else {}
    for key, value in suggested.items():
        if value != REQUIRED and key not in arguments:
            guess(f"--arg {key}={value}, read off the shapes")
    code = agree_to_run(python, ask)
    architecture = Architecture(
        python=python.name, callable=name, arguments={**suggested, **arguments}
    )
    return architecture, code, facts.output_width


def _nearest(guesses: tuple[Guess, ...]) -> str:
    if not guesses:
        return ""
    best = guesses[0]
    return f" (the nearest is {best.name}, with {best.matched} of {best.total} tensors)"


def _with_preferred_layer(spec: ModelSpec, network: nn.Module, guess: Say) -> ModelSpec:
    """Take the layer known of the architecture, or the one the examination of all prefers."""
    known = default_target_layer(network)
    if known is not None:
        guess(f"--target-layer {known}: the architecture's own")
        return spec.model_copy(update={"target_layer": known})
    from napari_hirescam.attention.layers import target_layers
    from napari_hirescam.models import Classifier

    try:
        candidates = target_layers(Classifier(spec, network))
    except AttributionError as exc:
        # Mostly it is the input that does not fit, and a plain forward pass says so best.
        require(prove(spec, network, None))
        raise InputError("--target-layer", exc.reason, "Name the layer to explain") from exc
    best = next((c for c in candidates if c.preferred), None)
    if best is None:
        raise InputError(
            "--target-layer",
            "no layer of the network has spatial axes",
            "Name the layer to explain",
        )
    guess(f"--target-layer {best.name}: {best.guarantee.state.value} there")
    return spec.model_copy(update={"target_layer": best.name})

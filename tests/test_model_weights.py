"""Weights files as training code leaves them, and as they should not be."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import program_files
import pytest
import torch
from networks import ConvThenLinear
from torch import nn

from napari_hirescam.errors import ModelFileError
from napari_hirescam.models import load_model
from napari_hirescam.models.weights import load_into, read_state_dict


def network() -> nn.Module:
    torch.manual_seed(3)
    return ConvThenLinear()


def with_prefix(prefix: str) -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": value for name, value in network().state_dict().items()}


def same_weights(other: nn.Module) -> bool:
    state = other.state_dict()
    return all(torch.equal(state[name], value) for name, value in network().state_dict().items())


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (network().state_dict(), None),
        ({"params": network().state_dict(), "optimizer": {"lr": 0.1}}, None),
        ({"state_dict": with_prefix("model."), "epoch": 4}, None),
        ({"model": with_prefix("module."), "best": 0.9}, None),
        (with_prefix("_orig_mod."), None),
        (with_prefix("module._orig_mod."), None),
        (with_prefix("net."), None),
        ({"ema": network().state_dict(), "epoch": 4}, "ema"),
        ({"nets": {"classifier": network().state_dict()}}, "nets.classifier"),
        ({"nets.classifier": network().state_dict()}, "nets.classifier"),
    ],
)
def test_the_usual_checkpoints_load(tmp_path, content, key) -> None:
    file = tmp_path / "weights.ckpt"
    torch.save(content, file)
    empty = ConvThenLinear()
    load_into(empty, read_state_dict(file, key), file)
    assert same_weights(empty)


def test_a_prefix_that_is_part_of_the_names_stays(tmp_path) -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

    whole = Wrapped()
    load_into(whole, with_prefix("net."), tmp_path)
    assert same_weights(whole.net)
    with pytest.raises(ModelFileError, match=r"missing: net\.conv1"):
        load_into(whole, network().state_dict(), tmp_path)


def test_what_does_not_fit_is_named_in_groups(tmp_path) -> None:
    state = with_prefix("")
    del state["fc.bias"]
    state["extra.weight"] = torch.zeros(1)
    state["fc.weight"] = torch.zeros(2, 2)
    with pytest.raises(ModelFileError) as caught:
        load_into(network(), state, tmp_path / "weights.pt")
    for words in ("missing: fc.bias", "unexpected: extra.weight", "shape: fc.weight (file [2, 2]"):
        assert words in str(caught.value)


def test_layers_without_a_size_of_their_own_are_named(tmp_path) -> None:
    lazy = network()
    lazy.conv1 = torch.nn.LazyConv3d(4, 3)
    with pytest.raises(ModelFileError, match=r"sizes of conv1\.weight, conv1\.bias only when"):
        load_into(lazy, with_prefix(""), tmp_path / "weights.pt")


def test_quantised_numbers_are_not_taken_for_weights(tmp_path) -> None:
    """Without their scales they would load, and mean nothing."""
    state = with_prefix("")
    state["fc.weight"] = (100 * state["fc.weight"]).to(torch.int8)
    with pytest.raises(ModelFileError, match=r"kind of numbers: fc\.weight .*int8"):
        load_into(network(), state, tmp_path / "weights.pt")
    halved = {name: v.half() if v.is_floating_point() else v for name, v in with_prefix("").items()}
    load_into(network(), halved, tmp_path / "weights.pt")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (network(), r"more than weights \(networks\.ConvThenLinear\).*could run code\. Save only"),
        (
            {"state_dict": network().state_dict(), "args": argparse.Namespace(lr=1)},
            r"more than weights \(argparse\.Namespace\)",
        ),
        (
            {"state_dict": network().state_dict(), "best": np.float64(0.9)},
            r"more than weights \(numpy",
        ),
        ({"epoch": 3, "losses": [1.0]}, "no state dict; its entries are epoch, losses"),
        ({}, "it holds no state dict"),
        ([torch.zeros(1)], "it holds a list, not a dict"),
    ],
)
def test_files_that_hold_more_or_less_than_weights_are_refused(tmp_path, content, words) -> None:
    file = tmp_path / "weights.pt"
    torch.save(content, file)
    with pytest.raises(ModelFileError, match=words):
        read_state_dict(file)


@pytest.mark.parametrize("key", ["nets.critic", "critic", "nets.classifier.fc"])
def test_an_entry_that_is_not_there_names_those_that_are(tmp_path, key) -> None:
    file = tmp_path / "weights.pt"
    torch.save({"nets": {"classifier": {"fc": {"weight": 1}}}, "epoch": 1}, file)
    with pytest.raises(ModelFileError, match=r"no entry .*Set weights_key|no state dict"):
        read_state_dict(file, key)


@pytest.mark.parametrize("kind", [".pt2", "TorchScript"])
def test_a_program_in_the_place_of_weights_says_where_it_belongs(tmp_path, kind) -> None:
    file = tmp_path / "weights.pt"
    if kind == ".pt2":
        program_files.write_pt2(file, program_files.AnyDepth().eval())
    else:
        program_files.write_torchscript(file, program_files.AnyDepth())
    with pytest.raises(ModelFileError, match=r"it is a program \(.*architecture\.program"):
        read_state_dict(file)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors", ".pt2", ".ckpt"])
def test_a_bare_file_is_no_model_and_says_what_to_do(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"weights{suffix}"
    file.write_bytes(b"whatever")
    with pytest.raises(ModelFileError, match=r"nothing of labels.*New model folder"):
        load_model(file)

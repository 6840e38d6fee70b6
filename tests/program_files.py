"""Saved programs that tests make: harmless ones, and ones that would leave a mark when run."""

from __future__ import annotations

import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from networks import ConvThenLinear
from torch import nn

SHAPE = (6, 8, 10)
Parts = dict[str, bytes]


class Touch:
    """A pickle that would leave a file behind if it were ever executed."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


class AnyDepth(nn.Module):
    """Global pooling, so that the number of slices can be left free."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(1, 4, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.act(self.conv(x)).mean(dim=(2, 3, 4)))


class ByWidth(nn.Module):
    """A convolution, divided by the width of what it is given: each call exports another number."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(4, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) / x.shape[-1]


class Functional(nn.Module):
    """Its ReLUs and pool are functions, and one of its modules is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv3d(1, 4, 3, padding=1)
        self.shared = ByWidth()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(self.shared(x))
        x = torch.relu(self.shared(x[..., ::2, ::2]))
        return self.fc(x.mean(dim=(2, 3, 4)))


class Loops(nn.Module):
    """As often as its input says: nothing that a graph of fixed operations could hold."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(1, 1, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        while x.sum() > 1:
            x = self.conv(x) / 2
        return x.flatten(1)[:, :3]


class Saves(nn.Module):
    """Writes its input to a file."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.save(x, "mark")
        return x.flatten(1)


def eager_network() -> nn.Module:
    """Make the network that :func:`write_pt2` exports; its ReLUs work in place."""
    torch.manual_seed(0)
    return ConvThenLinear(SHAPE).eval()


def write_pt2(
    file: Path, network: nn.Module, *, free_depth: bool = False, keep_calls_of: tuple[str, ...] = ()
) -> Path:
    """Export a network for inputs [1, 1, 6, 8, 10]."""
    example = torch.randn(1, 1, *SHAPE)
    free = {"x": {2: 2 * torch.export.Dim("half_depth", min=2, max=32)}} if free_depth else None
    program = torch.export.export(
        network,
        (example,),
        dynamic_shapes=free,
        preserve_module_call_signature=keep_calls_of,
    )
    torch.export.save(program, file)
    return file


def write_torchscript(file: Path, network: nn.Module, *, traced: bool = False) -> Path:
    """Save a network as TorchScript."""
    with warnings.catch_warnings(action="ignore"):  # torch wants torch.export used instead
        if traced:
            script = torch.jit.trace(network, torch.randn(1, 1, *SHAPE))
        else:
            script = torch.jit.script(network)
        script.save(str(file))
    return file


def model_of(folder: Path, program: Path, **changes: object) -> Path:
    """Put a program into a model folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / program.name).write_bytes(program.read_bytes())
    spec = {
        "format": 1,
        "name": "a saved program",
        "architecture": {"program": program.name},
        "labels": ["a", "b", "c"],
        "input": {"shape": list(SHAPE), "window_hu": [-1000, 400]},
        "target_layer": "act2",
        **changes,
    }
    (folder / "model.yaml").write_text(yaml.safe_dump(spec))
    return folder


def poisoned(program: Path, target: Path, change: Callable[[Parts], None]) -> Path:
    """Copy a .pt2 with some of its parts changed; parts are named without the top folder."""
    with zipfile.ZipFile(program) as archive:
        parts = {n.partition("/")[2]: archive.read(n) for n in archive.namelist()}
    change(parts)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in parts.items():
            archive.writestr(f"package/{name}", content)
    return target


def with_code(program: Path, target: Path, pattern: re.Pattern[str], new: str) -> Path:
    """Copy a TorchScript file with its code changed; `pattern` must be in it."""
    changed = 0
    with zipfile.ZipFile(program) as archive, zipfile.ZipFile(target, "w") as made:
        for name in archive.namelist():
            content = archive.read(name)
            if name.endswith("__torch__/program_files.py"):
                text, changed = pattern.subn(new, content.decode(), count=1)
                content = text.encode()
            made.writestr(name, content)
    assert changed, f"{pattern.pattern} is not in the code"
    return target


def torch_pickle(mark: Path) -> bytes:
    """Return a checkpoint with a payload, as torch saves it."""
    import io

    stream = io.BytesIO()
    torch.save(Touch(mark), stream)
    return stream.getvalue()


def poisoned_sample_inputs(mark: Path) -> Callable[[Parts], None]:
    """Put a pickle with a payload where the sample inputs are."""
    return lambda parts: parts.update({"data/sample_inputs/model.pt": torch_pickle(mark)})


def poisoned_weight(mark: Path) -> Callable[[Parts], None]:
    """Put a pickle with a payload in the place of a weight."""

    def change(parts: Parts) -> None:
        config = json.loads(parts["data/weights/model_weights_config.json"])
        config["config"]["fc.bias"].update(use_pickle=True, path_name="weight_99")
        parts["data/weights/model_weights_config.json"] = json.dumps(config).encode()
        parts["data/weights/weight_99"] = torch_pickle(mark)

    return change


def poisoned_constant(mark: Path) -> Callable[[Parts], None]:
    """Add an opaque object, which torch unpickles."""

    def change(parts: Parts) -> None:
        entry = {
            "path_name": "opaque_obj_0",
            "is_param": False,
            "use_pickle": True,
            "tensor_meta": None,
        }
        config = json.dumps({"config": {"fc.extra": entry}})
        parts["data/constants/model_constants_config.json"] = config.encode()
        parts["data/constants/opaque_obj_0"] = pickle.dumps(Touch(mark))

    return change


def in_graph(old: str, new: str) -> Callable[[Parts], None]:
    """Replace a text in the graph's JSON; it must be there."""

    def change(parts: Parts) -> None:
        text = parts["models/model.json"].decode()
        assert old in text, f"{old} is not in the graph"
        parts["models/model.json"] = text.replace(old, new).encode()

    return change

"""docs/review.md shows commands that there are, and a form that is understood."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from napari_hirescam.cli import app
from napari_hirescam.review.form_file import read_form

DOCS = Path(__file__).resolve().parents[1] / "docs"
TEXT = (DOCS / "review.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\w*\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)
COMMANDS = [
    line
    for block in BLOCKS
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("napari-hirescam ")
]


@pytest.mark.parametrize("line", COMMANDS)
def test_each_command_is_understood(line):
    command = typer.main.get_command(app)
    words = shlex.split(line)[1:]
    context = command.make_context("napari-hirescam", list(words), resilient_parsing=True)
    while hasattr(command, "commands"):
        name = words.pop(0)
        assert name in command.commands, line
        command = command.commands[name]
    # Not resilient: an option or a choice that is not there is an error.
    context = command.make_context(command.name, words, parent=context)
    assert context.params


def test_all_steps_are_shown():
    shown = {" ".join(shlex.split(line)[1:3]) for line in COMMANDS}
    assert {"review new", "review status", "review agree", "review export"} <= shown
    assert {line.split()[1] for line in COMMANDS} == {"review", "train", "evaluate"}


def test_the_form_is_understood(tmp_path):
    (block,) = [block for block in BLOCKS if block.startswith("questions:")]
    path = tmp_path / "form.yaml"
    path.write_text(block, encoding="utf-8")
    assert [(one.key, one.about) for one in read_form(path).questions] == [
        ("contrast", "mask"),
        ("device", "attention"),
    ]


def test_every_picture_and_page_is_there():
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (DOCS / target).exists(), target

"""A report says what was run: every option that counts, and no folder of this machine."""

from __future__ import annotations

from pathlib import Path

from napari_hirescam.cli.command_line import command_line


def test_each_kind_of_option_is_written_as_it_is_typed() -> None:
    said = command_line(
        "reproduce covid",
        data=Path("/home/jane doe/chests 1.npz"),
        seed=0,
        lambda_=[0.02, 1 / 3],
        shape=(405, 420, 420),
        only_present=True,
        removal=False,
        label=[],
        limit=None,
    )
    assert said == (
        "napari-hirescam reproduce covid --data 'chests 1.npz' --seed 0 --lambda 0.02 "
        "--lambda 0.333333 --shape 405 420 420 --only-present"
    )

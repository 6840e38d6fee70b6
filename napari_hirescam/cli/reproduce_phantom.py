"""``reproduce phantom``: the paper's four-way table on confounded phantoms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_hirescam.cli.command_line import command_line
from napari_hirescam.cli.common import errors_in_one_line, note
from napari_hirescam.cli.reproduce import bar_of_steps, reproduce
from napari_hirescam.cli.train import asked_by_ctrl_c

if TYPE_CHECKING:
    pass

_INTERRUPTED = 130


@reproduce.command("phantom")
def phantom(
    out: Annotated[Path, typer.Option("--out", help="folder for networks, report and figures")],
    preset: Annotated[
        str,
        typer.Option(
            "--preset", help="'full': about half an hour of one core; 'small': two minutes"
        ),
    ] = "full",
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="trainings of each network; default: 3")
    ] = None,
    mask_weight: Annotated[
        float | None, typer.Option("--mask-weight", min=0, help="lambda; default: the preset's")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace results")] = False,
) -> None:
    """Train with and without the mask loss on phantoms that mislead, and measure the attention."""
    with errors_in_one_line() as console:
        from dataclasses import replace

        from napari_hirescam.cli.common import require_known
        from napari_hirescam.cli.report_tables import print_page
        from napari_hirescam.errors import Cancelled
        from napari_hirescam.reproduce.phantom import PRESETS, carry_out
        from napari_hirescam.reproduce.phantom_figures import as_plain, work_out
        from napari_hirescam.reproduce.phantom_page import make_page
        from napari_hirescam.reproduce.results import (
            how_it_was_made,
            prepare_folder,
            write_results,
        )

        require_known("--preset", [preset], PRESETS)
        chosen = PRESETS[preset]
        if mask_weight is not None:
            chosen = replace(chosen, mask_weight=mask_weight)
        n_seeds = seeds or chosen.seeds
        command = command_line(
            "reproduce phantom", preset=preset, mask_weight=mask_weight, seeds=n_seeds
        )
        prepare_folder(out, overwrite=overwrite)
        with asked_by_ctrl_c(console) as asked, bar_of_steps(console, "Making phantoms") as tell:
            try:
                outcome = carry_out(
                    chosen,
                    out,
                    seeds=range(n_seeds),
                    tell=tell,
                    should_stop=asked,
                )
            except Cancelled:
                note(console, "Stopped; nothing was reported.")
                raise typer.Exit(_INTERRUPTED) from None
        figures = work_out(outcome)
        named = f"patients {chosen.cohort_seed}; trainings 0 to {n_seeds - 1}"
        page = make_page(outcome, figures, how_it_was_made(command, named))
        write_results(out, page, as_plain(figures))
        print_page(page, out)

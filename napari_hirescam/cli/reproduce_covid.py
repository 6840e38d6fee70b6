"""``reproduce covid``: what the mask loss costs and buys on real chest slices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from napari_hirescam.cli.command_line import command_line
from napari_hirescam.cli.common import errors_in_one_line, note, progress_bar
from napari_hirescam.cli.report_tables import print_page
from napari_hirescam.cli.reproduce import reproduce


@reproduce.command("covid")
def covid(
    data: Annotated[Path, typer.Option("--data", help="npz of chest CTs with labelled slices")],
    out: Annotated[Path, typer.Option("--out", help="folder for report, figures and pictures")],
    weight: Annotated[
        list[float] | None,
        typer.Option(
            "--lambda", min=0, help="weight of the mask loss; repeat. Default: 0, 0.02, 0.1, 0.3"
        ),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="networks of each kind")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="the first of them, and of intervals")] = 0,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="passes over the slices")] = 8,
    lungs: Annotated[
        Literal["threshold", "partition"],
        typer.Option(help="the file's own threshold masks, or lungs found by PARTITION"),
    ] = "threshold",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace results")] = False,
) -> None:
    """Train slice networks with and without the mask loss, leaving one patient out."""
    with errors_in_one_line() as console:
        from napari_hirescam.reproduce.covid import (
            LAMBDAS,
            CovidSettings,
            leave_one_out,
        )
        from napari_hirescam.reproduce.covid_data import read_chests
        from napari_hirescam.reproduce.covid_page import figures_of, page_of, pictures_of
        from napari_hirescam.reproduce.covid_slices import with_lungs
        from napari_hirescam.reproduce.overlays import write_pictures
        from napari_hirescam.reproduce.results import (
            how_it_was_made,
            prepare_folder,
            write_results,
        )
        from napari_hirescam.training.machine import require_packages
        from napari_hirescam.training.settings import RunSettings

        require_packages(RunSettings())
        weights = tuple(sorted(set(weight or LAMBDAS)))
        settings = CovidSettings(weights, tuple(range(seed, seed + seeds)), epochs=epochs)
        chests = read_chests(data)
        prepare_folder(out, overwrite=overwrite)
        with progress_bar(console, "Finding lungs") as tell:
            chests, doubts = with_lungs(chests, lungs, tell)
        for doubt in doubts:
            note(console, doubt)
        with progress_bar(console, "Training and testing") as tell:
            rows, seen, guarantee = leave_one_out(chests, settings, progress=tell)
        facts = {
            **how_it_was_made(
                command_line(
                    "reproduce covid",
                    lambda_=list(weights),
                    seed=seed,
                    seeds=seeds,
                    epochs=epochs,
                    lungs=lungs,
                ),
                ", ".join(map(str, settings.seeds)),
            ),
            "Data": f"{len(chests)} patients, {sum(len(c.hu) for c in chests)} slices",
            "Network": f"three convolutions, one linear layer, {settings.side} x {settings.side} "
            f"pixels; Adam, learning rate {settings.learning_rate:g}, {settings.epochs} epochs, "
            f"batches of {settings.batch_size}, mirrored left to right at random",
            "Lungs": "the file's threshold masks" if lungs == "threshold" else "PARTITION",
        }
        pictures = pictures_of(rows, seen)
        page = page_of(rows, pictures, facts, guarantee, doubts, seed)
        write_pictures(out, pictures)
        write_results(out, page, figures_of(rows, seed))
        print_page(page, out)

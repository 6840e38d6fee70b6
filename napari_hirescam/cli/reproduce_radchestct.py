"""``reproduce radchestct``: the paper's recipe, for whoever has the data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_hirescam.cli.command_line import command_line
from napari_hirescam.cli.common import Device, errors_in_one_line, note
from napari_hirescam.cli.reproduce import bar_of_steps, reproduce
from napari_hirescam.cli.train import asked_by_ctrl_c

if TYPE_CHECKING:
    from napari_hirescam.cases import Split
    from napari_hirescam.cases.rad_chestct_labels import Sides
    from napari_hirescam.training import EpochRecord

_INTERRUPTED = 130
_SIDES: Mapping[str, Sides] = {"reported": "reported", "reference": "reference"}


@reproduce.command("radchestct")
def rad_chestct(
    data: Annotated[Path, typer.Option("--data", help="folder of the scans, trn00001.npz ...")],
    out: Annotated[Path, typer.Option("--out", help="folder for networks, report and figures")],
    tables: Annotated[
        Path | None, typer.Option("--tables", help="folder of the CSV tables; default: --data")
    ] = None,
    labels: Annotated[
        str, typer.Option("--labels", help="radchest-80, radchest-83 or radchest-9")
    ] = "radchest-80",
    sides: Annotated[
        str,
        typer.Option(
            "--sides",
            help="'reference': findings of the lungs may lie in both, as in the paper's code; "
            "'reported': in the lung the report names",
        ),
    ] = "reference",
    only_present: Annotated[
        bool,
        typer.Option("--only-present", help="go on with the scans that are there, a part say"),
    ] = False,
    subset: Annotated[
        tuple[int, int, int] | None,
        typer.Option("--subset", help="at most so many cases to train, to validate and to test"),
    ] = None,
    trunk_weights: Annotated[
        Path | None,
        typer.Option("--trunk-weights", help="ImageNet weights of ResNet-18, as the paper's"),
    ] = None,
    mask_weight: Annotated[
        float, typer.Option("--mask-weight", min=0, help="lambda of the mask loss")
    ] = 1 / 3,
    shape: Annotated[
        tuple[int, int, int], typer.Option("--shape", help="input: slices, rows, columns")
    ] = (405, 420, 420),
    spacing: Annotated[float, typer.Option("--spacing", help="of the input, mm")] = 0.8,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="at most")] = 100,
    workers: Annotated[int, typer.Option("--workers", min=0, help="processes that read ahead")] = 4,
    precision: Annotated[
        str, typer.Option("--precision", help="32, bf16-mixed or 16-mixed")
    ] = "32",
    seed: Annotated[int, typer.Option("--seed", min=0, help="of weights, order and flips")] = 0,
    device: Device = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="go on with a run in --out that was stopped")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace the report")] = False,
) -> None:
    """Train AxialNet with and without the mask loss on RAD-ChestCT, and measure its attention."""
    with errors_in_one_line() as console:
        from napari_hirescam.cases import read_rad_chestct
        from napari_hirescam.cli.common import require_known
        from napari_hirescam.cli.report_tables import print_page
        from napari_hirescam.errors import Cancelled
        from napari_hirescam.reproduce.rad_chestct import Recipe, carry_out
        from napari_hirescam.reproduce.rad_chestct_page import make_page
        from napari_hirescam.reproduce.results import (
            how_it_was_made,
            prepare_folder,
            write_results,
        )

        require_known("--sides", [sides], _SIDES)
        most: dict[Split, int] = {}
        if subset is not None:
            most = {"train": subset[0], "valid": subset[1], "test": subset[2]}
        recipe = Recipe(
            mask_weight=mask_weight,
            shape=shape,
            spacing_mm=spacing,
            trunk_weights=str(trunk_weights) if trunk_weights else None,
            epochs=epochs,
            seed=seed,
            workers=workers,
            accelerator=_ACCELERATORS.get(device or "", "auto"),
            precision=precision,
        )
        prepare_folder(out, overwrite=overwrite or resume)
        table = read_rad_chestct(
            data,
            labels,
            tables=tables,
            only_present=only_present,
            at_most=most,
            sides=_SIDES[sides],
        )
        for text in (*table.notes, *recipe.departures()):
            note(console, text)
        with asked_by_ctrl_c(console) as asked, bar_of_steps(console, "Reading the cases") as tell:
            try:
                outcome = carry_out(
                    table,
                    out,
                    recipe,
                    resume=resume,
                    device=device,
                    progress=tell,
                    report=_print_epoch,
                    note=lambda text: note(console, text),
                    should_stop=asked,
                )
            except Cancelled:
                note(console, "Stopped. The same command with --resume goes on.")
                raise typer.Exit(_INTERRUPTED) from None
        command = command_line(
            "reproduce radchestct",
            labels=labels,
            sides=sides,
            only_present=only_present,
            subset=subset,
            trunk_weights=trunk_weights,
            mask_weight=mask_weight,
            shape=shape,
            spacing=spacing,
            epochs=epochs,
            precision=precision,
            seed=seed,
        )
        facts = {
            **how_it_was_made(command, str(seed)),
            "Data": f"RAD-ChestCT, {len(table.cases)} scans",
        }
        page, figures = make_page(outcome, facts)
        write_results(out, page, figures)
        print_page(page, out)


_ACCELERATORS = {"cpu": "cpu", "cuda": "gpu", "mps": "mps"}


def _print_epoch(network: str, record: EpochRecord) -> None:
    figures = record.figures
    best = "  best so far" if record.is_best else ""
    typer.echo(
        f"{network}: epoch {record.epoch + 1}  train {figures['train_loss']:.4f}  "
        f"valid {figures['valid_loss']:.4f}{best}"
    )

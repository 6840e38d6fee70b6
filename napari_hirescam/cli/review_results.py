"""``review export`` and ``review agree``: what came of a review."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_hirescam.cli.common import errors_in_one_line, note, progress_bar
from napari_hirescam.cli.report_tables import print_table
from napari_hirescam.cli.review import ReviewPath, review_app

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from napari_hirescam.review.adjudication import Disagreement
    from napari_hirescam.review.case_names import CaseNames
    from napari_hirescam.review.results import Results

_INTERRUPTED = 130
_MOST_LISTED = 20

Readers = Annotated[
    list[str] | None,
    typer.Option("--reader", help="whose answers are measured; repeat. Default: all"),
]


@review_app.command("export")
def export_command(
    review: ReviewPath,
    out: Annotated[Path, typer.Option("--out", help="folder for tables and report")],
    reader: Readers = None,
    rule: Annotated[
        str,
        typer.Option(
            "--rule", help="of decisions.csv: strictest, majority, or the reader who alone counts"
        ),
    ] = "strictest",
    settled_by: Annotated[
        Path | None,
        typer.Option("--settled-by", help="the adjudicating review, whose decisions win"),
    ] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="of flagged items; reads their CTs")
    ] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="replace results that are there")
    ] = False,
) -> None:
    """Write what came of a review: verdicts, decisions, history, agreement, and a report.

    Tables are CSV, and Parquet where it is installed; the report is one HTML file.
    """
    with errors_in_one_line() as console, ExitStack() as stack:
        from napari_hirescam.cli.train import asked_by_ctrl_c
        from napari_hirescam.errors import Cancelled
        from napari_hirescam.review.export import export_results
        from napari_hirescam.review.review_file import ReviewFile

        opened = stack.enter_context(ReviewFile.open(review, read_only=True))
        settling = None
        if settled_by is not None:
            settling = stack.enter_context(ReviewFile.open(settled_by, read_only=True))
        asked = stack.enter_context(asked_by_ctrl_c(console))
        try:
            with progress_bar(console, "Exporting the review") as tell:
                exported = export_results(
                    opened,
                    out,
                    readers=reader,
                    rule=rule,
                    settled_by=settling,
                    pictures=pictures,
                    overwrite=overwrite,
                    progress=tell,
                    should_stop=asked,
                )
        except Cancelled:
            note(console, "Stopped; nothing was written.")
            raise typer.Exit(_INTERRUPTED) from None
        for text in exported.notes:
            note(console, text)
        names = ", ".join(file.name for file in exported.files)
        typer.echo(f"Wrote to {exported.folder}: {names}")


@review_app.command("agree")
def agree_command(
    review: ReviewPath,
    reader: Readers = None,
    least: Annotated[
        int, typer.Option("--least", min=1, help="ratings so many steps apart are to be settled")
    ] = 2,
    adjudicate: Annotated[
        Path | None,
        typer.Option("--adjudicate", help="make a new review of the items to be settled"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print it for a program")] = False,
) -> None:
    """Say how far readers agree with each other and with themselves, and what is to be settled."""
    with errors_in_one_line() as console:
        from napari_hirescam.review.adjudication import adjudication_review, disagreements
        from napari_hirescam.review.agreement import require_agreement_packages
        from napari_hirescam.review.case_names import CaseNames
        from napari_hirescam.review.results import results
        from napari_hirescam.review.review_file import ReviewFile

        require_agreement_packages()
        with ReviewFile.open(review, read_only=True) as file, file.snapshot() as opened:
            with progress_bar(console, "Measuring agreement") as tell:
                found = results(opened, reader, edits=False, progress=tell)
            differing = disagreements(opened, least, readers=reader)
            names = CaseNames(opened.plan, found.items)
            if as_json:
                typer.echo(json.dumps(_as_json(found, differing, names), indent=2))
            else:
                _print(console, found, differing, names, least)
            if adjudicate is not None:
                with adjudication_review(opened, adjudicate, least=least, readers=reader) as made:
                    n_items = len(made.items())
                typer.echo(
                    f"Wrote {adjudicate}: {n_items} items to be settled. Open it in napari: "
                    "Plugins > Mask review.",
                    err=as_json,
                )


def _as_json(found: Results, differing: Sequence[Disagreement], names: CaseNames) -> dict[str, Any]:
    from napari_hirescam.review.export_tables import agreement_rows

    rows = [
        # JSON has no NaN: what is not defined is null.
        {key: None if value != value else value for key, value in row.items()}
        for row in agreement_rows(found)
    ]
    return {
        "name": found.plan.name,
        "readers": list(found.readers),
        "replicates": found.n_replicates,
        "seed": found.seed,
        "agreement": rows,
        "to_be_settled": [
            {
                "item": each.item.number,
                "case": names.case(each.item),
                "target": each.item.target,
                "apart": each.apart,
                "ratings": {v.reader: v.rating for v in each.verdicts},
                "decisions": {v.reader: v.decision for v in each.verdicts},
            }
            for each in differing
        ],
        "notes": list(found.notes),
    }


def _print(
    console: Console,
    found: Results,
    differing: Sequence[Disagreement],
    names: CaseNames,
    least: int,
) -> None:
    from napari_hirescam.review.report_tables import (
        SHORT,
        between_tables,
        disagreement_table,
        interval_words,
        short_table,
        target_table,
    )

    for text in found.notes:
        note(console, text)
    between = [figure for figure in found.agreement if figure.between == "readers"]
    for table in between_tables(between):
        print_table("Between readers", table)
    by_target = target_table(between, "")
    if by_target is not None:
        print_table("Between readers, by organ or label", by_target)
    alone = short_table([f for f in found.agreement if f.between == "visits"], "")
    if alone is not None:
        print_table("Readers with themselves, by hidden repeats", alone)
    if found.agreement:
        typer.echo(f"{interval_words(found)}\n{SHORT}")
    if not differing:
        typer.echo(f"No item differs by {least} or more, or in the decision.")
        return
    print_table(
        f"To be settled: {len(differing)}",
        disagreement_table(differing[:_MOST_LISTED], found.readers, names),
    )
    if len(differing) > _MOST_LISTED:
        typer.echo(f"{len(differing) - _MOST_LISTED} more; --json lists all.")

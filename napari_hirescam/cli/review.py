"""``review``: a work list for readers made of a table, and how far they are."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_args

import typer

from napari_hirescam.cli.app import app
from napari_hirescam.cli.common import errors_in_one_line, note, progress_bar
from napari_hirescam.cli.review_tables import print_recognised, print_standing
from napari_hirescam.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from napari_hirescam.review.form import Blinding, Order
    from napari_hirescam.review.table_columns import Role
    from napari_hirescam.review.work_list import WorkList

_INTERRUPTED = 130
_MOST_NAMED = 10
_BLIND = ("scores", "names", "readers")

review_app = typer.Typer(
    name="review",
    help="Let readers judge masks and maps, one file for all of them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(review_app)

ReviewPath = Annotated[Path, typer.Argument(help="the review's file", show_default=False)]


@review_app.command("new")
def new_command(
    data: Annotated[
        Path,
        typer.Argument(
            help="table of cases (.csv, .tsv, .parquet), or a folder of CTs and masks",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="the review's file, review.db say", show_default=False),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="for titles. Default: that of the file")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option("--column", help="role=heading where a column is not recognised; repeat"),
    ] = None,
    organs: Annotated[
        str | None,
        typer.Option("--organs", help="by commas, or none. Default: all that the masks tell of"),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            help="whose maps are judged, by commas, or none. Default: those with a map; with a "
            "model, those present",
        ),
    ] = None,
    organ_table: Annotated[
        str | None,
        typer.Option(
            "--organ-table",
            help="which value of a mask is which organ, where the table does not say: "
            "totalsegmentator, partition, or a file",
        ),
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="model folder that makes maps on demand")
    ] = None,
    questions: Annotated[
        Path | None,
        typer.Option("--questions", help="YAML: scales, reasons, yes/no questions; docs/review.md"),
    ] = None,
    order: Annotated[
        Literal["given", "random", "worst-first"],
        typer.Option("--order", help="worst-first runs the automatic checks"),
    ] = "given",
    seed: Annotated[int, typer.Option(min=0, help="of a random order and of repeats")] = 0,
    repeats: Annotated[
        float,
        typer.Option(
            "--repeats", min=0, max=1, help="share of items that come back unannounced, 0.1 say"
        ),
    ] = 0.0,
    blind: Annotated[
        str,
        typer.Option("--blind", help="what is hidden, by commas: scores, names, readers; or none"),
    ] = "readers",
    check: Annotated[
        bool, typer.Option("--check", help="run the automatic checks now; reads every CT")
    ] = False,
    processes: Annotated[
        int | None, typer.Option("--processes", min=1, help="that check; default: up to four")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what is recognised, and write nothing")
    ] = False,
) -> None:
    """Make a review of a table or a folder: what is judged, in which order, and what is asked.

    Rows that cannot be used are named and left out.
    """
    with errors_in_one_line() as console:
        from napari_hirescam.cli.train import asked_by_ctrl_c
        from napari_hirescam.errors import Cancelled
        from napari_hirescam.review.form import Form, Plan
        from napari_hirescam.review.form_file import read_form
        from napari_hirescam.review.new_review import create_review
        from napari_hirescam.review.table_columns import recognise
        from napari_hirescam.review.work_list import plan_items

        if out is None and not dry_run:
            raise SettingsError("--out", "no file is named", "Name the review's file, or --dry-run")
        columns = _columns(column or [])
        hidden = _blinding(blind)
        form = Form() if questions is None else read_form(questions)
        told = recognise(data, columns)
        print_recognised(told)
        with asked_by_ctrl_c(console) as asked:
            try:
                with progress_bar(console, "Making the work list") as tell:
                    work_list = plan_items(
                        told,
                        organs=_names(organs),
                        labels=_names(labels),
                        organ_table=organ_table,
                        model=None if model is None else model.absolute(),
                        progress=tell,
                        should_stop=asked,
                    )
                _print_work_list(console, work_list)
                if out is None or dry_run:
                    typer.echo("Nothing was written.")
                    return
                plan = Plan(
                    name or out.stem,
                    form=form,
                    blinding=hidden,
                    order=cast("Order", order.replace("-", "_")),
                    seed=seed,
                    repeat_share=repeats,
                )
                with progress_bar(console, "Checking the masks") as tell:
                    review = create_review(
                        out,
                        plan,
                        work_list,
                        check=check,
                        workers=processes,
                        note=lambda text: note(console, text),
                        progress=tell,
                        should_stop=asked,
                    )
            except Cancelled:
                note(console, "Stopped; no review was made.")
                raise typer.Exit(_INTERRUPTED) from None
        with review:
            for text in review.notes:
                note(console, text)
            n_items = len(review.items())
        typer.echo(
            f"Wrote {out}: {n_items} items, {n_items - len(work_list.items)} of them hidden "
            "repeats. Open it in napari: Plugins > Mask review."
        )


@review_app.command("status")
def status_command(
    review: ReviewPath,
    as_json: Annotated[bool, typer.Option("--json", help="print it for a program")] = False,
) -> None:
    """Say how far each reader is, and what was decided of each organ so far."""
    with errors_in_one_line() as console:
        from napari_hirescam.review.review_file import ReviewFile
        from napari_hirescam.review.standing import standing

        with ReviewFile.open(review, read_only=True) as opened:
            found = standing(opened)
            name = opened.plan.name
            for text in opened.notes:
                note(console, text)
        if as_json:
            typer.echo(json.dumps(_without_nan({"name": name, **asdict(found)}), indent=2))
        else:
            print_standing(name, found)


def _columns(given: Sequence[str]) -> Mapping[Role, str]:
    from napari_hirescam.review.table_columns import Role as Roles

    found = {}
    for text in given:
        role, sign, heading = text.partition("=")
        if not sign or role not in get_args(Roles):
            raise SettingsError(
                "--column",
                f"{text!r} is not role=heading",
                f"Give one of the roles {', '.join(get_args(Roles))}",
            )
        found[cast("Role", role)] = heading
    return found


def _names(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    if text.strip().lower() == "none":
        return ()
    return tuple(name for part in text.split(",") if (name := part.strip()))


def _blinding(text: str) -> Blinding:
    from napari_hirescam.review.form import Blinding

    names = set(_names(text) or ())
    unknown = sorted(names - set(_BLIND))
    if unknown:
        raise SettingsError(
            "--blind", f"unknown: {', '.join(unknown)}", f"Known: {', '.join(_BLIND)}, none"
        )
    return Blinding(
        scores="scores" in names, names="names" in names, other_readers="readers" in names
    )


def _print_work_list(console: Console, work_list: WorkList) -> None:
    for text in work_list.notes:
        note(console, text)
    for one in work_list.problems[:_MOST_NAMED]:
        note(console, f"Left out: {one.words}")
    if len(work_list.problems) > _MOST_NAMED:
        note(console, f"{len(work_list.problems) - _MOST_NAMED} more were left out")
    items = work_list.items
    masks = sum(item.kind == "mask" for item in items)
    cases = len({item.case for item in items})
    targets = list(dict.fromkeys(item.target for item in items))
    some = ", ".join(targets[:_MOST_NAMED]) + (", ..." if len(targets) > _MOST_NAMED else "")
    typer.echo(f"{masks} masks and {len(items) - masks} maps of {cases} cases: {some}")


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: what is not known is null."""
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value

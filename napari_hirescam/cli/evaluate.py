"""``evaluate``: a model's scores and attention over a table of cases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from napari_hirescam.cli.app import app
from napari_hirescam.cli.command_line import command_line
from napari_hirescam.cli.common import (
    Device,
    ModelPath,
    TargetLayer,
    Trust,
    errors_in_one_line,
    load_classifier,
    note,
    progress_bar,
    require_known,
    wide_console,
)
from napari_hirescam.errors import SettingsError

if TYPE_CHECKING:
    from napari_hirescam.cases import CaseTable
    from napari_hirescam.evaluation.cohort import CohortResult
    from napari_hirescam.evaluation.cohort_tables import Figures
    from napari_hirescam.models import Classifier

_NAMED = 10


@app.command("evaluate")
def evaluate_command(
    model: ModelPath,
    out: Annotated[Path, typer.Option("--out", help="folder for tables, thresholds and report")],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="table of cases (.csv, .tsv, .parquet), or the folder of RAD-ChestCT"
        ),
    ] = None,
    phantoms: Annotated[
        int | None,
        typer.Option(
            "--phantoms", min=2, help="in place of --data: so many phantoms to test, and to tune on"
        ),
    ] = None,
    methods: Annotated[
        str, typer.Option("--methods", help="by commas; differences are taken from the first")
    ] = "hirescam,gradcam",
    split: Annotated[
        Literal["test", "valid", "train", "all"], typer.Option(help="cases the figures are of")
    ] = "test",
    tune_on: Annotated[
        Literal["valid", "train", "test"] | None,
        typer.Option("--tune-on", help="cases the thresholds are tuned on. Default: valid"),
    ] = None,
    thresholds: Annotated[
        Path | None,
        typer.Option("--thresholds", help="frozen thresholds (thresholds.json) in their place"),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", help="label to judge; repeat. Default: all")
    ] = None,
    allowed: Annotated[
        Path | None,
        typer.Option(
            "--allowed", help="CSV label,organs: where each may lie. Default: the model's"
        ),
    ] = None,
    find_organs: Annotated[
        bool, typer.Option("--find-organs", help="find the organs of cases without masks")
    ] = False,
    organs_cache: Annotated[
        Path | None,
        typer.Option(
            "--organs-cache",
            help="find the organs of every case, with masks or without, and keep them here",
        ),
    ] = None,
    placement: Annotated[
        Literal["receptive_field", "stretch"] | None,
        typer.Option(help="where cells lie: their receptive field, or stretched as in the paper"),
    ] = None,
    rule: Annotated[
        Literal["half", "touch", "centre", "nearest", "area", "trilinear"],
        typer.Option(help="when a cell lies in an organ; nearest, with stretch, as in the paper"),
    ] = "half",
    removal: Annotated[
        bool, typer.Option("--removal", help="remove cells and put them back, too; slow")
    ] = False,
    replicates: Annotated[
        int, typer.Option(min=20, help="draws of patients that intervals rest on")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="of those draws, and of the phantoms")] = 0,
    only_present: Annotated[
        bool, typer.Option("--only-present", help="leave out cases whose CT is not there")
    ] = False,
    reviewed: Annotated[
        list[Path] | None,
        typer.Option(
            "--reviewed", help="review whose decisions count; repeat for those that settle it"
        ),
    ] = None,
    review_rule: Annotated[
        str,
        typer.Option(
            "--review-rule", help="of several readers: strictest, majority, or one's name"
        ),
    ] = "strictest",
    unreviewed: Annotated[
        Literal["keep", "leave"],
        typer.Option(help="whether cases with a mask that nobody decided on stay"),
    ] = "keep",
    target_layer: TargetLayer = None,
    device: Device = None,
    trust: Trust = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="replace results in --out")
    ] = False,
) -> None:
    """Measure a model over many cases, with thresholds tuned on others.

    An evaluation that was interrupted goes on where it stopped when it is run again.

    Writes a report (report.html), the figures (summary.csv, .parquet), those of each map
    (cases.parquet), and the thresholds that were tuned (thresholds.json).
    """
    with errors_in_one_line() as console:
        from napari_hirescam.attention import METHODS
        from napari_hirescam.cases import with_found_organs
        from napari_hirescam.evaluation.cohort import evaluate_cohort
        from napari_hirescam.evaluation.cohort_files import (
            REPORT,
            UNFINISHED,
            prepare_folder,
            save_cohort,
        )
        from napari_hirescam.evaluation.cohort_tables import Figures
        from napari_hirescam.evaluation.cohort_words import problems_told_once
        from napari_hirescam.evaluation.thresholds import FrozenThresholds
        from napari_hirescam.organs.allowed import read_allowed
        from napari_hirescam.review.reviewed_cases import reviewed_cases

        keys = [key.strip() for key in methods.split(",")]
        require_known("--methods", keys, METHODS)
        if (data is None) == (phantoms is None):
            raise SettingsError("--data", "give either a table or --phantoms", "Give one of them")
        if thresholds is not None and tune_on is not None:
            raise SettingsError(
                "--thresholds", "they are frozen, and nothing is tuned", "Leave out --tune-on"
            )
        prepare_folder(out, overwrite=overwrite)
        frozen = None if thresholds is None else FrozenThresholds.load(thresholds)
        classifier = load_classifier(model, trust=trust, device=device, target_layer=target_layer)
        require_known("--label", label or [], classifier.labels)
        organs = None if allowed is None else read_allowed(allowed, classifier.labels)
        table = _table(classifier, data, phantoms, seed, only_present=only_present)
        if organs_cache is not None:
            table = with_found_organs(table, organs_cache)
        if reviewed:
            table = reviewed_cases(table, reviewed, rule=review_rule, unreviewed=unreviewed)
        for text in table.notes:
            note(console, text)
        with progress_bar(console, "Evaluating") as tell:
            result = evaluate_cohort(
                classifier,
                table,
                methods=keys,
                split=None if split == "all" else split,
                tune_on=None if frozen else tune_on or "valid",
                thresholds=frozen,
                allowed=organs,
                labels=label,
                placement=placement,
                rule=rule,
                find_missing_organs=find_organs,
                removal=removal,
                prepared=classifier.device == "cpu",
                keep_in=out / UNFINISHED,
                progress=tell,
            )
        told = problems_told_once(result.problems)
        for cases, _, reason, measured in told[:_NAMED]:
            note(console, f"{cases}: {reason} (counts: {measured})")
        if len(told) > _NAMED:
            note(console, f"{len(told) - _NAMED} more such remarks are in the report")
        summary = result.summary(replicates, seed)
        save_cohort(
            result,
            out,
            overwrite=overwrite,
            n_replicates=replicates,
            seed=seed,
            summary=summary,
            command=command_line(
                "evaluate",
                model=model,
                data=data,
                phantoms=phantoms,
                only_present=only_present,
                methods=",".join(keys),
                split=split,
                tune_on=None if frozen else tune_on or "valid",
                thresholds=thresholds,
                label=label,
                allowed=allowed,
                find_organs=find_organs,
                organs_cache=organs_cache,
                placement=placement,
                rule=rule,
                removal=removal,
                replicates=replicates,
                seed=seed,
                reviewed=reviewed,
                review_rule=review_rule if reviewed else None,
                unreviewed=unreviewed if reviewed else None,
                target_layer=target_layer,
            ),
        )
        _print(result, Figures(summary, result.labels, result.methods), out / REPORT)


def _table(
    classifier: Classifier,
    data: Path | None,
    phantoms: int | None,
    seed: int,
    *,
    only_present: bool,
) -> CaseTable:
    from napari_hirescam.cases import phantom_table, read_case_table, read_rad_chestct

    if data is None:
        count = phantoms or 0
        spacing = classifier.spec.input.spacing_mm or (5.0, 4.0, 4.0)
        return phantom_table(
            0, count, count, seed=seed, spacing_mm=spacing, labels=classifier.labels
        )
    if data.is_dir():
        return read_rad_chestct(data, classifier.labels, only_present=only_present)
    return read_case_table(
        data, classifier.labels, all_labels_needed=False, only_present=only_present
    )


def _print(result: CohortResult, figures: Figures, report: Path) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Column, Table
    from rich.text import Text

    from napari_hirescam.evaluation.cohort_plots import title_of
    from napari_hirescam.evaluation.cohort_words import lead

    console = wide_console()
    table = Table(
        Column("finding", no_wrap=True, overflow="fold"),
        "AUROC",
        *(f"OrganIoU {title_of(method)}" for method in result.methods),
        "chance",
        *(f"inside {title_of(method)}" for method in result.methods),
        box=SIMPLE_HEAD,
    )
    for level, name in figures.label_lines():
        chance = figures.row(level, name, result.methods[0], "organ_iou")
        table.add_row(
            Text(name or f"{level} average"),
            Text(figures.text(level, name, "", "auroc")),
            *(Text(figures.text(level, name, key, "organ_iou")) for key in result.methods),
            f"{chance['chance']:.3f}" if chance else "",
            *(Text(figures.text(level, name, key, "share_inside")) for key in result.methods),
        )
    console.print(table)
    console.print(Text(lead(result, figures)))
    console.print(Text(f"Wrote the report and its tables: {report}"), soft_wrap=True)

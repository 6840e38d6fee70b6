"""``test``: whether the explanation of a label stands up to being tested."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from napari_hirescam.cli.app import app
from napari_hirescam.cli.common import (
    Allow,
    AssumeHU,
    At,
    CTPath,
    Device,
    ModelPath,
    Series,
    TargetLayer,
    Trust,
    errors_in_one_line,
    load_classifier,
    note,
    parse_point,
    progress_bar,
    read_ct,
    require_known,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_hirescam.evaluation.findings import Finding
    from napari_hirescam.evaluation.occlusion import Fill

#: Tests by their name on the command line, with what is said while they run.
_TITLES = {
    "removal": "Removing cells",
    "occlusion": "Blanking out the CT",
    "randomisation": "Randomising weights",
}


@app.command("test")
def run_tests(
    ct: CTPath,
    model: ModelPath,
    out: Annotated[Path, typer.Option("--out", help="folder for tables, plots and findings")],
    label: Annotated[
        list[str] | None,
        typer.Option("--label", help="label to test; repeat for more. Default: the likeliest"),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option("--method", help="hirescam, gradcam, ...; repeat for more"),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="removal, occlusion, randomisation; repeat. Default: all"),
    ] = None,
    fill: Annotated[
        Literal["mean", "lowest"],
        typer.Option(help="what replaces the CT: each box's own mean, or its lowest value (air)"),
    ] = "mean",
    target_layer: TargetLayer = None,
    at: At = None,
    seed: Annotated[int, typer.Option(min=0, help="of random cells and random weights")] = 0,
    series: Series = None,
    allow: Allow = None,
    device: Device = None,
    trust: Trust = False,
    assume_hu: AssumeHU = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace files in --out")] = False,
) -> None:
    """Test an explanation: remove its cells, blank out the CT, randomise the weights."""
    with errors_in_one_line() as console:
        from napari_hirescam.attention import METHODS, explain
        from napari_hirescam.evaluation.report import refuse_existing, report_file_names

        methods = list(dict.fromkeys(method or ["hirescam"]))
        require_known("--method", methods, METHODS)
        require_known("--only", only or [], _TITLES)
        classifier = load_classifier(model, trust=trust, device=device, target_layer=target_layer)
        require_known("--label", label or [], classifier.labels)
        point = parse_point(at)
        volume = read_ct(console, ct, series=series, allow=allow, assume_hu=assume_hu)
        with progress_bar(console, "Explaining") as tell:
            explanation = explain(volume, classifier, methods=methods, at_mm=point, progress=tell)
        for text in explanation.provenance["notes"][
            len(volume.source.notes) if volume.source else 0 :
        ]:
            note(console, text)
        labels = list(dict.fromkeys(label or explanation.ranked()[:1]))
        tests = _tests(only, fill)
        jobs = list(itertools.product(labels, methods, tests))
        if not overwrite:
            # An earlier run is met before the work, not after.
            names = (report_file_names(volume.name, *job) for job in jobs)
            refuse_existing(out, itertools.chain.from_iterable(names))
        about = {"explanation": explanation, "at_mm": point, "seed": seed}
        for of, by, which in jobs:
            with progress_bar(console, _TITLES[which]) as tell:
                finding = tests[which](volume, classifier, of, by, progress=tell, **about)
            _write(finding, out, overwrite=overwrite)
        print(f"Wrote {3 * len(jobs)} files to {out}")  # noqa: T201 - the command's answer


def _tests(only: list[str] | None, fill: Fill) -> dict[str, Callable[..., Finding]]:
    """The tests that were asked for, in the order of the table above."""
    from napari_hirescam.evaluation.explanation_tests import (
        occlusion_test,
        randomisation_test,
        removal_test,
    )

    known: dict[str, Callable[..., Finding]] = {
        "removal": removal_test,
        "occlusion": partial(occlusion_test, fill=fill),
        "randomisation": randomisation_test,
    }
    return {name: test for name, test in known.items() if not only or name in only}


def _write(finding: Finding, out: Path, *, overwrite: bool) -> None:
    from napari_hirescam.evaluation.report import save_finding

    save_finding(finding, out, overwrite=overwrite)
    title = f"{_TITLES[finding.key]}: {finding.subject.title}"
    print("\n  ".join([title, *finding.sentences()]))  # noqa: T201 - the command's answer

"""``reproduce luna``: where a lung nodule network looks, against readers' outlines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_hirescam.cli.command_line import command_line
from napari_hirescam.cli.common import (
    Device,
    Trust,
    ask_in_terminal,
    errors_in_one_line,
    progress_bar,
)
from napari_hirescam.cli.report_tables import print_page
from napari_hirescam.cli.reproduce import reproduce


@reproduce.command("luna")
def luna(
    model: Annotated[
        Path,
        typer.Option(
            "--model", help="model folder of a patch network, or the published weights themselves"
        ),
    ],
    data: Annotated[
        list[Path],
        typer.Option(
            "--data", help="folder of scans with readers' marks or of crops; repeat for more"
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="folder for report, figures and pictures")],
    label: Annotated[
        str | None, typer.Option("--label", help="label to explain; default: nodule")
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option("--layer", help="layer to explain; repeat. Default: block4, block3"),
    ] = None,
    crops: Annotated[
        int | None, typer.Option("--crops", min=2, help="draw so many crops; default: all")
    ] = None,
    shifts: Annotated[
        int, typer.Option("--shifts", min=0, help="windows put beside each nodule")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="of crops, windows and intervals")] = 0,
    device: Device = None,
    trust: Trust = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace results")] = False,
) -> None:
    """Measure where a nodule network looks against outlines by radiologists."""
    with errors_in_one_line() as console:
        from napari_hirescam.reproduce.luna import (
            LUNA_LAYERS,
            at_layers,
            look_at_nodules,
            nodule_classifier,
            nodule_label,
        )
        from napari_hirescam.reproduce.luna_data import find_nodules
        from napari_hirescam.reproduce.luna_page import figures_of, page_of, pictures_of
        from napari_hirescam.reproduce.overlays import write_pictures
        from napari_hirescam.reproduce.results import (
            how_it_was_made,
            prepare_folder,
            write_results,
        )

        files = find_nodules(data)
        classifier = nodule_classifier(model, trust=ask_in_terminal(trust=trust), device=device)
        chosen = nodule_label(classifier, label)
        classifiers = at_layers(classifier, layer or LUNA_LAYERS)
        prepare_folder(out, overwrite=overwrite)
        with progress_bar(console, "Explaining nodules") as tell:
            findings = look_at_nodules(
                files,
                classifiers,
                chosen,
                at_most_crops=crops,
                shifts=shifts,
                seed=seed,
                progress=tell,
            )
        facts = {
            **how_it_was_made(
                command_line(
                    "reproduce luna",
                    model=model,
                    label=label,
                    layer=layer,
                    crops=crops,
                    shifts=shifts,
                    seed=seed,
                ),
                str(seed),
            ),
            "Model": f"{classifier.spec.name}, weights {classifier.weights_sha256[:12]}",
            "Data": f"{len(files.scans)} scans, {files.n_crops} crops",
        }
        pictures = pictures_of(findings)
        page = page_of(findings, pictures, facts, chosen, seed)
        write_pictures(out, pictures)
        write_results(out, page, figures_of(findings, seed))
        print_page(page, out)

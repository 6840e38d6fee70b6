"""``reproduce voc``: HiResCAM against Grad-CAM on natural images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from napari_hirescam.cli.command_line import command_line
from napari_hirescam.cli.common import Trust, ask_in_terminal, errors_in_one_line, progress_bar
from napari_hirescam.cli.report_tables import print_page
from napari_hirescam.cli.reproduce import reproduce


@reproduce.command("voc")
def voc(
    data: Annotated[
        Path, typer.Option("--data", help="folder VOC2012, with JPEGImages, SegmentationClass")
    ],
    out: Annotated[Path, typer.Option("--out", help="folder for report, figures and pictures")],
    model: Annotated[
        Path | None,
        typer.Option("--model", help="model folder of a network of colour images, VGG-16 say"),
    ] = None,
    network: Annotated[
        Literal["efficientnet-lite0"], typer.Option(help="without --model: this network")
    ] = "efficientnet-lite0",
    layer: Annotated[
        list[str] | None, typer.Option("--layer", help="explain these layers; repeat for more")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=2, help="draw so many images; default: all")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="of the draw and of intervals")] = 0,
    trust: Trust = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace results")] = False,
) -> None:
    """Measure HiResCAM and Grad-CAM against the segmentation of PASCAL VOC's objects."""
    with errors_in_one_line() as console:
        from napari_hirescam.reproduce.overlays import write_pictures
        from napari_hirescam.reproduce.results import (
            how_it_was_made,
            prepare_folder,
            write_results,
        )
        from napari_hirescam.reproduce.voc import measure_voc
        from napari_hirescam.reproduce.voc_data import find_voc
        from napari_hirescam.reproduce.voc_network import efficientnet, image_network, with_layers
        from napari_hirescam.reproduce.voc_page import figures_of, page_of, pictures_of

        images = find_voc(data, limit, seed)
        if model is None:
            chosen = efficientnet()
            chosen = with_layers(chosen, layer) if layer else chosen
        else:
            chosen = image_network(model, layer or (), trust=ask_in_terminal(trust=trust))
        prepare_folder(out, overwrite=overwrite)
        with progress_bar(console, "Explaining images") as tell:
            findings = measure_voc(images, chosen, progress=tell)
        facts = {
            **how_it_was_made(
                command_line(
                    "reproduce voc",
                    model=model,
                    network=network if model is None else None,
                    layer=layer,
                    limit=limit,
                    seed=seed,
                ),
                str(seed),
            ),
            "Network": f"{chosen.name}, weights {chosen.weights_sha256[:12]}",
            "Data": f"{len(images.names)} images ({images.split})",
        }
        pictures = pictures_of(findings)
        page = page_of(findings, pictures, facts, seed)
        write_pictures(out, pictures)
        write_results(out, page, figures_of(findings, seed))
        print_page(page, out)

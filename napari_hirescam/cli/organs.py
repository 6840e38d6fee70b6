"""``organs``: organ regions of a CT, found in it or taken from masks, as a label map."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_hirescam.cli.app import app
from napari_hirescam.cli.common import (
    Allow,
    AssumeHU,
    CTPath,
    Series,
    errors_in_one_line,
    note,
    progress_bar,
    read_ct,
    wide_console,
)
from napari_hirescam.errors import OrganError, SettingsError

if TYPE_CHECKING:
    from rich.console import Console

    from napari_hirescam.organs import OrganMap
    from napari_hirescam.volume import Volume


_NAMED = 8


@app.command("organs")
def organs_command(
    ct: CTPath,
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="label map to write: .nii.gz, .nrrd, or .dcm", show_default=False
        ),
    ],
    rough: Annotated[
        bool,
        typer.Option("--rough", help="where none can be found, take rough regions of the body"),
    ] = False,
    masks: Annotated[
        Path | None,
        typer.Option("--masks", help="take them from a label map, or a folder of organs' files"),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(
            "--table",
            help="which value is which organ: totalsegmentator, partition, or a file with the "
            "columns organ,values. Default: the names in the masks",
        ),
    ] = None,
    series: Series = None,
    allow: Allow = None,
    assume_hu: AssumeHU = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace --out")] = False,
) -> None:
    """Find lungs and heart in a chest CT, and write them as a label map on its grid.

    What it does not trust in its regions is printed as a doubt; where there is no chest to be
    found, nothing is written and the status is 1.
    """
    with errors_in_one_line() as console:
        from napari_hirescam import __version__
        from napari_hirescam.organs import read_organ_table
        from napari_hirescam.organs.writing import refuse_dicom, refuse_place, write_organs

        if masks is None and table is not None:
            raise SettingsError("--table", "there are no masks to read by it", "Give --masks too")
        if masks is not None and rough:
            raise SettingsError("--rough", "masks are not made", "Leave out --rough or --masks")
        values = read_organ_table(table) if table is not None else None
        refuse_place(out, overwrite=overwrite)
        volume = read_ct(console, ct, series=series, allow=allow, assume_hu=assume_hu)
        refuse_dicom(out, volume)
        found = _organs_of(console, volume, masks, values, rough=rough)
        software = f"napari-hirescam {__version__}"
        write_organs(found, volume, out, software=software, overwrite=overwrite)
        _print_organs(found)
        for doubt in found.doubts:
            console.print(f"Doubt: {doubt}.", style="yellow", highlight=False, markup=False)
        print(f"Wrote {out}")  # noqa: T201 - the command's answer


def _organs_of(
    console: Console,
    volume: Volume,
    masks: Path | None,
    table: dict[str, tuple[int, ...]] | None,
    *,
    rough: bool,
) -> OrganMap:
    from napari_hirescam.organs import find_organs, read_organs

    if masks is None:
        try:
            with progress_bar(console, "Finding organs") as tell:
                return find_organs(volume, rough=rough, progress=tell)
        except OrganError as error:
            if rough:
                raise
            raise OrganError(error.subject, error.reason, f"{error.remedy} (--rough)") from error
    with progress_bar(console, "Reading the masks") as tell:
        found = read_organs(masks, table, volume, progress=tell)
    for text in found.notes:
        note(console, text)
    return found


def _print_organs(organs: OrganMap) -> None:
    from rich.table import Column, Table
    from rich.text import Text

    from napari_hirescam.organs.organ_segments import volumes_ml
    from napari_hirescam.organs.organ_tables import BUILT_IN

    volumes = volumes_ml(organs)
    # Names of one and the same region stand in one row.
    rows: dict[tuple[int, ...], list[str]] = {}
    for organ, values in organs.values.items():
        rows.setdefault(tuple(values), []).append(organ)
    shown = Table(
        Column("organ", no_wrap=True, overflow="fold"), "values", Column("ml", justify="right")
    )
    for values, names in rows.items():
        volume = volumes[names[0]]
        if volume:
            shown.add_row(Text(", ".join(names)), ", ".join(map(str, values)), f"{volume:.0f}")
    console = wide_console()
    console.print(shown)
    console.print(f"By {organs.origin}.", markup=False, highlight=False)
    empty = [name for name, volume in volumes.items() if not volume]
    # Organs of the chest first: TotalSegmentator names a hundred others.
    empty.sort(key=lambda name: not any(name in table for table in BUILT_IN.values()))
    if empty:
        more = f" and {len(empty) - _NAMED} more" if len(empty) > _NAMED else ""
        console.print(
            f"Not a voxel of: {', '.join(empty[:_NAMED])}{more}.", markup=False, highlight=False
        )

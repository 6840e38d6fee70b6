"""The tables that ``review`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_hirescam.cli.common import wide_console

if TYPE_CHECKING:
    from napari_hirescam.review.standing import Standing
    from napari_hirescam.review.table_columns import Recognised

_LONGEST_CELL = 40


def print_recognised(told: Recognised) -> None:
    """Print what each column was taken for, with the first row's cell."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Column, Table
    from rich.text import Text

    first = told.example[0] if told.example else {}
    headings = told.columns
    lines: list[tuple[str, str, str]]
    if told.layout == "folder":
        lines = [(str(role), words, first.get(role, "")) for role, words in headings.items()]
    else:
        lines = [(str(role), name, first[name]) for role, name in headings.items()]
        lines += [(f"mask: {o}", name, first[name]) for o, name in told.organ_masks.items()]
        lines += [(f"map: {lab}", name, first[name]) for lab, name in told.label_maps.items()]
        if told.labels:
            lines.append(("findings", ", ".join(told.labels), ""))
        if told.unused:
            lines.append(("shown to readers", ", ".join(told.unused), ""))
    table = Table(
        Column("taken for", no_wrap=True),
        Column("column" if told.layout == "table" else "how", overflow="fold"),
        Column("first row" if told.layout == "table" else "first case", overflow="fold"),
        box=SIMPLE_HEAD,
    )
    for taken_for, name, cell in lines:
        shown = cell if len(cell) <= _LONGEST_CELL else f"...{cell[-_LONGEST_CELL:]}"
        table.add_row(Text(taken_for), Text(name), Text(shown))
    wide_console().print(table)


def print_standing(name: str, found: Standing) -> None:
    """Print how far each reader is, and what was decided of each organ."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    from napari_hirescam.review.words import duration_words

    console = wide_console()
    repeats = f", {found.repeats} of them hidden repeats" if found.repeats else ""
    console.print(
        Text(f"{name}: {found.items} items of {found.cases} cases{repeats}"), soft_wrap=True
    )
    if not found.readers:
        console.print("Nobody has begun.")
        return
    table = Table(
        "reader", "done", "left", "each takes", "left takes", "flagged", "unreadable",
        box=SIMPLE_HEAD,
    )  # fmt: skip
    for one in found.readers:
        table.add_row(
            Text(one.reader), str(one.done), str(one.left), duration_words(one.seconds_an_item),
            duration_words(one.seconds_left), str(one.flagged), str(one.unreadable),
        )  # fmt: skip
    console.print(table)
    readers = [one.reader for one in found.readers]
    table = Table(
        "organ or label", "kind", "items", *(f"done by {escape(name)}" for name in readers),
        "use", "rough", "resegment", "exclude", "flagged", "unreadable", box=SIMPLE_HEAD,
    )  # fmt: skip
    for target in found.targets:
        table.add_row(
            Text(target.target), target.kind, str(target.items),
            *(str(target.done[name]) for name in readers),
            *(str(count) for count in target.decisions.values()),
            str(target.flagged), str(target.unreadable),
        )  # fmt: skip
    console.print(table)

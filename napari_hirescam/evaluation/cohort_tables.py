"""Tables of a cohort's report, looked up in its summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hirescam.evaluation.cohort_plots import title_of
from napari_hirescam.evaluation.page import Table

if TYPE_CHECKING:
    import pandas as pd

_NAN = float("nan")
#: Intervals no wider than this are written to three digits.
_NARROW = 0.02


class Figures:
    """The figures of a summary by level, name, method and measure.

    Parameters
    ----------
    summary
        From :func:`~napari_hirescam.evaluation.cohort_summary.summary`.
    labels, methods
        In the order of the report.
    """

    def __init__(
        self, summary: pd.DataFrame, labels: Sequence[str], methods: Sequence[str]
    ) -> None:
        self.labels, self.methods = tuple(labels), tuple(methods)
        self._rows: dict[tuple[str, str, str, str], dict[str, Any]] = {
            (row["level"], row["name"], row["method"], row["measure"]): row
            for row in summary.to_dict("records")
        }

    def row(self, level: str, name: str, method: str, measure: str) -> dict[str, Any] | None:
        """Return one figure's row of the summary, or None."""
        return self._rows.get((level, name, method, measure))

    def value(self, level: str, name: str, method: str, measure: str) -> float:
        """Return one figure; NaN if there is none."""
        row = self.row(level, name, method, measure)
        return float(row["value"]) if row else _NAN

    def text(self, level: str, name: str, method: str, measure: str) -> str:
        """Write one figure with its interval: 0.812 [0.75, 0.87]."""
        row = self.row(level, name, method, measure)
        return interval_text(row) if row else "\N{EN DASH}"

    def has(self, measure: str) -> bool:
        """Whether any map has this measure."""
        return any(key[3] == measure and key[2] in self.methods for key in self._rows)

    def label_lines(self) -> Iterator[tuple[str, str]]:
        """Levels and names of a table by label: each label, then the two averages."""
        yield from (("label", label) for label in self.labels)
        yield from (("macro", ""), ("micro", ""))

    def by_label(
        self,
        measures: Mapping[str, str],
        caption: str,
        extra: Mapping[str, str] | None = None,
    ) -> Table:
        """Lay out measures (key -> heading) per label and method, chance beside each.

        `extra` measures follow without an interval.
        """
        return self._table("finding", self.label_lines(), measures, caption, extra)

    def by_organ(self, measures: Mapping[str, str], caption: str) -> Table:
        """Lay out measures per organ and method, chance beside each."""
        organs = sorted({key[1] for key in self._rows if key[0] == "organ" and key[2]})
        lines = (("organ", organ) for organ in organs)
        return self._table("organ", lines, measures, caption)

    def _table(
        self,
        what: str,
        lines: Iterator[tuple[str, str]],
        measures: Mapping[str, str],
        caption: str,
        extra: Mapping[str, str] | None = None,
    ) -> Table:
        header = [what, "method", "maps"]
        for heading in measures.values():
            header += [heading, "chance"]
        header += (extra or {}).values()
        rows = []
        for level, name in lines:
            for method in self.methods:
                found = [self.row(level, name, method, key) for key in measures]
                there = [row for row in found if row]
                if not there:
                    continue
                cells: list[str | float] = [name or f"{level} average", title_of(method)]
                cells.append(max(int(row["n"]) for row in there))
                for row in found:
                    cells += [interval_text(row) if row else "\N{EN DASH}"]
                    cells += [float(row["chance"]) if row else _NAN]
                cells += [self.value(level, name, method, key) for key in extra or {}]
                rows.append(tuple(cells))
        return Table(tuple(header), tuple(rows), caption)

    def differences(self, measures: Mapping[str, str], caption: str) -> list[Table]:
        """Lay out the first method minus each other, per label; none with one method."""
        tables = []
        for other in self.methods[1:]:
            key = f"{self.methods[0]} - {other}"
            rows = [
                (name or f"{level} average", *(self.text(level, name, key, m) for m in measures))
                for level, name in self.label_lines()
                if any(self.row(level, name, key, m) for m in measures)
            ]
            title = f"{title_of(self.methods[0])} minus {title_of(other)}"
            header = ("finding", *(f"{title}: {heading}" for heading in measures.values()))
            if rows:
                tables.append(Table(header, tuple(rows), caption))
        return tables


def interval_text(row: Mapping[str, Any]) -> str:
    """Write a figure with its interval; a narrow interval is written to more digits."""
    value, low, high = (float(row[key]) for key in ("value", "low", "high"))
    if np.isnan(value):
        return "\N{EN DASH}"
    if np.isnan(low):
        return _plain(value, 3)
    digits = 3 if high - low < _NARROW else 2
    return f"{_plain(value, 3)} [{_plain(low, digits)}, {_plain(high, digits)}]"


def _plain(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text

"""A report is one HTML file that needs nothing else, whatever its names hold."""

from __future__ import annotations

import base64
import io
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from cohort_cases import bright_and_dark, case, study
from matplotlib.image import imread

from napari_hirescam.errors import SettingsError
from napari_hirescam.evaluation.cohort import evaluate_cohort
from napari_hirescam.evaluation.cohort_case import CaseProblem
from napari_hirescam.evaluation.cohort_report import build_page
from napari_hirescam.evaluation.cohort_words import problems_told_once
from napari_hirescam.evaluation.page import (
    Figure,
    Page,
    Section,
    Table,
    cell_text,
    render,
    write_page,
)
from napari_hirescam.evaluation.page_plots import as_png, new_figure

EVIL = '<script>alert("1")</script>'


class Elements(HTMLParser):
    """What a page holds, by tag."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data.strip())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def picture() -> bytes:
    figure = new_figure(1, 1)
    figure.subplots().plot([0, 1])
    return as_png(figure)


def page(name: str = "a name") -> Page:
    table = Table(("finding", "AUROC"), ((name, 0.81234), ("none", float("nan"))), name)
    section = Section(name, f"{name}\n\nsecond paragraph", (table,), (Figure(picture(), name),))
    return Page(name, name, {name: name}, (section,))


def test_names_from_files_are_text_and_never_markup():
    html = Elements(render(page(EVIL)))
    assert html.all("script") == []
    # Title, heading, lead, fact and its name, section, text, cell, and two captions.
    assert html.text.count(EVIL) == 10
    (image,) = html.all("img")
    assert image["alt"] == EVIL


def test_nothing_is_fetched_from_anywhere():
    html = render(page())
    elements = Elements(html)
    assert elements.all("link") == []
    (image,) = elements.all("img")
    assert image["src"].startswith("data:image/png;base64,")
    assert not re.search(r"https?://|url\(|@import", html)
    (policy,) = [m for m in elements.all("meta") if "http-equiv" in m]
    assert policy["content"].startswith("default-src 'none'")


def test_the_picture_in_the_page_is_the_picture():
    (image,) = Elements(render(page())).all("img")
    held = base64.b64decode(image["src"].partition(",")[2])
    assert held == picture()
    assert imread(io.BytesIO(held)).shape[2] == 4


def test_an_empty_line_begins_a_paragraph():
    html = Elements(render(page()))
    assert "second paragraph" in html.text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.81234, "0.812"),
        (1, "1"),
        (np.int64(7), "7"),
        (np.float32(0.5), "0.500"),
        (float("nan"), "\N{EN DASH}"),
        (0.0, "0.000"),
        (12.3456, "12.35"),
        (1234567.0, "1.23e+06"),
        (3.2e-6, "3.20e-06"),
        ("text", "text"),
    ],
)
def test_numbers_are_shown_to_three_digits(value, shown):
    assert cell_text(value) == shown


def test_a_page_that_is_there_is_kept_unless_it_may_be_replaced(tmp_path):
    file = tmp_path / "report.html"
    write_page(page("first"), file)
    with pytest.raises(SettingsError, match="there is a file of this name"):
        write_page(page("second"), file)
    assert "first" in file.read_text()
    write_page(page("second"), file, overwrite=True)
    assert "second" in file.read_text()
    with pytest.raises(SettingsError, match="cannot be written"):
        write_page(page(), tmp_path / "none" / "report.html")


def test_without_jinja2_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(SettingsError, match=r'pip install "napari-hirescam\[evaluate\]"'):
        render(page())


class TestOfACohort:
    @pytest.fixture(scope="class")
    @staticmethod
    def result():
        inside, outside = (0, 1, 2), (1, 1, 0)
        lesion = {"outlined": {"bright": ((0, 1, 2),)}}
        return evaluate_cohort(
            bright_and_dark(),
            study(
                case("v", "valid", {inside: 1.0, outside: 0.3}, bright=True, **lesion),
                case(EVIL, "test", {inside: 1.0, outside: 0.2}, bright=True, **lesion),
                case("t2", "test", {inside: 0.2, outside: 0.9}, bright=True, **lesion),
                case("t3", "test", {outside: 0.3}, bright=False),
                case("t4", "test", {}, bright=True, broken="a slice is missing"),
            ),
        )

    @pytest.fixture(scope="class")
    @staticmethod
    def built(result):
        return build_page(result, result.summary(50), command="evaluate", n_replicates=50)

    def section(self, built, start):
        (found,) = [s for s in built.sections if s.heading.startswith(start)]
        return found

    def test_the_lead_says_the_figures_that_were_measured(self, result, built):
        summary = result.summary(50)
        chosen = summary[(summary.level == "micro") & (summary.measure == "organ_iou")]
        value = chosen[chosen.method == "hirescam"].value.iloc[0]
        assert value == 0.5  # one map wholly inside above its threshold, one wholly outside
        assert f"HiResCAM {value:.3f}" in built.lead
        assert "chance is 0.500" in built.lead
        assert "1 case failed" in built.lead
        assert "no difference between HiResCAM and Grad-CAM" in built.lead

    def test_tables_hold_the_summarys_figures(self, built):
        table = self.section(built, "Where the attention").tables[0]
        rows = {row[:2]: row for row in table.rows}
        share = (1.0 / 1.2 + 0.2 / 1.1) / 2
        assert rows["bright", "HiResCAM"][5].startswith(f"{share:.3f} [")
        scores = self.section(built, "How well").tables[0]
        row = next(row for row in scores.rows if row[0] == "bright")
        assert row[1:3] == (2, 3)

    def test_the_residuals_of_every_map_are_counted(self, built):
        (table,) = self.section(built, "The guarantee").tables
        assert table.rows[0][1:3] == (6, "6 of 6")
        assert 0 <= table.rows[0][3] < 1e-5

    def test_failed_cases_are_named_with_their_reason(self, built):
        (table,) = self.section(built, "Cases with a problem or a remark").tables
        assert table.rows == (("t4", "test", "left out", "a slice is missing"),)

    def test_what_many_cases_share_is_told_once(self):
        odd = CaseProblem("a1", "test", "a slice is missing", "nothing")
        shared = [CaseProblem(f"t{k}", "test", "place unknown", "all") for k in range(5)]
        assert problems_told_once([*shared[:2], odd, *shared]) == (
            ("t0, t1, t2 and 2 more", "test", "place unknown", "all"),
            ("a1", "test", "a slice is missing", "nothing"),
        )

    def test_lesions_absent_findings_and_thresholds_have_their_sections(self, built):
        lesions = self.section(built, "On the outlined").tables[0]
        assert lesions.rows[0][:3] == ("bright", "HiResCAM", 2)
        absent = self.section(built, "Findings that are absent").tables[0]
        assert {row[0] for row in absent.rows} >= {"bright", "dark"}
        (tuned,) = self.section(built, "Thresholds").tables
        assert tuned.rows[0][:2] == ("HiResCAM", "bright")
        assert tuned.rows[1][-1].startswith("of all findings together")

    def test_it_renders_with_its_pictures_and_no_markup_of_a_name(self, built):
        html = Elements(render(built))
        assert html.all("script") == []
        assert len(html.all("img")) == 5  # scores, distribution, best, worst, thresholds
        assert not re.search(r"https?://", render(built))

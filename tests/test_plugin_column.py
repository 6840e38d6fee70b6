"""The column of panels: as wide as its dock, whatever words stand in it."""

from __future__ import annotations

import pytest
from qtpy.QtWidgets import QApplication, QLabel, QWidget

from napari_hirescam.plugin.section import Section, scrolled_column

UID = "1.3.6.1.4.1.14519.5.2.1.6279.6001.179049373636438705059720603192"


@pytest.fixture
def words() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    return label


@pytest.fixture
def column(qtbot, words):
    section = Section("Labels", words)
    column = scrolled_column([section, QWidget()], stretched=section)
    qtbot.addWidget(column)
    column.resize(360, 400)
    column.show()
    return column, section


def test_one_long_word_does_not_widen_the_column(column, words):
    scroll, _ = column
    words.setText(UID * 3)
    QApplication.processEvents()
    assert scroll.widget().minimumSizeHint().width() <= 360


def test_a_long_title_does_not_widen_the_column(column):
    scroll, section = column
    section.set_title(f"Labels of {UID}")
    QApplication.processEvents()
    assert scroll.widget().minimumSizeHint().width() <= 360


def test_words_still_get_the_lines_they_need(column, words):
    words.setText("a few words of a sentence " * 20)
    QApplication.processEvents()
    assert words.height() >= words.heightForWidth(words.width())
    assert words.height() >= 4 * words.fontMetrics().height()

"""Paints in a window of its own until it is killed: ``python review_edit_process.py REVIEW``.

Writes the number of each voxel along :data:`PATH` to standard output once it is painted.
"""

from __future__ import annotations

import sys
from pathlib import Path

#: Voxels outside of the organ of `review_cases`, one by one.
PATH = [(k, 30, column) for k in range(4, 20) for column in range(6, 34)]
READER = "ann"


def main(review: Path) -> None:
    """Open the first item and paint for ever."""
    import napari
    from qtpy.QtCore import QTimer

    from napari_hirescam.plugin.reviewing.edit_panel import EditPanel
    from napari_hirescam.review.loading import load_item
    from napari_hirescam.review.review_file import ReviewFile

    with ReviewFile.open(review) as open_review:
        loaded = load_item(open_review.item(1))
    viewer = napari.Viewer()
    panel = EditPanel(viewer)
    viewer.window.add_dock_widget(panel)
    painted = 0

    def paint() -> None:
        nonlocal painted
        panel.layer.paint(PATH[painted], 1)
        sys.stdout.write(f"{painted}\n")
        sys.stdout.flush()
        painted += 1

    timer = QTimer()
    timer.timeout.connect(paint)

    def begin_painting() -> None:
        panel.layer.brush_size = 1
        timer.start(40)

    panel.ready.connect(begin_painting)
    panel.begin(loaded, review, READER)
    napari.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""File > Open Sample: the chest phantom."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_hirescam.plugin.ct_layers import LayerData


def open_phantom() -> list[LayerData]:
    """Read the sample CT of the chest phantom."""
    from napari_hirescam.io import read_volume
    from napari_hirescam.plugin.ct_layers import layer_from_volume
    from napari_hirescam.sample import sample_ct_path

    return [layer_from_volume(read_volume(sample_ct_path()))]

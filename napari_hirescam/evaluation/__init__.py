"""Measures of attention maps: plain functions on arrays and grids."""

from napari_hirescam.evaluation.localisation import chance_share, covered_fraction, share_inside

__all__ = ["chance_share", "covered_fraction", "share_inside"]

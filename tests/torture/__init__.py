"""Awkward CT files whose truth is known at every point, and the judge of who reads them right."""

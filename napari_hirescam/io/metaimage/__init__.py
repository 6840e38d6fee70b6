"""MetaImage files."""

"""YAML that holds plain values and can be read in one way only."""

from __future__ import annotations

from typing import Any

# A file with more parts than this was blown up by aliases that repeat one another.
_MOST_PARTS = 100_000


def read_plain_yaml(source: bytes) -> Any:
    """Read YAML from a file that nobody vouches for; no tag in it can run anything.

    Parameters
    ----------
    source
        The file's bytes, UTF-8.

    Returns
    -------
    Mappings, lists, strings, numbers, dates, booleans and None.

    Raises
    ------
    ValueError
        It is no YAML, a field is there twice, or aliases make it endlessly large; the message is
        a clause.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(
            self,
            node: yaml.MappingNode,
            deep: bool = False,  # noqa: FBT001, FBT002 - PyYAML's
        ) -> dict[Any, Any]:
            names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                # The last one would count, and the first be read by people.
                raise yaml.constructor.ConstructorError(
                    None, None, f"{twice!r} is there twice", node.start_mark
                )
            return super().construct_mapping(node, deep)

    try:
        content = yaml.load(source.decode("utf-8-sig"), Loader=Loader)  # noqa: S506 - a safe one
    except (yaml.YAMLError, ValueError, RecursionError) as exc:  # ValueError: a date of 45 days
        reason = " ".join(str(exc).split())
        raise ValueError(f"it is not plain YAML: {reason}") from exc
    if _parts_in(content, {}) >= _MOST_PARTS:
        raise ValueError("its aliases (*name) make it endlessly large")
    return content


def _parts_in(content: Any, known: dict[int, int]) -> int:
    """Count the values in a YAML file, those that aliases repeat each time anew."""
    if not isinstance(content, dict | list):
        return 1
    if id(content) not in known:
        known[id(content)] = _MOST_PARTS  # until it is counted: what holds itself has no end
        inner = content.values() if isinstance(content, dict) else content
        known[id(content)] = 1 + sum(_parts_in(part, known) for part in inner)
    return known[id(content)]

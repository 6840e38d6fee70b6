"""What the strings of a saved graph may look like: names, operations, arithmetic on sizes.

torch evaluates or pastes some of them into generated Python, so that each kind is held to the
form in which torch itself writes it.
"""

from __future__ import annotations

import ast
import json
import re
from typing import Any

_NAME = re.compile(r"[A-Za-z_]\w*|", re.ASCII)
_DOTTED = re.compile(r"[\w.@]*", re.ASCII)
_TEXT = re.compile(r"[\w .,>/:+-]*", re.ASCII)
_MODULE_STACK = re.compile(r"[\w.,;@<>\[\]() -]*", re.ASCII)
_SYMBOL = re.compile(r"[a-z]{1,12}\d{0,5}")
_TARGET = re.compile(
    # save, load and from_file are aten's own, and reach files
    r"torch\.ops\.aten\.(?!(from_file|save|load|_save\w*|_load\w*)\.)\w+\.\w+"
    # arithmetic on the sizes of tensors
    r"|_operator\.(add|sub|mul|floordiv|truediv|mod|neg|eq|ne|lt|le|gt|ge|getitem)"
    r"|torch\.sym_(int|float|max|min|not|ite|sum)|math\.(ceil|floor|trunc)",
    re.ASCII,
)
_SHAPE_FUNCTIONS = frozenset(
    ("Symbol", "Integer", "Rational", "Mul", "Add", "Pow", "Mod", "Max", "Min", "FloorDiv",
     "CleanDiv", "CeilDiv", "PythonMod", "IntTrueDiv", "Eq", "Ne", "Lt", "Le", "Gt", "Ge",
     "Equality", "Unequality", "LessThan", "StrictLessThan", "GreaterThan", "StrictGreaterThan",
     "And", "Or", "Not")
)  # fmt: skip
_LARGEST_POWER = 8
_TREE_TYPES = frozenset({"builtins.tuple", "builtins.list", "builtins.dict"})
_LONGEST_SHAPE = 2000


def is_dotted_name(text: str) -> bool:
    """True for names joined by dots, 'features.0.weight' say; the empty string is one."""
    return _DOTTED.fullmatch(text) is not None


def is_module_stack(value: object) -> bool:
    """True for the path of modules that torch notes at each operation."""
    return isinstance(value, str) and _MODULE_STACK.fullmatch(value) is not None


def is_plain_string(value: str, key: str) -> bool:
    """True if the string of a field looks as torch writes it."""
    if key == "target":
        return _TARGET.fullmatch(value) is not None
    if key == "expr_str":
        return is_arithmetic(value)
    if key in ("in_spec", "out_spec"):
        return _is_plain_tree(value)
    if key in ("as_string", "as_strings"):
        return _TEXT.fullmatch(value) is not None
    pattern = _NAME if key == "name" else _DOTTED
    # torch writes its version as 2.13.0+cpu
    return pattern.fullmatch(value) is not None or (
        key == "torch_version" and _TEXT.fullmatch(value) is not None
    )


def is_arithmetic(text: str) -> bool:
    """True if a symbolic size is arithmetic on symbols and numbers, and nothing else."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return len(text) <= _LONGEST_SHAPE and _node_is_arithmetic(tree.body)


def _node_is_arithmetic(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return type(node.value) in (int, bool)
    if isinstance(node, ast.Name):
        return _SYMBOL.fullmatch(node.id) is not None
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub) and _node_is_arithmetic(node.operand)
    if isinstance(node, ast.BinOp):
        plain = isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.FloorDiv | ast.Mod | ast.Div)
        return plain and _node_is_arithmetic(node.left) and _node_is_arithmetic(node.right)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return False
    function = node.func.id
    flags = all(k.arg and isinstance(k.value, ast.Constant) for k in node.keywords)
    if function not in _SHAPE_FUNCTIONS or not flags:
        return False
    if function == "Symbol":
        only = node.args[0] if len(node.args) == 1 else None
        name = only.value if isinstance(only, ast.Constant) else None
        return isinstance(name, str) and _SYMBOL.fullmatch(name) is not None
    if function == "Pow" and not _is_small_number(node.args[-1:]):
        return False
    return all(_node_is_arithmetic(arg) for arg in node.args)


def _is_small_number(nodes: list[ast.expr]) -> bool:
    text = ast.unparse(nodes[0]) if nodes else ""
    number = re.fullmatch(r"(?:Integer\()?(-?\d{1,2})\)?", text)
    return number is not None and abs(int(number.group(1))) <= _LARGEST_POWER


def _is_plain_tree(text: str) -> bool:
    """True if inputs or outputs are nested in tuples, lists and dicts only."""
    try:
        return _tree_types(json.loads(text)) <= _TREE_TYPES
    except (ValueError, RecursionError):
        return False


def _tree_types(part: Any) -> set[Any]:
    if isinstance(part, dict):
        own = {part["type"]} if isinstance(part.get("type"), str) else set()
        return own.union(*(_tree_types(inner) for inner in part.values()))
    if isinstance(part, list):
        return set().union(*(_tree_types(inner) for inner in part))
    return set()

"""Every public name says what it is: a docstring, the shape and unit of every array, and what it raises.

Public is what a module lists in ``__all__`` (without one: what has no leading underscore), and public methods. Constructors,
``__call__`` and ``forward`` may be described by their class.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SOURCES = sorted(p for package in ("monai_tavr", "label_app") for p in (REPOSITORY / package).rglob("*.py"))

ARRAY = re.compile(r"\b(ndarray|NDArray|ArrayLike|Array|Tensor)\b")
NO_ARRAY = re.compile(
    r"Callable\[|\b(dict|Mapping)\[str, (torch\.)?Tensor\]"
)  # functions; the weights of a network, of many shapes
# a tuple of axes: (K, 2), (B, K + G, 4), (..., H, W), (N,); or a lone number
_AXIS = r"(?:\.\.\.|\d+|[A-Zhmnw]\d?|cells|channels|in_channels|size|width)(?: ?[+*/-] ?(?:\d+|[A-Zhmnw]|zoom))*"
SHAPE = re.compile(rf"\({_AXIS},(?: {_AXIS},?)*\)|\(\.\.\.\)|\bscalar\b|\bany shape\b")
UNIT = re.compile(
    r"""\b(pixels?|px|mm|millimetres?|(milli)?seconds?|radians?|degrees?      # place and time
    | probabilit(y|ies)|logits?|in\ \[-?\d|0\ to\ 1|shares?|fractions?|standard\ deviations?   # what a network says
    | intensit(y|ies)|grey|attenuation|densit(y|ies)|path\ lengths?|red-green-blue|RGB|RGBA|photons?  # pictures
    | bool|masks?|ind(ex|ices)|0-based|KeypointState|states?|numbers?|counts?|int64|permutation
    | normalised|unit\ vectors?|directions?|features?|loss(es)?|weights?)\b""",
    re.VERBOSE,
)
BY_CLASS = {"__init__", "__post_init__", "__call__", "forward"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Documented:
    """A public function with the docstring that describes it."""

    where: str
    node: Function
    text: str


def test_rules_know_a_shape_and_a_unit():
    for shape in ("(K, 2)", "(K,)", "(B, K + G, 4)", "(..., 2)", "(F, 1, H, W)", "(N, K, 2)", "scalar"):
        assert SHAPE.search(f"xy {shape} in pixels"), shape
    for text in ("(see above)", "(x)", "f(a)", "two points"):
        assert not SHAPE.search(text), text
    assert UNIT.search("(H, W) float32 grey levels")
    assert not UNIT.search("(K, 2) float32, the points")


def listed(tree: ast.Module) -> set[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return None


def public(body: list[ast.stmt], names: set[str] | None = None) -> Iterator[Function | ast.ClassDef]:
    for node in body:
        if isinstance(node, Function | ast.ClassDef) and (node.name in names if names is not None else node.name[0] != "_"):
            yield node


def is_array(annotation: ast.expr | None) -> bool:
    text = "" if annotation is None else ast.unparse(annotation)
    return bool(ARRAY.search(text)) and not NO_ARRAY.search(text)


def overloaded(node: Function) -> bool:
    return any(ast.unparse(d).split(".")[-1] in ("overload", "setter") for d in node.decorator_list)


def functions() -> Iterator[Documented]:
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        place = path.relative_to(REPOSITORY).as_posix()
        for node in public(tree.body, listed(tree)):
            if isinstance(node, Function):
                yield Documented(f"{place}:{node.lineno} {node.name}", node, ast.get_docstring(node) or "")
                continue
            about = ast.get_docstring(node) or ""
            for method in node.body:
                if isinstance(method, Function) and (method.name[0] != "_" or method.name in BY_CLASS) and not overloaded(method):
                    text = ast.get_docstring(method) or ""
                    if method.name in BY_CLASS:
                        text = f"{text}\n\n{about}" if text else about
                    yield Documented(f"{place}:{method.lineno} {node.name}.{method.name}", method, text)


def arrays() -> Iterator[tuple[str, str, str]]:
    """(place and name, name, docstring) of every public array: parameter, attribute of a class, or result (``Returns``)."""
    for f in functions():
        parameters = [*f.node.args.posonlyargs, *f.node.args.args, *f.node.args.kwonlyargs]
        for p in parameters:
            if is_array(p.annotation):
                yield f"{f.where}({p.arg})", p.arg, f.text
        if is_array(f.node.returns):
            yield f"{f.where} ->", "Returns", f.text
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in public(tree.body, listed(tree)):
            for field in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(field, ast.AnnAssign) and is_array(field.annotation):
                    name = ast.unparse(field.target)
                    if name[0] != "_":
                        place = f"{path.relative_to(REPOSITORY).as_posix()}:{field.lineno} {node.name}.{name}"
                        yield place, name, ast.get_docstring(node) or ""


def said(name: str, text: str) -> str:
    """What a docstring says of an argument, or of the result: its entry, or the sentence that names it."""
    if name == "Returns":
        section = re.search(r"^(Returns|Yields):\n((?:[ \t]+.*\n?|\n(?=[ \t]))+)", text, re.MULTILINE)
        if section:
            return section[2]
        return re.split(r"^\w+:\n", text, maxsplit=1, flags=re.MULTILINE)[0]
    entry = re.search(rf"^( +)(?:\w+, )*{name}(?:, \w+)*:((?:.*\n?)(?:\1 +.*\n?|\n)*)", text, re.MULTILINE)
    if entry:
        return entry[2]
    return " ".join(re.findall(rf"``{name}``[^.;]*(?:\.\.\.[^.;]*)*", text))


def raised(node: ast.AST, caught: frozenset[str] = frozenset()) -> set[str]:
    """Names of the exceptions that a function raises itself and does not catch; "" for those that are made elsewhere."""
    found: set[str] = set()
    for inner in ast.iter_child_nodes(node):
        if isinstance(inner, Function | ast.Lambda | ast.ClassDef):
            continue
        here = caught
        if isinstance(node, ast.Try) and inner in node.body:
            here |= {n.id for h in node.handlers if h.type for n in ast.walk(h.type) if isinstance(n, ast.Name)}
        found |= raised(inner, here)
        if isinstance(inner, ast.Raise) and inner.exc is not None:
            made = inner.exc.func if isinstance(inner.exc, ast.Call) else inner.exc
            name = ast.unparse(made).split(".")[-1]
            found |= {name if name[0].isupper() else ""} - here
    return found - {"NotImplementedError"}


def test_rules_find_what_a_docstring_says():
    text = (
        "Draws.\n\nArgs:\n    xy: (K, 2) pixels,\n        or None.\n    score, weight: (K,).\n\nReturns:\n    (H, W) grey levels."
    )
    assert " ".join(said("xy", text).split()) == "(K, 2) pixels, or None."
    assert said("weight", text).strip() == "(K,)."
    assert said("Returns", text).strip() == "(H, W) grey levels."
    assert said("mask", "Keeps what ``mask`` (K,) bool says; ``score`` stays.") == "``mask`` (K,) bool says"
    assert said("other", text) == ""


def test_rules_find_what_is_raised():
    source = """
        def f(x):
            def inner():
                raise KeyError
            try:
                raise TypeError("caught")
            except (TypeError, OSError) as error:
                raise ValueError(x) from error
            if x:
                raise self.error("made elsewhere")
            raise
    """
    assert raised(ast.parse(textwrap.dedent(source)).body[0]) == {"ValueError", ""}


def test_public_names_have_docstrings():
    missing = [f.where for f in functions() if not f.text]
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        classes = [n for n in public(tree.body, listed(tree)) if isinstance(n, ast.ClassDef)]
        missing += [f"{path.relative_to(REPOSITORY)}:{n.lineno} {n.name}" for n in classes if not ast.get_docstring(n)]
        if tree.body and not ast.get_docstring(tree):
            missing.append(f"{path.relative_to(REPOSITORY)}: the module")
    assert missing == []


def test_sections_are_indented():
    """Else readers of Google style, and so the API page, take a section for plain text."""
    flat = re.compile(r"^(Args|Attributes|Returns|Yields|Raises):\n(?! )", re.MULTILINE)
    texts = {f.where: f.text for f in functions()}
    assert [where for where, text in texts.items() if flat.search(text)] == []


@pytest.mark.parametrize(("what", "pattern"), [("shape", SHAPE), ("unit or meaning", UNIT)], ids=["shape", "unit"])
def test_arrays_state_shape_and_unit(what, pattern):
    assert [place for place, name, text in arrays() if not pattern.search(said(name, text))] == [], f"state the {what}"


def test_what_is_raised_is_said():
    silent = []
    for f in functions():
        for name in sorted(raised(f.node)):
            if "aises" not in f.text or name not in f.text:
                silent.append(f"{f.where} raises {name or 'an exception'}")
    assert silent == []

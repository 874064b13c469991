"""Expressions that say which faces are meant: `yaw > 30 and sharpness > 0.4`.

The grammar is a small part of Python's: numbers, texts in quotes, the names of MEASURES, + - * /,
comparisons (chains too, `-10 < yaw < 10`), and, or, not, `in` between texts, abs, min and max.
Python's parser reads it, and only these forms are computed, for all faces at once; nothing of the
text is ever run.
"""

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any, NoReturn

import numpy as np

from facegraft.errors import ParameterError
from facegraft.faces.faceset import Faceset
from facegraft.progress import Progress, Silent
from facegraft.sets.measures import MEASURES, measure_pictures, values_of

LONGEST = 2000  # characters; what people type is shorter, and depth is bounded by it

_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.true_divide,
}
_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "min": lambda *values: reduce(np.minimum, values),
    "max": lambda *values: reduce(np.maximum, values),
}


@dataclass(frozen=True, slots=True)
class _Value:
    """A number, a text or a truth, for every face or for all of them alike."""

    kind: str  # "number", "text" or "yes or no"
    data: Any


@dataclass(frozen=True)
class Filter:
    """A parsed expression; `Filter.parse` makes it."""

    text: str
    _tree: ast.expr

    @classmethod
    def parse(cls, text: str) -> "Filter":
        """Raises: ParameterError naming what is wrong and at which character."""
        if len(text) > LONGEST:
            raise ParameterError(
                f"the expression has {len(text)} characters, the limit is {LONGEST}"
            )
        stripped = text.replace("\n", " ").strip()
        if not stripped:
            raise ParameterError('the expression is empty; say for example "yaw>30"')
        try:
            tree = ast.parse(stripped, mode="eval").body
        except SyntaxError as error:
            # 0 is Python's word for the end of the text
            position = min(error.offset or len(stripped), len(stripped))
            problem = f"this is not understood ({error.msg})"
            if re.search("[^<>=!]=[^=]", stripped):
                problem += "; to compare, write =="
            raise ParameterError(_at(stripped, position - 1, problem)) from error
        except (ValueError, RecursionError, MemoryError) as error:
            raise ParameterError(f"the expression can not be read: {error}") from error
        result = cls(stripped, tree)
        # with no face at all: finds every mistake before a picture is read
        empty = {n: np.empty(0, str if m.help.startswith("text") else float)
                 for n, m in MEASURES.items()}  # fmt: skip
        result.matches(empty, 0)
        return result

    @property
    def needs_pictures(self) -> bool:
        return any(MEASURES[name].needs_picture for name in self.names)

    @property
    def names(self) -> set[str]:
        """The measures it asks for."""
        found = {node.id for node in ast.walk(self._tree) if isinstance(node, ast.Name)}
        return found & set(MEASURES)

    def matches(self, values: dict[str, np.ndarray], count: int) -> np.ndarray:
        """(count,) bool, from the (count,) values of each of `names`. Raises: ParameterError."""
        try:
            result = _Evaluation(self.text, values).of(self._tree)
        except RecursionError as error:
            raise ParameterError("the expression is nested too deeply; make it simpler") from error
        if result.kind != "yes or no":
            example = f"{self.text} > 0" if result.kind == "number" else f"{self.text} == 'this'"
            raise ParameterError(
                f"{self.text!r} is a {result.kind}, not a condition; compare it, as in {example!r}"
            )
        return np.array(np.broadcast_to(result.data, (count,)), bool)


def matching_names(
    faceset: Faceset, condition: Filter, progress: Progress | None = None
) -> tuple[set[str], tuple[str, ...]]:
    """The file names of the faces that match, and a sentence for each whose picture does not read,
    which then matches nothing. Raises: Cancelled.
    """
    faces, pictures, damaged = tuple(faceset), None, ()
    if condition.needs_pictures:
        measured = measure_pictures(faceset, progress or Silent())
        faces, pictures = measured.faces, measured.pictures
        damaged = tuple(text for _, text in measured.damaged)
    values = {name: values_of(faces, name, pictures) for name in condition.names}
    is_match = condition.matches(values, len(faces))
    return {face.path.name for face, yes in zip(faces, is_match, strict=True) if yes}, damaged


class _Evaluation:
    """One pass over the tree of a text; every error says where."""

    def __init__(self, text: str, values: dict[str, np.ndarray]) -> None:
        self.text, self.values = text, values

    def of(self, node: ast.expr) -> _Value:
        match node:
            case ast.BoolOp(op=op, values=parts):
                parts_data = [self._need(part, "yes or no") for part in parts]
                way = np.logical_and if isinstance(op, ast.And) else np.logical_or
                return _Value("yes or no", reduce(way, parts_data))
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                return _Value("yes or no", np.logical_not(self._need(inner, "yes or no")))
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return _Value("number", np.negative(self._need(inner, "number")))
            case ast.UnaryOp(op=ast.UAdd(), operand=inner):
                return _Value("number", self._need(inner, "number"))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                with np.errstate(all="ignore"):  # a division by 0 is inf, and compares as such
                    data = _ARITHMETIC[type(op)](
                        self._need(left, "number"), self._need(right, "number")
                    )
                return _Value("number", data)
            case ast.Compare():
                return self._compare(node)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
                return self._call(node, name, args)
            case ast.Constant(value=bool()):
                self._fail(node, "True and False say nothing of a face")
            case ast.Constant(value=int() | float() as number):
                return _Value("number", np.float64(number))
            case ast.Constant(value=str() as text):
                return _Value("text", np.str_(text))
            case ast.Name(id=name):
                return self._name(node, name)
            case _:
                self._fail(node, "this form is not understood")

    def _compare(self, node: ast.Compare) -> _Value:
        result: Any = True
        sides = [node.left, *node.comparators]
        for op, left, right in zip(node.ops, sides, sides[1:], strict=False):
            a, b = self.of(left), self.of(right)
            if isinstance(op, ast.In | ast.NotIn):
                if a.kind != "text" or b.kind != "text":
                    self._fail(left, '`in` looks for a text in a text, as "take2" in source')
                found = np.char.find(b.data, a.data) >= 0
                data = found if isinstance(op, ast.In) else np.logical_not(found)
            elif type(op) not in _COMPARE:
                self._fail(left, "compare with < <= > >= == != or in")
            elif a.kind != b.kind or a.kind == "yes or no":
                self._fail(left, f"a {a.kind} is compared with a {b.kind}")
            else:
                data = _COMPARE[type(op)](a.data, b.data)
            result = np.logical_and(result, data)
        return _Value("yes or no", result)

    def _call(self, node: ast.Call, name: str, args: list[ast.expr]) -> _Value:
        if not args or (name == "abs" and len(args) != 1):
            self._fail(node, f"{name} takes {'one number' if name == 'abs' else 'numbers'}")
        return _Value("number", _FUNCTIONS[name](*(self._need(arg, "number") for arg in args)))

    def _name(self, node: ast.Name, name: str) -> _Value:
        if name not in MEASURES:
            self._fail(node, f"no measure {name!r}; there are {', '.join(MEASURES)}")
        data = self.values[name]
        return _Value("text" if data.dtype.kind == "U" else "number", data)

    def _need(self, node: ast.expr, kind: str) -> Any:
        value = self.of(node)
        if value.kind != kind:
            self._fail(node, f"a {kind} is needed here, this is a {value.kind}")
        return value.data

    def _fail(self, node: ast.expr, problem: str) -> NoReturn:
        # the parser counts bytes; people count characters
        before = self.text.encode()[: node.col_offset]
        raise ParameterError(_at(self.text, len(before.decode(errors="ignore")), problem))


def _at(text: str, index: int, problem: str) -> str:
    """`problem` with the place in `text`, counted from 1 for people."""
    return f"{problem}, at character {index + 1}:\n  {text}\n  {' ' * index}^"

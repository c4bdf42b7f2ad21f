"""Check requests and responses against the SDK's types, and decode forms by them.

Each annotation is compiled once into a small node that can decode a form value, list what is
wrong with a value, and produce the plainest valid value.
"""

import re
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, cached_property
from typing import (
    Any,
    Literal,
    NamedTuple,
    NotRequired,
    Required,
    Union,
    cast,
    get_args,
    get_origin,
)

import typing_extensions
from stripe._list_object import ListObject
from stripe._stripe_object import StripeObject, UntypedStripeObject

from donorportal.sandbox.sdktypes import (
    annotations_of_object,
    annotations_of_params,
    object_class,
    resolve,
)

_DECIMAL = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_INTEGER = re.compile(r"-?\d{1,18}", re.ASCII)


class Problem(NamedTuple):
    """One deviation: where, of which of Stripe's kinds, and in words."""

    path: str
    code: str
    text: str


def check_request(params_class: type, params: Mapping[str, Any]) -> list[str]:
    """List how typed parameters deviate from one of the SDK's params TypedDicts."""
    return [_sentence(p) for p in request_problems(params_class, params)]


def check_response(cls: type, body: Mapping[str, Any]) -> list[str]:
    """List how a response body deviates from one of the SDK's object classes."""
    return [_sentence(p) for p in _object_node(cls).problems(body, body.get("object", ""))]


def request_problems(params_class: type, params: Mapping[str, Any]) -> list[Problem]:
    """Return the deviations of typed parameters with Stripe's error code for each."""
    return list(_params_node(params_class).problems(params, ""))


def decode(params_class: type, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the texts of a decoded form into the types that the params ask for, where they can."""
    decoded: dict[str, Any] = _params_node(params_class).decode(raw)
    return decoded


def minimal(name: str) -> dict[str, Any]:
    """Return the plainest valid object with this wire name: null wherever null is allowed."""
    cls = object_class(name)
    if cls is None:
        raise LookupError(name)
    value: dict[str, Any] = _object_node(cls).minimal()
    return value


def minimal_part(name: str, *path: str) -> dict[str, Any]:
    """Return the plainest valid value of a field inside an object, even where null would do."""
    cls = object_class(name)
    if cls is None:
        raise LookupError(name)
    node: Node = _object_node(cls)
    for step in path:
        node = _record(_record(node).fields[step][0])
    value: dict[str, Any] = node.minimal()
    return value


def _sentence(problem: Problem) -> str:
    return f"{problem.path or '(body)'}: {problem.text}"


class Node:
    """Accepts anything; the base of all compiled types."""

    def problems(self, value: Any, path: str) -> Iterator[Problem]:  # noqa: ARG002
        """Yield what is wrong with a value at a path."""
        return iter(())

    def decode(self, raw: Any) -> Any:
        """Convert a form value to this type, or hand it back for problems() to name."""
        return raw

    def minimal(self) -> Any:
        """Produce the plainest valid value."""
        return None


@dataclass(frozen=True)
class Scalar(Node):
    """A string, number, boolean or decimal string."""

    name: str
    accepts: Callable[[Any], bool]
    convert: Callable[[str], Any]
    plain: Any

    def problems(self, value: Any, path: str) -> Iterator[Problem]:
        """Yield one problem when the value is of another type."""
        if not self.accepts(value):
            code = "parameter_invalid_integer" if self.name == "integer" else "parameter_invalid"
            yield Problem(path, code, f"expected {self.name}, got {value!r}")

    def decode(self, raw: Any) -> Any:
        """Convert the text of a form field."""
        return self.convert(raw) if isinstance(raw, str) else raw

    def minimal(self) -> Any:
        """Produce zero, false or the empty string."""
        return self.plain


def _integer(text: str) -> Any:
    return int(text) if _INTEGER.fullmatch(text) else text


def _number(text: str) -> Any:
    return float(text) if _DECIMAL.fullmatch(text) else text


def _is_decimal(value: Any) -> bool:
    return isinstance(value, Decimal) or (
        isinstance(value, str) and bool(_DECIMAL.fullmatch(value))
    )


_SCALARS: dict[Any, Scalar] = {
    str: Scalar("string", lambda v: isinstance(v, str), str, ""),
    int: Scalar("integer", lambda v: type(v) is int, _integer, 0),
    float: Scalar("number", lambda v: type(v) in {int, float}, _number, 0),
    bool: Scalar(
        "boolean",
        lambda v: type(v) is bool,
        lambda t: {"true": True, "false": False}.get(t, t),
        False,  # noqa: FBT003
    ),
    Decimal: Scalar("decimal string", _is_decimal, str, "0"),
}


@dataclass(frozen=True)
class Choice(Node):
    """One of a closed set of literals; open enums are closed on purpose."""

    values: tuple[Any, ...]

    def problems(self, value: Any, path: str) -> Iterator[Problem]:
        """Yield one problem when the value is not in the set."""
        if value not in self.values or isinstance(value, bool) != isinstance(self.values[0], bool):
            shown = ", ".join(map(str, self.values[:12]))
            yield Problem(path, "parameter_invalid", f"{value!r} is not one of: {shown}")

    def minimal(self) -> Any:
        """Produce the first literal."""
        return self.values[0]


@dataclass(frozen=True)
class OneOf(Node):
    """A union: valid when any branch is."""

    branches: tuple[Node, ...]
    nullable: bool

    def problems(self, value: Any, path: str) -> Iterator[Problem]:
        """Yield the problems of the branch that comes nearest."""
        if value is None and self.nullable:
            return
        best: list[Problem] | None = None
        for branch in self.branches:
            found = list(branch.problems(value, path))
            if not found:
                return
            if best is None or _distance(found) < _distance(best):
                best = found
        yield from best or [Problem(path, "parameter_invalid", "must be null")]

    def decode(self, raw: Any) -> Any:
        """Decode by the first branch that then has no problem."""
        for branch in self.branches:
            value = branch.decode(raw)
            if not any(branch.problems(value, "")):
                return value
        structured = [b for b in self.branches if isinstance(b, Record | ListOf | Mapped)]
        return structured[-1].decode(raw) if structured else raw

    def minimal(self) -> Any:
        """Produce null where allowed."""
        return None if self.nullable else self.branches[0].minimal()


def _distance(found: list[Problem]) -> tuple[int, int]:
    # A branch whose very shape is wrong is further away than one with a wrong field inside.
    return (-max(p.path.count(".") + p.path.count("[") for p in found), len(found))


@dataclass(frozen=True)
class ListOf(Node):
    """A JSON array."""

    item: Node

    def problems(self, value: Any, path: str) -> Iterator[Problem]:
        """Yield the problems of each element."""
        if not isinstance(value, list):
            yield Problem(path, "parameter_invalid", f"expected a list, got {value!r}")
            return
        for position, element in enumerate(value):
            yield from self.item.problems(element, f"{path}[{position}]")

    def decode(self, raw: Any) -> Any:
        """Decode `a[0]=…&a[1]=…` and `a[]=…`."""
        if isinstance(raw, dict) and all(k.isdecimal() for k in raw):
            raw = [raw[k] for k in sorted(raw, key=int)]
        return [self.item.decode(r) for r in raw] if isinstance(raw, list) else raw

    def minimal(self) -> Any:
        """Produce an empty list."""
        return []


@dataclass(frozen=True)
class Mapped(Node):
    """A free mapping such as metadata."""

    item: Node

    def problems(self, value: Any, path: str) -> Iterator[Problem]:
        """Yield the problems of each value."""
        if not isinstance(value, dict):
            yield Problem(path, "parameter_invalid", f"expected a mapping, got {value!r}")
            return
        for key, element in value.items():
            yield from self.item.problems(element, f"{path}.{key}")

    def decode(self, raw: Any) -> Any:
        """Decode each value."""
        return {k: self.item.decode(v) for k, v in raw.items()} if isinstance(raw, dict) else raw

    def minimal(self) -> Any:
        """Produce an empty mapping."""
        return {}


class Record(Node):
    """A TypedDict or a StripeObject: named fields, nothing else."""

    def __init__(self, load: Callable[[], dict[str, Any]], owner: type) -> None:
        self._load = load
        self._owner = owner

    @cached_property
    def fields(self) -> dict[str, tuple[Node, bool]]:
        """Each field with its node and whether it must be present; compiled on first use."""
        return {name: _field(kind, self._owner) for name, kind in self._load().items()}

    @cached_property
    def required(self) -> frozenset[str]:
        """The fields which must be present."""
        return frozenset(name for name, (_, needed) in self.fields.items() if needed)

    def problems(self, value: Any, path: str) -> Iterator[Problem]:
        """Yield unknown, missing and wrong fields."""
        if not isinstance(value, dict):
            yield Problem(path, "parameter_invalid", f"expected an object, got {value!r}")
            return
        if value.get("deleted") is True:
            return
        prefix = f"{path}." if path else ""
        fields = self.fields
        for name, element in value.items():
            known = fields.get(name)
            if known is None:
                yield Problem(prefix + name, "parameter_unknown", "unknown field")
            else:
                yield from known[0].problems(element, prefix + name)
        for name in self.required - value.keys():
            yield Problem(prefix + name, "parameter_missing", "missing")

    def decode(self, raw: Any) -> Any:
        """Decode each known field and keep unknown ones for problems() to name."""
        if not isinstance(raw, dict):
            return raw
        fields = self.fields
        return {k: fields[k][0].decode(v) if k in fields else v for k, v in raw.items()}

    def minimal(self) -> Any:
        """Produce every field in its plainest form."""
        return {name: node.minimal() for name, (node, _) in self.fields.items()}


class Listing(Record):
    """A page of objects as Stripe nests and answers them."""

    def __init__(self, item: Node) -> None:
        self.item = item

    @cached_property
    def fields(self) -> dict[str, tuple[Node, bool]]:
        """The four fields of every list."""
        plain = {"object": Choice(("list",)), "data": ListOf(self.item)}
        rest = {"has_more": _SCALARS[bool], "url": _SCALARS[str]}
        return {name: (node, True) for name, node in (plain | rest).items()}


def _field(kind: Any, owner: type) -> tuple[Node, bool]:
    kind = resolve(kind, owner)
    origin = get_origin(kind)
    if origin in {NotRequired, typing_extensions.NotRequired}:
        return _compile(get_args(kind)[0], owner), False
    if origin in {Required, typing_extensions.Required}:
        kind = get_args(kind)[0]
    node = _compile(kind, owner)
    is_param = typing_extensions.is_typeddict(owner)
    return node, is_param or not (isinstance(node, OneOf) and node.nullable)


def _compile(kind: Any, owner: type) -> Node:
    kind = resolve(kind, owner)
    if kind in _SCALARS:
        return _SCALARS[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is not None:
        return _compile_generic(origin, arguments, owner)
    if typing_extensions.is_typeddict(kind):
        return _params_node(kind)
    if isinstance(kind, type) and issubclass(kind, UntypedStripeObject):
        return Mapped(Node())
    if isinstance(kind, type) and issubclass(kind, StripeObject):
        return _object_node(kind)
    return Node()


def _compile_generic(origin: Any, arguments: tuple[Any, ...], owner: type) -> Node:
    if origin in {Literal, typing_extensions.Literal}:
        return Choice(arguments)
    if origin is Union or origin is type(int | str):
        return _compile_union([resolve(a, owner) for a in arguments], owner)
    if origin is list:
        return ListOf(_compile(arguments[0], owner))
    if origin is ListObject:
        return Listing(_compile(arguments[0], owner))
    if origin in {dict, typing.Mapping} or issubclass(origin, UntypedStripeObject):
        return Mapped(_compile(arguments[-1], owner))
    return Node()


def _compile_union(kinds: list[Any], owner: type) -> Node:
    nullable = type(None) in kinds
    literals = [k for k in kinds if get_origin(k) in {Literal, typing_extensions.Literal}]
    if any(get_args(k) != ("",) for k in literals) and str in kinds:
        # `Literal[...] | str` is an open enum: what we send and fake stays inside the literals.
        kinds = [k for k in kinds if k is not str]
    branches = tuple(_compile(k, owner) for k in kinds if k is not type(None))
    return OneOf(branches, nullable) if nullable or len(branches) > 1 else branches[0]


def _record(node: Node) -> "Record":
    if isinstance(node, OneOf):
        node = next(b for b in node.branches if isinstance(b, Record | ListOf))
    if isinstance(node, ListOf | Listing):
        return _record(node.item)
    return cast("Record", node)


@cache
def _params_node(cls: type) -> Record:
    return Record(lambda: annotations_of_params(cls), cls)


def _object_node(cls: type) -> Record:
    return _OBJECT_NODES.setdefault(cls, Record(lambda: annotations_of_object(cls), cls))


_OBJECT_NODES: dict[type, Record] = {}

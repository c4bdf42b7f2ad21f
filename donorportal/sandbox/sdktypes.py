"""Resolve the Stripe SDK's own annotations at run time; they are the specification we check by."""

import ast
import inspect
import sys
import typing
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Any

import typing_extensions
from stripe._object_classes import OBJECT_CLASSES, get_object_class
from stripe._request_options import RequestOptions
from stripe._stripe_object import StripeObject
from typing_extensions import Format, get_annotations

__all__ = ["annotations_of_object", "annotations_of_params", "object_class", "params_class"]


def object_class(name: str) -> type[StripeObject] | None:
    """Return the SDK's class for the wire name of an object, such as `checkout.session`."""
    return get_object_class("V1", name) if name in OBJECT_CLASSES else None


def params_class(name: str) -> type:
    """Return a params TypedDict by its dotted name, such as `checkout.SessionCreateParams`."""
    module, _, attribute = f"stripe.params.{name}".rpartition(".")
    found: type = getattr(import_module(module), attribute)
    return found


def annotations_of_object(cls: type) -> dict[str, Any]:
    """Return every field of a response class, inherited ones included, with resolved types."""
    fields: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if not base.__module__.startswith("stripe.") or base is StripeObject:
            continue
        for name, annotation in get_annotations(base, format=Format.FORWARDREF).items():
            if name.startswith("_") or name == "OBJECT_NAME":
                continue
            fields[name] = resolve(annotation, base)
    return fields


def annotations_of_params(cls: type) -> dict[str, Any]:
    """Return every parameter of a TypedDict; those of RequestOptions travel as headers."""
    options = get_annotations(RequestOptions, format=Format.FORWARDREF)
    return {
        name: resolve(annotation, cls)
        for name, annotation in get_annotations(cls, format=Format.FORWARDREF).items()
        if name not in options
    }


def resolve(annotation: Any, owner: type) -> Any:
    """Turn a string or ForwardRef written inside `owner` into the type that it names."""
    while isinstance(annotation, str | typing.ForwardRef):
        text = annotation if isinstance(annotation, str) else annotation.__forward_arg__
        # The text is source code of the installed SDK, never anything from a request.
        annotation = eval(text, {}, _Names(owner))  # noqa: S307
    return annotation


class _Names(dict[str, Any]):
    """The names visible where an annotation was written, TYPE_CHECKING imports included."""

    def __init__(self, owner: type) -> None:
        super().__init__(vars(typing))
        self.update(vars(typing_extensions))
        self.update(vars(sys.modules[owner.__module__]))
        for enclosing in _enclosing_classes(owner):
            self.update({k: v for k, v in vars(enclosing).items() if inspect.isclass(v)})
        self.imports = _lazy_imports(owner.__module__)

    def __missing__(self, name: str) -> Any:
        module, attribute = self.imports[name]
        return getattr(import_module(module), attribute)


def _enclosing_classes(owner: type) -> Iterator[type]:
    scope: Any = sys.modules[owner.__module__]
    for part in owner.__qualname__.split("."):
        scope = getattr(scope, part)
        yield scope


@cache
def _lazy_imports(module: str) -> dict[str, tuple[str, str]]:
    source = inspect.getsource(sys.modules[module])
    return {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("stripe")
        for alias in node.names
    }

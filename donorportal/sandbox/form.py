"""Stripe's form encoding: brackets for structure, text for every value."""

from collections.abc import Iterable
from typing import Any


def parse_form(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Turn `a[b][0]=v` into nested mappings; `a[]=v` counts up."""
    tree: dict[str, Any] = {}
    for name, value in pairs:
        head, *rest = name.split("[")
        place, keys = tree, [head, *(part.removesuffix("]") for part in rest)]
        for key in keys[:-1]:
            child = place.setdefault(key or str(len(place)), {})
            place = child if isinstance(child, dict) else {}
        place[keys[-1] or str(len(place))] = value
    return tree

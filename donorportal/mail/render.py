"""Turn a template's name and its context into the words of a message."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from donorportal.config import Settings
from donorportal.paths import shipped

_KIND = re.compile(r"[a-z][a-z0-9-]*")


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a message says, as text and as HTML."""

    subject: str
    text: str
    html: str


def render(
    settings: Settings, kind: str, context: Mapping[str, Any], *, folder: Path | None = None
) -> Rendered:
    """Fill in ``email/<kind>/`` below *folder*, by default the templates we ship.

    Raises:
        ValueError: *kind* is not the plain name of a folder.
        jinja2.TemplateError: A template is missing or broken, or wants what *context* lacks.

    """
    if not _KIND.fullmatch(kind):
        raise ValueError(f"{kind!r} is not a kind of message")
    templates = _environment(folder or shipped("templates"))
    words = {
        **context,
        "organisation": settings.organisation,
        "public_url": settings.public_url,
    }
    subject, text, html = (
        templates.get_template(f"email/{kind}/{part}").render(words)
        for part in ("subject.txt", "body.txt", "body.html")
    )
    return Rendered(subject=" ".join(subject.split()), text=text, html=html)


@cache
def _environment(folder: Path) -> Environment:
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        auto_reload=False,
    )

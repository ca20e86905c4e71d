"""Annotations: sandboxed Jinja templates over an alert's labels and value."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from jinja2 import Template, TemplateError, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment


class _Blank(Undefined):
    """A label that a series lacks renders as a dash, so that one text serves all series."""

    def __str__(self) -> str:
        return "-"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=_Blank, autoescape=False)
_ENVIRONMENT.filters |= {"percent": _percent, "number": _number}


def check_template(name: str, text: str) -> None:
    """Raises ValueError where the text of annotation ``name`` is not a template."""
    try:
        _ENVIRONMENT.parse(text)
    except TemplateError as error:
        raise ValueError(f"annotation {name!r} is not a valid template: {error}") from None


@lru_cache(maxsize=512)
def _compiled(text: str) -> Template:
    return _ENVIRONMENT.from_string(text)


def render(
    annotations: Mapping[str, str], labels: Mapping[str, str], value: float | None
) -> dict[str, str]:
    """Each annotation with labels, ``value`` and ``labels`` filled in.

    A template that fails renders as its own text with the error behind it: a bad annotation must
    not stop an alert.
    """
    context = {**labels, "labels": dict(labels), "value": value}
    rendered = {}
    for name, text in annotations.items():
        try:
            rendered[name] = _compiled(text).render(context)
        except Exception as error:  # a template runs user code: anything can be raised
            rendered[name] = f"{text} (not rendered: {error})"
    return rendered

"""Matchers: ``severity="critical"``, which labels an alert must have. Pure.

Alertmanager's: ``=`` ``!=`` ``=~`` ``!~``; regular expressions match the whole value; a label that
an alert lacks is the same as an empty one. The expressions are RE2's, as Alertmanager's are: no
expression takes longer than the value is long, whoever sent it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import re2
from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_WRITTEN = re.compile(r"\s*([A-Za-z_]\w*)\s*(=~|!~|!=|=)\s*(.*?)\s*", re.DOTALL | re.ASCII)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}


_OPTIONS = re2.Options()
_OPTIONS.log_errors = False  # they are raised


@dataclass(frozen=True)
class Matcher:
    """One condition on one label; ``op`` is = != =~ or !~."""

    name: str
    op: str
    value: str

    @classmethod
    def parse(cls, text: Any) -> Matcher:
        """From text; quotes around the value may be left out.

        Raises:
            ValueError: not a matcher.
        """
        if isinstance(text, Matcher):
            return text
        found = _WRITTEN.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise ValueError(f'{text!r} is not a matcher; write it as severity="critical"')
        name, op, value = found[1], found[2], found[3]
        if value.startswith('"'):
            quoted = _QUOTED.fullmatch(value)
            if quoted is None:
                raise ValueError(
                    f"{text!r}: the quotes don't end with the text; give each matcher alone"
                )
            value = re.sub(
                r"\\(.)", lambda one: _ESCAPES.get(one[1], one[0]), quoted[1], flags=re.DOTALL
            )
        elif re.search(r'[{}"]|,\s*\w+\s*[!=]', value):
            raise ValueError(f"{text!r}: put the value in quotes, and give each matcher alone")
        made = cls(name, op, value)
        try:
            _ = made._pattern
        except re2.error as error:
            raise ValueError(
                f"{text!r}: {value!r} is no regular expression of RE2: {_why(error)}"
            ) from None
        return made

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.name, "")
        if self._pattern is None:
            return (value == self.value) is (self.op == "=")
        return (self._pattern.fullmatch(value) is not None) is (self.op == "=~")

    def __str__(self) -> str:
        return f"{self.name}{self.op}{json.dumps(self.value, ensure_ascii=False)}"

    @cached_property
    def _pattern(self) -> Any:
        return re2.compile(self.value, _OPTIONS) if self.op in ("=~", "!~") else None


def _why(error: Exception) -> str:
    # RE2's own text comes as bytes
    given = error.args[0] if error.args else error
    return given.decode(errors="replace") if isinstance(given, bytes) else str(given)


def match_all(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether every one of ``matchers`` holds; true where there are none."""
    return all(one.matches(labels) for one in matchers)


def matchers_text(matchers: Iterable[Matcher]) -> str:
    """As Alertmanager writes them: sorted, ``{service="a",severity=~"x|y"}``."""
    listed = sorted(matchers, key=lambda one: (one.name, one.value, one.op))
    return "{" + ",".join(map(str, listed)) + "}"


#: A pydantic field that is written as text.
MatcherField = Annotated[
    Matcher,
    BeforeValidator(Matcher.parse),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^\s*[A-Za-z_]\w*\s*(=~|!~|!=|=)",
            "examples": ['severity="critical"', 'service=~"sim-.*"'],
        }
    ),
]

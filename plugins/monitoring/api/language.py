"""Which of our two languages a caller reads."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Header

Language = Literal["en", "zh"]
AcceptLanguage = Annotated[
    str, Header(alias="accept-language", max_length=500, description="en or zh, as browsers say it")
]


def preferred(accept_language: str, *, default: Language) -> Language:
    """The one that the header asks for first; ``default`` where it says nothing of languages.

    Whoever reads neither gets English.
    """
    wishes: list[tuple[float, str]] = []
    for part in accept_language.split(","):
        tag, _, parameters = part.strip().lower().partition(";")
        name, _, weight = parameters.strip().partition("=")
        try:
            quality = float(weight) if name.strip() == "q" else 1.0
        except ValueError:
            quality = 0.0
        if tag and quality > 0:
            wishes.append((quality, tag.strip().partition("-")[0]))
    wishes.sort(key=lambda wish: -wish[0])
    for _, language in wishes:
        if language == "*":
            return default
        if language in ("en", "zh"):
            return "zh" if language == "zh" else "en"
    return "en" if wishes else default

"""A template for a web hook's body: Jinja in a sandbox, over the payload and the text.

The template sees the payload's fields (``status``, ``alerts``, ``commonLabels``, …), with
``callbacks: true`` also ``callbacks``, and of the text ``subject``, ``text``, ``markdown`` and
``html``. ``tojson`` makes a JSON value of anything. What it renders must be JSON; that is tried
with a sample when the receiver is loaded.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from monitoring.notify.definition import Receiver
from monitoring.notify.sample import sample_messages
from monitoring.notify.texts import Text, render
from monitoring.policy.loader import policies_path
from userdb.errors import ConfigError, DeliveryError

_SAMPLE_TIME = datetime(2026, 1, 1, tzinfo=UTC)
_SAMPLE_URL = "https://airflow.example.com"


class JsonTemplate:
    """The template in the file ``path``.

    Raises:
        ConfigError: it can't be read, is no template, or renders no JSON of a sample; the text
            names file and line.
    """

    def __init__(self, receiver: Receiver, path: Path) -> None:
        self._path = path if path.is_absolute() else policies_path() / path
        self._template = self._compiled(receiver)
        for message in sample_messages(receiver, now=_SAMPLE_TIME, external_url=_SAMPLE_URL):
            data = {**message.payload, "callbacks": {}}
            try:
                self.render(data, render(receiver, message))
            except DeliveryError as error:
                raise ConfigError(f"receiver {receiver.name!r}: {error}") from None

    def render(self, data: Mapping[str, Any], text: Text) -> bytes:
        """The body.

        Raises:
            DeliveryError: the template failed, or what it rendered is no JSON; for good: the
                same message would fail again until the template is mended.
        """
        try:
            rendered = self._template.render({**data, **text.for_templates()})
        except Exception as error:  # a template runs user code: anything can be raised
            raise DeliveryError(
                f"{self._place(error)}: {type(error).__name__}: {error}", permanent=True
            ) from None
        try:
            json.loads(rendered)
        except ValueError as error:
            line = getattr(error, "lineno", 1)
            lines = rendered.splitlines()
            shown = lines[line - 1].strip()[:100] if 0 < line <= len(lines) else ""
            raise DeliveryError(
                f"{self._path}: renders no JSON: {getattr(error, 'msg', error)} in line {line} of "
                f"what it renders, {shown!r}; write values as {{{{ … | tojson }}}}",
                permanent=True,
            ) from None
        return rendered.encode()

    def _compiled(self, receiver: Receiver) -> Template:
        environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
        # str() of what is undefined raises an error that names it
        environment.policies["json.dumps_kwargs"] = {"default": str, "ensure_ascii": False}
        try:
            source = self._path.read_text(encoding="utf-8")
            code = environment.compile(source, filename=str(self._path))
            return Template.from_code(environment, code, environment.make_globals(None))
        except TemplateSyntaxError as error:
            place, why = f"{self._path}:{error.lineno}", str(error.message)
        except (OSError, UnicodeDecodeError, TemplateError) as error:
            place, why = str(self._path), str(getattr(error, "strerror", None) or error)
        raise ConfigError(f"receiver {receiver.name!r}: {place}: no template: {why}")

    def _place(self, error: Exception) -> str:
        """File and line of the template where ``error`` was raised."""
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            if frame.filename == str(self._path):
                return f"{self._path}:{frame.lineno}"
        return str(self._path)

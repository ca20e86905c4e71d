"""The channel ``airflow``: any notifier of an Airflow provider, over connections Airflow has.

``notifier`` is its class and ``kwargs`` are its arguments. Texts in them are templates, which see
``{{ monitoring.subject }}``, ``text``, ``markdown``, ``html``, ``payload`` and ``status``. Without
``notifier`` it is an email, ``to`` somebody, over the smtp connection that ``connection`` names.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Self

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ConfigDict, Field, model_validator

from monitoring.notify.channels import Message, Receipt, parse_options
from monitoring.notify.definition import Receiver
from monitoring.notify.http_post import KEPT_CHARACTERS, refusal
from monitoring.notify.texts import render
from monitoring.notify.time_limit import TimeLimit
from userdb.errors import ConfigError, DeliveryError

_SMTP = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"
_ENVIRONMENT = ImmutableSandboxedEnvironment(autoescape=False)


class AirflowOptions(BaseModel):
    """Either ``notifier`` and ``kwargs``, or an email ``to`` these addresses.

    ``sender`` is the email's address of origin; default: the connection's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    notifier: str | None = Field(default=None, pattern=r"^\w+(\.\w+)+$")
    kwargs: dict[str, Any] = Field(default_factory=dict)
    to: tuple[str, ...] = ()
    sender: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.notifier) == bool(self.to):
            raise ValueError("give either notifier, the class of one, or to, addresses of an email")
        if self.kwargs and not self.notifier:
            raise ValueError("kwargs are a notifier's; give notifier too")
        return self


class AirflowChannel:
    """A channel to one notifier. A new one is made for each message: it keeps what it rendered."""

    options_model = AirflowOptions

    def __init__(self, receiver: Receiver) -> None:
        options = parse_options(receiver, AirflowOptions)
        self._receiver = receiver
        self._limit = TimeLimit(receiver.timeout_s)
        self._kwargs: dict[str, Any] = options.kwargs
        if options.to:
            self._kwargs = {
                "smtp_conn_id": receiver.connection,
                "from_email": options.sender,
                "to": list(options.to),
                "subject": "{{ monitoring.subject }}",
                "html_content": "{{ monitoring.html }}",
            }
        self._class = _notifier(receiver, options.notifier or _SMTP)
        self._made()

    def send(self, message: Message) -> Receipt:
        """Send once.

        Raises:
            DeliveryError: the notifier failed.
        """
        receiver = self._receiver
        text = render(receiver, message)
        context = {
            "monitoring": {
                **text.for_templates(),
                "status": message.payload["status"],
                "payload": message.payload,
            }
        }

        def notify() -> None:
            notifier = self._made(context)
            # not notifier(context): that logs the error, secrets and all
            notifier.render_template_fields(context)
            notifier.notify(context)

        try:
            self._limit.run(notify)
        except DeliveryError:
            raise
        except Exception as error:
            said = " ".join(f"{type(error).__name__}: {error}".split())
            raise _failure(
                receiver.redact(said, text.secrets)[:KEPT_CHARACTERS], error, message
            ) from None
        return Receipt(None, f"taken by {self._class.__name__}")

    def close(self) -> None:
        """Nothing to close."""

    def _made(self, context: dict[str, Any] | None = None) -> Any:
        """A notifier. Airflow renders the arguments that it knows as templates, we the others:
        a text that was rendered must not be taken for a template again."""
        rendered_later = set(self._class.template_fields)
        try:
            kwargs = {
                name: value if name in rendered_later else _rendered(value, context)
                for name, value in self._kwargs.items()
            }
            return self._class(**kwargs)
        except (TypeError, ValueError, TemplateError) as error:
            raise ConfigError(
                f"receiver {self._receiver.name!r}: {self._class.__name__} can't be made of "
                f"options.kwargs ({self._receiver.redact(str(error))})"
            ) from None


def _rendered(value: Any, context: dict[str, Any] | None) -> Any:
    """``value`` with the templates in it rendered; only checked without a context."""
    if isinstance(value, str):
        template = _ENVIRONMENT.from_string(value)
        return value if context is None else template.render(context)
    if isinstance(value, dict):
        return {name: _rendered(one, context) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rendered(one, context) for one in value]
    return value


def _notifier(receiver: Receiver, path: str) -> Any:
    module, _, name = path.rpartition(".")
    try:
        from airflow.sdk import BaseNotifier
    except ImportError:
        raise ConfigError(
            f"receiver {receiver.name!r} is of kind airflow, and Airflow is not installed; install "
            "it, or use another kind"
        ) from None
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"receiver {receiver.name!r}: there is no notifier {path} ({error}); install its "
            f"provider{_provider(module)}"
        ) from None
    if not (isinstance(found, type) and issubclass(found, BaseNotifier)):
        raise ConfigError(f"receiver {receiver.name!r}: {path} is no Airflow notifier")
    return found


def _provider(module: str) -> str:
    prefix = "airflow.providers."
    if not module.startswith(prefix):
        return ""
    names = module.removeprefix(prefix).split(".")
    return f", apache-airflow-providers-{names[0]}"


def _failure(text: str, error: Exception, message: Message) -> DeliveryError:
    """What requests' and smtplib's errors say of whether it can be tried again."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if isinstance(status, int):
        return refusal(text, status, getattr(response, "headers", {}), message.sent_at)
    code = getattr(error, "smtp_code", None)
    # 53x is about the account that sends, which can be mended
    permanent = isinstance(code, int) and 500 <= code < 600 and not 530 <= code < 540
    return DeliveryError(text, permanent=permanent)

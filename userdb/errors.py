"""Every error of the project.

MonitoringError                     something is wrong; the text says what, where, what to do
├── ConfigError                     a file or setting is not valid
│   └── PolicyError                 ... a policy file; names file, line and field
├── NaiveDatetimeError              a datetime without a time zone reached userdb
├── RowError                        a row that userdb's tables can't hold
├── WindowError                     a window that can't be processed
├── UserdbUnavailable               userdb can't be reached
├── SchemaError                     userdb's schema is older or newer than the code
├── InvalidRequestError             what was asked is not valid; ``errors`` names each field
├── NotFoundError                   what was asked for isn't there
├── ConflictError                   what is there stands against it; ``members`` says what
├── PreconditionError               it was changed by somebody else in the meantime
├── AccessError                     a key or its rights don't allow it
├── AlertError                      an alert about which that can't be done
│   ├── UnknownAlertError           ... as there is none, nor a silence (a NotFoundError too)
│   └── TokenError                  ... as the token out of a message allows nothing
├── CollectionError                 a source could not be read
└── DeliveryError                   a receiver did not take a message; ``permanent`` says if ever
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict


class FieldError(TypedDict):
    """What is wrong with a field of a request."""

    field: str
    message: str


class MonitoringError(Exception):
    """Root of the project's errors."""


class ConfigError(MonitoringError):
    """A file or a setting is not valid."""


class PolicyError(ConfigError):
    """A policy file is not valid; the text names file, line and field."""


class NaiveDatetimeError(MonitoringError, ValueError):
    """A datetime without a time zone was given where an aware one is needed."""


class RowError(MonitoringError, ValueError):
    """A row has a column or a value that its table can't hold."""


class WindowError(MonitoringError, ValueError):
    """A window is empty, reversed, not aligned to minutes, or lies in the future."""


class UserdbUnavailable(MonitoringError):
    """userdb can't be reached."""


class SchemaError(MonitoringError):
    """userdb's schema is missing, older or newer than the code."""


class InvalidRequestError(MonitoringError, ValueError):
    """What was asked is not valid. ``errors``: of each field its name and what is wrong."""

    def __init__(self, message: str, *, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(message)
        self.errors = tuple(errors)

    @classmethod
    def of(cls, field: str, message: str) -> InvalidRequestError:
        """What is wrong with one field."""
        return cls(message, errors=[{"field": field, "message": message}])


class NotFoundError(MonitoringError):
    """What was asked for isn't there."""


class ConflictError(MonitoringError):
    """What is there stands against what was asked.

    ``members`` says what, in values of JSON, for programs.
    """

    def __init__(self, message: str, **members: Any) -> None:
        super().__init__(message)
        self.members = members


class PreconditionError(MonitoringError):
    """What was to be changed is no more what the caller has seen."""


class AccessError(MonitoringError):
    """A caller's key is missing, unknown, expired or revoked, or doesn't allow what was asked."""


class AlertError(MonitoringError):
    """There is no such alert, or what was asked can't be done about it."""


class UnknownAlertError(AlertError, NotFoundError):
    """There is no such alert, or no such silence."""


class TokenError(AlertError):
    """A token is not genuine, or too old, or there are none. The text doesn't repeat it."""


class CollectionError(MonitoringError):
    """A source could not be read."""


class DeliveryError(MonitoringError):
    """A receiver did not take a message.

    ``permanent`` is true where sending the same message again can't help. Where the receiver
    answered, ``http_status`` is its status, and ``retry_after_s`` how long it asked to be left
    alone, if it did.
    """

    def __init__(
        self,
        message: str,
        *,
        permanent: bool = False,
        http_status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.http_status = http_status
        self.retry_after_s = retry_after_s

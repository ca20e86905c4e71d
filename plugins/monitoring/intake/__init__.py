"""Events that others send: read, judged one by one, and stored.

Each way in (HTTP, OTLP, Sentry, AMQP) has a module that makes ``SentEvent`` of what it gets;
``accept_events`` stores them all alike.
"""

from monitoring.intake.accept import MAX_EVENTS, Receipt, Rejection, accept_events
from monitoring.intake.bounds import Bounds
from monitoring.intake.sent import SentEvent, Unreadable

__all__ = [
    "MAX_EVENTS",
    "Bounds",
    "Receipt",
    "Rejection",
    "SentEvent",
    "Unreadable",
    "accept_events",
]

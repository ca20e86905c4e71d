"""Notifications: what receivers are told is the difference between what they know and what is.

``notify`` decides and delivers, ``deliver`` only delivers what was decided before, and
``send_alert`` delivers one message.
"""

from monitoring.notify.definition import Receiver
from monitoring.notify.delivery import DeliveryReport, deliver
from monitoring.notify.receivers import Receivers, load_receivers
from monitoring.notify.routing.tree import Routing
from monitoring.notify.run import NotifyReport, notify
from monitoring.notify.sending import Sending, send_alert

__all__ = [
    "DeliveryReport",
    "NotifyReport",
    "Receiver",
    "Receivers",
    "Routing",
    "Sending",
    "deliver",
    "load_receivers",
    "notify",
    "send_alert",
]

"""Typed tables of userdb, a module an area."""

from userdb.models.access import ApiKey
from userdb.models.alerts import Alert, AlertTransition, OperatorAction
from userdb.models.base import Base
from userdb.models.collection import Collection, Dirty, RetentionFloor, Series
from userdb.models.containers import ContainerSample
from userdb.models.events import EventMinute, MonitorEvent
from userdb.models.exchange import MinuteChange, PullCursor
from userdb.models.notifications import Delivery, DeliveryAttempt, NotificationGroup, Silence
from userdb.models.policies import (
    Evaluation,
    PolicyScore,
    PolicyState,
    PolicyVersion,
    VersionOverride,
)
from userdb.models.registry import Audit, Route, Service, ServiceInstance
from userdb.models.requests import RequestLog, RequestMinute, SourceFile

__all__ = [
    "Alert",
    "AlertTransition",
    "ApiKey",
    "Audit",
    "Base",
    "Collection",
    "ContainerSample",
    "Delivery",
    "DeliveryAttempt",
    "Dirty",
    "Evaluation",
    "EventMinute",
    "MinuteChange",
    "MonitorEvent",
    "NotificationGroup",
    "OperatorAction",
    "PolicyScore",
    "PolicyState",
    "PolicyVersion",
    "PullCursor",
    "RequestLog",
    "RequestMinute",
    "RetentionFloor",
    "Route",
    "Series",
    "Service",
    "ServiceInstance",
    "Silence",
    "SourceFile",
    "VersionOverride",
]

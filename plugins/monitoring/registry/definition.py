"""What may be registered: services, instances and their health checks. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

#: Names of services, instances and routes: what every gateway takes as a name.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
INSTANCE_PATTERN = r"^[A-Za-z0-9._:@\[\]-]{1,260}$"
DEFAULT_TTL_S = 30
#: An instance is forgotten so many TTLs after its lease is over, where it doesn't say itself.
DEREGISTER_AFTER_TTLS = 3
MAX_TTL_S = 86_400
DEFAULT_FLOOR = 0.5

_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")


def normal_address(text: str) -> str:
    """An IP address in its shortest form, or a host's name in lower case.

    Raises:
        ValueError: it is neither, or no address that an instance can be reached at.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return _host_name(text)
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            raise ValueError("an IPv6 address with a zone means something on one host alone")
        address = address.ipv4_mapped or address
    if address.is_unspecified or address.is_multicast or address.is_link_local:
        raise ValueError(
            f"{text} is unspecified, multicast or link-local: give an address that the gateway "
            "reaches the instance at"
        )
    if address == ipaddress.ip_address("255.255.255.255"):
        raise ValueError(f"{text} is the broadcast address")
    return str(address)


def _host_name(text: str) -> str:
    name = text.lower()
    labels = name.split(".")
    # a last label of digits would be a mistyped IPv4 address
    if (
        len(name) > 253
        or not all(_LABEL.fullmatch(label) for label in labels)
        or labels[-1].isdigit()
    ):
        raise ValueError(f"{text!r} is neither an IP address nor a host's name")
    return name


def host_port(address: str, port: int) -> str:
    """``address:port``, with brackets around an IPv6 address."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


Name = Annotated[str, Field(pattern=NAME_PATTERN, examples=["sim-runner"])]
Address = Annotated[
    str, Field(min_length=1, max_length=253, examples=["10.0.0.7"]), AfterValidator(normal_address)
]
Port = Annotated[int, Field(ge=1, le=65535, examples=[8080])]
Details = dict[Annotated[str, Field(max_length=128)], Annotated[str, Field(max_length=1024)]]


class HealthCheck(BaseModel):
    """How upkeep looks whether an instance works, once a minute."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["http", "tcp"] = Field(description="ask over HTTP, or connect alone")
    path: str = Field(
        default="/",
        pattern=r"^/[!-~]{0,511}$",
        description="of http: healthy where a GET answers 200 to 399; redirects aren't followed",
        examples=["/health"],
    )
    timeout_s: float = Field(default=2, gt=0, le=10, description="for all of a check")
    failures: int = Field(
        default=2, ge=1, le=10, description="unhealthy after so many failures in a row"
    )


class Registration(BaseModel):
    """An instance that announces itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    service: Name = Field(description="its service; created where there is none")
    instance_id: str | None = Field(
        default=None,
        pattern=INSTANCE_PATTERN,
        description="unique within the service; default: address:port",
        examples=["sim-runner-1"],
    )
    address: Address = Field(description="an IP address or a host's name; unique with the port")
    port: Port
    ttl_s: int = Field(
        default=DEFAULT_TTL_S, ge=1, le=MAX_TTL_S, description="a heartbeat is due within this"
    )
    deregister_after_s: int | None = Field(
        default=None,
        ge=1,
        le=7 * MAX_TTL_S,
        description="forgotten so long after the lease is over; default: three times ttl_s",
    )
    container: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        description="name of the container that it runs in",
        examples=["sim-runner-1"],
    )
    details: Details | None = Field(default=None, max_length=64, examples=[{"version": "1.4.2"}])
    health_check: HealthCheck | None = None

    @property
    def instance(self) -> str:
        """Its instance id, given or made of its address."""
        return self.instance_id or host_port(self.address, self.port)

    @property
    def id(self) -> str:
        """Its id in the registry: the same whenever it registers."""
        return instance_key(self.service, self.instance)

    @property
    def forget_after_s(self) -> int:
        return self.deregister_after_s or DEREGISTER_AFTER_TTLS * self.ttl_s


class ServiceSettings(BaseModel):
    """What may be set of a service."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    floor: float = Field(
        default=DEFAULT_FLOOR,
        ge=0,
        le=1,
        description="share of its instances that stay in service whatever expires; 0: none",
    )


def instance_key(service: str, instance_id: str) -> str:
    """The id of an instance: 32 hexadecimal digits."""
    return hashlib.sha256(f"{service}\0{instance_id}".encode()).hexdigest()[:32]

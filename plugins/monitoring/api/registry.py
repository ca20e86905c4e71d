"""Routes: instances register, and services are looked at, set and deleted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from monitoring.api.access import Principal, requires
from monitoring.api.language import AcceptLanguage, Language, preferred
from monitoring.api.store import ConnectionDep, StoreDep
from monitoring.registry.definition import (
    NAME_PATTERN,
    HealthCheck,
    Name,
    Registration,
    ServiceSettings,
)
from monitoring.registry.registration import deregister, heartbeat, register
from monitoring.registry.rows import Instance, ServiceState, read_service, read_services
from monitoring.registry.services import delete_service, set_service
from monitoring.registry.trouble import ContainerState, OpenAlert, container_states, open_alerts
from userdb.errors import NotFoundError

router = APIRouter(tags=["registry"])

Reader = Depends(requires("read"))
Writer = Annotated[Principal, Depends(requires("registry:write"))]
InstanceId = Annotated[
    str, Path(max_length=32, description="`instance.id` of the registration's answer")
]
ServiceName = Annotated[str, Path(pattern=NAME_PATTERN, examples=["sim-runner"])]

_REGISTERED: dict[Language, str] = {"zh": "注册成功", "en": "registered"}
_NO_INSTANCE: dict[int | str, dict[str, Any]] = {
    404: {"description": "There is no such instance: it has to register (again)"}
}
_NO_SERVICE: dict[int | str, dict[str, Any]] = {404: {"description": "There is no such service"}}


class InstanceOut(BaseModel):
    """An instance, judged when it is read."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(
        description="names it in heartbeats", examples=["0de490f1609248320eace57b7e48dbec"]
    )
    service: Name
    instance_id: str = Field(examples=["sim-runner-1"])
    address: str = Field(examples=["10.0.0.7"])
    port: int = Field(examples=[8080])
    container: str | None
    details: dict[str, str] | None
    ttl_s: int
    deregister_after_s: int
    health_check: HealthCheck | None
    registered_at: AwareDatetime
    registered_by: str = Field(examples=["key:node-1"])
    renewed_at: AwareDatetime = Field(description="the newest registration or heartbeat")
    lease_until: AwareDatetime = Field(description="unhealthy from then on, without a heartbeat")
    checked_at: AwareDatetime | None
    check_message: str | None = Field(description="why the newest active check failed")
    state: Literal["healthy", "unhealthy", "gone"]
    in_service: bool = Field(description="gateways send it requests")
    reason: str = Field(description="why it isn't healthy")


class RegistrationAnswer(BaseModel):
    """The instance with its lease."""

    message: str = Field(
        description="注册成功, or English by Accept-Language", examples=["注册成功"]
    )
    created: bool = Field(description="false where it was registered already")
    instance: InstanceOut


class ServiceOut(BaseModel):
    """A service with its instances, judged when it is read."""

    model_config = ConfigDict(from_attributes=True)

    name: Name
    floor: float = Field(description="share of instances that stay in service whatever expires")
    created_at: AwareDatetime
    created_by: str
    updated_at: AwareDatetime
    healthy: int = Field(description="how many instances are healthy")
    needed: int = Field(description="how many the floor keeps in service")
    protected: bool = Field(
        description="fewer are healthy than needed: none is deregistered, unhealthy ones are kept"
    )
    instances: list[InstanceOut]


class ServiceDetail(ServiceOut):
    """A service, and what is known of its containers."""

    containers: list[ContainerState] = Field(
        description="the newest sample of each container that an instance runs in"
    )
    alerts: list[OpenAlert] = Field(
        description="alerts that aren't over, about the service or these containers"
    )


class ServiceList(BaseModel):
    """All services, by name."""

    items: list[ServiceOut]


@router.post(
    "/register/",
    status_code=201,
    summary="Register an instance",
    responses={
        200: {
            "model": RegistrationAnswer,
            "description": "It was registered: the lease is renewed",
        },
        409: {"description": "Another instance has the address and port; `instance` says which"},
    },
)
def enrol(
    registration: Registration,
    principal: Writer,
    store: StoreDep,
    response: Response,
    accept_language: AcceptLanguage = "",
) -> RegistrationAnswer:
    """Register, or renew the lease of what is registered: doing it again changes nothing else.
    The service is created where there is none."""
    done = register(store, registration, by=principal.name, now=datetime.now(UTC))
    response.status_code = 201 if done.created else 200
    language = preferred(accept_language, default="zh")
    response.headers["Content-Language"] = language
    return RegistrationAnswer(
        message=_REGISTERED[language], created=done.created, instance=_instance(done.instance)
    )


@router.put("/register/{instance_id}/heartbeat", summary="Renew a lease", responses=_NO_INSTANCE)
def renew(instance_id: InstanceId, _principal: Writer, store: StoreDep) -> InstanceOut:
    """The lease runs for `ttl_s` from now on."""
    return _instance(heartbeat(store, instance_id, now=datetime.now(UTC)))


@router.delete(
    "/register/{instance_id}",
    status_code=204,
    summary="Deregister an instance",
    responses=_NO_INSTANCE,
)
def leave(instance_id: InstanceId, principal: Writer, store: StoreDep) -> None:
    """It is out of service at once, whatever the service's floor."""
    deregister(store, instance_id, by=principal.name, now=datetime.now(UTC))


@router.get("/services/", summary="List services", dependencies=[Reader])
def index(connection: ConnectionDep) -> ServiceList:
    """All services with their instances, by name."""
    services = read_services(connection, now=datetime.now(UTC))
    return ServiceList(items=[ServiceOut.model_validate(one) for one in services])


@router.get("/services/{name}", summary="A service", dependencies=[Reader], responses=_NO_SERVICE)
def show(name: ServiceName, connection: ConnectionDep) -> ServiceDetail:
    """A service with its instances, the containers they run in, and its alerts."""
    service = read_service(connection, name, now=datetime.now(UTC))
    if service is None:
        raise NotFoundError(f"there is no service {name}")
    containers = sorted({one.container for one in service.instances if one.container is not None})
    return ServiceDetail(
        **_fields(service),
        containers=container_states(connection, containers),
        alerts=open_alerts(connection, name, containers),
    )


@router.put(
    "/services/{name}",
    summary="Create or set a service",
    responses={201: {"model": ServiceOut, "description": "It is new"}},
)
def put(
    name: ServiceName,
    settings: ServiceSettings,
    principal: Writer,
    store: StoreDep,
    response: Response,
) -> ServiceOut:
    """Routes may lead to it before an instance is there."""
    state, created = set_service(store, name, settings, by=principal.name, now=datetime.now(UTC))
    response.status_code = 201 if created else 200
    return ServiceOut.model_validate(state)


@router.delete(
    "/services/{name}",
    status_code=204,
    summary="Delete a service",
    responses={
        **_NO_SERVICE,
        409: {"description": "Routes lead to it; `routes` lists them with id and name"},
    },
)
def remove(name: ServiceName, principal: Writer, store: StoreDep) -> None:
    """With its instances; only where no route leads to it."""
    delete_service(store, name, by=principal.name, now=datetime.now(UTC))


def _instance(one: Instance) -> InstanceOut:
    return InstanceOut.model_validate(one)


def _fields(service: ServiceState) -> dict[str, Any]:
    return ServiceOut.model_validate(service).model_dump()

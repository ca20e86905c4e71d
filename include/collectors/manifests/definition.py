"""What is read of a manifest, and what it declares."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from include.collectors.manifests.quantity import parse_quantity

RestartPolicy = Literal["Always", "OnFailure", "Never"]
Quantity = Annotated[float, BeforeValidator(parse_quantity)]
Name = Annotated[str, Field(min_length=1, max_length=253)]


class _Part(BaseModel):
    """Kubernetes knows many more fields than those that are compared."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Limits(_Part):
    cpu: Quantity | None = None
    memory: Quantity | None = None


class Resources(_Part):
    limits: Limits = Field(default_factory=Limits)


class ContainerSpec(_Part):
    name: Name
    image: Name
    resources: Resources = Field(default_factory=Resources)


class PodSpec(_Part):
    containers: list[ContainerSpec] = Field(min_length=1)
    restart_policy: RestartPolicy = Field(default="Always", alias="restartPolicy")


class Metadata(_Part):
    name: Name
    namespace: Name = "default"
    labels: dict[str, str] = Field(default_factory=dict)


class TemplateMetadata(_Part):
    labels: dict[str, str] = Field(default_factory=dict)


class PodTemplate(_Part):
    metadata: TemplateMetadata = Field(default_factory=TemplateMetadata)
    spec: PodSpec


class Pod(_Part):
    metadata: Metadata
    spec: PodSpec


class ReplicatedSpec(_Part):
    replicas: int = Field(default=1, ge=0)
    template: PodTemplate


class Replicated(_Part):
    metadata: Metadata
    spec: ReplicatedSpec


class SingleSpec(_Part):
    template: PodTemplate


class Single(_Part):
    metadata: Metadata
    spec: SingleSpec


class CronSpec(_Part):
    schedule: Name
    job_template: JobTemplate = Field(alias="jobTemplate")


class JobTemplate(_Part):
    spec: SingleSpec


class Cron(_Part):
    metadata: Metadata
    spec: CronSpec


#: Kinds that are read. Others (Service, ConfigMap, …) run nothing, and are passed over.
KINDS: Mapping[str, type[BaseModel]] = {
    "Pod": Pod,
    "Deployment": Replicated,
    "StatefulSet": Replicated,
    "DaemonSet": Single,
    "Job": Single,
    "CronJob": Cron,
}
#: How the pods of a kind are called, behind its own name: by Kubernetes, and by `podman kube play`.
_POD_NAMES = {
    "Pod": "",
    "Deployment": r"(-[a-z0-9]{1,10}-[a-z0-9]{5}|-pod(-\d+)?)",
    "StatefulSet": r"(-\d+|-pod(-\d+)?)",
    "DaemonSet": r"(-[a-z0-9]{5}|-pod(-\d+)?)",
    "Job": r"(-[a-z0-9]{5}|-pod(-\d+)?)",
    "CronJob": r"-\d+(-[a-z0-9]{5}|-pod(-\d+)?)",
}


@dataclass(frozen=True)
class Declared:
    """One container of a manifest.

    ``wanted`` pods should hold it at any time: none where it may be over and gone, as a job.
    ``where`` is ``file:line (document n)``.
    """

    kind: str
    name: str
    namespace: str
    container: str
    image: str
    labels: Mapping[str, str]
    restart_policy: RestartPolicy
    wanted: int
    cpu_limit_cores: float | None
    memory_limit_bytes: float | None
    where: str
    _pods: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_pods", re.compile(re.escape(self.name) + _POD_NAMES[self.kind]))

    @property
    def workload(self) -> str:
        """``Deployment default/web``."""
        return f"{self.kind} {self.namespace}/{self.name}"

    @property
    def may_end(self) -> bool:
        """Whether its containers end of themselves when their work is done."""
        return self.kind in ("Job", "CronJob") or self.restart_policy != "Always"

    def is_pod(self, namespace: str, pod: str, container: str) -> bool:
        """Whether it is this container in a pod of that name."""
        return (
            namespace == self.namespace
            and container == self.container
            and self._pods.fullmatch(pod) is not None
        )

    def is_named(self, name: str) -> bool:
        """Whether an engine without pods calls one of its containers so: ``<pod>-<container>``."""
        pod, hyphen, _ = name.rpartition(f"-{self.container}")
        return (
            bool(hyphen)
            and name == f"{pod}-{self.container}"
            and self._pods.fullmatch(pod) is not None
        )


def declared(kind: str, manifest: Any, where: str) -> list[Declared]:
    """The containers that a manifest of ``kind`` (a model of KINDS) declares."""
    metadata: Metadata = manifest.metadata
    if isinstance(manifest, Pod):
        spec, labels = manifest.spec, metadata.labels
    else:
        holder = manifest.spec.job_template.spec if isinstance(manifest, Cron) else manifest.spec
        spec, labels = holder.template.spec, holder.template.metadata.labels
    wanted = 1
    if isinstance(manifest, Replicated):
        wanted = manifest.spec.replicas
    elif kind in ("Job", "CronJob") or spec.restart_policy != "Always":
        wanted = 0
    return [
        Declared(
            kind=kind,
            name=metadata.name,
            namespace=metadata.namespace,
            container=one.name,
            image=one.image,
            labels=labels,
            restart_policy=spec.restart_policy,
            wanted=wanted,
            cpu_limit_cores=one.resources.limits.cpu,
            memory_limit_bytes=one.resources.limits.memory,
            where=where,
        )
        for one in spec.containers
    ]

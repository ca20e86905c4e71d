"""What manifests declare against what runs: pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Literal

from include.collectors.container_stats.labels import is_wanted
from include.collectors.container_stats.runtime import Container, Declaration, Listing
from include.collectors.container_stats.settings import EngineHost
from include.collectors.manifests.definition import Declared
from include.collectors.manifests.loader import Manifests

What = Literal["not running", "not declared", "wrong image", "wrong limit"]

_REGISTRY = re.compile(r"^(docker\.io/library/|docker\.io/|localhost/)")


@dataclass(frozen=True)
class Difference:
    """``what`` is wrong with a container; ``where`` is its manifest's place, if it has one."""

    what: What
    container: str
    message: str
    where: str | None = None


def compare(
    manifests: Manifests, listing: Listing, host: EngineHost
) -> tuple[Listing, tuple[Difference, ...]]:
    """Compare what ``host`` runs with what is declared for it.

    The listing that is returned holds what is declared of each container, and containers that
    should be there and are not, with the state ``absent``.

    What ``host``'s include and exclude leave out isn't expected. Where a manifest is bad, nobody
    can tell what it declares: nothing counts as undeclared then. In a cluster only the namespaces
    that are declared are looked at.
    """
    expected = [
        one
        for one in manifests.containers
        if is_wanted(host, _absent_name(one, host), one.image, one.labels)
    ]
    found = [0] * len(expected)
    containers: list[Container] = []
    differences: list[Difference] = []
    for container in listing.containers:
        at = next((i for i, one in enumerate(expected) if _is(one, container)), None)
        if at is None:
            judged, wrong = _undeclared(container, manifests)
        else:
            found[at] += 1
            judged, wrong = _judge(expected[at], container)
        containers.append(judged)
        differences += wrong
    for one, number in zip(expected, found, strict=True):
        missing = one.wanted - number
        # one that could not be told about may be there
        if missing > 0 and not any(_may_be(one, rejected.where) for rejected in listing.rejected):
            containers.append(_absent(one, host))
            message = f"{one.workload}: {missing} of {one.wanted} containers are not there"
            differences.append(
                Difference("not running", _absent_name(one, host), message, one.where)
            )
    return replace(listing, containers=tuple(containers)), tuple(differences)


def _is(one: Declared, container: Container) -> bool:
    if container.member is None:
        return one.is_named(container.name)
    member = container.member
    return one.is_pod(member.namespace, member.pod, member.container)


def _may_be(one: Declared, name: str) -> bool:
    if one.is_named(name):
        return True
    namespace, _, rest = name.partition("/")
    pod, _, container = rest.partition("/")
    return one.is_pod(namespace, pod, container)


def _judge(one: Declared, container: Container) -> tuple[Container, list[Difference]]:
    wrong = []
    image = int(not same_image(one.image, container.image))
    if image:
        told = f"runs {container.image}, declared is {one.image}"
        wrong.append(Difference("wrong image", container.name, told, one.where))
    limits = [
        f"the limit of {name} is {_amount(has, unit)}, declared is {_amount(wants, unit)}"
        for name, has, wants, unit in (
            ("CPU", container.cpu_limit_cores, one.cpu_limit_cores, ""),
            ("memory", container.memory_limit_bytes, one.memory_limit_bytes, "Mi"),
        )
        # engines round to a page, and to a thousandth of a core
        if wants is not None and not math.isclose(has or 0.0, wants, rel_tol=0.01)
    ]
    if limits:
        wrong.append(Difference("wrong limit", container.name, "; ".join(limits), one.where))
    must_run = _must_run(one, container)
    if must_run and container.state != "running":
        why = f" ({container.reason})" if container.reason else ""
        code = "" if container.exit_code is None else f", exit code {container.exit_code}"
        told = f"{one.workload}: is {container.state}{why}{code}"
        wrong.append(Difference("not running", container.name, told, one.where))
    declared = Declaration(0, image, int(bool(limits)))
    return replace(container, must_run=must_run, declared=declared), wrong


def _must_run(one: Declared, container: Container) -> bool:
    """Whether it is wrong that the container doesn't run; one that may end must end well."""
    if one.may_end:
        return container.state in ("exited", "dead") and container.exit_code != 0
    return one.wanted > 0


def _undeclared(container: Container, manifests: Manifests) -> tuple[Container, list[Difference]]:
    outside = (
        container.member is not None and container.member.namespace not in manifests.namespaces
    )
    if manifests.problems or outside or container.auxiliary:
        return container, []
    if container.state != "running":
        return replace(container, declared=Declaration(undeclared=0)), []
    told = f"runs {container.image}, and no manifest declares it"
    wrong = Difference("not declared", container.name, told)
    return replace(container, declared=Declaration(undeclared=1)), [wrong]


def _absent_name(one: Declared, host: EngineHost) -> str:
    if host.runtime == "kubernetes":
        return f"{one.namespace}/{one.name}/{one.container}"
    return f"{one.name}-{one.container}"


def _absent(one: Declared, host: EngineHost) -> Container:
    return Container(
        container_id="",
        name=_absent_name(one, host),
        image=one.image,
        labels=one.labels,
        state="absent",
        restarts=0,
        read_after_s=0.0,
        cpu_limit_cores=one.cpu_limit_cores,
        declared=Declaration(undeclared=0),
    )


def same_image(first: str, second: str) -> bool:
    """Whether two names mean one image. An image without a name (an id) may be any."""
    if "sha256:" in (first[:7], second[:7]):
        return True
    (name, tag, digest), (other, other_tag, other_digest) = _image(first), _image(second)
    if name != other:
        return False
    if digest and other_digest:
        return digest == other_digest
    return bool(digest or other_digest) or tag == other_tag


def _image(text: str) -> tuple[str, str, str]:
    """Name without the registry that engines take by default, tag, and digest if it has one."""
    name, _, digest = text.partition("@")
    slash = name.rfind("/")
    colon = name.find(":", slash + 1)
    tag = "latest" if colon < 0 else name[colon + 1 :]
    return _REGISTRY.sub("", name if colon < 0 else name[:colon]), tag, digest


def _amount(value: float | None, unit: str) -> str:
    return "none" if value is None else f"{value / (2**20 if unit else 1):g}{unit}"

"""What is declared against what runs."""

from __future__ import annotations

from typing import Any

import pytest

from include.collectors.container_stats.runtime import (
    Container,
    Declaration,
    Listing,
    PodMember,
)
from include.collectors.container_stats.settings import EngineHost
from include.collectors.manifests.comparison import compare, same_image
from include.collectors.manifests.definition import Declared
from include.collectors.manifests.loader import Manifests, Problem
from userdb.ledger import Rejected

HOST = EngineHost(name="local", url="unix:///nowhere")


def _declared(name: str = "shop", **changes: Any) -> Declared:
    fields: dict[str, Any] = {
        "kind": "Pod",
        "name": name,
        "namespace": "default",
        "container": "web",
        "image": "shop:1",
        "labels": {},
        "restart_policy": "Always",
        "wanted": 1,
        "cpu_limit_cores": None,
        "memory_limit_bytes": None,
        "where": "shop.yaml:1 (document 1)",
    }
    return Declared(**(fields | changes))


def _container(name: str = "shop-web", **changes: Any) -> Container:
    fields: dict[str, Any] = {
        "container_id": f"id-{name}",
        "name": name,
        "image": "localhost/shop:1",
        "labels": {},
        "state": "running",
        "restarts": 0,
        "read_after_s": 0.1,
    }
    return Container(**(fields | changes))


def _compare(
    declared: list[Declared], *containers: Container, **more: Any
) -> tuple[dict[str, Container], list[tuple[str, str, str]]]:
    manifests = Manifests(tuple(declared), more.pop("problems", ()), 1, 0)
    host = more.pop("host", HOST)
    listing, differences = compare(manifests, Listing(containers, **more), host)
    return (
        {one.name: one for one in listing.containers},
        [(one.what, one.container, one.message) for one in differences],
    )


def test_what_runs_as_declared_does_not_differ() -> None:
    found, differences = _compare([_declared()], _container())
    assert differences == []
    assert found["shop-web"].declared == Declaration(0, 0, 0)
    assert found["shop-web"].must_run


def test_a_declared_container_that_is_not_there_is_absent() -> None:
    found, differences = _compare([_declared(wanted=2, kind="Deployment")])
    assert differences == [
        ("not running", "shop-web", "Deployment default/shop: 2 of 2 containers are not there")
    ]
    assert (found["shop-web"].state, found["shop-web"].must_run) == ("absent", True)
    assert found["shop-web"].image == "shop:1"


def test_one_that_could_not_be_told_about_may_be_there() -> None:
    _, differences = _compare([_declared()], rejected=(Rejected("shop-web", "timed out"),))
    assert differences == []


@pytest.mark.parametrize("state", ["exited", "created", "waiting", "paused"])
def test_a_declared_container_that_stands_still_is_down(state: str) -> None:
    found, differences = _compare([_declared()], _container(state=state, exit_code=137))
    assert differences == [
        ("not running", "shop-web", f"Pod default/shop: is {state}, exit code 137")
    ]
    assert found["shop-web"].must_run


@pytest.mark.parametrize(
    ("state", "exit_code", "down"),
    [("exited", 0, False), ("exited", 1, True), ("created", None, False), ("running", None, False)],
)
def test_a_job_may_end_and_must_end_well(state: str, exit_code: int | None, down: bool) -> None:
    job = _declared(kind="Job", wanted=0, restart_policy="Never")
    name = "shop-x2x4q-web"
    found, differences = _compare([job], _container(name, state=state, exit_code=exit_code))
    assert found[name].must_run is down
    assert bool(differences) is down


def test_a_job_that_is_over_and_gone_is_not_missed() -> None:
    assert _compare([_declared(kind="Job", wanted=0, restart_policy="Never")]) == ({}, [])


def test_what_no_manifest_declares_is_undeclared_while_it_runs() -> None:
    found, differences = _compare(
        [_declared()],
        _container(),
        _container("stray"),
        _container("old", state="exited"),
        _container("0123456789ab-infra", auxiliary=True),
    )
    assert differences == [
        ("not declared", "stray", "runs localhost/shop:1, and no manifest declares it")
    ]
    assert {name: one.declared.undeclared for name, one in found.items()} == {
        "shop-web": 0,
        "stray": 1,
        "old": 0,
        "0123456789ab-infra": None,
    }


def test_beside_a_bad_manifest_nothing_counts_as_undeclared() -> None:
    problem = Problem("bad.yaml:1 (document 1)", "kind", "is missing")
    found, differences = _compare([_declared()], _container("stray"), problems=(problem,))
    assert found["stray"].declared.undeclared is None
    assert [what for what, _, _ in differences] == ["not running"]


def test_in_a_cluster_other_namespaces_are_nobodys_business() -> None:
    member = PodMember("kube-system", "dns", "dns")
    found, differences = _compare(
        [_declared()],
        _container("default/shop/web", member=PodMember("default", "shop", "web")),
        _container("kube-system/dns/dns", member=member),
    )
    assert differences == []
    assert found["kube-system/dns/dns"].declared == Declaration()


def test_another_image_and_other_limits_are_told_with_both() -> None:
    declared = _declared(cpu_limit_cores=0.5, memory_limit_bytes=64 * 2**20)
    container = _container(image="localhost/shop:2", cpu_limit_cores=0.5)
    found, differences = _compare([declared], container)
    assert differences == [
        ("wrong image", "shop-web", "runs localhost/shop:2, declared is shop:1"),
        ("wrong limit", "shop-web", "the limit of memory is none, declared is 64Mi"),
    ]
    assert found["shop-web"].declared == Declaration(0, 1, 1)


def test_what_the_host_leaves_out_is_not_expected() -> None:
    host = HOST.model_copy(update={"exclude": {"team": "red"}})
    assert _compare([_declared(labels={"team": "red"})], host=host) == ({}, [])


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("shop:1", "docker.io/library/shop:1", True),
        ("shop", "shop:latest", True),
        ("shop:1", "shop:2", False),
        ("a/shop:1", "docker.io/a/shop:1", True),
        ("quay.io/a/shop:1", "a/shop:1", False),
        ("host:5000/shop", "host:5000/shop:latest", True),
        ("shop@sha256:aa", "shop@sha256:bb", False),
        ("shop@sha256:aa", "shop:1", True),
        ("sha256:0123", "shop:1", True),
        ("0123456789ab", "shop:1", False),
    ],
)
def test_which_names_mean_one_image(first: str, second: str, same: bool) -> None:
    assert same_image(first, second) is same
    assert same_image(second, first) is same

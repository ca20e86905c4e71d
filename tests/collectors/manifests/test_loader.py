"""Folders of manifests: what they declare, and what is said of bad ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.collectors.manifests.definition import Declared
from include.collectors.manifests.loader import Manifests, load_manifests
from include.collectors.manifests.quantity import parse_quantity
from userdb.errors import ConfigError

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: shop
  labels: {app: shop}
spec:
  containers:
    - name: web
      image: shop:1
      resources: {limits: {memory: 64Mi, cpu: 200m}}
    - {name: side, image: side:1}
"""
_SPEC = "spec: {restartPolicy: Never, containers: [{name: work, image: 'work:1'}]}"
ALL_KINDS = f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: prod}}
spec:
  replicas: 3
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: app, image: 'web:2'}}]}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: db}}
spec: {{template: {{spec: {{containers: [{{name: pg, image: 'pg:15'}}]}}}}}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: agent}}
spec: {{template: {{spec: {{containers: [{{name: agent, image: 'agent:1'}}]}}}}}}
---
apiVersion: batch/v1
kind: Job
metadata: {{name: once}}
spec: {{template: {{{_SPEC}}}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {{name: nightly}}
spec: {{schedule: "0 3 * * *", jobTemplate: {{spec: {{template: {{{_SPEC}}}}}}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
"""


def _load(folder: Path, **files: str) -> Manifests:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return load_manifests(folder)


def test_a_pod_declares_its_containers(tmp_path: Path) -> None:
    found = _load(tmp_path, shop=POD)
    assert found.problems == ()
    web, side = found.containers
    assert (web.workload, web.container, web.image) == ("Pod default/shop", "web", "shop:1")
    assert (web.cpu_limit_cores, web.memory_limit_bytes) == (0.2, 64 * 2**20)
    assert (web.wanted, web.may_end, web.labels) == (1, False, {"app": "shop"})
    assert web.where == "shop.yaml:1 (document 1)"
    assert (side.cpu_limit_cores, side.memory_limit_bytes) == (None, None)


def test_every_kind_is_read_and_others_are_passed_over(tmp_path: Path) -> None:
    found = _load(tmp_path, all=ALL_KINDS)
    assert found.problems == ()
    assert {one.workload: (one.wanted, one.may_end) for one in found.containers} == {
        "Deployment prod/web": (3, False),
        "StatefulSet default/db": (1, False),
        "DaemonSet default/agent": (1, False),
        "Job default/once": (0, True),
        "CronJob default/nightly": (0, True),
    }
    assert (found.files, found.passed_over) == (1, 1)
    assert found.namespaces == {"default", "prod"}


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("kind: Pod\nmetadata: [", "bad.yaml:2 (document 1): (document): "),
        ("a: {{ .Values.x }}", "bad.yaml:1 (document 1): (document): "),
        ("kind: Pod", "bad.yaml:1 (document 1): apiVersion: is missing, or no text"),
        ("apiVersion: v1", "bad.yaml:1 (document 1): kind: is missing, or no text"),
        ("- a\n- b", "bad.yaml:1 (document 1): (file): is no manifest"),
        ("just text", "bad.yaml:1 (document 1): (file): is no manifest"),
        (
            POD.replace("      image: shop:1\n", ""),
            "bad.yaml:8 (document 1): spec.containers[0].image: Field required",
        ),
        (
            POD.replace("64Mi", "64Mx"),
            "bad.yaml:10 (document 1): spec.containers[0].resources.limits.memory: '64Mx' is no",
        ),
        (
            POD.replace("  containers:", "  restartPolicy: Sometimes\n  containers:"),
            "bad.yaml:7 (document 1): spec.restartPolicy: Input should be 'Always', 'OnFailure'",
        ),
        (
            ALL_KINDS.replace("replicas: 3", "replicas: many"),
            "bad.yaml:5 (document 1): spec.replicas: Input should be a valid integer",
        ),
        (
            f"{POD}---\n{POD}",
            "bad.yaml:13 (document 2): metadata.name: Pod default/shop is declared before, in "
            "bad.yaml:1 (document 1)",
        ),
    ],
)
def test_a_bad_manifest_is_named_with_file_document_and_field(
    tmp_path: Path, bad: str, said: str
) -> None:
    good = POD.replace("shop", "other")
    found = _load(tmp_path, bad=bad, good=good)
    (problem,) = found.problems
    assert said in str(problem)
    assert {"other"} <= {one.name for one in found.containers}


def test_a_bad_document_does_not_stop_the_others_of_its_file(tmp_path: Path) -> None:
    text = f"# a comment\n---\n{POD}---\nkind: [\n---\n{POD.replace('shop', 'other')}--- \n"
    found = _load(tmp_path, all=text)
    assert [str(one).split(": ")[0] for one in found.problems] == ["all.yaml:16 (document 2)"]
    assert {(one.name, one.where) for one in found.containers} == {
        ("shop", "all.yaml:3 (document 1)"),
        ("other", "all.yaml:17 (document 3)"),
    }


def test_what_a_list_holds_is_read_one_by_one(tmp_path: Path) -> None:
    indented = POD.replace("\n", "\n    ")
    text = f"apiVersion: v1\nkind: List\nitems:\n  - {indented}\n  - kind: Pod\n"
    found = _load(tmp_path, all=text)
    assert [one.name for one in found.containers] == ["shop", "shop"]
    assert ["items[1].apiVersion" in str(problem) for problem in found.problems] == [True]


def test_files_that_cannot_be_read_are_problems(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "gone.yml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "pod.json").write_text('{"apiVersion": "v1", "kind": "Service"}')
    found = load_manifests(tmp_path)
    assert [str(one) for one in found.problems] == [
        "binary.yaml:1 (document 1): (document): is not UTF-8 text (byte 0)",
        "gone.yml:1 (document 1): (document): can't be read: No such file or directory",
    ]
    assert found.passed_over == 1


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no folder of manifests .*nowhere"):
        load_manifests(tmp_path / "nowhere")


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.text(max_size=30)
        | st.sampled_from(["kind: Pod\napiVersion: v1", "kind: List\nitems: [1]", "a: &a [*a]"]),
        max_size=4,
    )
)
def test_no_text_stops_the_manifests_beside_it(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("manifests")
    (folder / "any.yaml").write_text("\n---\n".join(parts), encoding="utf-8")
    found = _load(folder, good=POD)
    assert "good.yaml:1 (document 1)" in {one.where for one in found.containers}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("500m", 0.5),
        (2, 2.0),
        (0.5, 0.5),
        ("1e3", 1000.0),
        ("64Mi", 64 * 2**20),
        ("1G", 10**9),
        ("1500k", 1_500_000),
        ("2E", 2e18),
        ("100n", 1e-7),
        ("0", 0.0),
        (".5", 0.5),
    ],
)
def test_quantities(text: object, number: float) -> None:
    assert parse_quantity(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "m", "1 Mi", "64MB", "-1", "NaN", True, None, [], "1e999"])
def test_what_is_no_quantity_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"quantity|negative"):
        parse_quantity(text)


def _declared(kind: str) -> Declared:
    return Declared(kind, "web", "prod", "app", "web:1", {}, "Always", 1, None, None, "f:1")


@pytest.mark.parametrize(
    ("kind", "pod", "is_it"),
    [
        ("Pod", "web", True),
        ("Pod", "web-1", False),
        ("Deployment", "web-5d8c7b9f6d-x2x4q", True),
        ("Deployment", "web-pod-0", True),
        ("Deployment", "web-pod", True),
        ("Deployment", "web-api-5d8c7b9f6d-x2x4q", False),
        ("StatefulSet", "web-12", True),
        ("StatefulSet", "web-x2x4q", False),
        ("DaemonSet", "web-x2x4q", True),
        ("Job", "web-x2x4q", True),
        ("CronJob", "web-28374620-x2x4q", True),
        ("CronJob", "web-x2x4q", False),
    ],
)
def test_pods_are_known_by_their_workloads_name(kind: str, pod: str, is_it: bool) -> None:
    one = _declared(kind)
    assert one.is_pod("prod", pod, "app") is is_it
    assert one.is_named(f"{pod}-app") is is_it
    assert not one.is_pod("test", pod, "app")
    assert not one.is_pod("prod", pod, "other")
    assert not one.is_named(pod)

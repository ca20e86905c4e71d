"""The files that docs/scaling.md hands out: what can be said of them without a cluster."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from monitoring import dag_layout
from monitoring.deployment import initialise

ROOT = Path(__file__).resolve().parents[2]
POOLS: dict[str, Any] = json.loads((ROOT / "deploy" / "pools.json").read_text())
TEXT = (ROOT / "deploy" / "helm" / "values.yaml").read_text()
VALUES: dict[str, Any] = yaml.safe_load(TEXT)
DOCKERFILE = (ROOT / "Dockerfile").read_text()
IMAGE = dict(re.findall(r"^\s*(?:ENV )?([A-Z_]+)=(/\S+)", DOCKERFILE, re.M))
#: What airflow.cfg says for one machine, or for Airflow's own simple logins.
ONE_MACHINE = {
    "core": {"executor", "parallelism", "hostname_callable", "simple_auth_manager_users"},
    "api": {"host", "workers"},
    "logging": {"colored_console_log"},  # the chart's default too
}


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _leaves(one, f"{path}.{key}")
    elif isinstance(value, list):
        for one in value:
            yield from _leaves(one, path)
    else:
        yield path, value


def test_the_chart_s_values_name_the_pools_that_are_made_for_each_kind_of_task() -> None:
    named = {one["name"]: one["value"] for one in VALUES["env"] if "POOL" in one["name"]}
    assert named == {
        f"MONITORING_POOL_{kind.upper()}": f"monitoring_{kind}" for kind in dag_layout.KINDS
    }
    assert set(named.values()) == set(POOLS)
    assert all(pool["slots"] > 0 and pool["description"] for pool in POOLS.values())


def test_the_chart_s_values_hold_no_secret() -> None:
    secret = re.compile(r"(pass|password|fernetKey|[sS]ecretKey|jwtSecret|brokerUrl|token)$")
    found = [path for path, _ in _leaves(VALUES) if secret.search(path)]
    assert found == [".secret.secretKey"], "which is a key's name"
    assert all("secretName" in one for one in VALUES["secret"])
    assert VALUES["createUserJob"]["enabled"] is False


@pytest.mark.parametrize(
    "variable",
    [
        "MONITORING_COLLECT_TASKS",
        "MONITORING_POLICIES_PER_TASK",
        "MONITORING_ANALYSIS_TASKS",
        "MONITORING_POOL_COLLECT",
        "MONITORING_QUEUE_COLLECT",
        "MONITORING_EXECUTOR_COLLECT",
    ],
)
def test_the_layout_s_settings_are_documented(variable: str) -> None:
    assert f"`{variable}`" in (ROOT / "docs" / "scaling.md").read_text()


def test_the_chart_s_configuration_is_the_one_that_the_image_reads() -> None:
    home = VALUES["airflowHome"]
    assert home == IMAGE["AIRFLOW_HOME"], "the folder where the image's user may write"
    (config,) = [one["value"] for one in VALUES["env"] if one["name"] == "AIRFLOW_CONFIG"]
    assert config == f"{home}/airflow.cfg", "where the chart mounts it"
    assert f"useradd --uid {VALUES['uid']} " in DOCKERFILE
    # what the image brings, and the chart knows nothing of
    assert IMAGE["AIRFLOW__CORE__DAGS_FOLDER"] in DOCKERFILE.split("COPY dags ")[1].splitlines()[0]


def test_the_chart_s_configuration_repeats_what_a_cluster_needs_of_ours() -> None:
    ours = configparser.ConfigParser(interpolation=None)
    ours.read(ROOT / "airflow.cfg")
    for section in ours.sections():
        kept = {k: v for k, v in ours[section].items() if k not in ONE_MACHINE.get(section, ())}
        theirs = {key: str(VALUES["config"].get(section, {}).get(key)) for key in kept}
        assert theirs == kept, section


@pytest.mark.parametrize("path", ["scheduler", "workers.celery", "dagProcessor", "triggerer"])
def test_no_groomer_is_started_for_which_the_image_has_no_script(path: str) -> None:
    section = VALUES
    for key in path.split("."):
        section = section[key]
    assert section["logGroomerSidecar"] == {"enabled": False}


def test_the_image_has_the_entry_point_that_the_chart_s_probes_run() -> None:
    final = DOCKERFILE.rpartition("FROM ")[2]
    assert "RUN ln -s /opt/monitoring/bin/entrypoint /entrypoint\n" in final
    assert "COPY deploy/image /opt/monitoring/bin\n" in final.partition("/entrypoint\n")[0]
    probe = 'CHECK=0 exec "$0" sh -c \'echo "$CHECK $1"; exit 3\' - "two words"'
    command = ["sh", "-c", probe, str(ROOT / "deploy" / "image" / "entrypoint")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("0 two words\n", 3)


def test_each_executor_that_is_named_can_be_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]

    def extra_of(executor: str) -> str:
        name = executor.removesuffix("Executor").lower()
        providers = [one for one in extras[name] if one.startswith("apache-airflow-providers-")]
        assert any(name in one for one in providers), name
        return name

    (built,) = re.findall(r"^ARG EXTRAS=(\S+)$", DOCKERFILE, re.M)
    assert '".[${EXTRAS}]"' in DOCKERFILE
    assert {"airflow", *map(extra_of, VALUES["executor"].split(","))} <= set(built.split(","))
    named = set(re.findall(r"\b[A-Z]\w+Executor\b", TEXT))
    assert named >= {"CeleryExecutor", "KubernetesExecutor"}
    for text in (TEXT, DOCKERFILE):
        (most,) = re.findall(r"\bairflow,mysql,celery,\w+", text)
        assert set(map(extra_of, named)) <= set(most.split(",")) <= set(extras)


def test_the_chart_s_job_is_given_the_files_and_the_switch_that_it_needs() -> None:
    job = VALUES["migrateDatabaseJob"]
    assert job["args"] == ["initialise", "--skip-unset"]
    assert (ROOT / "deploy" / "image" / job["args"][0]).exists()
    settings = {one["name"]: one.get("value") for one in job["env"]}
    known = {name for names in initialise.SETTINGS.values() for name in names}
    assert set(settings) <= known
    (volume,), (mount,) = VALUES["volumes"], VALUES["volumeMounts"]
    paths = {f"{mount['mountPath']}/{item['path']}" for item in volume["configMap"]["items"]}
    assert settings["MONITORING_POOLS"] in paths
    assert volume["name"] == mount["name"]


def test_compose_leaves_out_nothing_that_initialise_makes() -> None:
    init = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["init"]
    assert init["command"] == ["initialise"]
    known = {name for names in initialise.SETTINGS.values() for name in names}
    assert known <= set(init["environment"])

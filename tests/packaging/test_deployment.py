"""What Compose starts: no default passwords, nothing open to the network, nothing undocumented."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from monitoring import dag_layout
from monitoring.deployment.secrets import resolve

from tests.deployment.images import GATEWAY, IMAGES

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]
#: Ours run one image; databases, gateway and such have their own.
OURS = sorted(name for name, one in SERVICES.items() if one["image"].startswith("monitoring-chain"))
EXAMPLE = dict(
    line.split("=", 1)
    for line in (ROOT / ".env.example").read_text().splitlines()
    if line and not line.startswith("#")
)
DOCKERFILE = (ROOT / "Dockerfile").read_text()
_VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?::([-?])([^}]*))?\}")
_REFERENCE = re.compile(r"<secret\??:(\w+)>")


def test_the_example_has_every_setting_and_its_default() -> None:
    used = {(name, kind): default for name, kind, default in _VARIABLE.findall(TEXT)}
    assert {name for name, _ in used} == set(EXAMPLE)
    for (name, kind), default in used.items():
        assert EXAMPLE[name] == ("" if kind == "?" else default), name


def test_no_setting_is_a_secret() -> None:
    assert [name for name in EXAMPLE if re.search("PASSWORD|SECRET|TOKEN", name)] == []


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_is_bounded_logged_and_started_again(name: str) -> None:
    service = SERVICES[name]
    assert service["mem_limit"]
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
    once = name in ("init", "demo-setup", "demo-ends")
    assert service["restart"] == ("no" if once else "unless-stopped")
    assert "container_name" not in service
    for port in service.get("ports", []):
        assert port.startswith("${LISTEN_ADDRESS:-127.0.0.1}:"), "open to this machine only"
    assert "ports" not in SERVICES["worker"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_has_the_secrets_that_it_names_and_no_others(name: str) -> None:
    service = SERVICES[name]
    settings = str(service.get("environment", {}))
    named = set(_REFERENCE.findall(settings)) | set(re.findall(r"/run/secrets/(\w+)", str(service)))
    if name == "userdb":
        named.add("userdb_reader_password")  # of deploy/userdb/reader.sh
    if name == "grafana":
        named.add("userdb_reader_password")  # of the data source
    assert set(service.get("secrets", [])) == named
    assert not re.search(r"(PASSWORD|SECRET|KEY)['\"]?: ['\"](?!<secret|/run/secrets)\w", settings)


def test_make_secrets_makes_every_secret_once(tmp_path: Path) -> None:
    def made() -> dict[str, str]:
        command = [ROOT / "deploy" / "make-secrets", str(tmp_path / "secrets")]
        subprocess.run(command, check=True, capture_output=True)
        return {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()}

    first = made()
    assert set(first) == set(COMPOSE["secrets"])
    optional = set(re.findall(r"<secret\?:(\w+)>", TEXT))
    assert {name for name, text in first.items() if not text} == optional
    assert made() == first
    (tmp_path / "secrets" / "jwt_secret").unlink()
    again = made()
    assert again.pop("jwt_secret") != first.pop("jwt_secret")
    assert again == first
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    for name in OURS:
        environment = {k: str(v) for k, v in SERVICES[name].get("environment", {}).items()}
        made_of = resolve({**environment, "MONITORING_SECRETS": str(tmp_path / "secrets")})
        assert not _REFERENCE.search(str(made_of))


def test_only_the_proxy_sees_the_docker_socket() -> None:
    sees = [n for n, s in SERVICES.items() if any("docker.sock" in v for v in s.get("volumes", []))]
    assert sees == ["docker-proxy"]
    reads = [n for n, s in SERVICES.items() if "docker" in s.get("networks", [])]
    assert reads == ["worker", "docker-proxy"]
    assert COMPOSE["networks"]["docker"] == {"internal": True}


def test_one_service_builds_the_image_that_all_of_ours_run() -> None:
    # Compose 2 builds all at once, and the second one that gives the name fails
    assert [name for name, one in SERVICES.items() if "build" in one] == ["init"]
    assert len({SERVICES[name]["image"] for name in OURS}) == 1


def test_user_containers_reach_the_gateway_and_ingest_and_nothing_else() -> None:
    page = (ROOT / "docs" / "compose.md").read_text()
    network = COMPOSE["networks"]["gateway"]["name"]
    assert f"join the network `{network}`" in page
    demo = {name for name, one in SERVICES.items() if name.startswith("demo-")} - {"demo-setup"}
    assert {tuple(SERVICES[name]["networks"]) for name in demo} == {("gateway",)}
    there = {name for name, one in SERVICES.items() if "gateway" in one["networks"]}
    assert there - demo == {"gateway", "ingest"}


@pytest.mark.parametrize("name", sorted(set(SERVICES) - set(OURS)))
def test_a_service_of_another_image_has_a_health_check(name: str) -> None:
    # our image has its own
    assert SERVICES[name]["healthcheck"]["test"]


def test_the_image_gets_what_it_copies() -> None:
    allowed = (ROOT / ".dockerignore").read_text().split()
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.M)
    copied = {word for line in lines for word in line.split()}
    assert copied == {name.removeprefix("!") for name in allowed if name.startswith("!")}
    for name in copied:
        assert (ROOT / name).exists(), name


def test_the_image_is_slim_pinned_and_not_roots() -> None:
    stages = re.findall(r"^FROM (\S+)", DOCKERFILE, re.M)
    assert stages == ["python:3.11-slim-bookworm"] * 2
    final = DOCKERFILE.rpartition("FROM ")[2]
    assert re.findall(r"^USER (\S+)", final, re.M) == ["airflow"]
    assert "gcc" not in final
    for command in re.findall(r"pip install (.+)", DOCKERFILE):
        assert "-c constraints.txt" in command
    assert "HEALTHCHECK" in final
    for label in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{label}=" in final


def test_every_image_that_is_started_has_a_stand_in() -> None:
    theirs = {one["image"] for name, one in SERVICES.items() if name not in OURS}
    # Debian has no Grafana
    assert theirs - {SERVICES["grafana"]["image"]} == set(IMAGES.values())
    assert GATEWAY in theirs


def test_collectors_and_upkeep_leave_processes_of_the_workers_to_the_analysis() -> None:
    pools = json.loads((ROOT / "deploy" / "pools.json").read_text())
    environment = SERVICES["worker"]["environment"]
    kinds = {kind: environment[f"MONITORING_POOL_{kind.upper()}"] for kind in dag_layout.KINDS}
    assert set(kinds.values()) == set(pools)
    others = sum(pools[pool]["slots"] for kind, pool in kinds.items() if kind != "analysis")
    assert int(EXAMPLE["WORKERS"]) * int(EXAMPLE["WORKER_CONCURRENCY"]) > others
    assert f"have slots ({others})" in (ROOT / ".env.example").read_text()
    # who places tasks and who parses DAGs see the same
    for name in ("scheduler", "dag-processor", "triggerer"):
        assert SERVICES[name]["environment"] == environment


@pytest.mark.parametrize("name", OURS)
def test_a_service_is_stopped_before_the_databases_that_it_uses(name: str) -> None:
    # an order that only leads through `init`, which has ended, isn't kept
    settings = str(SERVICES[name].get("environment"))
    uses = set(re.findall(r"@(userdb|metadata|redis)\b", settings))
    assert uses <= set(SERVICES[name].get("depends_on", {}))


def test_init_is_given_the_files_that_its_settings_name() -> None:
    init = SERVICES["init"]
    targets = [volume.split(":")[1] for volume in init["volumes"]]
    settings = ("GATEWAY_TEMPLATE", "GATEWAY_CONFIG", "PROMETHEUS_KEY", "POOLS")
    for setting in settings:
        path = init["environment"][f"MONITORING_{setting}"]
        assert {path, str(Path(path).parent)} & set(targets), setting


def test_prometheus_reads_the_key_that_init_made_and_is_where_grafana_asks() -> None:
    service, init = SERVICES["prometheus"], SERVICES["init"]
    (job,) = yaml.safe_load((ROOT / "deploy/grafana/prometheus.yml").read_text())["scrape_configs"]
    read = Path(job["authorization"]["credentials_file"])
    made = Path(init["environment"]["MONITORING_PROMETHEUS_KEY"])
    assert f"prometheus-key:{read.parent}:ro" in service["volumes"]
    assert f"prometheus-key:{made.parent}" in init["volumes"]
    assert read.name == made.name
    sees = [n for n, s in SERVICES.items() if "prometheus-key" in str(s.get("volumes"))]
    assert sees == ["init", "prometheus"]
    assert "environment" not in service
    # a volume takes over the owner of the image's folder, and the file has its group
    assert re.search(rf"useradd --uid {service['group_add'][0]} ", DOCKERFILE)
    assert f" {made.parent} " in DOCKERFILE
    folder = ROOT / "deploy/grafana/provisioning/datasources"
    sources = yaml.safe_load((folder / "monitoring.yaml").read_text())["datasources"]
    assert "http://prometheus:9090" in [source["url"] for source in sources]
    assert set(service["networks"]) & set(SERVICES["grafana"]["networks"])
    assert service["profiles"] == SERVICES["grafana"]["profiles"]
    # it knows no logins
    assert "ports" not in service
    assert any("retention.time" in word for word in service["command"])


@pytest.mark.compose
def test_compose_takes_the_file(tmp_path: Path) -> None:
    for name in ("docker-compose.yml", "deploy"):
        (shutil.copytree if name == "deploy" else shutil.copy)(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / ".env.example", tmp_path / ".env")
    command = ["docker-compose", "--profile", "demo", "--profile", "grafana", "config"]
    refused = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert refused.returncode
    assert "DOCKER_GID" in refused.stderr
    assert ".env.example" in refused.stderr
    settings = (tmp_path / ".env").read_text().replace("DOCKER_GID=", "DOCKER_GID=999")
    (tmp_path / ".env").write_text(settings)
    taken = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    found = yaml.safe_load(taken.stdout)["services"]
    assert set(found) == set(SERVICES)
    assert found["worker"]["environment"]["USERDB_URL"].count("<secret:userdb_password>") == 1


def test_the_gateway_writes_the_log_that_is_collected() -> None:
    gateway = yaml.safe_load((ROOT / "deploy" / "traefik.yml").read_text())
    environment = SERVICES["worker"]["environment"]
    log = gateway["accessLog"]
    assert environment["MONITORING_ACCESS_LOG"] == f"{log['filePath']}*"
    assert environment["MONITORING_ACCESS_LOG_FORMAT"] == f"traefik_{log['format']}"
    assert "gateway-logs:/var/log/gateway:ro" in SERVICES["worker"]["volumes"]
    # the prefix of the health check's entry point must not be a route's
    assert gateway["entryPoints"]["web"]["asDefault"] is True
    assert gateway["ping"]["entryPoint"] != "web"


def test_the_databases_script_is_read_and_not_run() -> None:
    # MySQL's entry script runs what is executable, without its own functions
    for file in (ROOT / "deploy" / "userdb").iterdir():
        assert not file.stat().st_mode & 0o111, file.name
    for file in [*(ROOT / "deploy" / "image").iterdir(), ROOT / "deploy" / "rotate-access-log"]:
        assert file.stat().st_mode & 0o111, file.name

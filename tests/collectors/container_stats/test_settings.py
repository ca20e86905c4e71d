from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from include.collectors.container_stats.settings import ContainerStatsSettings

LOCAL = {"name": "local", "url": "unix:///var/run/docker.sock"}

TCP = {"name": "far", "url": "tcp://10.0.0.5:2376"}


def test_a_host_has_its_own_time_limit_or_that_of_all() -> None:
    section = {"timeout_s": 7, "hosts": [LOCAL, {**TCP, "timeout_s": 2}]}
    settings = ContainerStatsSettings.model_validate(section)
    assert [settings.time_limit(host) for host in settings.hosts] == [7, 2]


def test_defaults() -> None:
    settings = ContainerStatsSettings.model_validate({"hosts": [LOCAL]})
    assert settings.cadence == timedelta(minutes=5)
    assert settings.timeout_s == 30
    assert settings.hosts[0].connection is None


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"hosts": [LOCAL, LOCAL]}, "two hosts are called 'local'"),
        ({"hosts": [{"name": "a", "url": "/var/run/docker.sock"}]}, "unix:///var/run/docker.sock"),
        ({"hosts": [{"name": "", "url": LOCAL["url"]}]}, "at least 1 character"),
        ({"cadence": "30s"}, "shorter than 1m"),
        ({"cadence": "5"}, "is not a duration"),
        ({"timeout_s": 0}, "greater than 0"),
        ({"concurrency": 129}, "less than or equal to 128"),
        ({"host": []}, "Extra inputs"),
        ({"hosts_at_once": 0}, "greater than or equal to 1"),
        ({"hosts": [{**LOCAL, "runtime": "lxc"}]}, "is no runtime; there are docker, podman"),
        ({"hosts": [{**LOCAL, "timeout_s": 0}]}, "greater than 0"),
        ({"hosts": [{**LOCAL, "tls": {}}]}, "tls is for tcp:// and https://"),
        ({"hosts": [{"name": "a", "url": "tcp://me:secret@h:1"}]}, "must hold no login"),
        ({"hosts": [{**TCP, "tls": {"key": "x"}}]}, "cert and key go together"),
        ({"hosts": [{**TCP, "token": "x"}]}, "token is for runtime: kubernetes"),
        ({"hosts": [{"name": "a", "url": "in-cluster"}]}, "in-cluster is for runtime"),
        ({"hosts": [{**LOCAL, "runtime": "kubernetes"}]}, "a cluster's url is https://"),
    ],
)
def test_wrong_settings_are_refused(section: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ContainerStatsSettings.model_validate(section)

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from include.collectors.container_stats.settings import ContainerStatsSettings

LOCAL = {"name": "local", "url": "unix:///var/run/docker.sock"}


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
    ],
)
def test_wrong_settings_are_refused(section: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ContainerStatsSettings.model_validate(section)

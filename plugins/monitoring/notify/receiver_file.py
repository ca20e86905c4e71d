"""The receivers of ``routing.yaml``, which lies in the folder of policies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from monitoring.notify.connections import GetConnection
from monitoring.notify.receiver_spec import ReceiverSpec
from monitoring.notify.receivers import Receivers, load_receivers
from monitoring.policy.loader import policies_path
from monitoring.yaml_source import invalid, load_yaml
from userdb.errors import ConfigError

_FILE = "routing.yaml"


def configured_receivers(
    environ: Mapping[str, str] | None = None,
    get_connection: GetConnection | None = None,
    path: Path | None = None,
) -> Receivers:
    """The receivers of routing.yaml, of MONITORING_RECEIVERS and of MONITORING_WEBHOOK_URL.

    Args:
        path: of routing.yaml; default: in the folder of policies in use. It may be absent.
    """
    specs, errors = read_specs(policies_path() / _FILE if path is None else path)
    loaded = load_receivers(environ, get_connection, specs)
    return Receivers(loaded.usable, {**errors, **loaded.errors})


def read_specs(path: Path) -> tuple[list[ReceiverSpec], dict[str, str]]:
    """The valid entries of ``receivers:``, and why others are not: by name or place in the file."""
    if not path.exists():
        return [], {}
    try:
        data, locate = load_yaml(path)
    except ConfigError as error:
        return [], {str(path): str(error)}
    entries = data.get("receivers") if isinstance(data, dict) else None
    if entries is None:
        return [], {}
    if not isinstance(entries, list):
        line = locate(("receivers",))
        return [], {str(path): f"{path}:{line}: receivers: must be a list; see docs/receivers.md"}
    specs: list[ReceiverSpec] = []
    errors: dict[str, str] = {}
    for number, entry in enumerate(entries):
        place = ("receivers", number)
        try:
            spec = ReceiverSpec.model_validate(entry)
        except ValidationError as error:
            name = entry.get("name") if isinstance(entry, dict) else None
            origin = name if isinstance(name, str) else f"{path}:{locate(place)}"
            errors[origin] = str(invalid(path, locate, error, within=place))
            continue
        specs.append(spec)
    return specs, errors

"""Read policies from a folder of YAML files. One that is wrong never hides the others."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from monitoring.policy.composition import join_composites
from monitoring.policy.definition import Policy
from monitoring.policy.kinds import parse_policy
from monitoring.signals import CATALOGUE, Catalogue
from monitoring.yaml_source import Locate, invalid, load_yaml
from userdb.errors import PolicyError

#: Lies in the folder of policies too, and says who is told of their alerts.
ROUTING_FILE = "routing.yaml"


@dataclass(frozen=True)
class Policies:
    """What a folder holds: the policies that are valid, and what is wrong with the rest.

    ``broken`` names the policies that have an error: they keep the definition they had.
    ``unreadable`` is true where a file gave no policies at all, so that absence proves nothing.
    """

    policies: tuple[Policy, ...]
    errors: tuple[PolicyError, ...]
    broken: frozenset[str]
    unreadable: bool


def policies_path() -> Path:
    """The folder of policies: MONITORING_POLICIES, else the shipped ``include/policies``."""
    named = os.environ.get("MONITORING_POLICIES", "").strip()
    if named:
        return Path(named)
    import include

    return Path(include.__path__[0]) / "policies"


def load_policies(path: Path | str | None = None, catalogue: Catalogue = CATALOGUE) -> Policies:
    """Read ``*.yaml`` and ``*.yml`` directly in the folder, or the one file, at ``path``.

    ``routing.yaml`` in the folder is not one of them.

    Args:
        catalogue: where signals are looked up.

    Raises:
        PolicyError: there is no such folder or file.
    """
    return _load(_files(policies_path() if path is None else Path(path)), catalogue)


def load_valid_policies(
    paths: Iterable[Path], catalogue: Catalogue = CATALOGUE
) -> tuple[Policy, ...]:
    """The policies of all these files and folders, by name; all of them must be valid.

    Raises:
        PolicyError: what is wrong with them, a line each; or there is no such folder or file.
    """
    loaded = _load([file for path in paths for file in _files(path)], catalogue)
    if loaded.errors:
        raise PolicyError("\n".join(str(error) for error in loaded.errors))
    return loaded.policies


def _files(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    if root.is_dir():
        return sorted(
            file
            for file in root.iterdir()
            if file.suffix in (".yaml", ".yml") and file.name != ROUTING_FILE
        )
    raise PolicyError(
        f"{root}: there is no such file or folder of policies; "
        "set MONITORING_POLICIES to one that exists"
    )


def _load(files: Sequence[Path], catalogue: Catalogue) -> Policies:
    found: dict[str, tuple[Policy, str]] = {}
    errors: list[PolicyError] = []
    broken: set[str] = set()
    unreadable = False
    for file in files:
        try:
            entries, locate = _entries(file)
        except PolicyError as error:
            errors.append(error)
            unreadable = True
            continue
        for index, entry in enumerate(entries):
            where = f"{file}:{locate(('policies', index))}"
            name = entry.get("name") if isinstance(entry, dict) else None
            try:
                policy = _policy(file, locate, index, entry, catalogue)
                if policy.name in found:
                    raise PolicyError(
                        f"{where}: policies[{index}].name: the name {policy.name!r} is taken by "
                        f"{found[policy.name][1]}; names are unique"
                    )
                found[policy.name] = (policy, where)
            except PolicyError as error:
                errors.append(error)
                if isinstance(name, str):
                    broken.add(name)
                else:
                    unreadable = True
    valid, refused = join_composites({name: policy for name, (policy, _) in found.items()})
    for name, why in refused.items():
        errors.append(PolicyError(f"{found[name][1]}: policy {name}: {why}"))
        broken.add(name)
    policies = tuple(valid[name] for name in sorted(valid))
    return Policies(policies, tuple(errors), frozenset(broken - set(valid)), unreadable)


def _entries(file: Path) -> tuple[Sequence[Any], Locate]:
    data, locate = load_yaml(file, PolicyError)
    if data is None:
        return (), locate
    if not isinstance(data, dict) or set(data) - {"policies"}:
        raise PolicyError(
            f"{file}:1: a policy file holds one key, 'policies', with a list of policies"
        )
    entries = data.get("policies")
    if entries is None:
        return (), locate
    if not isinstance(entries, list):
        raise PolicyError(f"{file}:{locate(('policies',))}: policies: must be a list")
    return entries, locate


def _policy(file: Path, locate: Locate, index: int, entry: Any, catalogue: Catalogue) -> Policy:
    at = ("policies", index)
    if not isinstance(entry, dict):
        raise PolicyError(f"{file}:{locate(at)}: policies[{index}]: must be a mapping of fields")
    try:
        return parse_policy(entry, catalogue)
    except ValidationError as error:
        raise invalid(file, locate, error, PolicyError, at) from None
    except ValueError as error:
        raise PolicyError(
            f"{file}:{locate((*at, 'kind'))}: policies[{index}].kind: {error}"
        ) from None

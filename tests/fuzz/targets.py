"""All targets by name."""

from __future__ import annotations

from tests.fuzz import bodies, containers, log_lines

TARGETS = {
    target.name: target for target in (*log_lines.TARGETS, *containers.TARGETS, *bodies.TARGETS)
}

"""``python -m monitoring.deployment.run COMMAND…``: become that command, with secrets resolved.

The image's ``airflow`` and ``monitoring`` are this.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from monitoring.deployment.secrets import resolve
from userdb.errors import ConfigError


def main() -> None:
    """Replace this process by the command out of the same environment of Python."""
    if len(sys.argv) < 2:
        sys.exit("usage: python -m monitoring.deployment.run COMMAND [ARGUMENT…]")
    try:
        settings = resolve(os.environ)
    except ConfigError as error:
        sys.exit(f"{sys.argv[1]}: {error}")
    program = Path(sys.executable).parent / sys.argv[1]
    os.execve(program, [str(program), *sys.argv[2:]], {**os.environ, **settings})


if __name__ == "__main__":
    main()

"""Retention of Airflow's own log files: of tasks, of callbacks and of the DAG processor.

Below the log folder each folder is opened through the one above it, and links are not followed:
whatever is moved or linked meanwhile, nothing outside is deleted.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

from userdb.errors import ConfigError
from userdb.times import require_aware

log = logging.getLogger(__name__)

#: Into a younger folder a task may be about to write its log.
SETTLED = timedelta(days=1)


@dataclass
class Deleted:
    """What was deleted, in ``bytes`` the files' sizes, and how many entries could not be."""

    files: int = 0
    folders: int = 0
    bytes: int = 0
    failed: int = 0


def delete_old_logs(folder: Path, *, keep: timedelta, now: datetime, home: Path) -> Deleted:
    """Delete files below ``folder`` that nobody wrote to for ``keep``, and folders without any.

    What can't be deleted keeps nothing else from it.

    Args:
        folder: ``[logging] base_log_folder``; where it doesn't exist there is nothing to delete.
        home: AIRFLOW_HOME.

    Raises:
        ConfigError: the folder is relative, holds ``home`` or can't be read, or of what is old
            nothing at all could be deleted.
    """
    setting = f"[logging] base_log_folder = {folder}"
    if not folder.is_absolute():
        raise ConfigError(f"{setting}: no logs were deleted; make it an absolute path")
    if home.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(
            f"{setting}: no logs were deleted, because AIRFLOW_HOME ({home}) is in it; give the "
            "logs a folder of their own"
        )
    sweep = _Sweep(before=require_aware(now) - keep, settled=now - SETTLED)
    try:
        with _opened(str(folder)) as descriptor:
            sweep.clean(descriptor, str(folder))
    except FileNotFoundError:
        log.info("there is no folder %s on this machine", folder)
    except OSError as error:
        raise ConfigError(
            f"{setting}: {error.strerror}; make it a folder that the user who runs tasks can read"
        ) from error
    done = sweep.done
    log.info("deleted below %s: %s", folder, asdict(done))
    if done.failed:
        told = f"{done.failed} files or folders can't be deleted, the first: {sweep.first_error}"
        if not done.files and not done.folders:
            raise ConfigError(f"{told}; let the user who runs tasks write below {folder}")
        log.warning(told)
    return done


class _Sweep:
    """Goes through folders, deletes, and counts."""

    def __init__(self, *, before: datetime, settled: datetime) -> None:
        self.done = Deleted()
        self.first_error = ""
        self._before = before.timestamp()
        self._settled = settled.timestamp()

    def clean(self, folder: int, path: str) -> bool:
        """Clean an open folder; whether nothing is left in it."""
        empty = True
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    empty &= self._gone(entry, folder, path)
                except FileNotFoundError:
                    pass  # somebody else deleted it
                except OSError as error:
                    empty = False
                    self.done.failed += 1
                    self.first_error = self.first_error or (
                        f"{path}/{entry.name}: {error.strerror}"
                    )
        return empty

    def _gone(self, entry: os.DirEntry[str], folder: int, path: str) -> bool:
        if entry.name == "lost+found":
            return False  # the file system's, where the logs have one of their own
        # as it was before anything in it was deleted
        status = entry.stat(follow_symlinks=False)
        settled = status.st_mtime < self._settled
        if stat.S_ISDIR(status.st_mode):
            with _opened(entry.name, folder) as inner:
                empty = self.clean(inner, f"{path}/{entry.name}")
            return empty and settled and self._removed(entry.name, folder)
        if stat.S_ISREG(status.st_mode):
            old = status.st_mtime < self._before
        else:
            old = settled and entry.is_symlink() and _is_dangling(entry.name, folder)
        if old:
            os.unlink(entry.name, dir_fd=folder)
            self.done.files += 1
            self.done.bytes += status.st_size
        return old

    def _removed(self, name: str, folder: int) -> bool:
        try:
            os.rmdir(name, dir_fd=folder)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False  # a log was begun in it meanwhile
            raise
        self.done.folders += 1
        return True


@contextmanager
def _opened(name: str, folder: int | None = None) -> Iterator[int]:
    """A folder's descriptor; one within another is opened only where it is no link."""
    flags = os.O_RDONLY | os.O_DIRECTORY | (0 if folder is None else os.O_NOFOLLOW)
    descriptor = os.open(name, flags, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_dangling(name: str, folder: int) -> bool:
    """Whether a link names something beside it that isn't there, as the DAG processor's
    ``latest`` does when its day is deleted."""
    target = os.readlink(name, dir_fd=folder)
    if "/" in target:
        return False
    try:
        os.stat(target, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return True
    return False

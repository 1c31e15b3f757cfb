"""Where a stack keeps its data, and the file there that says where the stack listens."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from paymaster.stack.errors import BadState

DATA_DIRECTORY_VARIABLE = "PAYMASTER_DATA_DIR"
STATE_FILE = "stack.json"
# Root's servers run under another account, which may not pass root's home.
_ROOTS_DIRECTORY = Path("/var/lib/paymaster")


@dataclass(frozen=True, slots=True, repr=False)
class StackState:
    """A running stack, for the commands that use it. Holds secrets: it has no repr."""

    pid: int  # Of `paymaster dev`.
    start_time: str  # As in 2026-12-01T08:00:00+00:00.
    ephemeral: bool
    address: str  # The authority's, as host:port.
    token: str  # Of the commands: it may do everything.
    worker_token: str
    database_url: str
    redis_url: str
    artifacts: str
    authority_pid: int
    worker_pid: int


def default_data_directory() -> Path:
    """Return where a stack keeps its data if no one says otherwise: once per user."""
    if chosen := os.environ.get(DATA_DIRECTORY_VARIABLE):
        return Path(chosen).expanduser().resolve()
    if os.geteuid() == 0:
        return _ROOTS_DIRECTORY
    return platformdirs.user_data_path("paymaster", appauthor=False)


def read_state(directory: Path) -> StackState | None:
    """Return the stack of a data directory, or None if none is said to run. Raises BadState."""
    path = directory / STATE_FILE
    try:
        return StackState(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BadState(
            f"The state file {path} can't be read: {error.strerror}. The stack belongs to another"
            " user; run the command as that user, or start one of your own with `paymaster dev"
            " --data-dir DIR`."
        ) from error
    except (ValueError, TypeError) as error:
        raise BadState(
            f"The state file {path} is not this version's. Stop the stack that wrote it and start"
            " it again with `paymaster dev`."
        ) from error

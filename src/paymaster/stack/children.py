"""Our own programs, run as processes: started, waited for, stopped, and found again as orphans."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from authority.embedded import EmbeddedPostgres, EmbeddedValkey, processes
from paymaster.stack.errors import StackFailed

_ORPHAN_SECONDS_MAX = 10
_LOG_TAIL_LINES = 15
_SERVERS = EmbeddedPostgres.programs | EmbeddedValkey.programs


class Child:
    """`python -m MODULE`, working in a directory of its own, where its log is.

    It has a session of its own, so that Ctrl-C in the terminal reaches the owner alone. It is
    known again by its module and its directory, never by a pid, which another process may get.
    """

    def __init__(self, module: str, directory: Path) -> None:
        self.module = module
        self.directory = directory
        self._process: asyncio.subprocess.Process | None = None

    @property
    def log(self) -> Path:
        """What the program said since it was started last; `.previous` has the run before."""
        return self.directory / "process.log"

    @property
    def pid(self) -> int:
        """The process id, for a program that was started."""
        assert self._process is not None, f"{self.module} is not started"
        return self._process.pid

    async def start(self, environment: Mapping[str, str]) -> None:
        """Start the program; `environment` comes on top of this process's own."""
        self.directory.mkdir(mode=0o700, exist_ok=True)
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.previous"))
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # What lies in the directory is not imported.
                "-m",
                self.module,
                cwd=self.directory,
                env={**os.environ, **environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        finally:
            os.close(log)

    async def ended(self) -> str:
        """Wait until the program ends, and say how it did and what it said last."""
        assert self._process is not None, f"{self.module} is not started"
        code = await self._process.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        said = await asyncio.to_thread(self._last_words)
        return f"The {self.directory.name} ended with {how}. Its log is {self.log}.{said}"

    def _last_words(self) -> str:
        """Return the error that the program ended with, or else the end of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        tail = lines[-_LOG_TAIL_LINES:]
        errors = [line for line in tail if line.startswith("error: ")]
        return "".join(f"\n{line}" for line in errors or tail)

    async def stop(self, seconds_max: float, hurry: asyncio.Event) -> None:
        """Ask the program to end; kill it when time is over, or at once when in a hurry."""
        process = self._process
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        waits = {asyncio.create_task(process.wait()), asyncio.create_task(hurry.wait())}
        _, pending = await asyncio.wait(
            waits, timeout=seconds_max, return_when=asyncio.FIRST_COMPLETED
        )
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        for wait in pending:
            wait.cancel()


async def end_orphans(directory: Path, modules: Mapping[str, str]) -> int:
    """End what an earlier owner of a data directory left running, and return how many were.

    `modules` has our programs in the order in which to end them, with the names of the directories
    that they work in. The servers that they use come last. Raises StackFailed.
    """
    count = 0
    for module, name in modules.items():
        found = await asyncio.to_thread(_find_module, module, directory, name)
        await _end(found, signal.SIGTERM)
        count += len(found)
    servers = await processes.find(_SERVERS, directory)
    await _end(servers, signal.SIGINT)
    return count + len(servers)


async def _end(found: list[psutil.Process], request: signal.Signals) -> None:
    if left := await processes.end(found, request, _ORPHAN_SECONDS_MAX):
        raise StackFailed(
            f"Processes of an earlier run do not end: {', '.join(str(item.pid) for item in left)}."
            " End them, then start again."
        )


def _find_module(module: str, directory: Path, name: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        # Processes end while we look, and those of other users do not show their directory.
        with suppress(psutil.Error, OSError):
            if process.cmdline()[1:4] == ["-P", "-m", module]:
                working = Path(process.cwd())
                if working.name == name and working.is_relative_to(directory):
                    found.append(process)
    return found

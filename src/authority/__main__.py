"""`python -m authority`: serve until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from pathlib import Path

import structlog
import uvloop
from pydantic import ValidationError

from authority.bootstrap import running_authority
from authority.config import AuthoritySettings, describe
from authority.core import StartError
from authority.rpc.server import PortInUse
from authority.telemetry import configure_logging

log = structlog.get_logger("authority")


async def serve(settings: AuthoritySettings) -> None:
    """Serve until the process is told to stop. Raises StartError and PortInUse."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running_authority(settings) as authority:
        log.info("authority_started", host=settings.host, port=authority.port)
        if settings.port_file is not None:
            await asyncio.to_thread(_write_whole, settings.port_file, str(authority.port))
        await stop.wait()
        log.info("authority_stopping")
    log.info("authority_stopped")


def _write_whole(file: Path, text: str) -> None:
    """Write a file that readers see whole or not at all."""
    partial = file.with_name(f"{file.name}.partial")
    partial.write_text(text)
    partial.replace(file)


def _collect_less() -> None:
    """Look for cycles less often: an operation makes hundreds of tuples and next to no cycle.

    By default a fifth of the time of a busy authority went there (`make bench`).
    """
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def main() -> int:
    """Run the authority; return the exit code."""
    try:
        settings = AuthoritySettings()
    except ValidationError as error:
        print(f"error: {describe(error)}", file=sys.stderr)
        return 2
    configure_logging(settings.log_format)
    _collect_less()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings))
    except (StartError, PortInUse) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

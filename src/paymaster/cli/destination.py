"""Where an export goes: standard output, or a file that is there only once it is whole."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

import click

from clients.requests import new_key
from paymaster.cli.exits import CommandFailed

Write = Callable[[bytes], Awaitable[None]]

output_option = click.option(
    "--output",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The file to write, which is there only once it is whole; standard output if not given.",
)


@asynccontextmanager
async def destination(path: Path | None) -> AsyncIterator[Write]:
    """Yield what writes to standard output, or to a file that gets its name at the block's end."""
    if path is None:
        yield _print
        return
    partial = path.with_name(f".{new_key()}.part")
    try:
        file = await asyncio.to_thread(partial.open, "xb")
        try:
            yield _writer_to(file)
            await asyncio.to_thread(_finish, file, partial, path)
        finally:
            await asyncio.to_thread(_discard, file, partial)
    except OSError as error:
        raise CommandFailed(f"{path} can't be written: {error.strerror}.") from error


def _writer_to(file: BinaryIO) -> Write:
    async def write(content: bytes) -> None:
        await asyncio.to_thread(file.write, content)

    return write


async def _print(content: bytes) -> None:
    await asyncio.to_thread(click.echo, content, nl=False)


def _finish(file: BinaryIO, partial: Path, path: Path) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()
    partial.replace(path)


def _discard(file: BinaryIO, partial: Path) -> None:
    file.close()
    partial.unlink(missing_ok=True)

"""Runs the emulator alone: `python -m workers.emulator --port 8080`."""

from __future__ import annotations

import asyncio
import signal

import click

from workers.emulator.server import PortInUse, running_emulator


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="The port on loopback; 0, the default, takes a free one.",
)
def main(port: int) -> None:
    """Emulate the providers until told to end by a signal."""
    try:
        asyncio.run(_serve(port))
    except PortInUse as error:
        raise click.ClickException(str(error)) from None


async def _serve(port: int) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with running_emulator(port) as emulator:
        click.echo(f"The emulator listens on {emulator.url}. Give a worker:")
        for variable, value in emulator.environment.items():
            click.echo(f"{variable}={value}")
        await ended.wait()


if __name__ == "__main__":
    main()

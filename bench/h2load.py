"""The no-op RPC by h2load, a load generator in C, where it is installed (nghttp2-client)."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from asyncio.subprocess import PIPE
from typing import TYPE_CHECKING

from bench.processor import spent
from bench.samples import Sample

if TYPE_CHECKING:
    from bench.machine import Machine

_CONNECTIONS = 4
_STREAMS = 16
_EMPTY_MESSAGE = bytes(5)  # not compressed, of length 0


class NothingMeasured(Exception):
    """h2load said nothing that this harness understands."""


def has_h2load() -> bool:
    """Say whether it is installed."""
    return shutil.which("h2load") is not None


async def h2load(machine: Machine) -> Sample:
    """Call the RPC that does nothing, 64 in flight. Raises NothingMeasured."""
    seconds = max(round(machine.scale.seconds), 1)
    with tempfile.NamedTemporaryFile() as body:
        body.write(_EMPTY_MESSAGE)
        body.flush()
        groups = {"server": [machine.server.pid]}
        before = spent(groups)
        process = await asyncio.create_subprocess_exec(
            *("h2load", "-c", str(_CONNECTIONS), "-m", str(_STREAMS), "-D", str(seconds)),
            *("-d", body.name, "-H", "content-type: application/grpc"),
            *("-H", "te: trailers"),  # codespell:ignore te
            f"http://{machine.server.address}/bench.Bench/Nothing",
            stdout=PIPE,
            stderr=PIPE,
        )
        said, _ = await process.communicate()
        after = spent(groups)
    text = said.decode()
    rate = re.search(r"finished in [\d.]+m?s, ([\d.]+) req/s", text)
    done = re.search(r"(\d+) succeeded, (\d+) failed", text)
    if rate is None or done is None or int(done[2]):
        raise NothingMeasured(text)
    count = int(done[1])
    return Sample(
        rate=float(rate[1]),
        processor={"server": (after["server"] - before["server"]) / max(count, 1) * 1e6},
    )

"""Two server processes on one port, beside two of a server that does nothing."""

from __future__ import annotations

from contextlib import AsyncExitStack

from bench.machine import Machine, Run
from bench.report import Figure, more
from bench.samples import Sample
from bench.servers import running_bench_server

_PROCESSES = 2


async def measure(machine: Machine) -> list[Figure]:
    """Measure how much a second process adds."""
    async with AsyncExitStack() as stack:
        authorities = [await machine.start_authority(stack=stack)]
        authorities.append(await machine.start_authority(authorities[0].port, stack=stack))
        servers = [await stack.enter_async_context(running_bench_server())]
        servers.append(await stack.enter_async_context(running_bench_server(port=servers[0].port)))

        def run(kind: str, address: str, pids: list[int], name: str) -> Run:
            # Many connections from two processes, so that the kernel spreads them over both.
            work = machine.work(kind, address=address, callers=32, channels=8)

            async def measured() -> Sample:
                return await machine.measure(work, work, server=pids, name=name)

            return measured

        both = [authority.pid for authority in authorities]
        idle = [server.pid for server in servers]
        first = machine.authority
        runs: dict[str, Run] = {
            "unary, 1 process": run("unary cycles", first.address, [first.pid], "authority"),
            "unary, 2 processes": run("unary cycles", authorities[0].address, both, "authority"),
            "no-op, 1 process": run(
                "nothing", machine.server.address, [machine.server.pid], "server"
            ),
            "no-op, 2 processes": run("nothing", servers[0].address, idle, "server"),
        }
        found = [sample.rate for sample in (await machine.contest(runs)).values()]
    return [
        more(
            f"unary by {_PROCESSES} processes on one port ({found[1]:,.0f} operations/s)",
            found[1] / max(found[0], 1),
            "times 1 process",
            "the no-op's own scaling",
            found[3] / max(found[2], 1),
            1.0,
        )
    ]

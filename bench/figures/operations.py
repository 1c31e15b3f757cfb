"""Single operations: unary and by session, beside an RPC that does nothing."""

from __future__ import annotations

from typing import Any

from bench.h2load import h2load, has_h2load
from bench.machine import Machine, Run
from bench.report import Figure, more
from bench.samples import Sample
from bench.work import Work

_OPERATIONS = "operations/s"


async def measure(machine: Machine) -> list[Figure]:
    """Measure unary operations and sessions."""
    nothing = f"no-op RPCs, {_OPERATIONS}, 64 in flight"

    async def no_op() -> Sample:
        return await machine.measure(
            no_op_work(machine), server=[machine.server.pid], name="server"
        )

    async def by_others() -> Sample:
        return await _by_others(machine)

    runs: dict[str, Run] = {
        "unary 64": lambda: machine.measure(machine.work("unary cycles")),
        "no-op 64": no_op,
        "unary Reserve 64": lambda: machine.measure(machine.work("unary reserves")),
        "session 64": lambda: machine.measure(machine.work("session cycles")),
        "no-op by others": by_others,
        "unary 256": lambda: machine.measure(machine.work("unary cycles", callers=256)),
        "session 256": lambda: machine.measure(machine.work("session cycles", callers=256)),
    }
    found = {name: sample.rate for name, sample in (await machine.contest(runs)).items()}
    others = "h2load" if has_h2load() else "2 Python processes"
    # One Python process may be the fastest, since its calls come in bursts.
    most, generator = max((found["no-op by others"], others), (found["no-op 64"], "this client"))
    return [
        more(
            "unary Reserve+Commit, 64 in flight, 1 server process",
            found["unary 64"],
            _OPERATIONS,
            nothing,
            found["no-op 64"],
            0.85,
        ),
        more(
            "unary Reserve alone, 64 in flight",
            found["unary Reserve 64"],
            _OPERATIONS,
            nothing,
            found["no-op 64"],
            0.70,
        ),
        more(
            "Python client, session, 64 callers",
            found["session 64"],
            _OPERATIONS,
            "plain unary, 64 callers",
            found["unary 64"],
            6,
        ),
        more(
            "Python client, session, 256 callers",
            found["session 256"],
            _OPERATIONS,
            "plain unary, 256 callers",
            found["unary 256"],
            9,
        ),
        more(
            "Python client, session, 64 callers",
            found["session 64"],
            _OPERATIONS,
            f"no-op RPCs by {generator}, 64 in flight",
            most,
            3.0,
        ),
    ]


def no_op_work(machine: Machine, **changes: Any) -> Work:
    """Return the work of calling the RPC that does nothing."""
    return machine.work("nothing", address=machine.server.address, **changes)


async def _by_others(machine: Machine) -> Sample:
    """Measure the RPC that does nothing by the fastest client that there is besides."""
    if has_h2load():
        return await h2load(machine)
    halves = [no_op_work(machine, callers=32) for _ in range(2)]
    return await machine.measure(*halves, server=[machine.server.pid], name="server")

"""Past saturation: what is still done, who is still answered, and who pays for one that floods."""

from __future__ import annotations

from bench.machine import Machine, Run
from bench.population import Population
from bench.report import Figure, less, more

_FLOOD_CALLERS = 512
_HEALTH_MS_MAX = 100.0
# A tenant that asks for little, by as many callers as a small service has.
_QUIET_CALLERS = 4
_QUIET_RATE = 50.0


async def measure(machine: Machine) -> list[Figure]:
    """Measure four times the load of the top, and a tenant beside another that floods."""
    quiet_tenant = Population("quiet")
    await machine.populate(quiet_tenant)
    await machine.grant(quiet_tenant)
    flood = machine.work("session cycles", callers=_FLOOD_CALLERS)
    health = machine.work("health", callers=1, rate=20)
    quiet = machine.work(
        "quiet cycles", population=quiet_tenant, callers=_QUIET_CALLERS, rate=_QUIET_RATE
    )
    runs: dict[str, Run] = {
        "session 512": lambda: machine.measure(flood),
        "4 times session 512": lambda: machine.measure(flood, flood, flood, flood),
        "health beside the flood": lambda: machine.measure(flood, flood, health),
        "quiet": lambda: machine.measure(quiet),
        "quiet beside the flood": lambda: machine.measure(flood, quiet),
    }
    found = await machine.contest(runs)
    alone, beside = (found[name].latencies for name in ("quiet", "quiet beside the flood"))
    return [
        more(
            "session, 4 processes of 512 callers each",
            found["4 times session 512"].rate,
            "operations/s",
            "one process of 512 callers",
            found["session 512"].rate,
            0.9,
        ),
        less(
            "health check beside 1,024 callers, p99",
            found["health beside the flood"].latencies["health"]["p99"],
            "ms",
            "what is asked for",
            _HEALTH_MS_MAX,
            1.0,
        ),
        less(
            "a quiet tenant's Reserve beside another's 512 callers, p99",
            beside["quiet reserve"]["p99"],
            "ms",
            "the same alone",
            alone["quiet reserve"]["p99"],
            1 / 3,
        ),
    ]

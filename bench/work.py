"""What a load process is told to do, and what it answers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from bench.population import Population


@dataclass(frozen=True, slots=True)
class Work:
    """One run of load.

    `kind` is a name in bench/load.py. `callers` ask at the same time, each again as soon as it is
    answered; or `rate` steps per second are made by all of them, if it is not 0. `count` ends work
    that has an end.
    """

    kind: str
    callers: int = 64
    rate: float = 0
    seconds: float = 1.5
    warm_up: float = 0.5
    address: str = ""
    token: str = ""
    database_url: str = ""
    redis_url: str = ""
    folder: str = ""
    population: Population = field(default_factory=lambda: Population("hot"))
    channels: int = 1
    templates: tuple[str, ...] = ()
    count: int = 0

    def lasting(self, seconds: float) -> Work:
        """Return it with another length."""
        return replace(self, seconds=seconds)

    def encode(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)

    @classmethod
    def decode(cls, fields: dict[str, Any]) -> Self:
        """Return what was encoded."""
        population = Population(**fields.pop("population"))
        return cls(**fields | {"population": population, "templates": tuple(fields["templates"])})

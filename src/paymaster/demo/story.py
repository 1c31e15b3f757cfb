"""The story: who may spend how much, what they ask for, and what has to become of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from clients.generation_types import Generation, GenerationState
from clients.types import Enforcement
from workers.emulator import Scenario

ASTROLABE = "A brass astrolabe on a sea chart, lit by one candle"


class Limit(NamedTuple):
    """A budget for a day, in micros of USD."""

    budget: str
    micros: int
    enforcement: Enforcement = Enforcement.BLOCK


class Actor(NamedTuple):
    """An account of the story."""

    account: str
    display_name: str
    limits: tuple[Limit, ...]


ACTORS = (
    Actor("atelier", "Atelier", (Limit("usd-day", 600_000),)),
    Actor(
        "gazette",
        "Gazette",
        (
            Limit("usd-day-soft", 250_000, Enforcement.DOWNGRADE),
            Limit("usd-day", 600_000),
        ),
    ),
    Actor("kiosk", "Kiosk", (Limit("usd-day", 120_000),)),
)


@dataclass(frozen=True, slots=True)
class Expected:
    """What has to become of a step, for the story to be true."""

    state: GenerationState = GenerationState.SUCCEEDED
    provider: str = ""
    cached: str = ""
    downgraded: bool = False
    attempt_count: int = 1

    def holds(self, generation: Generation) -> bool:
        """Say whether it has become that."""
        return (
            generation.state is self.state
            and self.provider in ("", generation.provider)
            and generation.cached == self.cached
            and generation.downgraded == self.downgraded
            and generation.attempt_count == self.attempt_count
        )


class Trouble(NamedTuple):
    """What the emulated provider is told to do to the step's first call."""

    provider: str
    scenario: Scenario
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One generation."""

    account: str
    prompt: str
    expected: Expected
    model: str = ""
    quality: str = ""
    trouble: Trouble | None = None

    @property
    def asked(self) -> str:
        """What is asked for, in a word."""
        return self.model.rpartition("/")[2] or self.quality or "premium"


STEPS = (
    Step("atelier", ASTROLABE, Expected(provider="openai")),
    Step(
        "atelier",
        ASTROLABE,
        Expected(cached="exact", attempt_count=0),
    ),
    Step(
        "atelier",
        "Please create an image of a brass Astrolabe on a sea-chart, lit by one candle!",
        Expected(cached="normalised", attempt_count=0),
    ),
    Step(
        "atelier",
        "Tidal mudflats at low water, seen from a kite",
        Expected(provider="openai"),
        quality="standard",
    ),
    Step(
        "atelier",
        "A night train crossing a viaduct in falling snow",
        Expected(provider="fal"),
        model="fal-ai/flux-pro/v1.1",
    ),
    Step(
        "gazette",
        "Front page of a newspaper for moles, woodcut style",
        Expected(provider="openai"),
    ),
    Step(
        "gazette",
        "A weather map made of knitted wool",
        Expected(provider="openai", downgraded=True),
    ),
    Step(
        "gazette",
        "A portrait that the provider's rules do not allow",
        Expected(GenerationState.FAILED),
        quality="standard",
        trouble=Trouble("openai", Scenario.REFUSED),
    ),
    Step(
        "gazette",
        "An orchestra of lighthouses, each holding an instrument",
        Expected(provider="openai", attempt_count=2),
        quality="standard",
        trouble=Trouble("openai", Scenario.RATE_LIMITED, seconds=0.1),
    ),
    Step(
        "kiosk",
        "A paper lantern market in the rain",
        Expected(provider="sandbox"),
        model="sandbox-image",
        quality="standard",
    ),
    Step(
        "kiosk",
        "A cathedral of ice with a single open door",
        Expected(GenerationState.DENIED),
        model="gpt-image-2",
    ),
    Step(
        "kiosk",
        "A paper boat on a puddle that mirrors a tram",
        Expected(provider="fal"),
        model="fal-ai/flux/schnell",
    ),
)

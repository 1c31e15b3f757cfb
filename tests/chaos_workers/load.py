"""Submits generations of mixed kinds while providers misbehave."""

from __future__ import annotations

import asyncio
import random
from typing import NamedTuple

from authorities import TOKEN
from clients import AdminClient, GenerationClient, Kind, Unit, Window
from clients.errors import PaymasterError

TENANTS = ("t0", "t1", "t2")
_LIMIT_MICROS = 10**12
_CALL_SECONDS = 20.0
_TWINS = 0.1  # of the prompts are those of an earlier generation


class Work(NamedTuple):
    """What may be asked for, and how often compared with the others."""

    fields: dict[str, object]
    weight: int


_CHAT = {"kind": Kind.CHAT, "max_tokens": 200}
WORKS = (
    Work({"model": "gpt-image-2", "quality": "low"}, 4),
    Work({"model": "fal-ai/flux/schnell"}, 4),
    Work({"model": "fal-ai/flux/dev", "count": 2}, 1),
    Work({"model": "flux-1-schnell"}, 2),
    Work({"model": "stable-image-core"}, 2),
    Work({"model": "stabilityai/stable-diffusion-xl-base-1.0"}, 1),
    Work({"quality": "premium"}, 2),
    Work({**_CHAT, "model": "openai/gpt-oss-20b", "temperature": 0}, 3),
    Work({**_CHAT, "model": "meta-llama/llama-3.1-8b-instruct"}, 2),
    Work({"kind": Kind.VIDEO, "model": "minimax/h3/text-to-video", "size": "480p"}, 2),
)

# provider, scenario, options of the order, and how often compared with the others.
_TROUBLES = (
    ("openai", "latency", {"seconds": 1.0}, 8),
    ("openai", "rate_limited", {"seconds": 0.2}, 3),
    ("openai", "unavailable", {"seconds": 0.2}, 3),
    ("openai", "server_error", {}, 1),
    ("openai", "drop", {"step": "submit"}, 1),
    ("openai", "drop", {"step": "accept"}, 2),
    ("openai", "hang", {"step": "accept"}, 1),
    ("openai", "refused", {}, 1),
    ("fal", "latency", {"seconds": 2.0}, 8),
    ("fal", "rate_limited", {"seconds": 0.2}, 3),
    ("fal", "server_error", {"step": "status"}, 4),
    ("fal", "server_error", {"step": "result"}, 4),
    ("fal", "drop", {"step": "submit"}, 1),
    ("fal", "drop", {"step": "accept"}, 1),
    ("fal", "drop", {"step": "file"}, 2),
    ("fal", "job_failed", {}, 1),
    ("groq", "latency", {"seconds": 1.0}, 4),
    ("groq", "drop", {"step": "stream"}, 1),
    ("groq", "drop", {"step": "usage"}, 1),
    ("novita", "rate_limited", {"seconds": 0.2}, 2),
    ("novita", "drop", {"step": "accept"}, 1),
    ("stability", "latency", {"seconds": 1.0}, 4),
    ("stability", "refused", {}, 1),
    ("huggingface", "loading", {"seconds": 0.5}, 2),
)


class Load:
    """Submits `count` generations, spread over some seconds."""

    def __init__(self, world, count: int, seconds: float, seed: int) -> None:
        self.submitted: list[str] = []
        self._world = world
        self._pause_s = seconds / count
        self._choice = random.Random(seed)
        self._count = count
        self._prompts: list[tuple[str, str, dict[str, object]]] = []

    async def prepare(self) -> None:
        """Make the tenants and their budgets."""
        async with AdminClient(self._world.authority.address, token=TOKEN) as admin:
            for tenant in TENANTS:
                await admin.create_account(tenant)
                await admin.create_budget(
                    tenant,
                    budget="usd-day",
                    unit=Unit.USD,
                    window=Window.DAY,
                    limit=_LIMIT_MICROS,
                )

    async def run(self) -> None:
        """Submit all, and return once the authority has taken in the last."""
        async with (
            GenerationClient(
                self._world.authority.address, token=TOKEN, timeout=_CALL_SECONDS
            ) as client,
            asyncio.TaskGroup() as group,
        ):
            for number in range(self._count):
                tenant, prompt, fields = self._next(number)
                group.create_task(self._submit(client, f"key-{number}", tenant, prompt, fields))
                if self._choice.random() < 0.4:
                    await self._trouble()
                await asyncio.sleep(self._pause_s)

    def _next(self, number: int) -> tuple[str, str, dict[str, object]]:
        if self._prompts and self._choice.random() < _TWINS:
            return self._choice.choice(self._prompts)
        (work,) = self._choice.choices(WORKS, [work.weight for work in WORKS])
        made = (self._choice.choice(TENANTS), f"picture number {number}", work.fields)
        self._prompts.append(made)
        return made

    async def _submit(self, client, key, tenant, prompt, fields) -> None:
        """Submit, again and again with the same key, until the authority has answered."""
        while True:
            try:
                generation = await client.submit(tenant, prompt, idempotency_key=key, **fields)
            except PaymasterError as error:
                if error.reason != "UNAVAILABLE":
                    raise
                await asyncio.sleep(0.2)
            else:
                self.submitted.append(generation.generation_id)
                return

    async def _trouble(self) -> None:
        ((provider, scenario, options, _),) = self._choice.choices(
            _TROUBLES, [weight for *_, weight in _TROUBLES]
        )
        await self._world.emulator.order(provider, scenario, **options)

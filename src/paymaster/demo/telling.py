"""Tells the story: each step on the running stack, then the balances and the audit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from clients import AdminClient, AuthorityClient, GenerationClient
from clients.amounts import Unit
from clients.generation_types import Generation
from clients.types import AuditReport, BudgetBalance, ReservationLeg, Window
from paymaster.demo.story import ACTORS, STEPS, Step
from workers.emulator import Emulator

_STEP_SECONDS_MAX = 30.0


@dataclass(frozen=True, slots=True)
class Told:
    """A step that was taken. Amounts are micros of USD, of its last attempt's reservation."""

    step: Step
    generation: Generation
    held: int
    committed: int
    given_back: int

    @property
    def true(self) -> bool:
        """Whether it went as the story says, with nothing left on hold."""
        return self.step.expected.holds(self.generation) and (
            self.held == self.committed + self.given_back
        )


@dataclass(frozen=True, slots=True)
class Ending:
    """The books at the end of the story."""

    balances: tuple[BudgetBalance, ...]
    audit: AuditReport
    spent: dict[str, int]

    @property
    def true(self) -> bool:
        """Whether the audit found nothing, nothing is held, and the parts make the whole."""
        return self.audit.balanced and all(
            balance.reserved == 0 and balance.committed == self.spent[balance.budget.account]
            for balance in self.balances
        )


class Teller:
    """Takes the steps through the clients, as any service would."""

    def __init__(
        self,
        *,
        authority: AuthorityClient,
        admin: AdminClient,
        generations: GenerationClient,
        emulator: Emulator,
    ) -> None:
        self._authority = authority
        self._admin = admin
        self._generations = generations
        self._emulator = emulator

    async def introduce(self) -> None:
        """Make the accounts and their budgets."""
        for actor in ACTORS:
            await self._admin.create_account(actor.account, display_name=actor.display_name)
            for limit in actor.limits:
                await self._admin.create_budget(
                    actor.account,
                    unit=Unit.USD,
                    window=Window.DAY,
                    limit=limit.micros,
                    enforcement=limit.enforcement,
                    budget=limit.budget,
                )

    async def tell(self, on_told: Callable[[Told], None]) -> list[Told]:
        """Take the steps, and hand each on in the story's order once it has ended.

        Steps of one account follow one another, since each changes what the next may spend.
        """
        tasks: list[asyncio.Task[Told]] = []
        last: dict[str, asyncio.Task[Told]] = {}
        async with asyncio.TaskGroup() as group:
            for step in STEPS:
                task = group.create_task(self._take(step, after=last.get(step.account)))
                last[step.account] = task
                tasks.append(task)
            for task in tasks:
                on_told(await task)
        return [task.result() for task in tasks]

    async def end(self, told: list[Told]) -> Ending:
        """Read the balances, and audit the books."""
        spent = dict.fromkeys((actor.account for actor in ACTORS), 0)
        for item in told:
            spent[item.step.account] += item.committed
        balances = [
            balance
            for actor in ACTORS
            for balance in (await self._authority.get_balance(actor.account)).balances
        ]
        return Ending(tuple(balances), await self._admin.audit(), spent)

    async def _take(self, step: Step, *, after: asyncio.Task[Told] | None) -> Told:
        if after is not None:
            await after
        if step.trouble is not None:
            await self._emulator.order(
                step.trouble.provider,
                step.trouble.scenario,
                match=step.prompt,
                seconds=step.trouble.seconds,
            )
        submitted = await self._generations.submit(
            step.account, step.prompt, model=step.model, quality=step.quality
        )
        (ended,) = await self._generations.wait(
            [submitted.generation_id], timeout=_STEP_SECONDS_MAX
        )
        leg = await self._usd(ended)
        return Told(step, ended, leg.reserved, leg.charged, leg.reserved - leg.charged - leg.held)

    async def _usd(self, generation: Generation) -> ReservationLeg:
        """Return what was held and charged for a generation; nothing, where nothing was held."""
        if not generation.reservation_id:
            return ReservationLeg(Unit.USD)
        reservation = await self._authority.get_reservation(generation.reservation_id)
        return reservation.leg(Unit.USD)

"""`paymaster demo`: the main job as a story, on a stack of its own."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from clients.generation_types import GenerationState
from clients.types import BudgetBalance
from paymaster.cli.base import command
from paymaster.cli.books import audit_summary
from paymaster.cli.connection import connect
from paymaster.cli.documents import document_of
from paymaster.cli.exits import CommandFailed
from paymaster.cli.money import format_usd
from paymaster.cli.output import Column, Output, Table, note, one_line, right, wide
from paymaster.cli.runs import fetch_all
from paymaster.cli.signals import run_until_stopped
from paymaster.clock import now
from paymaster.demo.story import ACTORS, Actor
from paymaster.demo.telling import Ending, Teller, Told
from paymaster.stack.stack import Stack
from paymaster.stack.temporary import temporary_directory
from workers.emulator import Emulator, running_emulator

_EMULATED = frozenset({"openai", "fal"})
_BANNER = """\
Three accounts with small budgets ask for a dozen images. OpenAI and fal are EMULATED: the worker's
own clients, such as the openai SDK, talk to an emulator on this machine, and no money is spent."""
_PROMPT_LENGTH_MAX = 52
_OUTCOME_LENGTH = 56
_ONE_LINE_WIDTH = 175
_STEP_COLUMNS = (
    right("step"),
    Column("account"),
    wide("prompt"),
    Column("asked"),
    wide("outcome"),
    right("held"),
    right("committed"),
    right("given_back"),
)
_BALANCE_COLUMNS = (
    Column("account"),
    Column("budget"),
    Column("enforcement"),
    *(right(name) for name in ("limit", "reserved", "committed", "available")),
)


@command(name="demo", finds_stack=False)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("out/demo"),
    show_default=True,
    help="The folder for the images.",
)
@click.option("--keep", is_flag=True, help="Keep the stack's data, to look at it afterwards.")
async def demo(*, output: Output, out: Path, keep: bool) -> None:
    """Tell the main job's story on a stack of its own, and audit it.

    A dozen generations by three accounts with small budgets: made, found in the cache, downgraded,
    failed, denied. OpenAI and fal are emulated, so that it costs nothing. Exit code 1 if the books
    do not balance, or if anything did not go as the story says.
    """
    start = time.monotonic()
    async with AsyncExitStack() as exits:
        directory = await exits.enter_async_context(temporary_directory(keep=keep))
        emulator = await exits.enter_async_context(running_emulator())
        stack = Stack(
            directory,
            clock=now,
            announce=note,
            urls={},
            worker_environment=_emulated(emulator),
        )
        if await run_until_stopped(stack, _play(output, stack, emulator, out, start)):
            raise click.Abort
    if keep:
        note(f"Its data is kept: paymaster dev --data-dir {directory}")


def _emulated(emulator: Emulator) -> dict[str, str]:
    """Return what makes a worker talk to the emulator, whatever keys the user has."""
    return {
        **emulator.environment,
        "WORKERS_SANDBOX": "true",
        # It is on this machine: no proxy is to be asked for it.
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


async def _play(output: Output, stack: Stack, emulator: Emulator, out: Path, start: float) -> None:
    if output.for_people:
        note(f"{_BANNER}\n\nStarting Postgres, Valkey, authority and worker ...")
    async with stack, connect(stack.state.address, stack.state.token) as connection:
        teller = Teller(
            authority=connection.authority,
            admin=connection.admin,
            generations=connection.generations,
            emulator=emulator,
        )
        await teller.introduce()
        if output.for_people:
            note("\n".join(["", *map(_allowance, ACTORS), ""]))
        console = Console(highlight=False, quiet=not output.for_people)
        numbers = itertools.count(1)
        told = await teller.tell(lambda item: console.print(_line(next(numbers), item)))
        ending = await teller.end(told)
        made = [item.generation for item in told if not item.generation.cached]
        files = await fetch_all(connection.generations, made, out)
    paths = [path for item in made for path in files[item.generation_id]]
    _show(output, told, ending, paths, start)
    untrue = [str(number) for number, item in enumerate(told, start=1) if not item.true]
    if untrue:
        raise CommandFailed(f"The story did not go as told in step {one_line(untrue)}.")
    if not ending.true:
        raise CommandFailed(f"The books do not balance: {audit_summary(ending.audit)}")


def _allowance(actor: Actor) -> str:
    limits = (
        f"{format_usd(limit.micros)} a day ({limit.enforcement.lower()})" for limit in actor.limits
    )
    return f"{actor.account:<8}  may spend {', '.join(limits)}"


def _line(number: int, told: Told) -> Text:
    """Return a step for people: in one line, or two where the terminal is narrow."""
    prompt = f"{_cut(told.step.prompt):<{_PROMPT_LENGTH_MAX}}"
    line = Text(f"{number:>2}  {told.step.account:<8}  {prompt}  {told.step.asked:<13}")
    line.append("  " if Console().width >= _ONE_LINE_WIDTH else "\n      ")
    line.append(f"{_outcome(told):<{_OUTCOME_LENGTH}}", style=_style(told))
    held, committed = format_usd(told.held), format_usd(told.committed)
    line.append(f"  held {held} → committed {committed}" if told.held else "  nothing held")
    if told.generation.error_message:
        line.append(f"\n      {told.generation.error_message}", style="dim")
    return line


def _style(told: Told) -> str:
    if not told.true:
        return "bold red"
    return "green" if told.generation.state is GenerationState.SUCCEEDED else "yellow"


def _cut(text: str) -> str:
    return text if len(text) <= _PROMPT_LENGTH_MAX else text[: _PROMPT_LENGTH_MAX - 1] + "…"


def _story(told: Sequence[Told]) -> Table:
    rows = [
        [
            str(number),
            item.step.account,
            item.step.prompt,
            item.step.asked,
            _outcome(item),
            format_usd(item.held),
            format_usd(item.committed),
            format_usd(item.given_back),
        ]
        for number, item in enumerate(told, start=1)
    ]
    return Table(_STEP_COLUMNS, rows)


def _outcome(told: Told) -> str:
    """Say in a few words what became of a step."""
    generation = told.generation
    emulated = ", EMULATED" if generation.provider in _EMULATED else ""
    maker = f"{generation.model} ({generation.provider}{emulated})"
    match generation.state:
        case GenerationState.SUCCEEDED if generation.cached:
            text = f"{generation.cached} cache hit, saved {format_usd(generation.saved)}"
        case GenerationState.SUCCEEDED if generation.downgraded:
            text = f"downgraded by {generation.downgrade_reason.replace('_', ' ')}: {maker}"
        case GenerationState.SUCCEEDED if generation.attempt_count > 1:
            text = f"429 at first, then {maker}"
        case GenerationState.SUCCEEDED:
            text = f"made by {maker}"
        case _:
            given_back = ", hold given back" if told.given_back else ""
            text = f"{generation.state}: {generation.error_reason}{given_back}"
    return text if told.true else f"NOT AS TOLD: {text}"


def _balances(balances: Sequence[BudgetBalance]) -> Table:
    rows = [
        [
            item.budget.account,
            item.budget.budget,
            item.budget.enforcement,
            *map(format_usd, (item.budget.limit, item.reserved, item.committed, item.available)),
        ]
        for item in balances
    ]
    return Table(_BALANCE_COLUMNS, rows)


def _show(
    output: Output, told: Sequence[Told], ending: Ending, files: Sequence[str], start: float
) -> None:
    seconds = time.monotonic() - start
    document = {
        "steps": [
            {
                "account": item.step.account,
                "asked": item.step.asked,
                "outcome": _outcome(item),
                "as_told": item.true,
                "held": item.held,
                "committed": item.committed,
                "given_back": item.given_back,
                "generation": document_of(item.generation),
            }
            for item in told
        ],
        "balances": document_of(ending.balances),
        "audit": document_of(ending.audit),
        "balanced": ending.true,
        "files": list(files),
        "seconds": round(seconds, 1),
    }
    # On a terminal the steps stand there already.
    tables = [_balances(ending.balances)]
    output.show(document, *(tables if output.for_people else [_story(told), *tables]))
    if output.as_json:
        return
    note(f"ledger = hot state: {audit_summary(ending.audit)}")
    note(f"{len(files)} images are in {Path(files[0]).parent}; it took {seconds:.1f} s.")

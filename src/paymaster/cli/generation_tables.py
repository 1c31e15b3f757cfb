"""Generations as tables, and as a line that lives until they end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from clients.generation_types import Artifact, Generation
from paymaster.cli.documents import document_of, time_text
from paymaster.cli.money import format_usd
from paymaster.cli.output import Column, Output, Table, minor, right, wide

_COLUMNS = (
    Column("generation_id"),
    Column("state"),
    minor("kind"),
    Column("model"),
    minor("cached"),
    right("cost"),
    minor("favourite"),
    minor("visibility"),
    minor("create_time"),
    wide("prompt"),
)
_WATCH_COLUMNS = (
    Column("generation_id"),
    Column("state"),
    Column("stage"),
    right("progress_percent"),
    right("cost"),
    Column("error_reason"),
)
_ARTIFACT_COLUMNS = (
    Column("artifact_id"),
    Column("media_type"),
    right("size_bytes"),
    minor("delete_time"),
)
_TIMES = ("create_time", "deadline_time", "end_time")
_AMOUNTS = ("cost", "saved")


def generation_table(found: Sequence[Generation]) -> Table:
    """Return generations as a table."""
    return Table(
        _COLUMNS,
        [
            [
                item.generation_id,
                item.state,
                item.kind,
                model_text(item),
                item.cached or "-",
                format_usd(item.cost),
                "yes" if item.favourite else "-",
                item.visibility,
                time_text(item.create_time),
                item.prompt,
            ]
            for item in found
        ],
    )


def model_text(generation: Generation) -> str:
    """Return the model that made it, or was asked for, and why it is a lesser one."""
    text = generation.model or generation.requested_model or "-"
    if not generation.downgraded:
        return text
    reason = generation.downgrade_reason.replace("_", " ")
    return f"{text} (downgraded: {reason})" if reason else f"{text} (downgraded)"


def field_table(generation: Generation) -> Table:
    """Return a generation as a table with a row for each field that says something."""
    said: dict[str, object] = document_of(generation)
    said |= {name: time_text(getattr(generation, name)) for name in _TIMES if said[name]}
    said |= {name: format_usd(getattr(generation, name)) for name in _AMOUNTS}
    settings = said.pop("settings")
    assert isinstance(settings, dict), "a dataclass is an object in JSON"
    said |= {f"settings.{name}": value for name, value in settings.items()}
    for name in ("artifacts", "replayed", "warning"):
        del said[name]
    rows = [
        [name, str(value)]
        for name, value in said.items()
        if value is not None and value is not False and value not in ("", [])
    ]
    return Table((Column("field"), wide("value")), rows)


def artifact_table(artifacts: Sequence[Artifact]) -> Table:
    """Return artifacts as a table."""
    return Table(
        _ARTIFACT_COLUMNS,
        [
            [
                item.artifact_id,
                item.media_type,
                str(item.size_bytes),
                time_text(item.delete_time),
            ]
            for item in artifacts
        ],
    )


async def follow(output: Output, shown: AsyncIterator[Generation]) -> Generation:
    """Show a generation at each change until it has ended, and return it.

    A terminal has one line that changes, and then the table of what it has come to.
    """
    if output.for_people:
        ended = await _follow_live(shown)
        output.show(document_of(ended), generation_table([ended]))
        return ended
    latest: Generation | None = None
    async for found in shown:
        table = Table(_WATCH_COLUMNS, [_watch_row(found)])
        output.show_next(document_of(found), table, first=latest is None)
        latest = found
    assert latest is not None, "a watch has an end, or raises"
    return latest


async def _follow_live(shown: AsyncIterator[Generation]) -> Generation:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
    )
    latest: Generation | None = None
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        async for latest in shown:
            known = latest.progress_percent is not None
            progress.update(
                task,
                description=f"{latest.state} {latest.stage}".strip(),
                completed=latest.progress_percent or 0,
                total=100 if known else None,
            )
    assert latest is not None, "a watch has an end, or raises"
    return latest


def _watch_row(generation: Generation) -> list[str]:
    percent = generation.progress_percent
    return [
        generation.generation_id,
        generation.state,
        generation.stage or "-",
        "-" if percent is None else str(percent),
        format_usd(generation.cost),
        generation.error_reason or "-",
    ]

"""`paymaster models` and `paymaster styles`: what can be made, by whom, and in which styles."""

from __future__ import annotations

from pathlib import Path

from clients.generation_types import Model
from paymaster.cli.base import command
from paymaster.cli.connection import connected
from paymaster.cli.documents import document_of
from paymaster.cli.output import Column, Output, Table, minor, one_line, wide

_COLUMNS = (
    Column("model"),
    Column("provider"),
    Column("kind"),
    Column("status"),
    minor("retire_date"),
    wide("substitute"),
    wide("sizes"),
    wide("qualities"),
    wide("settings"),
    wide("note"),
)
_STYLE_COLUMNS = (Column("style"), Column("note"), wide("suffix"), wide("negative_prompt"))


@command(name="models")
async def models(*, output: Output, data_dir: Path | None) -> None:
    """List the models of the price catalogue."""
    async with connected(data_dir) as connection:
        found = await connection.generations.list_models()
    output.show({"models": document_of(found)}, Table(_COLUMNS, [_row(item) for item in found]))


@command(name="styles")
async def styles(*, output: Output, data_dir: Path | None) -> None:
    """List the style presets for images and videos."""
    async with connected(data_dir) as connection:
        found = await connection.generations.list_styles()
    rows = [[item.name, item.note, item.suffix, item.negative_prompt] for item in found]
    output.show({"styles": document_of(found)}, Table(_STYLE_COLUMNS, rows))


def _row(model: Model) -> list[str]:
    return [
        model.model,
        model.provider,
        model.kind,
        model.status,
        str(model.retire_date or "-"),
        model.substitute or "-",
        one_line(model.sizes),
        one_line(model.qualities),
        one_line(model.settings),
        model.note,
    ]

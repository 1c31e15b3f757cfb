"""`paymaster ledger`: the books, for other programs."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import click

from clients.ledger_types import LedgerEntry
from paymaster.cli.base import choice, command, group
from paymaster.cli.connection import connected
from paymaster.cli.destination import destination, output_option
from paymaster.cli.documents import document_of
from paymaster.cli.output import Column, Output, Table, right
from paymaster.cli.times import time_option

COLUMNS = tuple(item.name for item in dataclasses.fields(LedgerEntry))
_ENTRIES_AT_ONCE = 1000
# What spreadsheets take for the beginning of a formula.
_FORMULA_BEGINS = ("=", "+", "-", "@", "\t", "\r")
_SUMMARY_COLUMNS = (Column("path"), right("entry_count"))


class Format(StrEnum):
    """How an entry is written: a row of CSV, or a JSON document on a line."""

    CSV = "CSV"
    JSONL = "JSONL"


@group
def ledger() -> None:
    """Export the entries of the ledger."""


@command(ledger, "export")
@click.option(
    "--account", required=True, metavar="ID", help="Entries of this account and of those below it."
)
@click.option(
    "--format",
    "form",
    type=choice(Format),
    default=Format.CSV,
    help="CSV with a header, which is the default, or a JSON document on each line.",
)
@time_option("--since", "Only entries decided at or after this time.")
@time_option("--until", "Only entries decided before this time.")
@output_option
async def export(
    *,
    output: Output,
    data_dir: Path | None,
    account: str,
    form: Format,
    since: datetime | None,
    until: datetime | None,
    path: Path | None,
) -> None:
    """Write ledger entries in the order in which they were decided, for other programs.

    With --json, which needs --output, it says how many there were.
    """
    if output.as_json and path is None:
        raise click.UsageError("--json needs --output; for entries as JSON give --format jsonl.")
    count = 0
    async with connected(data_dir) as connection, destination(path) as write:
        if form is Format.CSV:
            await write(_csv_of([COLUMNS]).encode())
        gathered: list[LedgerEntry] = []
        listed = connection.admin.list_ledger_entries(account, start_time=since, end_time=until)
        async for entry in listed:
            gathered.append(entry)
            if len(gathered) == _ENTRIES_AT_ONCE:
                await write(_text_of(gathered, form).encode())
                count += len(gathered)
                gathered = []
        await write(_text_of(gathered, form).encode())
        count += len(gathered)
    if path is not None:
        output.show(
            {"path": str(path), "entry_count": count},
            Table(_SUMMARY_COLUMNS, [[str(path), str(count)]]),
        )


def _text_of(entries: Sequence[LedgerEntry], form: Format) -> str:
    documents = [document_of(entry) for entry in entries]
    if form is Format.JSONL:
        return "".join(f"{json.dumps(item, ensure_ascii=False)}\n" for item in documents)
    return _csv_of(map(_cell, item.values()) for item in documents)


def _cell(value: object) -> object:
    """Return a value as a cell of CSV has it: what has parts is JSON, and no text is a formula."""
    if isinstance(value, str) and value.startswith(_FORMULA_BEGINS):
        return f"'{value}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value


def _csv_of(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()

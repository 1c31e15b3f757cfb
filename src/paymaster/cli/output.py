"""What a command prints: a table for people, tab-separated lines for pipes, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import click
from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text


class Column(NamedTuple):
    """A column of a table. A wide one gives way where the terminal is narrow."""

    name: str
    right: bool = False
    wide: bool = False


def right(name: str) -> Column:
    """Return a column of numbers."""
    return Column(name, right=True)


def wide(name: str) -> Column:
    """Return a column of long text, which may be cut on a terminal."""
    return Column(name, wide=True)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of texts under named columns."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command's result goes. It is printed once, as one document."""

    as_json: bool

    @property
    def for_people(self) -> bool:
        """Say whether a person reads standard output as it appears."""
        return not self.as_json and sys.stdout.isatty()

    def show(self, document: Mapping[str, Any], *tables: Table) -> None:
        """Print a result: `document` where JSON is asked for, `tables` otherwise."""
        if self.as_json:
            click.echo(json.dumps(document, ensure_ascii=False))
        elif self.for_people:
            for table in tables:
                Console().print(_rich(table))
        else:
            click.echo("\n\n".join(map(_tab_separated, tables)))


def note(message: str) -> None:
    """Tell a person something that is no part of the result, on standard error."""
    click.echo(message, err=True)


def count_of(number: int, noun: str) -> str:
    """Return a number with its noun, such as `1 prompt` or `2 prompts`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def one_line(texts: Iterable[str]) -> str:
    """Return texts joined by commas, or a dash for none."""
    return ", ".join(texts) or "-"


def _tab_separated(table: Table) -> str:
    rows = ([column.name for column in table.columns], *table.rows)
    return "\n".join("\t".join(map(_cell, row)) for row in rows)


def _rich(table: Table) -> RichTable:
    rich_table = RichTable(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for column in table.columns:
        rich_table.add_column(
            column.name,
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="ellipsis" if column.wide else "fold",
            # What is not wide keeps its width: half a number is a wrong number.
            min_width=None if column.wide else _width(table, column),
        )
    for row in table.rows:
        # Text, since a string would be read as markup.
        rich_table.add_row(*(Text(_cell(value)) for value in row))
    return rich_table


def _width(table: Table, column: Column) -> int:
    place = list(table.columns).index(column)
    texts = [column.name, *(row[place] for row in table.rows)]
    return max(Text(_cell(text)).cell_len for text in texts)


def _cell(text: str) -> str:
    """Return a text as it may stand in a cell: no tab, no line break, nothing for the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)

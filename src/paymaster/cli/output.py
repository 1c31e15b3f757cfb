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

_GAP = 2
_WIDE_MIN = 12


class Column(NamedTuple):
    """A column of a table. On a narrow terminal a wide one is cut, a minor one is left out."""

    name: str
    right: bool = False
    wide: bool = False
    minor: bool = False


def right(name: str) -> Column:
    """Return a column of numbers."""
    return Column(name, right=True)


def wide(name: str) -> Column:
    """Return a column of long text; it is minor too."""
    return Column(name, wide=True, minor=True)


def minor(name: str) -> Column:
    """Return a column that can be done without."""
    return Column(name, minor=True)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of texts under named columns."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command's result goes. It is printed once, as one document, but for what goes on."""

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
            console = Console()
            for table in tables:
                console.print(_rich_table(table, console.width))
        else:
            click.echo("\n\n".join(map(_tab_separated, tables)))

    def show_next(self, document: Mapping[str, Any], table: Table, *, first: bool) -> None:
        """Print one of many results: a JSON line, a table, or rows below the `first` one's header.

        A pipe gets each at once.
        """
        if self.as_json or self.for_people or first:
            self.show(document, table)
        elif table.rows:
            click.echo("\n".join("\t".join(map(_cell, row)) for row in table.rows))


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


def _rich_table(table: Table, width: int) -> RichTable:
    """Return a table as a terminal shows it: without minor columns where not all of them fit."""
    columns = list(enumerate(table.columns))
    while _width(table, columns) > width:
        minor_ones = [item for item in columns if item[1].minor]
        if not minor_ones:
            return _records(table)
        columns.remove(minor_ones[-1])
    made = RichTable(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0), pad_edge=False)
    for _, column in columns:
        # A column that may not wrap keeps its width: half a number is a wrong number.
        made.add_column(
            column.name, justify="right" if column.right else "left", no_wrap=not column.wide
        )
    for row in table.rows:
        # Text, since a string would be read as markup.
        made.add_row(
            *(Text(_cell(row[place]), no_wrap=True, overflow="ellipsis") for place, _ in columns)
        )
    return made


def _records(table: Table) -> RichTable:
    """Return a line for each value: what is left where no table fits."""
    made = RichTable.grid(padding=(0, 1))
    for row in table.rows:
        for column, value in zip(table.columns, row, strict=True):
            made.add_row(Text(column.name, style="bold"), Text(_cell(value)))
        made.add_row()
    return made


def _width(table: Table, columns: Sequence[tuple[int, Column]]) -> int:
    """Return how much room the columns need at least."""
    needed = 0
    for place, column in columns:
        texts = [column.name, *(_cell(row[place]) for row in table.rows)]
        longest = max(Text(text).cell_len for text in texts)
        needed += min(longest, _WIDE_MIN) if column.wide else longest
    return needed + _GAP * len(columns)


def _cell(text: str) -> str:
    """Return a text as it may stand in a cell: no tab, no line break, nothing for the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)

"""Tables: whole numbers on any terminal, and nothing in a cell that moves the cursor."""

from __future__ import annotations

import pytest
from rich.console import Console

from paymaster.cli.output import Column, Output, Table, _rich_table, minor, right, wide

TABLE = Table(
    (Column("account"), wide("note"), minor("zone"), right("limit")),
    [["acme", "a long note about [bold]this[/bold] account", "UTC", "$1234567.000001"]],
)


def drawn(table, width):
    console = Console(width=width)
    with console.capture() as capture:
        console.print(_rich_table(table, width))
    return capture.get()


@pytest.mark.parametrize("width", [200, 80, 60, 40, 20])
def test_a_number_is_whole_on_every_terminal(width):
    lines = drawn(TABLE, width).splitlines()
    assert any("$1234567.000001" in line for line in lines) or width < len("limit $1234567.000001")
    assert all(len(line) <= width for line in lines)
    assert "acme" in drawn(TABLE, width)


def test_wide_columns_are_cut_and_minor_ones_left_out():
    assert "a long note about [bold]this[/bold] account" in drawn(TABLE, 100)
    assert "…" in drawn(TABLE, 50)
    assert "UTC" in drawn(TABLE, 50)
    assert "zone" not in drawn(TABLE, 45)
    assert "note" not in drawn(TABLE, 30)


def test_a_cell_holds_nothing_for_the_terminal(capsys):
    table = Table((Column("prompt"), Column("next")), [["a\tb\nc\x1b[31m\u202e", "d"]])
    Output(as_json=False).show({}, table)
    assert capsys.readouterr().out == "prompt\tnext\na b c [31m \td\n"
    assert "\x1b[31m" not in drawn(table, 80)

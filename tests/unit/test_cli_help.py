"""Every command explains itself, and the list of commands says the same."""

from __future__ import annotations

import click
from click.testing import CliRunner

from paymaster.cli.app import paymaster


def _commands(group, *path):
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if isinstance(found, click.Group):
            yield from _commands(found, *path, name)
        else:
            yield (*path, name), found


def test_every_command_takes_json_and_explains_itself():
    found = dict(_commands(paymaster))
    assert len(found) > 70  # none is missed by the walk
    for path, made in found.items():
        assert any("--json" in param.opts for param in made.params), path
        assert made.help, path
        assert all(
            param.help or param.name in {"kind", "model"}
            for param in made.params
            if isinstance(param, click.Option)
        ), path


def test_the_list_of_commands_says_what_they_say_of_themselves():
    listing = CliRunner().invoke(paymaster, ["--help"]).stdout
    context = click.Context(paymaster)
    for name in paymaster.list_commands(context):
        first_line = paymaster.get_command(context, name).help.splitlines()[0]
        assert first_line in listing

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


def test_ls_is_list_and_show_is_get():
    """Groups have grown with one or the other; whoever knows one need not look up which."""
    for group, word, other in (
        ("accounts", "ls", "list"),
        ("insights", "list", "ls"),
        ("plans", "show", "get"),
        ("cache", "get", "show"),
    ):
        help_of = [
            CliRunner().invoke(paymaster, [group, name, "--help"]).stdout for name in (word, other)
        ]
        assert "Usage" in help_of[0]
        assert help_of[0].splitlines()[2:] == help_of[1].splitlines()[2:]
        assert f"  {word}  " not in CliRunner().invoke(paymaster, [group, "--help"]).stdout

"""docs/cli.md has every command, option and exit code, in the command line's own words."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from paymaster.cli.app import paymaster
from paymaster.cli.exits import MEANINGS

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")


def _commands(group, path):
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if isinstance(found, click.Group):
            yield from _commands(found, f"{path} {name}")
        else:
            yield f"{path} {name}", found


COMMON = {"--json", "--data-dir"}
COMMANDS = dict(_commands(paymaster, "paymaster"))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name):
    first = " ".join(name.split()[:2])
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    (section,) = (part for part in sections if f"`{first}" in part.splitlines()[0])
    assert f"`{name}" in section
    for param in COMMANDS[name].params:
        for word in (*param.opts, *param.secondary_opts):
            if word.startswith("-") and word not in COMMON:
                assert f"`{word}" in section or f"[{word}" in section, word


@pytest.mark.parametrize("code", MEANINGS)
def test_every_exit_code_is_documented_with_its_meaning(code):
    assert f"| {code} | {MEANINGS[code]} |" in PAGE


def test_no_option_is_documented_that_is_not_there():
    known = {word for made in COMMANDS.values() for param in made.params for word in param.opts}
    known |= {word for made in COMMANDS.values() for p in made.params for word in p.secondary_opts}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", PAGE)) <= known


def test_the_commands_of_the_page_are_commands():
    # Written so in a block or between backticks; what follows the name is for the reader.
    for words in re.findall(r"(?:^|`)paymaster ((?:[a-z]+ ?)+)", PAGE, flags=re.MULTILINE):
        found = f"paymaster {words}"
        assert any(found.startswith(name) or name.startswith(found.strip()) for name in COMMANDS)

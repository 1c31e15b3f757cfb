"""What every command has in common: `--json`, `--data-dir`, and errors that become exit codes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from paymaster.cli.failures import as_command_failed
from paymaster.cli.output import Output

Word = TypeVar("Word", bound=StrEnum)

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The data directory of the stack; the default one if not given.",
)
reason_option = click.option(
    "--reason", default="", metavar="TEXT", help="Why, for the record of changes."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


# Two words for one thing: who knows the one of another group need not look up the other.
_ALIKE = {"get": "show", "list": "ls", "ls": "list", "show": "get"}


class _Group(click.Group):
    """Takes `ls` for `list`, `show` for `get`, and the other way round."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or super().get_command(
            ctx, _ALIKE.get(cmd_name, cmd_name)
        )


def group(function: Callable[[], None]) -> click.Group:
    """Declare a group of commands."""
    return click.group(cls=_Group)(function)


def choice(words: type[Word]) -> click.Choice[Word]:
    """Return the type of an option whose values are the words of an enum, in any case.

    UNKNOWN is left out: it stands for what an authority may answer, not for what it can be told.
    """
    return click.Choice([word for word in words if word.name != "UNKNOWN"], case_sensitive=False)


def command(
    group: click.Group | None = None,
    name: str | None = None,
    *,
    finds_stack: bool = True,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    epilog: str | None = None,
) -> Callable[[Callable[..., Coroutine[Any, Any, None]]], click.Command]:
    """Declare an async function as a command, of `group` if one is given.

    The function gets `output` beside its own parameters, and `data_dir` if it `finds_stack`.
    """

    def declare(function: Callable[..., Coroutine[Any, Any, None]]) -> click.Command:
        @wraps(function)
        def run(*, as_json: bool, **parameters: Any) -> None:
            try:
                with asyncio.Runner(loop_factory=loop_factory) as runner:
                    runner.run(function(output=Output(as_json=as_json), **parameters))
            except Exception as error:
                raise as_command_failed(error) from error

        takes = json_option(data_dir_option(run) if finds_stack else run)
        made = click.command(name, epilog=epilog)(takes)
        if group is not None:
            group.add_command(made)
        return made

    return declare

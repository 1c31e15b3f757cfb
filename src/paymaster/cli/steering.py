"""The options of `paymaster generate` that steer it.

Which of them a kind takes, and within which bounds, is for the authority to say.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from functools import wraps
from typing import Any, cast

import click

from clients.generation_types import ChatMessage, Priority, Reuse, Role, SettingsFields
from paymaster.cli.base import choice
from paymaster.cli.runs import Steering
from paymaster.cli.times import parse_span

_AsyncFunction = Callable[..., Coroutine[Any, Any, None]]


def settings_options(function: _AsyncFunction) -> _AsyncFunction:
    """Declare what depends on the kind; the function gets it as `settings`."""

    @wraps(function)
    async def collected(**others: Any) -> None:
        given = {name: others.pop(name) for name in SettingsFields.__annotations__}
        # What was not given stays away, so that the authority can tell.
        settings = {name: value for name, value in given.items() if value not in (None, "", ())}
        await function(settings=cast("SettingsFields", settings), **others)

    return _declared(collected, _SETTINGS)


def context_option(function: _AsyncFunction) -> _AsyncFunction:
    """Declare what a request is about; the function gets it as `context`."""

    @wraps(function)
    async def collected(*, context: Sequence[tuple[str, str]], **others: Any) -> None:
        values: dict[str, list[str]] = {}
        for name, value in context:
            values.setdefault(name, []).append(value)
        await function(context=values, **others)

    return _declared(collected, (_CONTEXT,))


def steering_options(function: _AsyncFunction) -> _AsyncFunction:
    """Declare all that steers a generation; the function gets it as `steering`."""

    @wraps(function)
    async def collected(
        *,
        priority: Priority,
        deadline: timedelta | None,
        parent: str,
        reuse: Reuse,
        accept: str,
        context: Mapping[str, Sequence[str]],
        settings: SettingsFields,
        **others: Any,
    ) -> None:
        steering = Steering(priority, deadline, parent, reuse, accept, context, settings)
        await function(steering=steering, **others)

    return _declared(context_option(settings_options(collected)), _STEERING)


def _declared(
    function: _AsyncFunction, options: Sequence[Callable[[_AsyncFunction], _AsyncFunction]]
) -> _AsyncFunction:
    for option in reversed(options):
        function = option(function)
    return function


def _parse_message(text: str) -> ChatMessage:
    role, parted, content = text.partition("=")
    if not parted or role.upper() not in (Role.USER, Role.ASSISTANT):
        raise click.BadParameter("must look like user=TEXT or assistant=TEXT.")
    return ChatMessage(Role(role.upper()), content)


def _parse_context(text: str) -> tuple[str, str]:
    name, parted, value = text.partition("=")
    if not (parted and name and value):
        raise click.BadParameter("must look like NAME=VALUE, such as cuisine=thai.")
    return name, value


_CONTEXT = click.option(
    "--context",
    type=_parse_context,
    multiple=True,
    metavar="NAME=VALUE",
    help="What it is about, for the cache's structured stage; more than once for more.",
)
_STEERING = (
    click.option(
        "--priority",
        type=choice(Priority),
        default=Priority.NORMAL,
        show_default=True,
        help="Which of those that wait comes first; none waits for ever.",
    ),
    click.option(
        "--deadline",
        type=parse_span,
        metavar="SPAN",
        help="Not begun, nor tried anew, that long after it was submitted: 90s, 10m, 2h, 1d.",
    ),
    click.option(
        "--parent",
        default="",
        metavar="ID",
        help="The generation that this one is made from anew, or a variation of.",
    ),
    click.option(
        "--reuse",
        type=choice(Reuse),
        default=Reuse.POLICY,
        show_default=True,
        help="What of the cache may serve it: policy is what the account's says, suggest answers"
        " near matches in its place.",
    ),
    click.option(
        "--accept",
        default="",
        metavar="ENTRY",
        help="The entry of the cache that is to serve it, as suggested.",
    ),
)
_SETTINGS = (
    click.option("--style", default="", metavar="NAME", help="A preset of `paymaster styles`."),
    click.option("--negative-prompt", default="", metavar="TEXT", help="What shall not be shown."),
    click.option(
        "--seed", type=int, help="The same seed makes the same again, as far as the model does."
    ),
    click.option("--steps", type=int, help="Image: the steps of a diffusion model."),
    click.option("--output-format", default="", metavar="WORD", help="Image: png, webp or jpeg."),
    click.option(
        "--reference",
        "references",
        multiple=True,
        metavar="ID",
        help="Image: an image made before, by its artifact's id; more than once for more.",
    ),
    click.option(
        "--mask",
        default="",
        metavar="ID",
        help="Image: an image made before, transparent where the first reference is to change.",
    ),
    click.option("--seconds", type=int, help="Video: the length; 5 if not given."),
    click.option("--system", default="", metavar="TEXT", help="Chat: what the model shall be."),
    click.option(
        "--message",
        "messages",
        type=_parse_message,
        multiple=True,
        metavar="ROLE=TEXT",
        help="Chat: what the user or the assistant said before; more than once, in order.",
    ),
    click.option(
        "--max-tokens", type=int, help="Chat: the most tokens of an answer; 1024 if not given."
    ),
    click.option("--temperature", type=float, help="Chat: 0 for the likeliest answer, up to 2."),
)

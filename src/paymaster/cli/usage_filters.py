"""The options that say which events of the usage log count."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from clients.types import DenialReason
from clients.usage_types import UsageFilter, UsageOutcome
from paymaster.cli.base import choice
from paymaster.cli.times import time_option

_Function = TypeVar("_Function", bound=Callable[..., Any])

_MANY = {
    "users": ("--user", "Only of this user, as the label `user` has it."),
    "kinds": ("--kind", "Only of this kind: image, chat, video, or what the label says."),
    "providers": ("--provider", "Only of this provider."),
    "models": ("--model", "Only of this model."),
    "sizes": ("--size", "Only of this size."),
    "qualities": ("--quality", "Only of this quality."),
    "stages": ("--cached", "Only what this stage of the cache has served."),
    "downgrade_reasons": ("--downgrade-reason", "Only what was downgraded for this reason."),
    "error_classes": ("--error-class", "Only what has failed so."),
}
_FLAGS = {
    "downgraded": "Only what was downgraded, or only what was not.",
    "fallback": "Only what was made elsewhere than at first, or only what was not.",
    "presumed_spent": "Only what is presumed spent, or only what is not.",
    "late": "Only what was committed late, or only what was not.",
}

tenant_option = click.option(
    "--tenant", default="", metavar="ID", help="Only this tenant; by default all that may be seen."
)
account_option = click.option(
    "--account", default="", metavar="ID", help="Only this account and those below it."
)
since_option = time_option("--since", "From this time on: a full quarter of an hour.")
until_option = time_option("--until", "Before this time: a full quarter of an hour.")


def usage_filter(function: _Function) -> _Function:
    """Declare the options of a filter, of which the function gets a UsageFilter as `chosen`.

    Each of those that take a word may be given more than once; then any of them counts.
    """

    @wraps(function)
    def filtered(**parameters: Any) -> Any:
        fields: dict[str, Any] = {name: tuple(parameters.pop(name)) for name in _MANY}
        fields["outcomes"] = tuple(parameters.pop("outcomes"))
        fields["denial_reasons"] = tuple(parameters.pop("denial_reasons"))
        fields |= {name: parameters.pop(name) for name in _FLAGS}
        return function(chosen=UsageFilter(**fields), **parameters)

    made: Any = filtered
    for name, help_text in reversed(_FLAGS.items()):
        option = name.replace("_", "-")
        made = click.option(f"--{option}/--not-{option}", name, default=None, help=help_text)(made)
    made = click.option(
        "--denied-for",
        "denial_reasons",
        type=choice(DenialReason),
        multiple=True,
        help="Only what was denied for this reason.",
    )(made)
    made = click.option(
        "--outcome",
        "outcomes",
        type=choice(UsageOutcome),
        multiple=True,
        help="Only what has come to this.",
    )(made)
    for name, (option, help_text) in reversed(_MANY.items()):
        made = click.option(option, name, multiple=True, metavar="WORD", help=help_text)(made)
    declared: _Function = made
    return declared

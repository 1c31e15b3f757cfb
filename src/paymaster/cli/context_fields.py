"""`--field` and `--threshold`: how the contexts of requests are compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from clients.cache_types import CacheField, CacheFieldMode, CacheStructuredPolicy
from paymaster.cli.base import choice
from paymaster.cli.shares import parse_share

_THRESHOLD_PPM = 800_000

_Command = TypeVar("_Command", bound=Callable[..., Any])


def field_options(function: _Command) -> _Command:
    """Declare the options that say how contexts are compared."""
    for declare in (
        click.option(
            "--threshold",
            type=parse_share,
            metavar="SHARE",
            help="From which score on two contexts are the same; 80% if not given with --field.",
        ),
        click.option(
            "--field",
            "fields",
            multiple=True,
            metavar="NAME=MODE[:WEIGHT[:BOUND]]",
            help="How a field of contexts is compared, such as dish=required:40,"
            " ingredients=jaccard:30:50% or author=ignore; more than once for more. Those given"
            " take the place of all there were.",
        ),
    ):
        function = declare(function)
    return function


def read_fields(fields: Sequence[str], threshold: int | None) -> CacheStructuredPolicy | None:
    """Return how contexts are to be compared; None if nothing was said. Raises UsageError."""
    if threshold is not None and not fields:
        raise click.UsageError("--threshold goes with the --field that it is for.")
    if not fields:
        return None
    made = tuple(_field(text) for text in fields)
    return CacheStructuredPolicy(made, _THRESHOLD_PPM if threshold is None else threshold)


def _field(text: str) -> CacheField:
    """Read a field such as `ingredients=jaccard:30:50%`."""
    name, _, said = text.partition("=")
    mode, _, numbers = said.partition(":")
    weight, _, bound = numbers.partition(":")
    try:
        made = CacheField(
            name,
            int(weight or 0),
            choice(CacheFieldMode).convert(mode, None, None),
            parse_share(bound) if bound else 0,
        )
    except (click.BadParameter, ValueError) as error:
        raise click.BadParameter(f"{text!r}: {error}", param_hint="--field") from None
    if weight and made.weight < 1:
        fault = "the weight must be 1 or more; what is to weigh nothing is ignored"
        raise click.BadParameter(f"{text!r}: {fault}", param_hint="--field")
    return made

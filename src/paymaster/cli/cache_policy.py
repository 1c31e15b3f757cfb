"""`paymaster cache policy`: what the cache may do for an account, shown and changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from clients.cache_types import CacheStructuredPolicy
from clients.generation_types import Kind
from paymaster.cli.base import choice, command, reason_option
from paymaster.cli.cache_tables import policy_tables
from paymaster.cli.connection import connected
from paymaster.cli.context_fields import field_options, read_fields
from paymaster.cli.documents import document_of
from paymaster.cli.output import Output
from paymaster.cli.shares import parse_share
from paymaster.cli.times import parse_span


@command(name="policy")
@click.argument("account")
@click.option("--enable/--disable", default=None, help="Whether anything is served and kept.")
@click.option(
    "--stage",
    "stages",
    multiple=True,
    metavar="KIND=STAGE",
    help="The deepest stage for a kind, such as image=guarded; more than once for more.",
)
@click.option(
    "--chat-tier/--no-chat-tier", default=None, help="Whether the chat stage may serve chats."
)
@click.option(
    "--ttl",
    "ttls",
    multiple=True,
    metavar="KIND=SPAN",
    help="How long what is of a kind is kept, such as chat=12h; more than once for more.",
)
@click.option(
    "--max-error", type=parse_share, metavar="SHARE", help="Of hits, how many may be wrong: 1%."
)
@click.option(
    "--sample", type=parse_share, metavar="SHARE", help="Of hits, how many are made anyway: 2%."
)
@field_options
@click.option("--no-fields", is_flag=True, help="Compare contexts no more.")
@click.option("--reset", is_flag=True, help="Take the account's own policy away.")
@reason_option
async def policy(
    *, output: Output, data_dir: Path | None, account: str, reset: bool, reason: str, **given: Any
) -> None:
    """Show the cache's policy that counts for an account; with options, change it first.

    The nearest account above that has a policy counts. What is not given stays as it is.
    """
    terms = _terms(**given)
    if reset and terms:
        raise click.UsageError("--reset goes with no other change.")
    async with connected(data_dir) as connection:
        if reset:
            found = await connection.cache.reset_policy(account, reason=reason)
        elif terms:
            found = await connection.cache.update_policy(account, reason=reason, **terms)
        else:
            found = await connection.cache.get_policy(account)
    output.show({"policy": document_of(found)}, *policy_tables(found))


def _terms(
    *,
    enable: bool | None,
    stages: Sequence[str],
    chat_tier: bool | None,
    ttls: Sequence[str],
    max_error: int | None,
    sample: int | None,
    fields: Sequence[str],
    threshold: int | None,
    no_fields: bool,
) -> dict[str, Any]:
    """Return what is to change, as the client takes it."""
    terms = {
        "enabled": enable,
        "stages": dict(_by_kind("--stage", text) for text in stages) or None,
        "chat_tier": chat_tier,
        "ttl": {kind: parse_span(span) for kind, span in (_by_kind("--ttl", t) for t in ttls)}
        or None,
        "max_error_ppm": max_error,
        "sample_ppm": sample,
        "structured": _structured(fields, threshold, none=no_fields),
    }
    return {name: value for name, value in terms.items() if value is not None}


def _structured(
    fields: Sequence[str], threshold: int | None, *, none: bool
) -> CacheStructuredPolicy | None:
    """Return how contexts are to be compared; None to leave it."""
    if none and (fields or threshold is not None):
        raise click.UsageError("Give either --field or --no-fields.")
    if none:
        return CacheStructuredPolicy()
    return read_fields(fields, threshold)


def _by_kind(option: str, text: str) -> tuple[str, str]:
    """Read a value for a kind such as `image=guarded`."""
    kind, _, value = text.partition("=")
    if not value:
        raise click.BadParameter(f"{text!r} must look like image=...", param_hint=option)
    return choice(Kind).convert(kind, None, None).lower(), value

"""The one place where errors of every kind become an exit code and a line for the user."""

from __future__ import annotations

import re

import click

from clients import errors
from paymaster.cli.exits import CommandFailed, ExitCode
from paymaster.cli.runs import StillOpen
from paymaster.stack.errors import BadStoreUrl, StackFailed

# The first that fits, so that a class stands before its base.
_EXIT_CODES: dict[type[Exception], ExitCode] = {
    errors.InvalidRequest: ExitCode.USAGE,
    errors.BudgetDenied: ExitCode.DENIED,
    errors.NotSignedIn: ExitCode.NOT_SIGNED_IN,
    errors.NotAllowed: ExitCode.NOT_ALLOWED,
    errors.NotFound: ExitCode.NOT_FOUND,
    errors.Unavailable: ExitCode.UNREACHABLE,
    errors.DeadlineExceeded: ExitCode.UNREACHABLE,
    errors.PaymasterError: ExitCode.ERROR,
    BadStoreUrl: ExitCode.USAGE,
    StackFailed: ExitCode.ERROR,
    StillOpen: ExitCode.ERROR,
    TimeoutError: ExitCode.ERROR,
}

# Where an option is called otherwise than the field that it sets; its parameter's name.
_PARAMETERS = {
    "accept_entry_id": "accept",
    "addresses": "emails",
    "alert_thresholds": "alerts_at",
    "as_of_time": "as_of",
    "end_time": "until",
    "idempotency_key": "key",
    "page_size": "count",
    "parent_id": "parent",
    "per_request_limits": "limits",
    "refund_grace": "refund_grace_days",
    "start_time": "since",
    "url": "urls",
}


def as_command_failed(error: Exception) -> Exception:
    """Return the error as the command line tells it; one that nobody expected stays as it is."""
    if isinstance(error, ExceptionGroup):
        # What failed first is what to act on.
        return as_command_failed(error.exceptions[0])
    if isinstance(error, click.ClickException | click.exceptions.Exit | click.Abort):
        return error
    for known, exit_code in _EXIT_CODES.items():
        if isinstance(error, known):
            return CommandFailed(_text(error), exit_code)
    return error


def _text(error: Exception) -> str:
    if isinstance(error, errors.InvalidRequest) and error.violations:
        return "\n".join(f"{_named(item.field)}: {item.description}" for item in error.violations)
    if isinstance(error, errors.NotSignedIn):
        return (
            f"{error}\nSet PAYMASTER_TOKEN_FILE or PAYMASTER_TOKEN to an API key of the"
            " authority's, or use --data-dir of a stack on this machine."
        )
    if isinstance(error, errors.GenerationStateError):
        return f"{error}\n`paymaster generations regenerate` does that."
    return str(error)


def _named(field: str) -> str:
    """Return a request's field with the option or argument that it was given by, if one was."""
    context = click.get_current_context(silent=True)
    parameters = {found.name: found for found in context.command.params} if context else {}
    resource, *parts = re.sub(r"\[[^]]*\]", "", field).split(".")
    for part in reversed(parts or [resource]):
        found = parameters.get(part) or parameters.get(_PARAMETERS.get(part, ""))
        if found is not None:
            is_option = isinstance(found, click.Option)
            shown = max(found.opts, key=len) if is_option else found.human_readable_name
            return shown if found.name == field else f"{shown} ({field})"
    return field

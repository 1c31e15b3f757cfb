"""How a command ends: its exit code, and the one line that says what went wrong."""

from __future__ import annotations

from enum import IntEnum

import click


class ExitCode(IntEnum):
    """Every exit code, as `paymaster --help` lists them."""

    OK = 0
    ERROR = 1
    USAGE = 2
    DENIED = 3
    NOT_SIGNED_IN = 4
    NOT_FOUND = 5
    NOT_ALLOWED = 6
    UNREACHABLE = 69
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.ERROR: "error; also a generation that failed, or an audit that found differences",
    ExitCode.USAGE: "a wrong option, value or setting",
    ExitCode.DENIED: "denied by a budget",
    ExitCode.NOT_SIGNED_IN: "not signed in: the token is missing, wrong, revoked or expired",
    ExitCode.NOT_FOUND: "not found: an account, budget or other thing named",
    ExitCode.NOT_ALLOWED: "not allowed: the token lacks a scope, or is of another tenant",
    ExitCode.UNREACHABLE: "the authority can't be reached, or one of its stores is away",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C",
}


class CommandFailed(click.ClickException):
    """The command can't do what it was asked to; the message says why and what to do."""

    def __init__(self, message: str, code: ExitCode = ExitCode.ERROR) -> None:
        super().__init__(message)
        self.code = code


def report(message: str) -> None:
    """Print `error: …` to standard error; further lines of the message are indented."""
    first, *rest = message.strip().splitlines() or ["unknown"]
    click.echo("\n".join([f"error: {first}", *(f"  {line}" for line in rest)]), err=True)

"""The command `paymaster`: which commands there are, and how any of them ends."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import click

from paymaster.cli.exits import MEANINGS, CommandFailed, ExitCode, report

_DEBUG = "PAYMASTER_DEBUG"


class _Entry(NamedTuple):
    """Where a command is; its module is imported when the command is used, and not before."""

    module: str
    help: str


# In the order of `--help`. A test compares these texts with the commands' own.
_COMMANDS = {
    "dev": _Entry("dev", "Start the whole stack on this machine; Ctrl-C stops it."),
    "demo": _Entry("demo", "Tell the main job's story on a stack of its own, and audit it."),
    "generate": _Entry("generate", "Make images, answers or videos from a prompt or many."),
    "generations": _Entry(
        "generations", "List generations; follow, stop, retry and download them."
    ),
    "queues": _Entry("queues", "See and steer the queues, their jobs and the workers."),
    "cache": _Entry("cache", "See and steer the similarity cache, which saves calls."),
    "accounts": _Entry("accounts", "List, read, create and change accounts."),
    "budgets": _Entry("budgets", "List, read, create and change budgets."),
    "grants": _Entry("grants", "Give accounts prepaid or free amounts, list and void them."),
    "balance": _Entry("balances", "Show an account's budgets and grants, now or in the past."),
    "watch": _Entry("balances", "Show an account's balance, and again when it changes."),
    "reservations": _Entry("reservations", "List what is held, and what became of it."),
    "credits": _Entry("credits", "Show what an account has to pay with, and give it more."),
    "prices": _Entry("prices", "Show and set what users pay in credits."),
    "plans": _Entry("plans", "List, read, create and change plans."),
    "usage": _Entry("usage", "Show what was used, by whom, what it cost, and what will be."),
    "export": _Entry("export", "Write the usage log as CSV, JSON lines or FOCUS 1.2."),
    "insights": _Entry("insights", "Say what would have saved money, and what would have been."),
    "alerts": _Entry("alerts", "See what was noticed, and who was told of it how."),
    "keys": _Entry("keys", "Make, list, change and revoke API keys."),
    "changes": _Entry("changes", "List who changed what, when and why, the latest first."),
    "models": _Entry("models", "List the models of the price catalogue."),
    "styles": _Entry("models", "List the style presets for images and videos."),
    "status": _Entry("books", "Show how the authority, its stores and the workers are."),
    "doctor": _Entry("doctor", "Look at everything, and say what to do about what is wrong."),
    "audit": _Entry("books", "Check that ledger and hot state agree; exit 1 if not."),
    "ledger": _Entry("ledger", "Export the entries of the ledger."),
    "reconcile": _Entry("reconcile", "Compare providers' bills with the books, and correct them."),
    "rebuild": _Entry("books", "Make hot state anew from the ledger, beside traffic."),
    "serve": _Entry("processes", "Run an authority in the foreground."),
    "worker": _Entry("processes", "Run a worker in the foreground."),
    "migrate": _Entry("processes", "Bring the database's schema up to date."),
}

_EPILOG = "\n".join(
    [
        "\b",
        "Exit codes:",
        *(f"  {code:<4} {meaning}" for code, meaning in MEANINGS.items()),
        "",
        "\b",
        "A command finds the running stack by --data-dir; else by PAYMASTER_ADDRESS with",
        "PAYMASTER_TOKEN_FILE or PAYMASTER_TOKEN, and PAYMASTER_TLS_CA for TLS; else in the",
        "default data directory, which PAYMASTER_DATA_DIR replaces. `paymaster dev` starts one.",
        "",
        "\b",
        "Every command takes --json: one JSON document on standard output. Without it, output is",
        "a table on a terminal, and tab-separated lines with a header when piped.",
        "PAYMASTER_DEBUG=1 shows where an unexpected error came from.",
    ]
)


class _Application(click.Group):
    """The top command. Whatever happens in a command ends in an exit code, never a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's signature
        entry = _COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module = importlib.import_module(f"paymaster.cli.{entry.module}")
        return cast("click.Command", getattr(module, cmd_name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's signature
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in _COMMANDS.items()])

    def main(  # type: ignore[override]  # Click's has two overloads, which here are one.
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        **extra: Any,
    ) -> Any:
        try:
            code = super().main(args, prog_name, **(extra | {"standalone_mode": False}))
            sys.stdout.flush()
        except Exception as error:  # noqa: BLE001  # The outermost frame: nobody else tells the user.
            code = _ended_by(error)
        sys.exit(code or ExitCode.OK)


def _ended_by(error: Exception) -> int:
    """Tell the user of an error, and return the exit code."""
    message, code = "", ExitCode.ERROR
    match error:
        case click.Abort():
            code = ExitCode.INTERRUPTED
        case click.exceptions.NoArgsIsHelpError():
            error.show()
            code = ExitCode.USAGE
        case click.UsageError():
            hint = f"\nSee `{error.ctx.command_path} --help`." if error.ctx else ""
            message, code = error.format_message() + hint, ExitCode.USAGE
        case CommandFailed():
            message, code = error.message, error.code
        case BrokenPipeError():
            # The reader has gone, as `head` does. Python must not try again when it exits.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        case _:
            if os.environ.get(_DEBUG):
                traceback.print_exception(error)
            message = f"unexpected: {type(error).__name__}: {error}\nSet {_DEBUG}=1 to see where."
    if message:
        report(message)
    return code


@click.command(
    "paymaster",
    cls=_Application,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="paymaster")
def paymaster() -> None:
    """Hold the cost of AI generations before they are made, and keep the books of it."""


def main() -> None:
    """Run the command line."""
    paymaster.main(prog_name="paymaster")


__all__ = ["CommandFailed", "main", "paymaster"]

"""Prompts from a file: one on each line, all checked before the first is submitted."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

import click

from generations.catalogue import Catalogue
from generations.requests import InvalidRequest, validate_request

LINES_MAX = 10_000
PROBLEMS_SHOWN_MAX = 10
_BYTES_MAX = 64 * 1024 * 1024


def read_prompts(path: Path) -> list[str]:
    """Return the prompts of a file, or of standard input for `-`.

    Raises BadParameter, which names every line that is no prompt, up to a few.
    """
    lines = _lines(path)
    if not lines:
        raise _bad(f"{path} has no prompts; write one on each line.")
    if len(lines) > LINES_MAX:
        raise _bad(f"{path} has {len(lines)} lines; at most {LINES_MAX} are allowed.")
    prompts = []
    problems = []
    for number, line in enumerate(lines, start=1):
        try:
            prompts.append(_prompt(line))
        except ValueError as error:
            problems.append(f"line {number}: {error}")
    if problems:
        more = len(problems) - PROBLEMS_SHOWN_MAX
        shown = problems[:PROBLEMS_SHOWN_MAX] + ([f"and {more} more lines"] if more > 0 else [])
        raise _bad("\n".join([f"nothing was submitted, since in {path}", *shown]))
    return prompts


def check_prompt(prompt: str) -> str:
    """Return the prompt. Raises ValueError if it can't be one; the message says why."""
    try:
        # Only the prompt is looked at here: for the rest, which the authority checks, the defaults
        # stand, and none of them depends on the day.
        validate_request(
            account="", prompt=prompt, catalogue=Catalogue.load(), today=date(2000, 1, 1)
        )
    except InvalidRequest as error:
        raise ValueError("; ".join(item.message for item in error.violations)) from None
    return prompt


def _lines(path: Path) -> list[bytes]:
    try:
        if str(path) == "-":
            content = sys.stdin.buffer.read(_BYTES_MAX + 1)
        else:
            with path.open("rb") as file:
                content = file.read(_BYTES_MAX + 1)
    except OSError as error:
        raise _bad(f"{path} can't be read: {error.strerror}.") from error
    if len(content) > _BYTES_MAX:
        raise _bad(f"{path} is larger than {_BYTES_MAX} bytes.")
    # Not splitlines, which also splits at control characters and so would hide them.
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return lines[:-1] if not lines[-1] else lines


def _prompt(line: bytes) -> str:
    try:
        text = line.removesuffix(b"\r").decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8; save the file as UTF-8.") from None
    return check_prompt(text)


def _bad(message: str) -> click.BadParameter:
    return click.BadParameter(message, param_hint="--file")

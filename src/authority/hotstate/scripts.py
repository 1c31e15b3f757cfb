"""The Lua scripts: loading them for an epoch, and what their answers look like."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import NamedTuple

_FOLDER = files("authority.hotstate") / "scripts"


class Script(StrEnum):
    """The scripts by the name of their file."""

    DECIDE = "decide"
    READ = "read"
    LOAD = "load"
    FENCE = "fence"
    OPEN = "open"
    POLICY = "policy"
    SUBMIT = "submit"
    LEASE = "lease"


class Verb(StrEnum):
    """What DECIDE can do, by the name of the file of each."""

    RESERVE = "reserve"
    COMMIT = "commit"
    RELEASE = "release"
    REFUND = "refund"
    EXPIRE = "expire"
    EXTEND = "extend"
    ADJUST = "adjust"
    RECORD = "record"


# What DECIDE is made of besides the prelude.
_SHARED = (
    "_call",
    "_outbox",
    "_leases",
    "_policy",
    "_holds",
    "_lots",
    "_limits",
    "_charges",
    "_thresholds",
)


class ScriptSet(NamedTuple):
    """The scripts of one epoch: their text, and the hashes that they are called by."""

    epoch: int
    texts: Mapping[Script, str]
    hashes: Mapping[Script, str]


@cache
def _text(name: str) -> str:
    return (_FOLDER / f"{name}.lua").read_text()


def script_set(epoch: int) -> ScriptSet:
    """Return the scripts of an epoch. The epoch is in the text, and so in the hash."""
    head = f"local EPOCH = '{epoch}'\n{_text('_prelude')}\n"
    parts = {Script.DECIDE: (*_SHARED, *Verb)}
    texts = {
        script: "".join((head, *map(_text, parts.get(script, ())), _text(script)))
        for script in Script
    }
    hashes = {
        script: hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        for script, text in texts.items()
    }
    return ScriptSet(epoch, texts, hashes)

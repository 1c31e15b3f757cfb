"""Who made the call that is under way, for whatever runs on its behalf."""

from __future__ import annotations

from contextvars import ContextVar

from authority.domain.callers import Caller, Cause
from authority.rpc.requests import REASON_LENGTH_MAX, Reader

# Set by rpc/interceptors.py before the servicer is entered; tasks that the call starts inherit it.
_caller: ContextVar[Caller] = ContextVar("caller")


def current_caller() -> Caller:
    """Return who made the call under way. Raises LookupError outside of one."""
    return _caller.get()


def enter_call(caller: Caller) -> None:
    """Say who made the call that the running task serves."""
    _caller.set(caller)


def read_cause(reader: Reader, reason: str) -> Cause:
    """Read why the call under way changes something; it is known who makes it."""
    return Cause(current_caller().actor, reader.text("reason", reason, REASON_LENGTH_MAX))

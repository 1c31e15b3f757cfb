"""What can go wrong with a stack.

StackFailed         it can't be started or kept running
├── NotReady        a program ended, or took too long, before it was ready
├── BadStoreUrl     DATABASE_URL or REDIS_URL is malformed; no password is shown
└── BadState        the state file can't be read
"""

from __future__ import annotations


class StackFailed(Exception):
    """The stack can't be started or kept running; the message says why and what to do."""


class NotReady(StackFailed):
    """A program ended, or took too long, before it was ready; the message has its last words."""


class BadStoreUrl(StackFailed):
    """DATABASE_URL or REDIS_URL is malformed; the message names it and shows no password."""


class BadState(StackFailed):
    """The state file can't be read; the message says which and what to do."""

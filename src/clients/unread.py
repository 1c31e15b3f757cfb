"""Values whose fields are worked out when one of them is first asked for.

Most callers look at one field of an answer or at none, and working all of them out takes longer
than all else that the client does for an operation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self


class Unread:
    """The base of a frozen dataclass with slots, whose fields may be filled in later."""

    __slots__ = ("_read",)

    _read: Callable[[], Self] | None

    @classmethod
    def unread(cls, read: Callable[[], Self], **known: object) -> Self:
        """Return a value that has what is `known`; `read` makes all of it when more is asked for.

        `read` may be called more than once, by threads that ask at the same moment.
        """
        value = cls.__new__(cls)
        for name, field in known.items():
            object.__setattr__(value, name, field)
        object.__setattr__(value, "_read", read)
        return value

    # Of no concern to type checkers, for which every field has its value.
    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Fill in what has no value yet. Raises AttributeError for what is no field."""
            names = type(self).__slots__
            if name not in names:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            if self._read is not None:
                full = self._read()
                for each in names:
                    object.__setattr__(self, each, getattr(full, each))
                object.__setattr__(self, "_read", None)
            return object.__getattribute__(self, name)

"""The tables of the catalogue's file, whose keys are handed out checked."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime
from enum import StrEnum
from typing import Any, TypeVar

from generations.models import MICROS_MAX

_Enum = TypeVar("_Enum", bound=StrEnum)


class BadCatalogue(ValueError):
    """The catalogue's file can't be used; the message names the entry and the key."""


class Table:
    """One table of the file. Hands out its keys, checked; `end` refuses those nobody asked for."""

    def __init__(self, label: str, data: object) -> None:
        self.label = label
        if not isinstance(data, dict):
            raise BadCatalogue(f"{label}: must be a table.")
        self._data: dict[str, Any] = dict(data)

    def fault(self, key: str, text: str) -> BadCatalogue:
        """Return the error of a key."""
        return BadCatalogue(f"{self.label}: {key}: {text}")

    def take(self, key: str, default: object = None) -> Any:
        """Return a value as it is."""
        return self._data.pop(key, default)

    def text(self, key: str, *, required: bool = True) -> str:
        """Return a text; without one an empty text, unless it is required."""
        value = self.take(key, None if required else "")
        if not isinstance(value, str) or (required and not value.strip()):
            raise self.fault(key, "must be given, as text.")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts, none of them twice."""
        value = self.take(key)
        if not (isinstance(value, list) and value and all(isinstance(v, str) and v for v in value)):
            raise self.fault(key, "must be given, as a list of texts.")
        if len(set(value)) != len(value):
            raise self.fault(key, "names something twice.")
        return tuple(value)

    def one_of(self, key: str, words: type[_Enum]) -> _Enum:
        """Return a word of an enum."""
        text = self.text(key)
        try:
            return words(text)
        except ValueError:
            raise self.fault(key, f"is {text!r}; must be one of: {', '.join(words)}.") from None

    def flag(self, key: str) -> bool:
        """Return true or false; false if it is not given."""
        value = self.take(key, default=False)
        if not isinstance(value, bool):
            raise self.fault(key, "must be true or false.")
        return value

    def day(self, key: str) -> date | None:
        """Return a date; None if it is not given."""
        value = self.take(key)
        # TOML's date and time is Python's datetime, which is a date as well.
        if value is not None and (not isinstance(value, date) or isinstance(value, datetime)):
            raise self.fault(key, "must be a date without quotes, such as 2026-12-01.")
        return value

    def number(self, key: str) -> int:
        """Return a positive number; 0 if it is not given."""
        value = self.take(key, 0)
        if type(value) is not int or not 0 <= value <= MICROS_MAX:
            raise self.fault(key, f"is {value!r}; must be an integer, 1 or more.")
        return value

    def words(self, key: str, known: Collection[str]) -> tuple[str, ...]:
        """Return some of the words that are known; none if it is not given."""
        given = self.texts(key) if key in self.names() else ()
        for word in given:
            if word not in known:
                listed = ", ".join(sorted(known))
                raise self.fault(key, f"has {word!r}; may have: {listed}.")
        return given

    def micros(self, key: str) -> int:
        """Return an amount, which has to be given."""
        value = self.take(key)
        if type(value) is not int or not 1 <= value <= MICROS_MAX:
            raise self.fault(key, f"is {value!r}; must be an integer of micros, 1 to {MICROS_MAX}.")
        return value

    def table(self, key: str) -> Table:
        """Return a table inside this one, empty if it is not given."""
        return Table(f"{self.label}: {key}", self.take(key, {}))

    def tables(self, key: str, *, required: bool = True) -> list[object]:
        """Return a list of tables."""
        value = self.take(key, [])
        if not (isinstance(value, list) and (value or not required)):
            raise self.fault(key, f"must be given, as [[{key}]] tables.")
        return value

    def names(self) -> tuple[str, ...]:
        """Return the keys that nobody has asked for yet."""
        return tuple(self._data)

    def end(self) -> None:
        """Refuse the keys that nobody has asked for."""
        if self._data:
            raise self.fault(next(iter(self._data)), "is no key of this table.")

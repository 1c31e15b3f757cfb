"""Reads the files in which providers say what they have billed.

    OPENAI  the dashboard's export of cost data as CSV, grouped by line item. A line is a model and
            what is counted (`gpt-image-1, image output`) in a day. A day without any is a line
            that has nothing but its times.
    FAL     what the usage API answers, as CSV: an endpoint and a unit in a bucket of a day or less.

Columns are found by their names; others are passed over, so that no name or address of a person is
kept. What can't be read is told by line and column, and nothing is guessed: an amount that is left
out is not 0.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from typing import BinaryIO, NamedTuple

from authority.domain.bills import MICROS, BillFormat, BillLine
from authority.domain.money import AMOUNT_MAX

_AMOUNT = re.compile(r"-?\d{1,12}(?:\.\d{1,40})?(?:[eE][+-]?\d{1,2})?")
_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_SECONDS_MAX = 253_402_300_800  # the year 10000
_DAY = timedelta(days=1)
_MODEL_LENGTH_MAX = 200
_LINE_BYTES_MAX = 64 * 1024
_SHOWN_LENGTH_MAX = 24
_PROBLEMS_MAX = 16
_FIRST_YEAR = 2000
_LINE_USD_MAX = 10**10
# A sum of amounts with so many digits as a cell may have is exact.
_EXACT = Context(prec=200)

# The columns that have to be there, by format; one of those in a tuple is enough.
_COLUMNS: Mapping[BillFormat, Sequence[tuple[str, ...]]] = {
    BillFormat.OPENAI: (
        ("start_time", "start_time_iso"),
        ("amount_value",),
        ("amount_currency",),
        ("line_item",),
    ),
    BillFormat.FAL: (("bucket",), ("endpoint_id",), ("cost",), ("currency",)),
}


class Problem(NamedTuple):
    """What is wrong with a line; `column` is '' if it is the line as such."""

    line_number: int
    column: str
    description: str

    @property
    def place(self) -> str:
        """Where it is, as a person looks for it."""
        return f"line {self.line_number}" + (f", column {self.column}" if self.column else "")


class Covered(NamedTuple):
    """A day of which a line says that nothing was billed."""

    day: date


class Summary(NamedTuple):
    """What a file has; its days are None if it has none."""

    line_count: int
    start_day: date | None
    end_day: date | None
    billed_usd: Decimal
    problems: Sequence[Problem]


class _Wrong(Exception):
    """A cell can't be read."""

    def __init__(self, column: str, description: str) -> None:
        super().__init__(description)
        self.column = column
        self.description = description


_Cells = Mapping[str, str]


def model_namer(known: Callable[[str], bool]) -> Callable[[str], str]:
    """Return what gives a model the catalogue's name, as `known` says, for the one on a bill.

    OpenAI bills by the dated snapshot that has answered. A name that is in no catalogue stays.
    """

    def name(billed: str) -> str:
        plain = _SNAPSHOT.sub("", billed)
        return plain if not known(billed) and known(plain) else billed

    return name


def summarise(file: BinaryIO, form: BillFormat) -> Summary:
    """Read a file to its end, or until enough is wrong with it."""
    count, total = 0, Decimal(0)
    first: date | None = None
    last: date | None = None
    problems: list[Problem] = []
    for found in _read(file, form, str):
        if isinstance(found, Problem):
            problems.append(found)
            if len(problems) == _PROBLEMS_MAX:
                break
            continue
        first = min(first or found.day, found.day)
        last = max(last or found.day, found.day)
        if isinstance(found, BillLine):
            count += 1
            total = _EXACT.add(total, found.billed_usd)
            if abs(total) * MICROS > AMOUNT_MAX:
                problems.append(Problem(found.line_number, "", "brings the bill above 2^53 micros"))
                break
    return Summary(count, first, last, total, problems)


def read_lines(file: BinaryIO, form: BillFormat, name: Callable[[str], str]) -> Iterator[BillLine]:
    """Yield what a file says was billed; nothing may be wrong with it."""
    for found in _read(file, form, name):
        assert not isinstance(found, Problem), found
        if isinstance(found, BillLine):
            yield found


def _read(
    file: BinaryIO, form: BillFormat, name: Callable[[str], str]
) -> Iterator[BillLine | Covered | Problem]:
    file.seek(0)
    rows = csv.reader(_decoded(file), strict=True)
    read = _openai if form is BillFormat.OPENAI else _fal
    number = 1
    try:
        header = [cell.strip().lower() for cell in next(rows, [])]
        if problems := _header_problems(header, form):
            yield from problems
            return
        number = rows.line_num + 1
        for row in rows:
            # A cell in quotation marks may go on over several lines; a person looks for the first.
            if row and len(row) != len(header):
                yield Problem(number, "", f"has {len(row)} cells, and the header {len(header)}")
            elif row:
                try:
                    yield read(number, dict(zip(header, map(str.strip, row), strict=True)), name)
                except _Wrong as wrong:
                    yield Problem(number, wrong.column, wrong.description)
            number = rows.line_num + 1
    except UnicodeDecodeError:
        yield Problem(number, "", "is not UTF-8; export the file as UTF-8")
    except csv.Error as error:
        yield Problem(number, "", f"is no CSV: {error}")


def _decoded(file: BinaryIO) -> Iterator[str]:
    """Yield the lines of a file as text, without the mark that some programs begin files with."""
    encoding = "utf-8-sig"
    # A line is taken apart in one go, in which no other thread has its turn.
    while line := file.readline(_LINE_BYTES_MAX + 1):
        if len(line) > _LINE_BYTES_MAX:
            raise csv.Error(f"a line has more than {_LINE_BYTES_MAX} bytes")
        yield line.decode(encoding)
        encoding = "utf-8"


def _header_problems(header: Sequence[str], form: BillFormat) -> list[Problem]:
    if not any(header):
        return [Problem(1, "", "must have the names of the columns; the file is empty")]
    known = [name for names in _COLUMNS[form] for name in names]
    twice = sorted({name for name in known if header.count(name) > 1})
    lacking = [names for names in _COLUMNS[form] if not set(names) & set(header)]
    return [Problem(1, name, "is there twice") for name in twice] + [
        Problem(1, " or ".join(names), f"is missing; is this {form}'s export as CSV?")
        for names in lacking
    ]


def _openai(number: int, cells: _Cells, name: Callable[[str], str]) -> BillLine | Covered:
    column = "start_time" if cells.get("start_time") else "start_time_iso"
    start = _moment(cells, column)
    end_column = "end_time" if cells.get("end_time") else "end_time_iso"
    if cells.get(end_column) and _moment(cells, end_column) - start > _DAY:
        raise _Wrong(end_column, "is more than a day after the start; export by the day")
    if not cells["amount_value"] and not cells["line_item"]:
        return Covered(start.date())
    billed_usd = _amount(cells, "amount_value")
    _check_currency(cells, "amount_currency")
    if not cells["line_item"]:
        raise _Wrong("line_item", "is empty: export the cost grouped by line item")
    # `gpt-5-nano, input_tokens`; what is no model, such as a tool, has no comma.
    model, _, item = cells["line_item"].rpartition(", ")
    model = _model("line_item", model or item)
    quantity = _amount(cells, "quantity") if cells.get("quantity") else None
    item = item if model != item else ""
    return BillLine(number, start.date(), name(model), model, item, quantity, billed_usd)


def _fal(number: int, cells: _Cells, name: Callable[[str], str]) -> BillLine | Covered:
    start = _moment(cells, "bucket")
    if not cells["endpoint_id"] and not cells["cost"]:
        return Covered(start.date())
    billed_usd = _amount(cells, "cost")
    _check_currency(cells, "currency")
    model = _model("endpoint_id", cells["endpoint_id"])
    quantity = _amount(cells, "quantity") if cells.get("quantity") else None
    item = cells.get("unit", "")[:_MODEL_LENGTH_MAX]
    return BillLine(number, start.date(), name(model), model, item, quantity, billed_usd)


def _moment(cells: _Cells, column: str) -> datetime:
    """Return a time in UTC, of Unix seconds or of ISO 8601, in which a zone may be left out."""
    text = cells.get(column, "")
    try:
        if text.isascii() and text.isdecimal():
            seconds = int(text[:_SHOWN_LENGTH_MAX])
            moment = datetime.fromtimestamp(seconds if seconds < _SECONDS_MAX else -1, UTC)
        else:
            moment = datetime.fromisoformat(text)
            moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _Wrong(column, f"must be a time such as 2026-11-21, not {_shown(text)}") from None
    if moment.year < _FIRST_YEAR:
        raise _Wrong(column, f"must be a time from {_FIRST_YEAR} on, not {_shown(text)}")
    return moment


def _amount(cells: _Cells, column: str) -> Decimal:
    text = cells[column]
    if not _AMOUNT.fullmatch(text) or abs(Decimal(text)) > _LINE_USD_MAX:
        raise _Wrong(column, f"must be a number such as 0.0042, not {_shown(text)}")
    return Decimal(text)


def _check_currency(cells: _Cells, column: str) -> None:
    if cells[column].upper() != "USD":
        raise _Wrong(column, f"must be USD, in which costs are booked, not {_shown(cells[column])}")


def _model(column: str, model: str) -> str:
    if not model or len(model) > _MODEL_LENGTH_MAX or not model.isprintable():
        raise _Wrong(column, f"must be 1 to {_MODEL_LENGTH_MAX} printable characters")
    return model


def _shown(text: str) -> str:
    return repr(text[:_SHOWN_LENGTH_MAX])

"""Lines of bills that are too long to be lines."""

from __future__ import annotations

from io import BytesIO

import pytest

from authority.domain.bill_files import summarise
from authority.domain.bills import BillFormat

HEADER = b"bucket,endpoint_id,cost,currency\n"


@pytest.mark.parametrize("text", [b"," * 100_000, b"x" * 100_000, b"," * 100_000 + b"\n"])
@pytest.mark.parametrize("header", [HEADER, b""])
def test_a_line_has_an_end(header, text):
    """A line is taken apart at once: of 64 MB of commas a program would be busy for seconds."""
    found = summarise(BytesIO(header + text), BillFormat.FAL)
    assert [problem.description for problem in found.problems] == [
        "is no CSV: a line has more than 65536 bytes"
    ]
    assert found.problems[0].line_number == (2 if header else 1)

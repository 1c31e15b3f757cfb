"""docs/bench.md names every group of figures, every option and every field, and no other."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from bench.__main__ import make_parser
from bench.report import Figure
from bench.run import FIGURES

PAGE = (Path(__file__).parents[2] / "docs" / "bench.md").read_text(encoding="utf-8")


def _table(heading):
    """Return the first cells of the table whose first heading this is."""
    (rows,) = re.findall(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    return re.findall(r"^\| `([\w-]+)` \|", rows, re.MULTILINE)


def test_every_group_is_listed():
    assert _table("group") == list(FIGURES)


def test_every_option_is_listed():
    options = [word for action in make_parser()._actions for word in action.option_strings]
    assert _table("option") == [word for word in options if word not in {"-h", "--help"}]


def test_every_field_is_listed():
    assert _table("field") == [field.name for field in fields(Figure)]

"""docs/providers.md says of each provider and error what the code says."""

from __future__ import annotations

import re
from pathlib import Path

from workers.providers.errors import ProviderError
from workers.providers.facts import FACTS
from workers.providers.http import IMAGE_BYTES_MAX, VIDEO_BYTES_MAX
from workers.providers.huggingface import LOADING_SECONDS_MAX
from workers.providers.stability import RATE_LIMIT_SECONDS

PAGE = (Path(__file__).parents[2] / "docs" / "providers.md").read_text()


def rows(first: str) -> list[list[str]]:
    """Return the cells of the table whose first heading that is, without its head."""
    table = re.search(rf"^\| {first} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert table, f"there is no table of {first}"
    return [[cell.strip(" `") for cell in row.split("|")[1:-1]] for row in table[1].splitlines()]


def test_each_provider_is_listed():
    assert rows("provider") == [
        [
            facts.name,
            ", ".join(facts.kinds),
            facts.variable or "none",
            facts.unknown_outcome,
            facts.cost,
        ]
        for facts in FACTS
    ]


def test_each_error_is_listed_with_what_it_does():
    assert rows("error") == [
        [
            kind.__name__,
            kind.reason,
            kind.dispatched,
            kind.retry,
            kind.breaker,
            (kind.__doc__ or "").splitlines()[0],
        ]
        for kind in ProviderError.__subclasses__()
    ]


def test_the_figures_are_those_of_the_code():
    megabyte = 1024 * 1024
    assert f"{IMAGE_BYTES_MAX // megabyte} MB an image" in PAGE
    assert f"{VIDEO_BYTES_MAX // megabyte} MB a video" in PAGE
    assert f"at most {LOADING_SECONDS_MAX:g} s" in PAGE
    assert f"for {RATE_LIMIT_SECONDS:g} seconds" in PAGE

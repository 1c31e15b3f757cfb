"""Figures, each beside what it is compared with: as a table, and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.samples import Sample

_PARTS = ("client", "authority", "server", "Valkey", "Postgres")


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report.

    `ratio` is how many times better the figure is than what stands beside it; `ok` says whether
    that is `at_least` what is asked for, and both are None where nothing is.
    """

    figure: str
    value: float | None
    unit: str
    beside: str
    beside_value: float | None
    ratio: float | None
    at_least: float | None = None
    ok: bool | None = None


def more(
    figure: str,
    value: float,
    unit: str,
    beside: str,
    beside_value: float,
    at_least: float | None = None,
) -> Figure:
    """Return a figure of which more is better."""
    ratio = value / beside_value if beside_value else math.nan
    return _figure(figure, value, unit, beside, beside_value, ratio, at_least)


def less(
    figure: str,
    value: float,
    unit: str,
    beside: str,
    beside_value: float,
    at_least: float | None = None,
) -> Figure:
    """Return a figure of which less is better: its ratio is turned round."""
    ratio = beside_value / value if value else math.nan
    return _figure(figure, value, unit, beside, beside_value, ratio, at_least)


def alone(figure: str, value: float | None, unit: str, beside: str = "") -> Figure:
    """Return a figure that nothing is asked of."""
    return Figure(figure, None if value is None else round(value, 4), unit, beside, None, None)


def _figure(
    figure: str,
    value: float,
    unit: str,
    beside: str,
    beside_value: float,
    ratio: float,
    at_least: float | None,
) -> Figure:
    # What is not a number, for nothing was done in time, has no place in JSON and is not ok.
    ok = None if at_least is None else ratio >= at_least
    numbers = [
        None if math.isnan(number) else round(number, 4) for number in (value, beside_value, ratio)
    ]
    return Figure(figure, numbers[0], unit, beside, numbers[1], numbers[2], at_least, ok)


def write_json(
    folder: Path, figures: Sequence[Figure], samples: Mapping[str, Sample], remarks: Sequence[str]
) -> None:
    """Write bench.json, the figures, and runs.json, all that they come from."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [asdict(figure) for figure in figures]
    (folder / "bench.json").write_text(json.dumps(rows, indent=2) + "\n")
    runs = {name: sample.encode() for name, sample in samples.items()}
    text = json.dumps({"runs": runs, "remarks": list(remarks)}, indent=2)
    (folder / "runs.json").write_text(text + "\n")


def print_report(
    figures: Sequence[Figure], samples: Mapping[str, Sample], remarks: Sequence[str]
) -> None:
    """Print the figures, what each operation cost whom, and remarks."""
    # Wide also where it is written to a file.
    console = Console(width=None if Console().is_terminal else 150)
    table = Table("figure", box=None, pad_edge=False, header_style="bold")
    for name in ("value", "unit", "beside", "value", "ratio", "at least", "ok"):
        is_number = name in {"value", "ratio", "at least"}
        table.add_column(name, justify="right" if is_number else "left")
    for row in figures:
        table.add_row(
            row.figure,
            number(row.value),
            row.unit,
            row.beside,
            number(row.beside_value),
            "" if row.ratio is None else f"{row.ratio:.2f}",
            "" if row.at_least is None else f"{row.at_least:.2f}",
            {None: "", True: "yes", False: "NO"}[row.ok],
        )
    if figures:
        console.print(table)
        console.print()
    costs = Table("run", box=None, pad_edge=False, header_style="bold")
    for name in ("per second", "p50 ms", "p99 ms", *(f"{part} µs" for part in _PARTS), "elsewhere"):
        costs.add_column(name, justify="right")
    for name, sample in samples.items():
        costs.add_row(
            name,
            number(sample.rate),
            *(number(sample.percentile(p)) if sample.latencies else "" for p in ("p50", "p99")),
            *(number(sample.processor.get(part)) for part in _PARTS),
            f"{sample.elsewhere:.0%}",
        )
    console.print(costs)
    failures = [
        f"{name}: {count} x {text}"
        for name, sample in samples.items()
        for text, count in sample.failures.items()
    ]
    for text in (*remarks, *failures):
        console.print(text, highlight=False)


def number(value: float | None) -> str:
    """Return a number with as many digits as say something."""
    if value is None or math.isnan(value):
        return ""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"

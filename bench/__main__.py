"""`make bench` and `make bench-full`: measure, print the table, write files."""

from __future__ import annotations

import os

# gRPC's fork handlers crash children that are started; must be said before grpc is imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

import argparse
import asyncio
import math
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from authority.embedded import DataDirectory
from bench.children import ROOT
from bench.machine import Scale
from bench.plots import draw, has_matplotlib
from bench.report import print_report, write_json
from bench.run import FIGURES, run

_FULL = Scale(seconds=4, warm_up=1, rounds=5, rounds_until_seconds=math.inf, is_full=True)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--full", action="store_true", help="everything, with all sizes")
    parser.add_argument("--seconds", type=float, help="how long each run measures")
    parser.add_argument("--rounds", type=int, help="how often each run is repeated")
    parser.add_argument("--tenants", type=int, help="of 100 accounts each, for the many accounts")
    parser.add_argument("--size", type=float, default=1.0, help="a factor for the sizes of stores")
    parser.add_argument("--minutes", type=float, help="how long the load of `endurance` lasts")
    parser.add_argument("--only", nargs="+", choices=[*FIGURES], help="some groups of figures")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "out", help="for the files")
    return parser


def main() -> int:
    """Read the arguments and run; end with 1 if anything is not as it should be."""
    arguments = make_parser().parse_args()
    scale = _FULL if arguments.full else Scale()
    given = {
        name: value
        for name in ("seconds", "rounds", "tenants", "minutes")
        if (value := getattr(arguments, name)) is not None
    }
    scale = replace(
        scale,
        **given,
        warm_up=min(scale.warm_up, given.get("seconds", scale.warm_up)),
        accounts_max=int(scale.accounts_max * arguments.size),
        reservations_max=int(scale.reservations_max * arguments.size),
        ledger_rows_max=int(scale.ledger_rows_max * arguments.size),
        cache_entries=max(int(scale.cache_entries * arguments.size), 10),
        usage_events=max(int(scale.usage_events * arguments.size), 100),
    )
    # Whoever stops it wants what it has started to be stopped too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started = time.monotonic()
    with DataDirectory(Path(tempfile.mkdtemp(prefix="paymaster-bench-"))) as home:
        try:
            figures, notes = asyncio.run(run(home.path, scale, arguments.only, _tell))
        finally:
            shutil.rmtree(home.path)
    notes.remarks.append(f"It took {time.monotonic() - started:.0f} s.")
    if has_matplotlib():
        arguments.out.mkdir(parents=True, exist_ok=True)
        draw(arguments.out, notes.curves)
    else:
        notes.remarks.append("No plots: matplotlib is not installed (`pip install .[bench]`).")
    write_json(arguments.out, figures, notes.samples, notes.remarks)
    print_report(figures, notes.samples, notes.remarks)
    is_below = any(figure.ok is False for figure in figures)
    has_failed = any(sample.failures for sample in notes.samples.values())
    return 1 if is_below or has_failed or notes.problems else 0


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

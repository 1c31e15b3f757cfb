"""Plants deliberate defects, one at a time, and runs the tests that must see each.

`make planted-faults`. Its last line is `caught N of M`; it ends with 1 unless all were caught.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from authority.embedded import DataDirectory
from planted_faults import (
    in_alerts,
    in_bills,
    in_cache,
    in_calls,
    in_credits,
    in_ledger,
    in_plans,
    in_scripts,
    in_service,
    in_usage,
)
from planted_faults.run import Unusable, run

FAULTS = [
    *(*in_scripts.FAULTS, *in_calls.FAULTS, *in_ledger.FAULTS, *in_credits.FAULTS),
    *in_alerts.FAULTS,
    *in_bills.FAULTS,
    *in_usage.FAULTS,
    *(*in_service.FAULTS, *in_cache.FAULTS, *in_plans.FAULTS),
]


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="planted_faults")
    parser.add_argument("words", nargs="*", help="only faults in whose name or file one occurs")
    words = parser.parse_args().words
    faults = [
        fault
        for fault in FAULTS
        if not words or any(word in f"{fault.file} {fault.name}" for word in words)
    ]
    caught = 0
    with DataDirectory(Path(tempfile.mkdtemp(prefix="paymaster-faults-"))) as home:
        try:
            caught = asyncio.run(run(home.path, faults))
        except* Unusable as problems:
            print(*problems.exceptions, sep="\n")
        finally:
            shutil.rmtree(home.path)
    print(f"caught {caught} of {len(faults)}")
    return 0 if faults and caught == len(faults) else 1


if __name__ == "__main__":
    sys.exit(main())

"""`python -m paymaster` is the command `paymaster`."""

from __future__ import annotations

from paymaster.cli import main

main()

"""The command line. `main` is the entry point; each group of commands is a module."""

from __future__ import annotations

from paymaster.cli.app import main

__all__ = ["main"]

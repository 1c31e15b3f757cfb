"""`paymaster usage`: what was used, and what will be."""

from __future__ import annotations

from paymaster.cli.base import group
from paymaster.cli.usage_projection import projection


@group
def usage() -> None:
    """Show what was used, by whom, what it cost, and what will be."""


usage.add_command(projection)

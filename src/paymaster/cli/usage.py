"""`paymaster usage`: what was used, and what will be."""

from __future__ import annotations

from paymaster.cli.base import group
from paymaster.cli.usage_projection import projection
from paymaster.cli.usage_report import events, show


@group
def usage() -> None:
    """Show what was used, by whom, what it cost, and what will be."""


for _made in (show, events, projection):
    usage.add_command(_made)

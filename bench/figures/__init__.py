"""Each figure and what it stands beside. A module measures what belongs in one interleaved run."""

from __future__ import annotations

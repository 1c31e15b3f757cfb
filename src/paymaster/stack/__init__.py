"""The dev stack: started, watched, stopped, and found again by the other commands."""

from __future__ import annotations

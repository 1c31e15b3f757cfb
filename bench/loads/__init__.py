"""What load processes do: each opens what it needs, and yields the step that callers repeat."""

from __future__ import annotations

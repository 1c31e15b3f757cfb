"""The demo: a story of a dozen generations under three small budgets, and its books."""

from __future__ import annotations

"""Measures Paymaster beside its limits and its peers, in one run on one machine: docs/bench.md."""

from __future__ import annotations

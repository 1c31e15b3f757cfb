"""What may be asked of a provider at one time: concurrency, rate, and whether it works at all."""

from __future__ import annotations

from workers.limits.limits import Busy, Limits, Outcome, Slot
from workers.limits.policy import LimitSettings, ProviderLimits

__all__ = ["Busy", "LimitSettings", "Limits", "Outcome", "ProviderLimits", "Slot"]

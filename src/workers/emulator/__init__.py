"""The providers without the providers, for tests and the demo.

It speaks their wire formats over TCP, draws in place of generating, bills by the catalogue in its
journal alone, and fails where it is told to.
"""

from __future__ import annotations

from workers.emulator.client import Emulator
from workers.emulator.journal import Call
from workers.emulator.scenarios import Scenario, Step
from workers.emulator.server import PortInUse, running_emulator

__all__ = ["Call", "Emulator", "PortInUse", "Scenario", "Step", "running_emulator"]

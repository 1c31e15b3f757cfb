"""Python clients of Paymaster; they know its proto alone. `clients.sync` has the same, sync."""

from __future__ import annotations

from clients.admin_client import AdminClient
from clients.amounts import (
    Leg,
    Option,
    Unit,
    credits,  # noqa: A004 - it hides nothing but a help text of the interactive Python
    images,
    messages,
    usd,
    videos,
)
from clients.authority_client import AuthorityClient
from clients.errors import BudgetDenied, PaymasterError
from clients.generation_client import GenerationClient
from clients.types import HeldReservation, Reservation

__all__ = [
    "AdminClient",
    "AuthorityClient",
    "BudgetDenied",
    "GenerationClient",
    "HeldReservation",
    "Leg",
    "Option",
    "PaymasterError",
    "Reservation",
    "Unit",
    "credits",
    "images",
    "messages",
    "usd",
    "videos",
]

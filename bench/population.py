"""Who spends: tenants with teams with users."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Population:
    """A number of tenants, of teams in each, and of users in each team; only users spend."""

    name: str
    tenants: int = 1
    teams: int = 1
    users: int = 1

    @property
    def size(self) -> int:
        """The number of users."""
        return self.tenants * self.teams * self.users

    def user(self, number: int) -> str:
        """Return the account of a user; neighbours are users of different tenants."""
        user, tenant = divmod(number, self.tenants)
        return f"{self.tenant(tenant)}/u{user:05}"

    def tenant(self, number: int) -> str:
        """Return the account of a tenant."""
        return f"{self.name}{number:05}"

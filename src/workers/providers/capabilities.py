"""What a provider has no parameter for is refused: left out, it would make something else."""

from __future__ import annotations

from collections.abc import Collection

from workers.providers.base import ProviderRequest
from workers.providers.errors import InvalidRequest


def refuse_settings(provider: str, request: ProviderRequest, taken: Collection[str]) -> None:
    """Raise InvalidRequest for settings that a request has and a provider does not take.

    `taken` names the fields of Settings that it takes.
    """
    given = {"references": bool(request.references), "mask": request.mask is not None}
    names = dict.fromkeys([*request.settings.encode(), *(name for name in given if given[name])])
    others = [name for name in names if name not in taken]
    if others:
        raise InvalidRequest(
            provider, f"{request.model!r} takes no {', '.join(others)}; leave that out."
        )

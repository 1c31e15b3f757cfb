"""The stages of the cascade: each looks for an entry that it would serve."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import MappingProxyType

from similarity.policy import Stage
from workers.cache.finding import Finding
from workers.cache.rows import Candidate
from workers.cache.stages import chat, guarded, same_hash, structured

Find = Callable[[Finding], Awaitable[Candidate | None]]

FINDERS: Mapping[Stage, Find] = MappingProxyType(
    {
        Stage.EXACT: partial(same_hash.find, stage=Stage.EXACT),
        Stage.NORMALISED: partial(same_hash.find, stage=Stage.NORMALISED),
        Stage.SIGNATURE: partial(same_hash.find, stage=Stage.SIGNATURE),
        Stage.GUARDED: guarded.find,
        Stage.STRUCTURED: structured.find,
        Stage.CHAT: chat.find,
    }
)

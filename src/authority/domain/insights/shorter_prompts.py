"""Where input is billed by the token: what the longest prompts cost above the usual ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from authority.domain.insights.alternatives import Market
from authority.domain.insights.facts import Made
from authority.domain.insights.insight import Choice, Insight, InsightKind, Sum
from generations.models import Kind, Model
from generations.pricing import Usage, price

# Of fewer, nobody can say which length is usual.
CHATS_MIN = 20
METHOD = (
    "Of the chats that a model has answered, the quarter with the most input tokens was priced "
    "anew with as many as the third quartile has. Where the bill shows that input came from the "
    "provider's cache, its rate counts. Only chats whose tokens were counted are looked at, "
    f"from {CHATS_MIN} on."
)


class _Chat(NamedTuple):
    tokens: int
    generation_id: str
    paid: int
    was_cached: bool


@dataclass(frozen=True, slots=True)
class _Chats:
    model: Model
    found: list[_Chat]


class ShorterPrompts:
    """Looks at chats that were answered, model by model."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._chats: dict[str, _Chats] = {}

    def add(self, made: Made) -> None:
        """Take in a generation."""
        tokens = made.attempt.counted.input_tokens
        model = self._market.model(made.option.model)
        if made.request.kind is not Kind.CHAT or model is None or not tokens:
            return
        output = made.attempt.counted.output_tokens or 0
        was_cached = made.attempt.actual < _price(model, tokens, output=output)
        chats = self._chats.setdefault(model.name, _Chats(model, []))
        chats.found.append(_Chat(tokens, made.generation.generation_id, made.paid, was_cached))

    def insights(self) -> list[Insight]:
        """Return what the longest prompts cost above the third quartile, for each model."""
        found = []
        for name, chats in self._chats.items():
            if len(chats.found) < CHATS_MIN:
                continue
            usual = third_quartile([chat.tokens for chat in chats.found])
            cut = Sum()
            for chat in chats.found:
                if chat.tokens > usual:
                    saved = _saved(chats.model, chat, usual)
                    cut.add(chat.generation_id, chat.paid, chat.paid - min(saved, chat.paid))
            if cut.saved > 0:
                found.append(
                    Insight(
                        kind=InsightKind.SHORTER_PROMPTS,
                        generation_kind=Kind.CHAT,
                        used=Choice(chats.model.provider, name),
                        paid=cut.paid,
                        saved=cut.saved,
                        attempt_count=cut.count,
                        generation_ids=cut.generation_ids,
                        summary=f"Keep what is sent to {name} to {usual} tokens.",
                        method=METHOD,
                        tokens=usual,
                    )
                )
        return found


def _saved(model: Model, chat: _Chat, tokens: int) -> int:
    # Which of the tokens were cached nobody says: all of them, where any were.
    long, short = (
        _price(model, count, was_cached=chat.was_cached) for count in (chat.tokens, tokens)
    )
    return long - short


def _price(model: Model, tokens: int, *, output: int = 0, was_cached: bool = False) -> int:
    usage = Usage(
        text_input_tokens=tokens,
        cached_text_input_tokens=tokens if was_cached else 0,
        text_output_tokens=output,
    )
    return price(model, size="", quality=model.default_quality, count=1, usage=usage)


def third_quartile(values: list[int]) -> int:
    """Return the smallest of the values that three quarters of them do not exceed."""
    ordered = sorted(values)
    return ordered[-(-3 * len(ordered) // 4) - 1]

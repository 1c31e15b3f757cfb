"""The answers to one request for a chat, as they come in pieces, and what they are worth."""

from __future__ import annotations

import structlog
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import Choice

from generations.pricing import Usage
from workers.providers.base import ProducedFile, ProviderRequest, ProviderResult
from workers.providers.errors import (
    ContentRefused,
    InvalidRequest,
    ProviderError,
    ProviderFailed,
    TimeoutUnknown,
)

MEDIA_TYPE = "text/plain; charset=utf-8"

_FILTERED = "content_filter"
_AT_LIMIT = "length"
# What models that think aloud say before they answer; it is billed and not part of the answer.
_THOUGHTS = ("reasoning", "reasoning_content")
_PERCENT_MAX = 99

_log = structlog.get_logger(__name__)


class Reply:
    """What has come so far of the answers to a request."""

    def __init__(self, provider: str, request: ProviderRequest) -> None:
        self.opened = False
        self._provider = provider
        self._request = request
        self._request_id: str | None = None
        self._texts: dict[int, list[str]] = {}
        self._refusals: list[str] = []
        self._ends: dict[int, str] = {}
        self._usage: Usage | None = None
        self._pieces = 0
        self._bytes = 0

    def open(self, request_id: str | None) -> None:
        """Note that the head of the answer has come."""
        self.opened = True
        self._request_id = request_id

    def add(self, chunk: ChatCompletionChunk) -> None:
        """Take a piece. Raises AttributeError, TypeError or ValueError for what is none."""
        for choice in chunk.choices:
            self._add_words(choice)
            if choice.finish_reason is not None:
                self._ends[choice.index] = choice.finish_reason
        if chunk.usage is not None:
            self._usage = self._read_usage(chunk.usage)

    @property
    def silent(self) -> bool:
        """Whether no word has come yet."""
        return not self._bytes

    @property
    def ended(self) -> bool:
        """Whether every answer has come to its end.

        A provider may give fewer than it was asked for; then the usage, which comes last, says so.
        """
        if self._usage is not None and self._ends:
            return self._ends.keys() >= self._texts.keys()
        return len(self._ends) >= self._request.count

    @property
    def percent(self) -> int | None:
        """How much has come of all that may, at about one token a piece; None if nobody knows."""
        if self._request.settings.max_tokens is None:
            return None
        allowed = self._request.settings.max_tokens * self._request.count
        return min(_PERCENT_MAX, self._pieces * 100 // max(1, allowed))

    def result(self) -> ProviderResult:
        """Return the answers that can be used. Raises ProviderError if there are none."""
        usage = self._usage or self._estimate()
        files = tuple(
            ProducedFile(encode("".join(pieces)), MEDIA_TYPE, None, None)
            for index, pieces in sorted(self._texts.items())
            if self._ends.get(index) != _FILTERED
        )
        if not files:
            raise self._no_answer(usage)
        return ProviderResult(
            files,
            usage,
            remote_id=None,
            request_id=self._request_id,
            usage_estimated=self._usage is None,
        )

    def cut_short(self, problem: str, *, broken: bool) -> ProviderError:
        """Return the error of a reply that did not come to its end.

        `broken` is whether the connection failed, rather than what came by it.
        """
        kind = TimeoutUnknown if broken else ProviderFailed
        if self.silent:
            message = f"The answer came to nothing: {problem}."
            return kind(self._provider, message, dispatched="unknown", request_id=self._request_id)
        return kind(
            self._provider,
            f"The answer was cut short: {problem}.",
            dispatched="yes",
            usage=self._estimate(),
            usage_estimated=True,
            request_id=self._request_id,
        )

    def _add_words(self, choice: Choice) -> None:
        delta, extra = choice.delta, choice.delta.model_extra or {}
        if delta.refusal:
            self._refusals.append(delta.refusal)
        if delta.content:
            self._texts.setdefault(choice.index, []).append(delta.content)
        said = [delta.content, delta.refusal, *(extra.get(name) for name in _THOUGHTS)]
        size = sum(len(encode(words)) for words in said if isinstance(words, str))
        self._bytes += size
        self._pieces += size > 0

    def _no_answer(self, usage: Usage) -> ProviderError:
        """Return why there is nothing to use in a reply that has ended. It was billed."""
        kind: type[ProviderError] = ProviderFailed
        message = "The answer has no text."
        if self._refusals or _FILTERED in self._ends.values():
            kind = ContentRefused
            message = "".join(self._refusals) or "What the model said was filtered out."
        elif _AT_LIMIT in self._ends.values():
            kind = InvalidRequest
            message = "The answer had not begun when max_tokens were used up; ask for more."
        return kind(
            self._provider,
            message,
            dispatched="yes",
            usage=usage,
            usage_estimated=self._usage is None,
            request_id=self._request_id,
        )

    def _estimate(self) -> Usage:
        """Return a usage that is not below what came; the price bounds what it leaves out."""
        tokens, allowed = self._bytes, self._request.settings.max_tokens
        if allowed is not None:
            tokens = min(tokens, allowed * self._request.count)
        return Usage(text_output_tokens=tokens)

    def _read_usage(self, reported: CompletionUsage) -> Usage | None:
        """Return the usage; None where it can't be true."""
        details = reported.prompt_tokens_details
        try:
            return Usage(
                text_input_tokens=reported.prompt_tokens,
                cached_text_input_tokens=details.cached_tokens if details else None,
                cache_write_text_input_tokens=details.cache_write_tokens if details else None,
                text_output_tokens=reported.completion_tokens,
            )
        except (AttributeError, TypeError, ValueError) as error:
            problem = type(error).__name__
            _log.warning("usage_unreadable", provider=self._provider, problem=problem)
            return None


def encode(text: str) -> bytes:
    """Return UTF-8; halves of a surrogate pair that came in two pieces are put together."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()

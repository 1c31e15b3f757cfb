"""Chat at OpenAI, Groq and Novita, which speak one wire, through OpenAI's SDK without its retries.

An answer is streamed. What becomes of one that is cut short, the money first:

- Nothing came, not even the head: nobody knows, see `connection_error`.
- The head came and no word: nobody knows either. Nothing says that work had begun.
- Words came: they are billed, and so the attempt is. Its usage is estimated: the input at its
  bound, the output at one token for each UTF-8 byte that came, which is never below what was used
  for them, and not above what was allowed. What came is not kept, as half an answer is none.
- All words came, and only the usage did not: the answer is good, its usage is estimated likewise.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Literal

import openai

from workers.providers.base import OnSubmitted, ProviderRequest, ProviderResult
from workers.providers.capabilities import refuse_settings
from workers.providers.chat_reply import Reply
from workers.providers.errors import InvalidRequest
from workers.providers.openai_client import connection_error, open_client, status_error

# Between two pieces of an answer. A model that thinks may be silent for long before the first.
SILENCE_SECONDS_MAX = 120.0

_SETTINGS = {"system", "messages", "max_tokens", "temperature", "seed"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between those who speak this wire.

    `limit` is what bounds the tokens of an answer, `answers_max` how many answers one request may
    ask for, `tells_users_apart` whether a hash of the user is taken.
    """

    provider: str
    limit: Literal["max_completion_tokens", "max_tokens"]
    answers_max: int
    tells_users_apart: bool


OPENAI = Dialect("openai", "max_completion_tokens", 128, tells_users_apart=True)
GROQ = Dialect("groq", "max_completion_tokens", 1, tells_users_apart=False)
NOVITA = Dialect("novita", "max_tokens", 128, tells_users_apart=False)


class OpenAIChat:
    """Answers chats in one request each."""

    def __init__(self, dialect: Dialect, key: str, base_url: str, *, seconds_max: float) -> None:
        self.name = dialect.provider
        self._dialect = dialect
        self._seconds_max = seconds_max
        silence_max = min(SILENCE_SECONDS_MAX, seconds_max)
        self._client = open_client(key, base_url, read_seconds_max=silence_max)

    async def generate(
        self,
        request: ProviderRequest,
        *,
        on_submitted: OnSubmitted,  # noqa: ARG002 - one call does it all, there is no remote id
    ) -> ProviderResult:
        """Answer in one call of up to minutes. Raises ProviderError."""
        body, reply = self._body(request), Reply(self.name, request)
        problem, broken = "it ended early", False
        try:
            async with asyncio.timeout(self._seconds_max):
                await self._stream(request, body, reply)
        except openai.APIStatusError as error:
            raise status_error(self.name, error, refused="no") from None
        except openai.APIConnectionError as error:
            if not reply.opened:
                raise connection_error(self.name, error) from error
            problem, broken = type(error.__cause__ or error).__name__, True
        except TimeoutError:
            problem, broken = f"it took more than {self._seconds_max:g} seconds", True
        except openai.APIError as error:
            problem = error.message
        except (ValueError, TypeError, AttributeError) as error:
            # The SDK reads what comes without checking it.
            problem = f"it can't be read: {type(error).__name__}"
        if not reply.ended:
            raise reply.cut_short(problem, broken=broken)
        return reply.result()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _stream(self, request: ProviderRequest, body: dict[str, Any], reply: Reply) -> None:
        stream = await self._client.chat.completions.create(
            **body,
            stream=True,
            stream_options={"include_usage": True},
            # OpenAI logs it, so that an attempt without an answer can be asked about.
            extra_headers={"X-Client-Request-Id": request.attempt_id},
        )
        async with stream:
            reply.open(stream.response.headers.get("x-request-id"))
            told: int | None = -1
            async for chunk in stream:
                reply.add(chunk)
                percent = reply.percent
                if percent != told and not reply.silent:
                    request.on_progress("answering", percent)
                    told = percent

    def _body(self, request: ProviderRequest) -> dict[str, Any]:
        """Return what to ask for. Raises InvalidRequest."""
        settings, dialect = request.settings, self._dialect
        refuse_settings(self.name, request, _SETTINGS)
        if request.count > dialect.answers_max:
            raise InvalidRequest(
                self.name,
                f"It gives {dialect.answers_max} answer a request, not {request.count}.",
            )
        said = [("system", settings.system)] if settings.system else []
        said += [*settings.messages, ("user", request.prompt)]
        body: dict[str, Any] = {
            "model": request.model,
            "messages": [{"role": str(role), "content": content} for role, content in said],
        }
        more = {
            dialect.limit: settings.max_tokens,
            "temperature": settings.temperature,
            "seed": settings.seed,
            "n": request.count if request.count > 1 else None,
            "safety_identifier": request.user if dialect.tells_users_apart else None,
        }
        return body | {name: value for name, value in more.items() if value not in (None, "")}

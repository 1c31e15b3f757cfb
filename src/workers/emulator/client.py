"""Where a running emulator is, and how to give it orders and read its journal."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

import httpx

from workers.emulator.app import CALLS_PATH, CONTROL_PATH
from workers.emulator.journal import Call
from workers.emulator.scenarios import Rule, Scenario, Step
from workers.emulator.wire import (
    FAL_KEY,
    FAL_PATH,
    GROQ_KEY,
    GROQ_PATH,
    HUGGINGFACE_KEY,
    HUGGINGFACE_PATH,
    NOVITA_KEY,
    NOVITA_PATH,
    OPENAI_KEY,
    OPENAI_PATH,
    STABILITY_KEY,
    STABILITY_PATH,
)

# Plain HTTP asks none, and to read the system's for each client takes tens of milliseconds.
_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass(frozen=True, slots=True)
class Emulator:
    """A running emulator, in this process or another one, by its URL."""

    url: str

    openai_key = OPENAI_KEY
    groq_key = GROQ_KEY
    fal_key = FAL_KEY
    huggingface_key = HUGGINGFACE_KEY
    novita_key = NOVITA_KEY
    stability_key = STABILITY_KEY

    @property
    def openai_base_url(self) -> str:
        """What OPENAI_BASE_URL has to be."""
        return self.url + OPENAI_PATH

    @property
    def groq_base_url(self) -> str:
        """What GROQ_BASE_URL has to be."""
        return self.url + GROQ_PATH

    @property
    def fal_queue_url(self) -> str:
        """What FAL_QUEUE_URL has to be."""
        return self.url + FAL_PATH

    @property
    def huggingface_base_url(self) -> str:
        """What HUGGINGFACE_BASE_URL has to be."""
        return self.url + HUGGINGFACE_PATH

    @property
    def novita_base_url(self) -> str:
        """What NOVITA_BASE_URL has to be."""
        return self.url + NOVITA_PATH

    @property
    def stability_base_url(self) -> str:
        """What STABILITY_BASE_URL has to be."""
        return self.url + STABILITY_PATH

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make a worker use it for every provider."""
        return {
            "OPENAI_BASE_URL": self.openai_base_url,
            "OPENAI_API_KEY": self.openai_key,
            "GROQ_BASE_URL": self.groq_base_url,
            "GROQ_API_KEY": self.groq_key,
            "FAL_QUEUE_URL": self.fal_queue_url,
            "FAL_KEY": self.fal_key,
            "HUGGINGFACE_BASE_URL": self.huggingface_base_url,
            "HF_TOKEN": self.huggingface_key,
            "NOVITA_BASE_URL": self.novita_base_url,
            "NOVITA_API_KEY": self.novita_key,
            "STABILITY_BASE_URL": self.stability_base_url,
            "STABILITY_API_KEY": self.stability_key,
        }

    async def order(
        self,
        provider: str,
        scenario: Scenario | str,
        *,
        step: Step | str = Step.SUBMIT,
        match: str = "",
        times: int | None = 1,
        seconds: float | None = None,
        status: int = 500,
    ) -> None:
        """Order what shall happen to the next calls; see `scenarios`. Raises ValidationError."""
        rule = Rule.model_validate(
            {
                "provider": provider,
                "scenario": scenario,
                "step": step,
                "match": match,
                "times": times,
                "seconds": seconds,
                "status": status,
            }
        )
        await self._call("POST", CONTROL_PATH, rule.model_dump_json())

    async def clear(self) -> None:
        """Forget all orders."""
        await self._call("DELETE", CONTROL_PATH)

    async def calls(
        self, *, provider: str = "", step: Step | str = "", prompt: str = ""
    ) -> list[Call]:
        """Return the calls so far in order: those of a provider, a step, a part of a prompt."""
        response = await self._call("GET", CALLS_PATH)
        calls = [Call(**call) for call in response.json()["calls"]]
        return [
            call
            for call in calls
            if provider in ("", call.provider) and step in ("", call.step) and prompt in call.prompt
        ]

    async def peaks(self) -> dict[str, int]:
        """Return how many calls for work each provider has had at one time at most."""
        response = await self._call("GET", CALLS_PATH)
        return dict(response.json()["peaks"])

    async def _call(self, method: str, path: str, content: str | None = None) -> httpx.Response:
        # It is on this machine: no proxy is to be asked for it.
        async with httpx.AsyncClient(
            base_url=self.url, trust_env=False, verify=_NO_AUTHORITIES
        ) as client:
            response = await client.request(method, path, content=content)
            response.raise_for_status()
            return response

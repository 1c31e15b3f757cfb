"""What the emulator is told to do to calls that would go well otherwise."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Scenario(StrEnum):
    """What happens to a call, or to a job of fal's queue."""

    LATENCY = "latency"  # it takes `seconds` longer
    RATE_LIMITED = "rate_limited"  # 429, with `seconds` as Retry-After if given
    UNAVAILABLE = "unavailable"  # 503, with `seconds` as Retry-After if given
    SERVER_ERROR = "server_error"  # `status`, or 500, as of a gateway
    HANG = "hang"  # no answer until the caller leaves
    DROP = "drop"  # the connection is cut
    GARBAGE = "garbage"  # 200, with a page in place of the answer
    REFUSED = "refused"  # the content is against the rules
    MODEL_GONE = "model_gone"
    INSUFFICIENT_QUOTA = "insufficient_quota"
    JOB_STUCK = "job_stuck"  # the job runs for ever
    JOB_FAILED = "job_failed"  # the job ends with an error
    JOB_WITHHELD = "job_withheld"  # the job's pictures are flagged as unsafe
    JOB_INLINE = "job_inline"  # the pictures come as data: URLs


class Step(StrEnum):
    """Where in the work it happens. OpenAI has the first two, which are one call."""

    SUBMIT = "submit"  # before the work: nothing is done or billed
    ACCEPT = "accept"  # after OpenAI has done the work, or fal has taken the job
    STATUS = "status"
    RESULT = "result"
    FILE = "file"


_OF_JOBS_ALONE = {
    Scenario.JOB_STUCK,
    Scenario.JOB_FAILED,
    Scenario.JOB_WITHHELD,
    Scenario.JOB_INLINE,
}
_OF_JOBS = _OF_JOBS_ALONE | {Scenario.LATENCY, Scenario.REFUSED}
_STEPS_OF_ONE_CALL = (Step.SUBMIT, Step.ACCEPT)


class Rule(BaseModel):
    """One order: the next `times` calls (for ever if None) whose prompt has `match` in it."""

    model_config = ConfigDict(extra="forbid")

    provider: Literal["openai", "fal"]
    scenario: Scenario
    step: Step = Step.SUBMIT
    match: str = ""
    times: int | None = Field(default=1, ge=1)
    seconds: float | None = Field(default=None, ge=0, le=3600)
    status: int = Field(default=500, ge=500, le=599)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.provider == "openai" and self.scenario in _OF_JOBS_ALONE:
            raise ValueError(f"{self.scenario} happens to jobs, which OpenAI has none of")
        if self.provider == "openai" and self.step not in _STEPS_OF_ONE_CALL:
            raise ValueError(f"OpenAI has no step {self.step}, only submit and accept")
        if self.scenario in _OF_JOBS_ALONE and self.step is not Step.SUBMIT:
            raise ValueError(f"{self.scenario} is ordered at the step submit")
        return self

    @property
    def is_fate(self) -> bool:
        """Whether it says what becomes of a job, rather than what happens to a call."""
        return (
            self.provider == "fal" and self.scenario in _OF_JOBS and self.step in _STEPS_OF_ONE_CALL
        )


class Rules:
    """The orders in force, the oldest first."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def add(self, rule: Rule) -> None:
        """Add an order."""
        self._rules.append(rule)

    def clear(self) -> None:
        """Forget all orders."""
        self._rules.clear()

    def take(self, provider: str, step: Step, prompt: str, *, fate: bool = False) -> Rule | None:
        """Return the order for a call, or for its job, which has then been followed once more."""
        for rule in self._rules:
            if (rule.provider, rule.step, rule.is_fate) == (
                provider,
                step,
                fate,
            ) and rule.match in prompt:
                if rule.times is not None:
                    rule.times -= 1
                    if rule.times == 0:
                        self._rules.remove(rule)
                return rule
        return None

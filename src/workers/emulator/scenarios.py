"""What the emulator is told to do to calls that would go well otherwise."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Scenario(StrEnum):
    """What happens to a call, or to a job of a provider that has jobs."""

    LATENCY = "latency"  # it takes `seconds` longer
    RATE_LIMITED = "rate_limited"  # 429, with `seconds` as Retry-After if given
    UNAVAILABLE = "unavailable"  # 503, with `seconds` as Retry-After if given
    SERVER_ERROR = "server_error"  # `status`, or 500, as of a gateway
    HANG = "hang"  # no answer until the caller leaves
    DROP = "drop"  # the connection is cut
    GARBAGE = "garbage"  # 200, with a page in place of the answer
    REFUSED = "refused"  # the content is against the rules
    MODEL_GONE = "model_gone"
    TOO_LARGE = "too_large"  # 413, at a chat
    NO_CAPACITY = "no_capacity"  # 498, at Groq
    TRUNCATED = "truncated"  # a stream ends as if that were all
    INSUFFICIENT_QUOTA = "insufficient_quota"  # no money or credits are left
    LOADING = "loading"  # the model needs `seconds`, or 20, to be ready
    JOB_STUCK = "job_stuck"  # the job runs for ever
    JOB_FAILED = "job_failed"  # the job ends with an error
    JOB_WITHHELD = "job_withheld"  # the job's pictures are flagged as unsafe
    JOB_INLINE = "job_inline"  # the pictures come as data: URLs
    JOB_UNSTOPPABLE = "job_unstoppable"  # the job goes on, and is billed, though it is cancelled


class Step(StrEnum):
    """Where in the work it happens. What has no jobs has the first two, which are one call."""

    SUBMIT = "submit"  # before the work: nothing is done or billed
    ACCEPT = "accept"  # after the work was done, or the job was taken
    STREAM = "stream"  # after some words of a streamed answer
    USAGE = "usage"  # after all words of a streamed answer, before its usage
    STATUS = "status"
    RESULT = "result"
    FILE = "file"
    CANCEL = "cancel"


# What happens to jobs, if it is ordered at a step of their submission.
OF_JOBS = {
    Scenario.LATENCY,
    Scenario.REFUSED,
    Scenario.JOB_STUCK,
    Scenario.JOB_FAILED,
    Scenario.JOB_WITHHELD,
    Scenario.JOB_INLINE,
    Scenario.JOB_UNSTOPPABLE,
}
# What happens to the call that submits a job.
OF_CALLS = set(Scenario) - OF_JOBS
_OF_JOBS_ALONE = OF_JOBS - {Scenario.LATENCY, Scenario.REFUSED}
_STEPS_OF_ONE_CALL = frozenset({Step.SUBMIT, Step.ACCEPT})
_STEPS_OF_A_STREAM = frozenset({Step.STREAM, Step.USAGE})
_STEPS = {
    "openai": _STEPS_OF_ONE_CALL | _STEPS_OF_A_STREAM,
    "groq": _STEPS_OF_ONE_CALL | _STEPS_OF_A_STREAM,
    "huggingface": _STEPS_OF_ONE_CALL,
    "stability": _STEPS_OF_ONE_CALL,
    "novita": _STEPS_OF_ONE_CALL | _STEPS_OF_A_STREAM | {Step.STATUS, Step.FILE},
    "fal": frozenset(Step) - _STEPS_OF_A_STREAM,
}
_JOBS = {
    "novita": {Scenario.JOB_STUCK, Scenario.JOB_FAILED},
    "fal": _OF_JOBS_ALONE,
}
_OF_STREAMS_ALONE = {Scenario.TRUNCATED}
_OF_STREAMS = _OF_STREAMS_ALONE | {
    Scenario.HANG,
    Scenario.DROP,
    Scenario.GARBAGE,
    Scenario.SERVER_ERROR,
    Scenario.REFUSED,
}


class Rule(BaseModel):
    """One order: the next `times` calls (for ever if None) whose prompt has `match` in it."""

    model_config = ConfigDict(extra="forbid")

    provider: Literal["openai", "groq", "fal", "huggingface", "novita", "stability"]
    scenario: Scenario
    step: Step = Step.SUBMIT
    match: str = ""
    times: int | None = Field(default=1, ge=1)
    seconds: float | None = Field(default=None, ge=0, le=3600)
    status: int = Field(default=500, ge=500, le=599)

    @model_validator(mode="after")
    def _fits_a_stream(self) -> Self:
        is_streamed = self.step in _STEPS_OF_A_STREAM
        if is_streamed and self.scenario not in _OF_STREAMS:
            raise ValueError(f"{self.scenario} does not happen to streams")
        if self.scenario in _OF_STREAMS_ALONE and not is_streamed:
            raise ValueError(f"{self.scenario} happens to streams, at the steps stream and usage")
        return self

    @model_validator(mode="after")
    def _fits(self) -> Self:
        provider, scenario = self.provider, self.scenario
        if scenario in _OF_JOBS_ALONE - _JOBS.get(provider, set()):
            raise ValueError(f"{scenario} happens to jobs, of which {provider} has none such")
        if scenario is Scenario.LOADING and provider != "huggingface":
            raise ValueError("loading happens at huggingface alone")
        if scenario is Scenario.REFUSED and provider == "huggingface":
            raise ValueError("huggingface refuses no content")
        if self.step not in _STEPS[provider]:
            steps = ", ".join(step for step in Step if step in _STEPS[provider])
            raise ValueError(f"{provider} has no step {self.step}, only: {steps}")
        if scenario in _OF_JOBS_ALONE and self.step is not Step.SUBMIT:
            raise ValueError(f"{scenario} is ordered at the step submit")
        return self


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

    def take(
        self, provider: str, step: Step, prompt: str, scenarios: Collection[Scenario] | None = None
    ) -> Rule | None:
        """Return the order for a call or for its job, which has then been followed once more.

        With `scenarios`, it is the first of these.
        """
        for rule in self._rules:
            fits = (rule.provider, rule.step) == (provider, step) and rule.match in prompt
            if fits and (scenarios is None or rule.scenario in scenarios):
                if rule.times is not None:
                    rule.times -= 1
                    if rule.times == 0:
                        self._rules.remove(rule)
                return rule
        return None

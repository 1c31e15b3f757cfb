"""What may be wrong with queues, workers and providers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Severity(StrEnum):
    """How urgent a finding is, the most urgent first."""

    ERROR = "ERROR"
    WARNING = "WARNING"
    INFO = "INFO"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, or worth knowing. `subjects` are the first few of what it is about.

    `finding` is a stable word for programs, `message` and `way_out` are for people.
    """

    finding: str
    severity: Severity
    count: int
    subjects: tuple[str, ...]
    message: str
    way_out: str


class Survey(NamedTuple):
    """All that Redis has of jobs.

    `members` are the names in the queues by kind, `gone` those of them whose data is not there,
    `pickles` keys whose value is a pickle, `claims` who has claimed a job, by its name, `aborts`
    the jobs that are to be aborted.
    """

    members: dict[str, list[str]]
    gone: list[str]
    pickles: list[str]
    claims: dict[str, str]
    aborts: list[str]

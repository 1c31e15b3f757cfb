"""docs/detectors.md lists every detector and every param as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from authority.alerting.detectors.drift import LedgerDrift
from authority.alerting.detectors.grants import ExpiringGrants
from authority.alerting.detectors.idle_holds import AccountsWithIdleHolds
from authority.alerting.detectors.projections import PassingProjections
from authority.alerting.detectors.provider_errors import FailingProviders
from authority.alerting.detectors.unusual_spend import UnusualSpend
from authority.domain.alert_params import PARAMS
from authority.domain.watching import EXCUSED

PAGE = (Path(__file__).parents[2] / "docs" / "detectors.md").read_text(encoding="utf-8")
DETECTORS = (
    *(ExpiringGrants, PassingProjections, AccountsWithIdleHolds),
    *(FailingProviders, UnusualSpend, LedgerDrift),
)


@pytest.mark.parametrize("name", PARAMS)
def test_every_param_is_listed_with_its_bounds(name):
    param = PARAMS[name]
    assert f"| `{name}` | {param.default} | {param.least} to {param.most} |" in PAGE
    assert name.partition(".")[0] in {detector.schedule.name for detector in DETECTORS}


def test_nothing_else_is_listed():
    assert re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \|", PAGE, re.MULTILINE) == list(PARAMS)


@pytest.mark.parametrize("detector", DETECTORS)
def test_every_detector_is_listed_with_how_often_it_looks(detector):
    name, every_ms = detector.schedule
    minutes = every_ms // 60_000
    assert f"| `{name.upper()}` | {minutes} minute" in PAGE


def test_what_is_excused_is_listed():
    assert all(f"`{reason}`" in PAGE for reason in EXCUSED)

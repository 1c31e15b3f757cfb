"""docs/troubleshooting.md has every check that GetHealth and `paymaster doctor` may tell."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGE = (DOCS / "troubleshooting.md").read_text()
PAGES = [PAGE, (DOCS / "deployment.md").read_text(), (DOCS / "plans.md").read_text()]
SOURCES = [
    *(ROOT / "src/authority/health").glob("*.py"),
    ROOT / "src/paymaster/cli/doctor.py",
    ROOT / "src/paymaster/cli/reaching.py",
]
# Findings that the checks of queues, workers and providers tell.
TOLD_BY_OTHERS = {
    *("worker_missing", "queue_starving", "worker_dead", "breaker_open", "provider_cooling"),
    "paused",
}


def names(pattern, *paths):
    return {name for path in paths for name in re.findall(pattern, path.read_text())}


def test_every_check_is_explained():
    checks = names(r'(?:HealthCheck|checked|_wrong)\(\s*"(\w+)"', *SOURCES)
    assert len(checks) > 20
    assert checks == set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))


def test_every_finding_is_named():
    findings = names(r'_finding\(\s*"(\w+)"', ROOT / "src/authority/usecases/diagnose.py")
    assert len(findings) > 10
    assert all(f"`{name}`" in PAGE for name in findings - TOLD_BY_OTHERS)


def test_every_link_exists():
    for page in PAGES:
        links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page)
        assert links
        assert all((DOCS / link).exists() for link in links)

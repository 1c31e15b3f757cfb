"""What a worker counts, for Prometheus. Names and labels are stable; docs/cache.md has them.

Each process counts what it has done itself since it began. What the books say is in
`CacheService`, for all processes and for ever.
"""

from __future__ import annotations

from prometheus_client import Counter, Histogram, start_http_server

from workers.cache.rows import Looked, Report, Served

_LOOK_UPS = Counter("paymaster_cache_look_ups", "Generations that were looked up.", ["kind"])
_HITS = Counter("paymaster_cache_hits", "Generations that were served.", ["kind", "stage"])
_SAVED = Counter("paymaster_cache_saved_micros", "Micros of USD that hits have saved.", ["kind"])
_SKIPPED = Counter("paymaster_cache_skipped", "Stages that were skipped.", ["stage", "reason"])
_HELD_BACK = Counter(
    "paymaster_cache_held_back", "Hits that the gate or the sample held back.", ["stage", "reason"]
)
_FAILURES = Counter("paymaster_cache_failures", "Look-ups that failed as a whole.", ["kind"])
_SECONDS = Histogram(
    "paymaster_cache_look_up_seconds",
    "How long look-ups took.",
    ["kind"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0),
)


class PortTaken(Exception):
    """Metrics can't be served there."""


def serve(host: str, port: int) -> None:
    """Serve the metrics at http://host:port/metrics, in a thread. Raises PortTaken."""
    try:
        start_http_server(port, host)
    except OSError as error:
        raise PortTaken(str(error.strerror)) from None


def count_look_up(kind: str, found: Served | Looked, seconds: float) -> None:
    """Count what a look-up has found."""
    _LOOK_UPS.labels(kind).inc()
    _SECONDS.labels(kind).observe(seconds)
    if isinstance(found, Served):
        _HITS.labels(kind, found.hit.candidate.stage).inc()
        _SAVED.labels(kind).inc(found.hit.candidate.cost_micros)
    _count_report(found.report)


def count_failure(kind: str) -> None:
    """Count a look-up that has failed; its generation is made without the cache."""
    _FAILURES.labels(kind).inc()


def _count_report(report: Report) -> None:
    for stage, reason in report.skipped.items():
        _SKIPPED.labels(stage, reason).inc()
    if report.held_back:
        _HELD_BACK.labels(report.held_back["stage"], report.held_back["reason"]).inc()

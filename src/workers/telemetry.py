"""Structured logs: JSON for machines, key=value for people. No prompt is ever logged."""

from __future__ import annotations

import logging
import sys

import structlog

from generations.discretion import hide_rows


def configure_logging(log_format: str) -> None:
    """Set up structlog for the whole process; `log_format` is `json` or `console`."""
    renderer = (
        structlog.dev.ConsoleRenderer()
        if log_format == "console"
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            hide_rows,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )

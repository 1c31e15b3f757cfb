"""Draws what was measured, into files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from bench.figures.curves import WAYS
from bench.samples import Sample

Curves = Mapping[str, Sequence[tuple[float, Sample]]]

_INCHES = (8, 5)
_PERCENTILES = {"p50": "--", "p99": "-"}


def has_matplotlib() -> bool:
    """Say whether plots can be drawn: the extra `bench` brings what they need."""
    return find_spec("matplotlib") is not None


def draw(folder: Path, curves: Curves) -> None:
    """Draw throughput.png, latency.png, and growth.png if something grew."""
    by_callers = {name: curve for name, curve in curves.items() if name in WAYS and curve}
    growth = {name: curve for name, curve in curves.items() if name not in WAYS and curve}
    if by_callers:
        _throughput(folder / "throughput.png", by_callers, "calls in flight")
        _latency(folder / "latency.png", by_callers)
    if growth:
        _throughput(folder / "growth.png", growth, "how many there are (0 is drawn as 1)")


def _throughput(file: Path, curves: Curves, x_label: str) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra

    figure = Figure(figsize=_INCHES, layout="constrained")
    axes = figure.subplots()
    for name, curve in curves.items():
        axes.plot([max(x, 1) for x, _ in curve], [s.rate for _, s in curve], "o-", label=name)
    axes.set(xscale="log", ylim=(0, None), xlabel=x_label, ylabel="operations per second")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file)


def _latency(file: Path, curves: Curves) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra

    figure = Figure(figsize=_INCHES, layout="constrained")
    axes = figure.subplots()
    for number, (name, curve) in enumerate(curves.items()):
        for percent, line in _PERCENTILES.items():
            waited = [sample.percentile(percent) for _, sample in curve]
            label = f"{name} {percent}"
            axes.plot([x for x, _ in curve], waited, line, color=f"C{number}", label=label)
    axes.set(xscale="log", yscale="log", xlabel="calls in flight", ylabel="milliseconds")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file)

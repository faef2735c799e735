"""Figures as a table, as JSON and as a plot. Pure."""

import json
import statistics
from dataclasses import dataclass
from xml.sax.saxutils import escape

_BAR = 24
_LABEL = 260
_WIDTH = 900


@dataclass(frozen=True)
class Result:
    """A row's figures of all rounds, in order: `ours` and `peer` (empty if it has none)."""

    name: str
    unit: str
    ours: list[float]
    peer: list[float]
    more_is_better: bool = True
    target: float | None = None

    @property
    def ratio(self) -> float | None:
        """How our median stands to the peer's."""
        if not self.peer or not statistics.median(self.peer):
            return None
        return statistics.median(self.ours) / statistics.median(self.peer)

    @property
    def met(self) -> bool | None:
        """Whether the ratio is what we mean to reach; None if nothing was set or measured."""
        if self.target is None or self.ratio is None:
            return None
        return self.ratio >= self.target if self.more_is_better else self.ratio <= self.target


def table(results: list[Result]) -> str:
    """The figures as text: medians, their ratio, what it should be."""
    lines = [f"{'':38} {'ours':>10} {'peer':>10} {'unit':7} {'ratio':>6} {'target':>8}"]
    for result in results:
        peer = f"{statistics.median(result.peer):10.4g}" if result.peer else " " * 10
        ratio = "" if result.ratio is None else f"{result.ratio:.2f}"
        sign = ">=" if result.more_is_better else "<="
        target = "" if result.target is None else f"{sign} {result.target:g}"
        verdict = {None: "", True: "met", False: "MISSED"}[result.met]
        ours = f"{statistics.median(result.ours):10.4g}"
        lines.append(f"{result.name:38} {ours} {peer} {result.unit:7} {ratio:>6} {target:>8} {verdict}")
    return "\n".join(line.rstrip() for line in lines)


def as_json(results: list[Result], names: tuple[str, str]) -> str:
    """Everything that was measured, for programs."""
    return json.dumps(
        {
            "ours": names[0],
            "peer": names[1],
            "rows": [
                {
                    "name": result.name,
                    "unit": result.unit,
                    "ours": result.ours,
                    "peer": result.peer,
                    "ratio": result.ratio,
                    "target": result.target,
                    "more_is_better": result.more_is_better,
                    "met": result.met,
                }
                for result in results
            ],
        },
        indent=2,
    )


def plot(results: list[Result]) -> str:
    """Ratios as bars, in SVG; a line marks where both are equal. Longer is better for us in every row."""
    shown = [(result, result.ratio) for result in results if result.ratio]
    factors = [ratio if result.more_is_better else 1 / ratio for result, ratio in shown]
    scale = (_WIDTH - _LABEL - 80) / max([*factors, 2.0])
    height = _BAR * (len(shown) + 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
    ]
    for number, ((result, _), factor) in enumerate(zip(shown, factors, strict=True), 1):
        top = number * _BAR
        colour = "#b33" if result.met is False else "#376"
        parts.append(f'<text x="{_LABEL - 8}" y="{top + 15}" text-anchor="end">{escape(result.name)}</text>')
        parts.append(
            f'<rect x="{_LABEL}" y="{top + 3}" width="{factor * scale:.1f}" height="{_BAR - 6}" fill="{colour}"/>'
        )
        parts.append(f'<text x="{_LABEL + factor * scale + 6:.1f}" y="{top + 15}">{factor:.2f}x</text>')
    equal = _LABEL + scale
    parts.append(f'<line x1="{equal:.1f}" y1="{_BAR}" x2="{equal:.1f}" y2="{height - _BAR}" stroke="black"/>')
    return "\n".join([*parts, "</svg>", ""])

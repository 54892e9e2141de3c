# SPDX-License-Identifier: Apache-2.0
"""The CPU time of each contender as a bar chart, as SVG. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from benchmarks.contenders import BY_KEY, IDLE
from benchmarks.goals import MS, Medians
from benchmarks.measured import Measured

_WIDTH, _LEFT, _RIGHT, _BAR, _GAP, _TITLE = 900, 215, 225, 20, 6, 40
_LEAST, _MOST = 0.1, 1000.0
_FONTS = "Helvetica, Arial, DejaVu Sans, sans-serif"
_OURS, _PEER, _OTHER, _CUT = "#0b6bcb", "#9aa3ad", "#5f6b76", "#d9822b"


def chart(medians: Medians, counts: Sequence[int]) -> str:
    """Return the chart: one group of bars for each count, on a logarithmic scale."""
    lines, top = [], 56
    for count in counts:
        rows = [medians[key, count] for key in BY_KEY if (key, count) in medians]
        lines.append(_text(12, top + 16, f"{count:,} waiting", weight="bold"))
        top += _TITLE - _GAP
        for row in rows:
            lines += _bar(row, top)
            top += _BAR + _GAP
        top += _GAP * 2
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top + 20}" font-family="{_FONTS}">',
        f'<rect width="{_WIDTH}" height="{top + 20}" fill="#ffffff"/>',
        _text(12, 24, "CPU for each finished generation, in ms (logarithmic): lower is better", weight="bold", size=15),
    ]
    return "\n".join([*head, *_grid(top), *lines, "</svg>"]) + "\n"


def _grid(bottom: int) -> Iterator[str]:
    for value in (0.1, 1.0, 10.0, 100.0, 1000.0):
        x = _LEFT + _length(value)
        yield f'<line x1="{x:.0f}" y1="44" x2="{x:.0f}" y2="{bottom}" stroke="#e3e6e9"/>'
        yield _text(x - 8, bottom + 14, f"{value:g}", fill=_OTHER)


def _bar(measured: Measured, top: int) -> Iterator[str]:
    contender = BY_KEY[measured.contender]
    yield _text(24, top + 15, contender.title.strip("`"))
    if measured.cpu_each is None:
        yield _text(_LEFT + 6, top + 15, f"none of {measured.count:,} finished", fill=_CUT)
        return
    is_cut = measured.finished < measured.count
    color = _CUT if is_cut else _PEER if contender.is_peer else _OTHER if _is_reference(measured) else _OURS
    length = _length(measured.cpu_each * MS)
    yield f'<rect x="{_LEFT}" y="{top}" width="{length:.0f}" height="{_BAR}" rx="2" fill="{color}"/>'
    label = f"{measured.cpu_each * MS:.2f}" + (
        f" ({measured.finished:,.0f} of {measured.count:,} finished)" if is_cut else ""
    )
    yield _text(_LEFT + length + 6, top + 15, label, fill=_CUT if is_cut else "#1b1f23")


def _is_reference(measured: Measured) -> bool:
    return measured.contender == IDLE or not measured.contender.startswith("ours")


def _length(ms: float) -> float:
    share = math.log(min(max(ms, _LEAST * 1.05), _MOST) / _LEAST) / math.log(_MOST / _LEAST)
    return share * (_WIDTH - _LEFT - _RIGHT)


def _text(x: float, y: float, text: str, *, weight: str = "normal", size: int = 13, fill: str = "#1b1f23") -> str:
    return f'<text x="{x:.0f}" y="{y}" font-weight="{weight}" font-size="{size}" fill="{fill}">{escape(text)}</text>'

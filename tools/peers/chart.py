"""Bars of relative speed, as SVG without any library."""

from __future__ import annotations

from html import escape
from pathlib import Path

COLOURS = ["#1b6ca8", "#9a9a9a", "#b9a36b", "#c2705a", "#7f9f7f"]


def cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown CPU"


def bars(groups: list[tuple[str, dict[str, float]]], title: str, names: list[str]) -> str:
    """Each group is (label, name -> ratio); the line is at 1, and the bars of the first name say their figure."""
    colour = dict(zip(names, COLOURS))
    engines = [e for e in names if any(e in values for _, values in groups)]
    height, left, width, bar = 34, 260, 520, 6
    most = max(max(values.values()) for _, values in groups)
    total = 60 + len(groups) * (height + 8)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 80}" height="{total}" font-family="sans-serif" font-size="12">']
    out.append(f'<rect width="100%" height="100%" fill="white"/><text x="10" y="20" font-size="14">{escape(title)}</text>')
    for i, engine in enumerate(engines):
        out.append(f'<rect x="{10 + 110 * i}" y="30" width="10" height="10" fill="{colour[engine]}"/><text x="{24 + 110 * i}" y="39">{engine}</text>')
    one = left + width / most
    out.append(f'<line x1="{one}" y1="50" x2="{one}" y2="{total - 5}" stroke="#444" stroke-dasharray="3 3"/>')
    for row, (label, values) in enumerate(groups):
        top = 55 + row * (height + 8)
        out.append(f'<text x="10" y="{top + height / 2 + 4}">{escape(label)}</text>')
        for i, engine in enumerate(e for e in engines if e in values):
            y, length = top + i * (bar + 1), width * values[engine] / most
            out.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{bar}" fill="{colour[engine]}"/>')
            if engine == names[0]:
                out.append(f'<text x="{left + length + 4:.1f}" y="{y + bar}" font-size="10">{values[engine]:.2f}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"

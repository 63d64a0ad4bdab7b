"""Bars of relative speed and lines through points, as SVG without any library."""

from __future__ import annotations

import math
from html import escape
from pathlib import Path

COLOURS = ["#1b6ca8", "#9a9a9a", "#b9a36b", "#c2705a", "#7f9f7f", "#8a6fae"]


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


def points(series: dict[str, list[tuple[float, float, str]]], x_name: str, y_name: str, log_x: bool = False) -> tuple[str, int, int]:
    """Points (x, y, label) of several series, each joined by a line from left to right. Returns a group's content, its width and its height."""
    width, height, left, top = 640, 360, 60, 20
    every = [p for line in series.values() for p in line]
    place = (lambda x: math.log(x)) if log_x else (lambda x: x)
    low_x, high_x = min(place(p[0]) for p in every), max(place(p[0]) for p in every)
    low_y, high_y = min(p[1] for p in every) - 1, max(p[1] for p in every) + 1
    at_x = lambda x: left + width * (place(x) - low_x) / max(high_x - low_x, 1e-9)
    at_y = lambda y: top + height * (high_y - y) / (high_y - low_y)
    out = [f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="#888"/>']
    out.append(f'<text x="{left + width / 2}" y="{top + height + 34}" text-anchor="middle">{escape(x_name)}</text>')
    out.append(f'<text x="{left}" y="{top - 6}">{escape(y_name)}</text>')
    for i in range(5):
        y, x = low_y + (high_y - low_y) * i / 4, low_x + (high_x - low_x) * i / 4
        out.append(f'<text x="{left - 6}" y="{at_y(y) + 4:.1f}" text-anchor="end" font-size="10">{y:.0f}</text>')
        figure = math.exp(x) if log_x else x
        out.append(f'<text x="{left + width * i / 4:.1f}" y="{top + height + 16}" text-anchor="middle" font-size="10">{figure:.3g}</text>')
    for i, (name, line) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        line = sorted(line)
        path = " ".join(f"{at_x(x):.1f},{at_y(y):.1f}" for x, y, _ in line)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}"/>')
        for x, y, label in line:
            out.append(f'<circle cx="{at_x(x):.1f}" cy="{at_y(y):.1f}" r="3" fill="{colour}"><title>{escape(f"{name}, {label}: {y:.2f}")}</title></circle>')
        out.append(f'<text x="{left + width + 10}" y="{top + 14 + 16 * i}" fill="{colour}">{escape(name)}</text>')
    return "\n".join(out), left + width + 170, top + height + 50


def below_each_other(charts: list[tuple[str, int, int]], title: str) -> str:
    out, y = [], 30
    for content, _, height in charts:
        out.append(f'<g transform="translate(0 {y})">{content}</g>')
        y += height
    width = max(c[1] for c in charts)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" font-family="sans-serif" font-size="12">'
    return "\n".join([head, f'<rect width="100%" height="100%" fill="white"/><text x="10" y="20" font-size="14">{escape(title)}</text>', *out, "</svg>"]) + "\n"

"""A terminal recording as SVG: scenes one after the other, each line when it appears.

Text stays text, so it is sharp, small and can be searched. It begins with the last scene, for two
seconds: this is what a reader sees who prefers reduced motion, and a program that does not animate.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

LINE, CHARACTER, EDGE = 19, 8.43, 20  # of 14 px type
POSTER = 2  # seconds
STYLE = """\
text { font: 14px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre;
  fill: #1f2937 }
.paper { fill: #f9fafb; stroke: #d1d5db } .bar { fill: #d1d5db } .typed { fill: #1d4ed8 }
.refused { fill: #b91c1c }
@media (prefers-color-scheme: dark) {
  text { fill: #e5e7eb } .paper { fill: #111827; stroke: #4b5563 } .bar { fill: #4b5563 }
  .typed { fill: #93c5fd } .refused { fill: #fca5a5 }
}
"""


@dataclass(frozen=True)
class Scene:
    """Commands with their output, and for how many seconds they stand."""

    steps: list[tuple[str, str]]
    seconds: int


@dataclass(frozen=True)
class Row:
    text: str
    kind: str
    second: float  # of its scene, at which it appears


def rows(scene: Scene, columns: int) -> list[Row]:
    """The lines as a terminal breaks them; output comes half a second after its command."""
    found, at = [], 0.2
    for command, output in scene.steps:
        found += [Row(line, "typed", at) for line in broken(f"$ {command}", columns)]
        lines = broken(output.strip("\n"), columns)
        step = min(0.25, 0.45 * scene.seconds / len(scene.steps) / len(lines))
        for number, line in enumerate(lines, 1):
            kind = "refused" if line.startswith("HTTP/1.1 4") else ""
            found.append(Row(line, kind, at + 0.5 + step * number))
        at = found[-1].second + 0.5
    return found


def broken(text: str, columns: int) -> list[str]:
    return [
        line[start : start + columns]
        for line in text.splitlines()
        for start in range(0, len(line) or 1, columns)
    ]


def draw(scenes: list[Scene], columns: int) -> str:
    """:returns: the SVG document."""
    drawn = [rows(scene, columns) for scene in scenes]
    width = round(columns * CHARACTER + 2 * EDGE)
    height = max(map(len, drawn)) * LINE + 2 * EDGE + 22
    total = sum(scene.seconds for scene in scenes)
    moves, groups, start = [], [], 0.0
    for number, (scene, lines) in enumerate(zip(scenes, drawn, strict=True)):
        last = number == len(scenes) - 1
        body = []
        for place, line in enumerate(lines):
            name = f"r{number}-{place}"
            body.append(row(line, place, name))
            moves.append(appear(name, start + line.second, start + scene.seconds, total))
        hidden = "" if last else ' class="earlier"'
        groups.append(f"<g{hidden}>\n" + "\n".join(body) + "\n</g>")
        start += scene.seconds
    style = STYLE + ".earlier { display: none }\n@media (prefers-reduced-motion: no-preference) {\n"
    style += ".earlier { display: inline }\n"
    style += f"text {{ animation: {total}s step-end {POSTER - total}s infinite }}\n"
    style += "\n".join(moves) + "\n}\n"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'aria-labelledby="t">\n'
        '<title id="t">From the questions to a running service, and a 429</title>\n'
        f"<style>\n{style}</style>\n"
        f'<rect class="paper" x="1" y="1" width="{width - 2}" height="{height - 2}" rx="8"/>\n'
        + "".join(f'<circle class="bar" cx="{22 + 18 * n}" cy="18" r="5"/>\n' for n in range(3))
        + "\n".join(groups)
        + "\n</svg>\n"
    )


def row(line: Row, place: int, name: str) -> str:
    y = EDGE + 22 + 14 + place * LINE
    kind = f' class="{line.kind}"' if line.kind else ""
    text = escape(line.text, quote=False)
    return f'<text id="{name}"{kind} x="{EDGE}" y="{y}" xml:space="preserve">{text}</text>'


def appear(name: str, start: float, end: float, total: int) -> str:
    """A rule and its steps: hidden, then there from its second until its scene ends."""
    first, last = 100 * start / total, 100 * end / total
    back = "" if end >= total else f"{last:.1f}%,to{{opacity:0}}"
    steps = f"0%{{opacity:0}}{first:.1f}%{{opacity:1}}{back}"
    return f"#{name}{{animation-name:{name}}}@keyframes {name}{{{steps}}}"

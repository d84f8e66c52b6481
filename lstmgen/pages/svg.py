"""Draw an SVG picture of boxes and wires, with colours from diagram.css for light and dark style."""

from collections.abc import Sequence
from html import escape
from importlib.resources import files

ROUND, BOX, BOX_HEIGHT, BEND = 13, 25, 17, 12  # half sizes of an operation and of a box; the radius of a bend
_GAP, _HEAD = 8, 9  # half the gap where a wire crosses another; the length of an arrow's head

Point = tuple[float, float]


class Picture:
    """Shapes, from back to front: bodies, wires, boxes, labels. Each belongs to a part of a step, or to all (0)."""

    def __init__(self) -> None:
        self._bodies: list[str] = []
        self._wires: list[str] = []
        self._boxes: list[str] = []
        self._labels: list[str] = []

    def wire(
        self,
        *points: Point,
        part: int = 0,
        value: str = "",
        kind: str = "",
        head: bool = True,
        over: Sequence[Point] = (),
    ) -> None:
        """Draw a wire with rounded bends and an arrowhead; `over` has the points where it crosses an earlier one."""
        path = _path((*points[:-1], _towards(points[-1], points[-2], _HEAD)) if head else points)
        under = "".join(f'<path class="gap" d="M{x:g} {y - _GAP}v{2 * _GAP}"/>' for x, y in over)
        drawn = f'{under}<path class="line" d="{path}"/>' + (_arrow(points[-2], points[-1]) if head else "")
        self._wires.append(f'<g class="{f"wire {kind}".strip()}"{_data(part, value)}>{drawn}</g>')

    def body(self, x: float, y: float, width: float, height: float) -> None:
        """Draw the outline of a cell."""
        shape = f'<rect class="body" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="14"/>'
        self._bodies.append(shape)

    def circle(self, x: float, y: float, text: str, part: int = 0, *, kind: str = "") -> None:
        """Draw a pointwise operation."""
        wide = 2 * ROUND if len(text) > 2 else ROUND
        shape = f'<ellipse cx="{x:g}" cy="{y:g}" rx="{wide}" ry="{ROUND}"/>'
        self._boxes.append(f'<g class="operation"{_data(part)}>{shape}{_text(x, y + 5, text, kind)}</g>')

    def box(self, x: float, y: float, text: str, part: int = 0, *, half: int = BOX, title: str = "") -> None:
        """Draw a function with weights; one with a title is a gate."""
        shape = f'<rect x="{x - half:g}" y="{y - BOX_HEIGHT}" width="{2 * half}" height="{2 * BOX_HEIGHT}" rx="6"/>'
        kind, titled = ("gate", f"<title>{escape(title)}</title>") if title else ("weights", "")
        kind += " candidate" if title and text != "σ" else ""
        self._boxes.append(f'<g class="{kind}"{_data(part)}>{titled}{shape}{_text(x, y + 6, text)}</g>')

    def label(
        self, x: float, y: float, text: str, part: int = 0, *, value: str = "", kind: str = "letter", anchor: str = ""
    ) -> None:
        """Write a text, with room above it for the value of a wire."""
        written = _text(x, y, text, kind, anchor) if text else ""
        if value:
            written += _text(x, y - (15 if text else 0), "", "live", anchor, _data(0, value))
        self._labels.append(f"<g{_data(part)}>{written}</g>")

    def svg(self, identity: str, width: float, height: float, name: str, description: str) -> str:
        """Return the picture, with a name and a description for screen readers; `identity` is unique in a page."""
        inside = "\n".join((*self._bodies, *self._wires, *self._boxes, *self._labels))
        size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
        return (
            f'<svg class="diagram" {size} role="img" aria-labelledby="{identity}-title {identity}-text">\n'
            f'<title id="{identity}-title">{escape(name)}</title>\n'
            f'<desc id="{identity}-text">{escape(description)}</desc>\n{inside}\n</svg>'
        )


def standalone(picture: str) -> str:
    """Return a picture as the content of an SVG file, including its style."""
    style = "".join(files("lstmgen.pages").joinpath(f"{name}.css").read_text("utf-8") for name in ("colors", "diagram"))
    svg, inside = picture.split("\n", 1)
    svg = svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"')
    return f"{svg}\n<style>\n{style}</style>\n{inside}\n"


def _towards(point: Point, other: Point, length: float) -> Point:
    """Return the point at this distance from a point, in the direction of another."""
    distance = abs(other[0] - point[0]) + abs(other[1] - point[1])  # wires run along the axes
    step = min(length, distance) / distance
    return point[0] + (other[0] - point[0]) * step, point[1] + (other[1] - point[1]) * step


def _path(points: Sequence[Point]) -> str:
    """Return a line through points, rounded at each bend."""
    drawn = f"M{points[0][0]:g} {points[0][1]:g}"
    for before, (x, y), after in zip(points, points[1:], points[2:], strict=False):
        (a, b), (c, d) = _towards((x, y), before, BEND), _towards((x, y), after, BEND)
        drawn += f"L{a:g} {b:g}Q{x:g} {y:g} {c:g} {d:g}"
    return f"{drawn}L{points[-1][0]:g} {points[-1][1]:g}"


def _arrow(before: Point, end: Point) -> str:
    """Return an arrowhead whose tip is at `end`."""
    (x, y), half = _towards(end, before, _HEAD + 1), 5.5
    wide, high = (0, half) if y == end[1] else (half, 0)
    points = f"{end[0]:g},{end[1]:g} {x - wide:g},{y - high:g} {x + wide:g},{y + high:g}"
    return f'<polygon class="head" points="{points}"/>'


def _data(part: int, value: str = "") -> str:
    part_of = f' data-part="{part}"' if part else ""
    return part_of + (f' data-value="{escape(value)}"' if value else "")


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "middle", data: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:g}" y="{y:g}" text-anchor="{anchor or "middle"}"{data}>{escape(text)}</text>'

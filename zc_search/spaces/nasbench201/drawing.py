"""A cell drawn as a graph: four nodes, six edges named by operation, dead ones faint."""

from html import escape
from math import hypot
from typing import NamedTuple

from zc_search.errors import ArchitectureError
from zc_search.spaces import EDGES, Architecture
from zc_search.spaces.nasbench201.graph import live_edges

NAMES = {
    "none": "none",
    "skip_connect": "skip",
    "nor_conv_1x1": "conv 1\N{MULTIPLICATION SIGN}1",
    "nor_conv_3x3": "conv 3\N{MULTIPLICATION SIGN}3",
    "avg_pool_3x3": "pool 3\N{MULTIPLICATION SIGN}3",
}
"""What an edge is labelled with."""

_RADIUS = 19
_NODES = ((26, 128), (178, 128), (330, 128), (482, 128))


class _Arc(NamedTuple):
    """A cubic curve between two nodes; its label sits on the middle."""

    start: tuple[int, int]
    bend: tuple[int, int]
    back: tuple[int, int]
    end: tuple[int, int]

    @property
    def path(self) -> str:
        points = (self.bend, self.back, self.end)
        return f"M{_point(self.start)}C{' '.join(map(_point, points))}"

    @property
    def middle(self) -> tuple[float, float]:
        a, b, c, d = self
        return (a[0] + 3 * b[0] + 3 * c[0] + d[0]) / 8, (a[1] + 3 * b[1] + 3 * c[1] + d[1]) / 8

    @property
    def head(self) -> str:
        """A triangle whose tip is a little beyond the end, along the curve's last direction."""
        across, down = self.end[0] - self.back[0], self.end[1] - self.back[1]
        length = hypot(across, down)
        x, y = across / length, down / length
        tip = (self.end[0] + 4 * x, self.end[1] + 4 * y)
        base = (tip[0] - 12 * x, tip[1] - 12 * y)
        corners = (tip, (base[0] - 6 * y, base[1] + 6 * x), (base[0] + 6 * y, base[1] - 6 * x))
        return " ".join(map(_point, corners))


def _point(at: tuple[float, float]) -> str:
    return f"{at[0]:.4g},{at[1]:.4g}"


# In the order of EDGES.
_ARCS = (
    _Arc((45, 128), (70, 128), (110, 128), (152, 128)),
    _Arc((35, 110), (70, 30), (270, 30), (318, 104)),
    _Arc((197, 128), (230, 128), (270, 128), (304, 128)),
    _Arc((27, 108), (40, -34), (468, -34), (481, 101)),
    _Arc((190, 144), (236, 222), (430, 222), (469, 152)),
    _Arc((349, 128), (380, 128), (420, 128), (456, 128)),
)

_STYLE = """
.zc-cell{font:600 14px Inter,system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif}
.zc-cell .node text{font-size:12px}
.zc-cell .node circle{fill:var(--cell-ink,#1c2128)}
.zc-cell .node text{fill:var(--cell-paper,#fff);text-anchor:middle;dominant-baseline:central}
.zc-cell .edge path{fill:none;stroke:var(--op);stroke-width:3}
.zc-cell .edge polygon{fill:var(--op)}
.zc-cell .edge rect{fill:var(--cell-paper,#fff);stroke:var(--op);stroke-width:1.5}
.zc-cell .edge text{fill:var(--cell-ink,#1c2128);text-anchor:middle;dominant-baseline:central}
.zc-cell [data-op=none]{--op:#8a929c}
.zc-cell [data-op=skip_connect]{--op:#009E73}
.zc-cell [data-op=nor_conv_1x1]{--op:#56B4E9}
.zc-cell [data-op=nor_conv_3x3]{--op:#0072B2}
.zc-cell [data-op=avg_pool_3x3]{--op:#E69F00}
.zc-cell [data-dead] path{stroke-dasharray:4 5;stroke-width:1.5;opacity:.45}
.zc-cell [data-dead] polygon{opacity:.45}
.zc-cell [data-dead] rect{stroke-dasharray:3 3;stroke-opacity:.5}
.zc-cell [data-dead] text{opacity:.55;font-weight:400}
.zc-cell [data-op=none] polygon{display:none}
""".strip()


class CellDrawing(str):
    """An SVG drawing; a notebook shows it, a file can hold it."""

    __slots__ = ()

    def _repr_svg_(self) -> str:
        return str(self)


def dead_edges(architecture: Architecture) -> tuple[bool, ...]:
    """Return which edges carry nothing from the input to the output, in the string's order."""
    live = live_edges(architecture.ops)
    return tuple(edge not in live for edge in range(len(EDGES)))


def describe_cell(architecture: Architecture | str) -> str:
    """Say in words what `draw_cell` draws."""
    cell = _parsed(architecture)
    edges = [
        f"node {source} to node {target} {NAMES[operation]}"
        + (", no effect" if dead and operation != "none" else "")
        for (target, source), operation, dead in zip(EDGES, cell.ops, dead_edges(cell), strict=True)
    ]
    return f"Cell from node 0, its input, to node 3, its output: {'; '.join(edges)}."


def draw_cell(architecture: Architecture | str) -> CellDrawing:
    """Draw a NAS-Bench-201 cell as SVG, with a description for screen readers.

    Edges are named by operation; those without influence on the output are faint: ``none``, and
    what hangs on a node that the input does not reach or that does not reach the output. On a
    page, the variables ``--cell-ink`` and ``--cell-paper`` set its colours.

    Raises:
        ArchitectureError: A string that names no architecture.
    """
    cell = _parsed(architecture)
    edges, dead = [], dead_edges(cell)
    for (target, source), operation, arc, faint in zip(EDGES, cell.ops, _ARCS, dead, strict=True):
        name, (x, y) = NAMES[operation], arc.middle
        mark = ' data-dead=""' if faint else ""
        width = 20 + 8.4 * len(name)
        edges.append(
            f'<g class="edge" data-op="{operation}"{mark}>'
            f"<title>{source} to {target}: {operation}</title>"
            f'<path d="{arc.path}"/><polygon points="{arc.head}"/>'
            f'<rect x="{x - width / 2:.1f}" y="{y - 13:.1f}" width="{width:.1f}" height="26" '
            f'rx="13"/><text x="{x:.1f}" y="{y:.1f}">{name}</text></g>'
        )
    nodes = [
        f'<g class="node"><circle cx="{x}" cy="{y}" r="{_RADIUS}"/>'
        f'<text x="{x}" y="{y}">{text}</text></g>'
        for (x, y), text in zip(_NODES, ("in", "1", "2", "out"), strict=True)
    ]
    return CellDrawing(
        '<svg xmlns="http://www.w3.org/2000/svg" class="zc-cell" viewBox="0 -14 508 232" '
        f'role="img" aria-label="{escape(describe_cell(cell))}"><style>{_STYLE}</style>'
        f"{''.join(edges)}{''.join(nodes)}</svg>"
    )


def drawing_or_none(architecture: str) -> CellDrawing | None:
    """Return `draw_cell` of a text, or None where it is of a space whose cells are not drawn."""
    try:
        return draw_cell(architecture)
    except ArchitectureError:
        return None


def _parsed(architecture: Architecture | str) -> Architecture:
    if isinstance(architecture, Architecture):
        return architecture
    return Architecture.from_string(architecture)

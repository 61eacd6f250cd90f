"""A cell drawn as a graph: four nodes, six edges named by operation, dead ones faint."""

from html import escape

from zc_search.errors import ArchitectureError
from zc_search.spaces import EDGES, Architecture
from zc_search.spaces.nasbench201.architecture import live_edges

NAMES = {
    "none": "none",
    "skip_connect": "skip",
    "nor_conv_1x1": "conv 1\N{MULTIPLICATION SIGN}1",
    "nor_conv_3x3": "conv 3\N{MULTIPLICATION SIGN}3",
    "avg_pool_3x3": "pool 3\N{MULTIPLICATION SIGN}3",
}
"""What an edge is labelled with."""

# In the order of EDGES: the curve, the triangle at its end, and the middle, where the label sits.
_ARCS = (
    ("M45,128C70,128 110,128 152,128", "156,128 144,134 144,122", 92.125, 128),
    ("M35,110C70,30 270,30 318,104", "320.2,107.4 308.6,100.6 318.7,94.02", 171.625, 49.25),
    ("M197,128C230,128 270,128 304,128", "308,128 296,134 296,122", 250.125, 128),
    ("M27,108C40,-34 468,-34 481,101", "481.4,105 474.3,93.61 486.2,92.46", 254, 0.625),
    ("M190,144C236,222 430,222 469,152", "470.9,148.5 470.3,161.9 459.9,156.1", 332.125, 203.5),
    ("M349,128C380,128 420,128 456,128", "460,128 448,134 448,122", 400.625, 128),
)
_NODES = {"in": 26, "1": 178, "2": 330, "out": 482}
"""How far to the right each is."""

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
    cell = Architecture.from_string(str(architecture))
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
    """
    cell = Architecture.from_string(str(architecture))
    parts, dead = [], dead_edges(cell)
    for (target, source), operation, arc, faint in zip(EDGES, cell.ops, _ARCS, dead, strict=True):
        name, (path, head, x, y) = NAMES[operation], arc
        mark = ' data-dead=""' if faint else ""
        width = 20 + 8.4 * len(name)
        parts.append(
            f'<g class="edge" data-op="{operation}"{mark}>'
            f"<title>{source} to {target}: {operation}</title>"
            f'<path d="{path}"/><polygon points="{head}"/>'
            f'<rect x="{x - width / 2:.1f}" y="{y - 13:.1f}" width="{width:.1f}" height="26" '
            f'rx="13"/><text x="{x:.1f}" y="{y:.1f}">{name}</text></g>'
        )
    parts += [
        f'<g class="node"><circle cx="{x}" cy="128" r="19"/><text x="{x}" y="128">{name}</text></g>'
        for name, x in _NODES.items()
    ]
    return CellDrawing(
        '<svg xmlns="http://www.w3.org/2000/svg" class="zc-cell" viewBox="0 -14 508 232" '
        f'role="img" aria-label="{escape(describe_cell(cell))}"><style>{_STYLE}</style>'
        f"{''.join(parts)}</svg>"
    )


def drawing_or_none(architecture: str) -> CellDrawing | None:
    """Return `draw_cell` of a text, or None where it is of a space whose cells are not drawn."""
    try:
        return draw_cell(architecture)
    except ArchitectureError:
        return None

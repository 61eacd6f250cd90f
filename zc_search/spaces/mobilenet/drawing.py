"""A network of inverted residuals drawn as bars: a block each, as high as it has channels."""

from zc_search.spaces.mobilenet.architecture import MobileNet

_COLOURS = {3: "#56B4E9", 5: "#0072B2", 7: "#CC79A7"}  # by kernel
_STYLE = "font:600 12px Inter,system-ui,sans-serif;text-anchor:middle;fill:#1c2128"
_BAR, _GAP, _HIGH, _STEP = 22, 20, 150, 26


def draw(architecture: MobileNet) -> str:
    """Draw the stages from left to right; what a block expands to is behind it, paler."""
    x, marks, said = _GAP, [], []
    tallest = max(s.width * s.expansion for s in architecture.stages) ** 0.5
    for stage in architecture.stages:
        high, full = (
            _HIGH * channels**0.5 / tallest
            for channels in (stage.width, stage.width * stage.expansion)
        )
        colour, middle = _COLOURS[stage.kernel], x + (stage.depth * _STEP - 4) / 2
        for place in range(stage.depth):
            left = x + place * _STEP
            marks += [
                f'<rect x="{left}" y="{170 - tall:.1f}" width="{_BAR}" height="{tall:.1f}" rx="3" '
                f'fill="{colour}" fill-opacity="{opacity}"/>'
                for tall, opacity in ((full, 0.25), (high, 1))
            ]
        labels = (
            f"{stage.width}",
            f"{stage.kernel}\N{MULTIPLICATION SIGN}{stage.kernel}",
            f"\N{MULTIPLICATION SIGN}{stage.expansion}{' se' * stage.se}",
        )
        marks += [
            f'<text x="{middle:.0f}" y="{188 + 16 * row}">{label}</text>'
            for row, label in enumerate(labels)
        ]
        excited = ", with squeeze-and-excitation" * stage.se
        said.append(
            f"{stage.depth} of {stage.width} channels, kernel {stage.kernel}, "
            f"expanded {stage.expansion} times{excited}"
        )
        x += max(stage.depth * _STEP, 44) + _GAP
    label = f"Inverted residuals, stage by stage: {'; '.join(said)}."
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {x} 230" role="img" '
        f'aria-label="{label}"><style>text{{{_STYLE}}}</style>'
        f'<rect width="{x}" height="230" rx="8" fill="#fff"/>{"".join(marks)}</svg>'
    )

"""A drawing of rectangles, lines and text, as SVG: for a page, whose style sheet colours it, or as a file of its own.

Colours have names, by what they mean; `THEMES` says what they are on light and on dark paper. Each pair that carries
meaning differs in lightness, too, and every figure stands beside its bar: nobody needs to see colours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
THEMES: Mapping[str, Mapping[str, str]] = {
    "light": {
        "paper": "#ffffff", "ink": "#1b2430", "muted": "#566274", "grid": "#dfe4ea", "accent": "#1f5fbf",
        "soft": "#a9c3ea", "plain": "#8d99a8", "pale": "#c9d1db", "warm": "#995b00",
        "track": "#e9edf2", "surface": "#f5f7f9",
    },
    "dark": {
        "paper": "#11161d", "ink": "#e7ebf0", "muted": "#9eabba", "grid": "#2b3541", "accent": "#7db0ff",
        "soft": "#3d5f94", "plain": "#77859a", "pale": "#465364", "warm": "#e0a34a",
        "track": "#222c37", "surface": "#171e27",
    },
}  # fmt: skip


def rules(prefix: str, theme: Mapping[str, str]) -> str:
    """The style sheet of a drawing in the colours of a theme; `prefix` begins every selector."""
    fills = "".join(f"{prefix}.{name}{{fill:{value}}}" for name, value in theme.items())
    return (
        f"{prefix}text{{font:12px {FONT};fill:{theme['ink']}}}{fills}"
        f"{prefix}.small{{font-size:11px}}{prefix}.bold{{font-weight:650}}{prefix}.end{{text-anchor:end}}"
        f"{prefix}.middle{{text-anchor:middle}}{prefix}.line{{stroke:{theme['grid']};stroke-width:1}}"
        f"{prefix}.dash{{stroke:{theme['muted']};stroke-width:1;stroke-dasharray:3 4}}"
        f"{prefix}.today{{stroke:{theme['warm']};stroke-width:2}}"
        f"{prefix}.hollow{{fill:none;stroke:{theme['pale']};stroke-width:1}}"
    )


@dataclass
class Drawing:
    """A picture under construction, in CSS pixels from the upper left. `name` is unique among those of a page."""

    name: str
    width: int
    height: int
    title: str
    description: str
    _parts: list[str] = field(default_factory=list)

    def rectangle(self, x: float, y: float, width: float, height: float, kind: str, radius: float = 2) -> None:
        """A rectangle of the colour `kind`."""
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius:g}" class="{kind}"/>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str = "line") -> None:
        """A line of the style `kind`."""
        self._parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>')

    def text(self, x: float, y: float, words: str, kind: str = "") -> None:
        """Words with their base line at `y`; `kind`: colour, size and alignment."""
        attribute = f' class="{kind}"' if kind else ""
        self._parts.append(f'<text x="{x:.1f}" y="{y:.1f}"{attribute}>{escape(words)}</text>')

    def legend(self, y: float, *entries: tuple[str, str]) -> None:
        """Colours and what they mean, in a row."""
        x = 0.0
        for kind, words in entries:
            self.rectangle(x, y - 9, 16, 9, kind)
            self.text(x + 22, y, words, "muted small")
            x += 46 + 6.1 * len(words)

    def inline(self) -> str:
        """The element for a page whose style sheet has `rules`."""
        return self._element('class="picture"', "")

    def file(self, theme: str) -> str:
        """A file of its own, in the colours of `light` or `dark`."""
        paper = f'<rect width="{self.width}" height="{self.height}" class="paper"/>\n'
        style = f"<style>{rules('', THEMES[theme])}</style>\n"
        namespace = f'xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{self.height}"'
        return self._element(namespace, f"{style}{paper}") + "\n"

    def _element(self, attributes: str, inside: str) -> str:
        title, description = f"{self.name}-title", f"{self.name}-description"
        return "\n".join(
            [
                f'<svg {attributes} viewBox="0 0 {self.width} {self.height}" role="img" '
                f'aria-labelledby="{title} {description}">',
                f'<title id="{title}">{escape(self.title)}</title>',
                f'<desc id="{description}">{escape(self.description)}</desc>',
                f"{inside}{chr(10).join(self._parts)}",
                "</svg>",
            ]
        )

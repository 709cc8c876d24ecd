"""One self-contained HTML page: the words and pictures come from `pages`, the form from here.

The page asks for nothing from outside: the style is inside it, and pictures are data. It is light on purpose,
also where the reader's screen is dark, because the pictures are drawn on white.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
html { background: #fbfaf7; }
body { margin: 0 auto; padding: 3.5rem 1.5rem 5rem; max-width: 54rem; background: #fbfaf7; color: #222;
  font: 1.05rem/1.6 Charter, "Bitstream Charter", "Iowan Old Style", Georgia, "DejaVu Serif", serif; }
h1 { font-size: 2.1rem; line-height: 1.2; margin: 0 0 .4rem; font-weight: 600; }
h2 { font-size: 1.35rem; margin: 3rem 0 .6rem; font-weight: 600; }
p { margin: .7rem 0; max-width: 44rem; }
.kicker { color: #6b6b6b; font-size: .95rem; margin: 0; }
.answer { font-size: 1.2rem; line-height: 1.5; margin: 1.2rem 0 1.6rem; }
.formula { margin: .9rem 0 .9rem 1.2rem; padding-left: 1rem; border-left: 3px solid #ddd6c8;
  overflow-x: auto; white-space: nowrap; line-height: 1.9; max-width: 44rem; }
sub, sup { line-height: 0; }
table { border-collapse: collapse; margin: 1rem 0 1.4rem; font-size: .95rem; line-height: 1.45;
  font-variant-numeric: tabular-nums lining-nums; }
th, td { text-align: left; vertical-align: top; padding: .38rem 1.4rem .38rem 0;
  border-bottom: 1px solid #e4dfd4; }
thead th { border-bottom: 1.5px solid #888; font-weight: 600; }
tbody th { font-weight: 400; }
td.number, th.number { text-align: right; white-space: nowrap; }
tbody td.number { font-weight: 600; }
figure { margin: 1.6rem 0 2rem; }
figure img { display: block; width: 100%; height: auto; background: #fff; border: 1px solid #ebe6dc;
  padding: .7rem; }
figure.narrow img { max-width: 41rem; }
figcaption { color: #555; font-size: .93rem; line-height: 1.5; margin-top: .6rem; max-width: 44rem; }
details { margin: -.6rem 0 1.4rem; } summary { cursor: pointer; color: #555; font-size: .93rem; }
.note { border-left: 3px solid #ddd6c8; padding-left: 1rem; }
.warning { border-left: 4px solid #D55E00; background: #fdf1e8; padding: .6rem 1rem; }
pre { background: #f1eee6; padding: .8rem 1rem; overflow-x: auto; font-size: .88rem; line-height: 1.5; }
code { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: .88em; }
pre code { font-size: 1em; white-space: pre-wrap; }
.small { color: #555; font-size: .9rem; }
@media print { body { padding: 0; } figure, table { break-inside: avoid; } }
""".strip()


LONG = 30
"""Rows of a table that are seen at once; the others are folded."""


def document(title: str, blocks: Iterable[str]) -> str:
    """The whole page."""
    head = (
        f'<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>\n{STYLE}\n</style>"
    )
    body = "\n".join(block for block in blocks if block)
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n'


def text(value: object) -> str:
    """Words from outside, made harmless."""
    return html.escape(str(value))


def heading(words: str) -> str:
    return f"<h2>{text(words)}</h2>"


def paragraph(markup: str, kind: str = "") -> str:
    """A paragraph of markup, with formulas between $ signs; words from outside go through `text` first."""
    markup = re.sub(r"\$(.+?)\$", lambda found: math(found[1]), markup)
    return f'<p class="{kind}">{markup}</p>' if kind else f"<p>{markup}</p>"


def math(formula: str) -> str:
    """A formula in markup: single letters become italic, `_x` or `_{...}` a subscript, words stay upright."""
    markup = re.sub(r"(?<![^\W_]|[&′])([^\W\d_Σ])(?![^\W_]|;)", r"<i>\1</i>", text(formula))
    return re.sub(r"_\{(.*?)\}|_(<i>.</i>|\w)", lambda found: f"<sub>{found[1] or found[2]}</sub>", markup)


def formula(*lines: str) -> str:
    """Formulas on lines of their own."""
    return f'<div class="formula">{"<br>".join(math(line) for line in lines)}</div>'


def warnings(sentences: Sequence[str]) -> str:
    return "\n".join(paragraph(text(sentence), "warning") for sentence in sentences)


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; numbers are aligned to the right, the first cell of a row is its head."""
    rows = [list(row) for row in rows]
    numeric = [any(isinstance(row[i], int | float) for row in rows) for i in range(len(header))]
    kind = ['class="number"' if is_number else "" for is_number in numeric]
    head = "".join(f"<th {k}>{text(name)}</th>" for k, name in zip(kind, header, strict=True))
    lines = []
    for row in rows:
        cells = "".join(f"<td {k}>{cell(value)}</td>" for k, value in zip(kind[1:], row[1:], strict=True))
        lines.append(f"<tr><th {kind[0]}>{cell(row[0])}</th>{cells}</tr>")
    top = f"<thead><tr>{head}</tr></thead>" if any(header) else ""
    return f"<table>{top}<tbody>{''.join(lines)}</tbody></table>".replace(" >", ">")


def folded(summary: str, block: str) -> str:
    """What opens on a click; nothing where there is nothing to hide."""
    return f"<details><summary>{text(summary)}</summary>{block}</details>" if block else ""


def foremost(sizes: Sequence[float] | np.ndarray) -> list[int]:
    """Which of many rows a reader sees first: the LONG largest (NaN last), in their own order; else all."""
    rank = np.nan_to_num(np.abs(np.asarray(sizes, float)), nan=-1.0)
    return sorted(np.argsort(-rank, kind="stable")[:LONG].tolist())


def figure(svg: bytes | None, says: str, caption: str, narrow: bool = False) -> str:
    """A picture with what it says for those who cannot see it, and a caption in markup."""
    if svg is None:
        return ""
    data = base64.b64encode(svg).decode("ascii")
    kind = ' class="narrow"' if narrow else ""
    caption = re.sub(r"\$(.+?)\$", lambda found: math(found[1]), caption)
    image = f'<img alt="{text(says)}" src="data:image/svg+xml;base64,{data}">'
    return f"<figure{kind}>{image}<figcaption>{caption}</figcaption></figure>"


def code(words: str) -> str:
    return f"<pre><code>{text(words)}</code></pre>"


def cell(value: Any) -> str:
    return number(value) if isinstance(value, int | float) and not isinstance(value, bool) else text(value)


def number(value: float | str, digits: int = 6) -> str:
    """A number to `digits` figures, with a true minus sign and powers of ten written out."""
    value = float(value)
    if not np.isfinite(value):
        return "not known" if np.isnan(value) else "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < 1e6:
        return str(int(value)).replace("-", "−")
    shown = f"{value:.{digits}g}"
    if "e" not in shown:
        return shown.replace("-", "−")
    mantissa, power = shown.split("e")
    return f"{mantissa.replace('-', '−')} × 10<sup>{str(int(power)).replace('-', '−')}</sup>"

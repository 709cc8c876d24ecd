"""Sphinx settings."""

import re

project = "maxentrl"
author = "The maxentrl authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 2
autodoc_typehints = "none"
autodoc_member_order = "bysource"
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {
    "description": "Reinforcement learning as probabilistic inference",
    "page_width": "1180px",
    "body_max_width": "900px",
    "sidebar_width": "260px",
}
highlight_language = "none"
default_role = "code"
suppress_warnings = ["myst.xref_missing"]

FIELD = re.compile(r"([a-z]\w*(?:, [a-z]\w*)*): (.+)")


def show_plain_text(app, what, name, obj, options, lines):
    """Docstrings are written to be read in the source: formulas indented, the fields of a record one by one.

    A formula becomes a literal block, and the fields of a class become a list of definitions.
    """
    shown, formula = [], False
    for line in lines:
        blank, indented = not line.strip(), line.startswith("    ")
        begins = indented and not formula and shown and not shown[-1].startswith("    ")
        if begins and not _in_section(shown):
            formula = True
            shown += ["", "::", ""]
        elif formula and not blank and not indented:
            formula = False
            shown += [""]
        line = line if formula else line.replace("|", r"\|")
        field = FIELD.fullmatch(line) if what == "class" else None
        shown += [field[1], f"    {field[2]}"] if field else [line]
    lines[:] = shown


def _in_section(lines):
    """Whether the last line that is not indented opens a section, such as Args."""
    last = next((line for line in reversed(lines) if line.strip() and not line.startswith(" ")), "")
    return last in ("Args:", "Returns:", "Raises:")


def setup(app):
    # Before napoleon, which listens with priority 500, has turned sections into fields.
    app.connect("autodoc-process-docstring", show_plain_text, priority=400)

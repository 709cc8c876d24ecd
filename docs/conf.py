"""Sphinx settings."""

project = "maxentrl"
author = "The maxentrl authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath"]
autodoc_typehints = "none"
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {"description": "Reinforcement learning as probabilistic inference"}
suppress_warnings = ["myst.xref_missing"]

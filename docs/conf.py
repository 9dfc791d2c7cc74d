"""Sphinx settings for both trees: `docs/en` and `docs/zh` are built with `-c docs`.

The language comes with `-D language=...`; `docs/build.py` builds both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import backbones

DOCS = Path(__file__).parent

project = "backbones"
author = "The backbones developers"
copyright = "The backbones developers, Apache-2.0"
release = version = backbones.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["**/.ipynb_checkpoints"]
templates_path = ["_templates"]
nitpicky = False

html_theme = "furo"
html_title = "backbones"
html_static_path = ["_static"]
html_css_files = ["backbones.css"]
html_copy_source = False
html_show_sphinx = False
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "language.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
html_theme_options = {"navigation_with_keys": True}

myst_heading_anchors = 3
copybutton_exclude = ".linenos, .gp, .go"

# The cells of both trees are the same, so that the second build finds the first one's outputs.
nb_execution_mode = "cache"
nb_execution_cache_path = str(DOCS / "_build" / "cells")
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_execution_show_tb = True
nb_merge_streams = True

autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_custom_sections = [("Shapes", "params_style"), ("Reference", "notes_style")]


def _other_language(
    app: Any, page: str, _template: str, context: dict[str, Any], _tree: Any
) -> None:
    """The address of the same page in the other tree, for `_templates/language.html`."""
    other, title = ("zh", "中文") if app.config.language == "en" else ("en", "English")
    up = "../" * (page.count("/") + 1)
    context["other_language"] = {"address": f"{up}{other}/{page}.html", "title": title}


def setup(app: Any) -> None:
    """Sphinx calls this."""
    app.connect("html-page-context", _other_language)

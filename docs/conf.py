"""Sphinx configuration. Build the pages with `sphinx-build -W docs docs/_build`."""

import pathlib
import sys

DOCS = pathlib.Path(__file__).parent
sys.path.insert(0, str(DOCS))

import generate  # noqa: E402

import byol_jax  # noqa: E402

project = "byol_jax"
author = "The byol_jax authors"
project_copyright = "The byol_jax authors"
version = release = byol_jax.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
default_role = "code"  # docstrings write `name` for code

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "special-members": "__call__"}
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = "byol_jax"
html_show_sourcelink = False
html_copy_source = False
html_show_sphinx = False

generate.write(DOCS / "reference")


def setup(app):
    """Leaves out the fields of NamedTuples, which the docstring of the class describes."""

    def skip(app, what, name, member, skipped, options):
        return True if type(member).__name__ == "_tuplegetter" else None

    app.connect("autodoc-skip-member", skip)

"""Sphinx configuration: `python -m sphinx -W docs docs/_build/html` builds the site."""

import os
import re

from docutils import nodes

import ckmeans

project = "ckmeans"
author = copyright = "The ckmeans developers"
version = release = ckmeans.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]
default_role = "py:obj"  # `name` is code, and a link where the name is known
if os.environ.get("CKMEANS_DOCS_ONLINE"):  # other projects' names as well: needs the network
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "matplotlib": ("https://matplotlib.org/stable", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
        "dask": ("https://docs.dask.org/en/stable", None),
    }
exclude_patterns = ["_build", "gallery/*.rst", "gallery/*.py", "sg_execution_times.rst"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's sections say more
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
# numpydoc repeats the references of a docstring under the class and its function.
suppress_warnings = ["ref.footnote", "ref.citation", "config.cache"]

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "filename_pattern": r"/\w+\.py$",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "show_memory": False,
    "min_reported_time": 0,
    "backreferences_dir": "auto_gallery/used_by",
    "doc_module": ("ckmeans",),
    "ignore_repr_types": "matplotlib",  # what a line of drawing returns
    "matplotlib_animations": False,
    "remove_config_comments": True,
}

html_theme = "pydata_sphinx_theme"
html_title = "ckmeans"
html_static_path = ["_static"]
html_css_files = ["ckmeans.css"]
html_show_sourcelink = False
html_sidebars = {page: [] for page in ("index", "api", "design")}  # nothing is below them
html_theme_options = {
    "show_prev_next": False,
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 8,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "pygments_light_style": "friendly",
    "pygments_dark_style": "github-dark",
}


def without_empty_lines(app, name, source):
    """doctest wants an empty line before the fence that ends an example; a reader does not."""
    source[0] = re.sub(r"\n\n( *```\n)", r"\n\1", source[0])


def short_citations(app, doctree, name):
    """numpydoc tells [1] of one docstring from that of another, and then shows how."""
    for text in list(doctree.findall(nodes.Text)):
        short = re.sub(r"^\[R[0-9a-f]{11,}-(\d+)\]$", r"[\1]", text)
        if short != text:
            text.parent.replace(text, nodes.Text(short))


def setup(app):
    app.connect("source-read", without_empty_lines)
    app.connect("doctree-resolved", short_citations)

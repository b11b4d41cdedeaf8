"""Settings of the documentation site, which `make docs` builds with Sphinx. Its pages load nothing from the network."""

import sys
from pathlib import Path

import fitlib

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "fitlib"
author = copyright = "The fitlib developers"
release = fitlib.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx_copybutton", "sphinx_design", "docstrings", "pages"]
exclude_patterns = ["_ext"]

# Pages
myst_enable_extensions = ["colon_fence", "attrs_inline"]
myst_heading_anchors = 6  # as on GitHub, so that links to a section work in both places
copybutton_exclude = ".linenos, .gp, .go"

# Notebooks: executed anew by every build
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_execution_timeout = 300
nb_merge_streams = True

# Reference
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings say in words what an argument may be
autodoc_default_options = {"members": True}

# Appearance
html_theme = "furo"
html_title = "fitlib"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
pygments_style, pygments_dark_style = "friendly", "github-dark"

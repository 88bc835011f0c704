"""The site, built by `make site`."""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "docs"), str(ROOT / "python")]

project = "capp"
author = "the capp developers"
project_copyright = author
release = re.search(r"version: '([\d.]+)'", (ROOT / "meson.build").read_text(encoding="utf-8"))[1]

extensions = ["generated", "hawkmoth", "myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_static", "requirements.txt"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
myst_heading_anchors = 3

hawkmoth_clang_c = ["-std=c2x"]  # which has bool without a header

smartquotes = False  # quotation marks of code stay what they are
default_role = "py:obj"  # `name` in a docstring: code, and a link where there is one
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the descriptions say it, and shorter
autodoc_preserve_defaults = True
# What only some modules need, and the site's environment need not have.
autodoc_mock_imports = ["openai", "pandas", "pyarrow", "pyspark", "ray", "scipy", "sklearn", "tqdm"]
napoleon_numpy_docstring, napoleon_google_docstring = True, False
napoleon_custom_sections = ["Returns"]  # text, where napoleon would look for types

html_theme = "furo"
html_title = "capp"
html_static_path = ["_static"]
html_css_files = ["capp.css"]
html_copy_source = False
html_show_copyright = False
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True

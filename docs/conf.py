"""Settings of Sphinx for the web book; `python -m lib.workbook site` writes the pages it reads and calls it."""

import os

project = "Recurrent and generative neural networks"
author = "The workbook's authors"
copyright = f"{author}; text and pictures CC BY 4.0, code MIT"
extensions = ["myst_nb"]
exclude_patterns = ["jupyter_execute"]

nb_execution_mode = "off"  # the committed outputs are shown
nb_render_markdown_format = "myst"
nb_merge_streams = True
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"
myst_enable_extensions = ["amsmath", "dollarmath"]
myst_dmath_double_inline = True
myst_heading_anchors = 6
myst_heading_slug_func = "lib.workbook.website.heading_name"
suppress_warnings = ["mystnb.unknown_mime_type"]

html_theme = "sphinx_book_theme"
html_title = "Recurrent and generative networks"
html_static_path = ["_static"]
html_extra_path = ["extra"]
html_css_files = ["workbook.css"]
html_copy_source = False
html_show_sphinx = False
mathjax_path = "mathjax/tex-chtml.js"  # lib.workbook.website puts MathJax there, so that no formula asks the network
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system
html_theme_options = {"use_download_button": False, "show_toc_level": 2, "navbar_persistent": []}
if repository := os.environ.get("WORKBOOK_REPOSITORY"):
    html_theme_options |= {"repository_url": repository, "use_repository_button": True}

"""How the documentation site is built: `make docs`.

The pages are the Markdown files of `docs`, which are read on GitHub too, so a link in them is
relative to the file. Nothing is fetched, neither by the build nor by a reader's browser.
"""

import os
import shutil
import sys
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.domains.python import PyObject
from sphinx.environment import BuildEnvironment
from sphinx.roles import XRefRole
from sphinx.transforms import SphinxTransform
from sphinx.util.osutil import relative_uri

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT), str(HERE)]
os.environ["PYTHONPATH"] = str(ROOT)  # for the notebooks' kernels, and the commands in them
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pellucid  # noqa: E402

project = "Pellucid"
version = release = pellucid.__version__
root_doc = "index"
exclude_patterns = ["site"]
extensions = [
    "generated",
    "mathml",
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]

# Markdown
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
html_math_renderer = "mathml"

# Notebooks: Python files in jupytext's percent format
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = "off" if os.environ.get("DOCS_EXECUTE") == "0" else "cache"
nb_execution_cache_path = str(ROOT / "build" / "notebooks")
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_execution_timeout = 1800  # seconds for one cell
nb_merge_streams = True
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # would be fetched

# Docstrings
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
default_role = "py:name"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
nitpicky = True
nitpick_ignore_regex = [
    ("py:name", ".*"),
    ("py:class", "Figure"),
    ("py:.*", r"(keras|matplotlib|np|numpy|pd|pandas|collections|pathlib|typing)\..*"),
]

# Appearance
html_theme = "furo"
html_title = "Pellucid"
html_copy_source = False
html_show_copyright = False
highlight_language = "none"
smartquotes_action = "D"  # dashes alone: x' is not a quotation
html_static_path = ["static"]
html_css_files = ["site.css"]
templates_path = ["templates"]
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/board.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0a5aa0", "color-brand-content": "#0a5aa0"},
    "dark_css_variables": {"color-brand-primary": "#74b6f3", "color-brand-content": "#74b6f3"},
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

BOARD = "leaderboard/index.html"
ELSEWHERE = {
    ROOT / "README.md": "index.html",
    ROOT / "CONTRIBUTING.md": "contributing.html",
    ROOT / "leaderboard" / "LEADERBOARD.md": BOARD,
    ROOT / "leaderboard" / "index.html": BOARD,
}
"""Pages of the site that stand for files outside `docs`; of other such files it has a copy."""

BOARD_LINKS = {
    'href="../docs/submitting.md"': 'href="../submitting.html"',
    'href="../README.md">The code': 'href="../index.html">The documentation',
}
"""Of the board's page, the links to files that the site shows as pages."""

for field in PyObject.doc_field_types:
    if field.name == "variable":
        field.label = "Attributes"  # as the docstrings say


class LinksOutside(SphinxTransform):
    """Leads links to files outside `docs` to the pages that stand for them, or to copies."""

    default_priority = 500

    def apply(self, **kwargs: object) -> None:
        """Replaces what MyST makes of such links: of a page's suffix or of another."""
        here = self.app.builder.get_target_uri(self.env.docname)
        for link in list(self.document.findall(addnodes.download_reference)):
            path = Path(self.env.relfn2path(link["reftarget"], self.env.docname)[1])
            self._lead(link, path, here)
        for link in list(self.document.findall(addnodes.pending_xref)):
            if link.get("refdomain") == "doc" and Path(link["reftarget"]).is_absolute():
                paths = (Path(link["reftarget"] + end) for end in self.config.source_suffix)
                self._lead(link, next(path for path in paths if path.is_file()), here)

    def _lead(self, link: nodes.Element, path: Path, here: str) -> None:
        new: nodes.Element
        if page := ELSEWHERE.get(path.resolve()):
            new = nodes.reference(refuri=relative_uri(here, page), internal=True)
        else:
            where = os.path.relpath(path, Path(self.env.doc2path(self.env.docname)).parent)
            new = addnodes.download_reference(reftarget=where, refdoc=self.env.docname)
        new += link.children
        link.replace_self(new)


class Name(XRefRole):
    """A name in backticks: a link where the reference has that very name, else code."""

    def process_link(
        self,
        env: BuildEnvironment,
        refnode: nodes.Element,
        has_explicit_title: bool,
        title: str,
        target: str,
    ) -> tuple[str, str]:
        """States where the name stands: a class's own methods come before functions."""
        module, within = (env.ref_context.get(f"py:{kind}") for kind in ("module", "class"))
        refnode["py:module"] = module
        refnode["py:class"] = f"{module}.{within}" if within else None
        return title, target


def without_navigation(app: Sphinx, doctree: nodes.document) -> None:
    """Boards of single runs are pages that others link to, not entries of the navigation."""
    name = app.env.docname
    if name.startswith("results/") and name.endswith("/LEADERBOARD"):
        app.env.metadata[name]["orphan"] = True


def copy_board(app: Sphinx, exception: Exception | None) -> None:
    """The board's own pages, as they are but for the two links back to the documents."""
    if exception:
        return
    source, target = ROOT / "leaderboard", Path(app.outdir) / "leaderboard"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source / "pages", target / "pages")
    shutil.copy(source / "leaderboard.csv", target)
    page = (source / "index.html").read_text(encoding="utf-8")
    for link, instead in BOARD_LINKS.items():
        page = page.replace(link, instead)
    (target / "index.html").write_text(page, encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.add_role_to_domain("py", "name", Name())
    app.add_transform(LinksOutside)
    app.connect("doctree-read", without_navigation)
    app.connect("build-finished", copy_board)

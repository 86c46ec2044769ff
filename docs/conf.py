"""The configuration of Sphinx for `just docs`. A build needs no network."""

from __future__ import annotations

import inspect
import sys
from importlib import metadata
from pathlib import Path

from sphinx.pycode import ModuleAnalyzer

import trio_esdb
import trio_esdb.embedded

HERE = Path(__file__).parent

project = "trio_esdb"
author = copyright = "trio_esdb contributors"
release = metadata.version("trio-esdb")

# Sphinx reads from the root of the project, so relative links lead to the same files as on the repository's page.
root_doc = "docs/index"
include_patterns = ["README.md", "CHANGELOG.md", "docs/**", "benchmarks/RESULTS.md"]
exclude_patterns = ["docs/_build/**"]

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinxcontrib_trio",
    "myst_parser",
]
html_theme = "furo"
html_title = f"trio_esdb {release}"
html_copy_source = False

myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

# A type variable has no page.
nitpick_ignore_regex = [("py:.*", r"trio_esdb\..*\.T")]

# The inventories are short lists in the repository, of the names that our docstrings refer to.
intersphinx_mapping = {
    "python": ("https://docs.python.org/3", str(HERE / "inventories" / "python.txt")),
    "trio": ("https://trio.readthedocs.io/en/stable", str(HERE / "inventories" / "trio.txt")),
}


def find_attribute_docstrings(module: object) -> None:
    """Let autodoc find the docstrings of attributes, which Python does not keep.

    autodoc looks for them in the source of the module that a class names as its own. Public classes name the public
    module, but their source is in private ones.
    """
    public = ModuleAnalyzer.for_module(module.__name__)
    public.analyze()
    classes = {name for name in module.__all__ if inspect.isclass(getattr(module, name))}
    for name in [name for name in sys.modules if name.startswith("trio_esdb._")]:
        private = ModuleAnalyzer.for_module(name)
        private.analyze()
        public.attr_docs.update({key: text for key, text in private.attr_docs.items() if key[0] in classes})
        public.tagorder.update({key: order for key, order in private.tagorder.items() if key.split(".")[0] in classes})


for module in (trio_esdb, trio_esdb.embedded):
    for name in module.__all__:
        if inspect.isclass(getattr(module, name)):
            getattr(module, name).__module__ = module.__name__
    find_attribute_docstrings(module)

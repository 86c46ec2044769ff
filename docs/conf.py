"""The configuration of Sphinx for `just docs`. A build needs no network."""

from __future__ import annotations

import inspect
import sys
import typing
from importlib import metadata
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

import trio_esdb
import trio_esdb.embedded
import trio_esdb.testing

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

# A type variable has no page, and neither has the protocol that an EmbeddedNode fulfils for a network.
nitpick_ignore_regex = [("py:.*", r"trio_esdb\..*\.T"), ("py:class", r"trio_esdb\.testing\._serving\.Node")]

# The inventories are short lists in the repository, of the names that our docstrings refer to.
intersphinx_mapping = {
    "python": ("https://docs.python.org/3", str(HERE / "inventories" / "python.txt")),
    "trio": ("https://trio.readthedocs.io/en/stable", str(HERE / "inventories" / "trio.txt")),
}


def find_attribute_docstrings(module: object) -> None:
    """Let autodoc find the docstrings of attributes, constants and type aliases, which Python does not keep.

    autodoc looks for them in the source of the public module, but they are in the source of private ones.
    """
    public = ModuleAnalyzer.for_module(module.__name__)
    public.analyze()
    for name in [name for name in sys.modules if name.startswith("trio_esdb.") and "._" in name]:
        private = ModuleAnalyzer.for_module(name)
        private.analyze()
        found = {
            public_name
            for public_name in module.__all__
            if getattr(sys.modules[name], public_name, None) is getattr(module, public_name)
        }
        for (owner, attribute), text in private.attr_docs.items():
            if (owner or attribute) in found:
                public.attr_docs[owner, attribute] = text
        for attribute, order in private.tagorder.items():
            if attribute.partition(".")[0] in found:
                public.tagorder[attribute] = order


def resolve_annotations(module: object) -> None:
    """Make objects of the annotations of constructors, which autodoc would show as they are written."""
    for value in (getattr(module, name) for name in module.__all__):
        constructor = getattr(value, "__init__", None)
        if inspect.isclass(value) and inspect.isfunction(constructor):
            constructor.__annotations__ = typing.get_type_hints(constructor)


for module in (trio_esdb, trio_esdb.embedded, trio_esdb.testing):
    find_attribute_docstrings(module)
    resolve_annotations(module)


def setup(app: Sphinx) -> None:
    """Keep the docstrings of attributes as they are.

    napoleon takes the words before a colon in their first line for a type.
    """
    kept: dict[str, list[str]] = {}

    def keep(_app: Sphinx, what: str, name: str, _value: object, _options: object, lines: list[str]) -> None:
        if what in ("attribute", "data", "property"):
            kept[name] = list(lines)

    def restore(_app: Sphinx, _what: str, name: str, _value: object, _options: object, lines: list[str]) -> None:
        lines[:] = kept.pop(name, lines)

    app.connect("autodoc-process-docstring", keep, priority=1)
    app.connect("autodoc-process-docstring", restore, priority=999)

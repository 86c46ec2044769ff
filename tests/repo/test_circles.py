"""No file imports another that imports it, not even by way of others or for type checkers alone."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import grimp
import pytest


@pytest.mark.parametrize("package", ["trio_esdb", "trio_esdb_proto"])
def test_no_file_imports_itself_by_way_of_others(package: str) -> None:
    graph = grimp.build_graph(package, exclude_type_checking_imports=False, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as exc:
        pytest.fail(" imports ".join(exc.args[1][::-1]))

"""Every setting has a name that an editor completes and a type that pyright checks. Oracle: the syntax tree."""

from __future__ import annotations

import ast

from semcon.core.registry import PACKAGE


def test_no_function_takes_settings_without_names() -> None:
    loose = [
        f"{path.name}: {node.name}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.args.kwarg is not None
    ]
    assert loose == []

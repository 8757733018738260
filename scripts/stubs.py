"""Write the `__init__.pyi` of every open folder, so that its lazily loaded classes complete in an editor.

`python scripts/stubs.py` writes them; `--check` only says which are out of date (exit code 1).
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from semcon.core.registry import KINDS, PACKAGE, class_name


def stub(folder: Path) -> str:
    """The stub of one folder: a re-export of the class of each file. Errors: a file without its class."""
    lines = ["# Written by scripts/stubs.py from the files of this folder."]
    for path in sorted(folder.glob("*.py")):
        if path.stem.startswith("_"):
            continue
        name = class_name(path.stem)
        defined = {node.name for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.ClassDef)}
        if name not in defined:
            raise SystemExit(f"{path} must define the class {name}: a component is named after its file")
        lines.append(f"from semcon.{folder.name}.{path.stem} import {name} as {name}")
    return "\n".join(lines) + "\n"


def outdated() -> dict[Path, str]:
    """The stubs that differ from what the folders hold, with what they should say."""
    wanted = {PACKAGE / kind / "__init__.pyi": stub(PACKAGE / kind) for kind in KINDS}
    return {path: text for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text}


def main() -> int:
    """Write, or with `--check` list, the outdated stubs."""
    stale = outdated()
    for path, text in stale.items():
        if "--check" in sys.argv:
            print(f"out of date: {path}; run python scripts/stubs.py", file=sys.stderr)
        else:
            path.write_text(text, "utf-8")
            print(f"wrote {path}")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    raise SystemExit(main())

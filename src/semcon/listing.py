"""What `semcon list` says about the open folders."""

from __future__ import annotations

import inspect

from semcon.core.registry import KINDS, available, load


def text(kind: str | None) -> str:
    """All kinds with their members' names, or one kind's members with a line each."""
    if kind is None:
        return "\n".join(f"{each:<16} {', '.join(_typed(each, name) for name in available(each))}" for each in KINDS)
    kind = f"{kind}s" if f"{kind}s" in KINDS else kind
    names = available(kind)
    width = max(len(name) for name in names) + 2
    lines: list[str] = []
    for name in names:
        component = load(kind, name)
        line = f"{_typed(kind, name):<{width}}{(inspect.getdoc(component) or '').splitlines()[0]}"
        if kind == "perturbations":
            ladder = " ".join(f"{severity:g}" for severity in component.ladder)
            line += f"\n{'':<{width}}{component.family}; {component.unit}; ladder {ladder}"
        lines.append(line)
    return "\n".join(lines)


def _typed(kind: str, name: str) -> str:
    """A name as users write it: of a check the code of its finding."""
    return name.replace("_", "-") if kind == "checks" else name

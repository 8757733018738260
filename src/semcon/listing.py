"""What `semcon list` says about the open folders."""

from __future__ import annotations

import inspect

from semcon.core.registry import KINDS, available, load


def text(kind: str | None) -> str:
    """All kinds with their members' names, or one kind's members with a line each."""
    if kind is None:
        return "\n".join(f"{each:<16} {', '.join(available(each))}" for each in KINDS)
    kind = kind if kind in KINDS else f"{kind}s"
    names = available(kind)
    width = max(len(name) for name in names) + 2
    lines: list[str] = []
    for name in names:
        component = load(kind, name)
        line = f"{name:<{width}}{(inspect.getdoc(component) or '').splitlines()[0]}"
        if kind == "perturbations":
            ladder = " ".join(f"{severity:g}" for severity in component.ladder)
            line += f"\n{'':<{width}}{component.family}; {component.unit}; ladder {ladder}"
        lines.append(line)
    return "\n".join(lines)

"""One file each; classes load lazily: `from semcon.objectives import ...`."""

from semcon.core.registry import lazy_members

__getattr__, __dir__ = lazy_members("objectives")

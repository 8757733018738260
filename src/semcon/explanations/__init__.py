"""One file each; classes load lazily: `from semcon.explanations import ...`."""

from semcon.core.registry import lazy_members

__getattr__, __dir__ = lazy_members("explanations")

"""Measure how semantically continuous an image classifier is.

`semcon.audit(model, data, ...)` returns a `RunRecord`; `semcon.RunRecord.load(folder)` reads one. Importing this
package loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semcon.recipes.audit import audit
    from semcon.run_record import RunRecord

__version__ = "0.1.0"
__all__ = ["RunRecord", "__version__", "audit"]


def __getattr__(name: str) -> Any:
    if name == "audit":
        from semcon.recipes.audit import audit

        return audit
    if name == "RunRecord":
        from semcon.run_record import RunRecord

        return RunRecord
    raise AttributeError(f"module 'semcon' has no attribute {name!r}")

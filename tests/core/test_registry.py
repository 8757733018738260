"""Names and classes of components."""

from __future__ import annotations

import pytest

from semcon.core.registry import KINDS, available, file_name, load


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_leads_back_to_its_name(kind):
    """Oracle: the names of the files."""
    assert [file_name(load(kind, name)) for name in available(kind)] == available(kind)

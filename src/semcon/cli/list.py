"""`semcon list`."""

from __future__ import annotations

from semcon.cli import output


def list_(kind: str | None = None, /) -> int:
    """What there is: perturbations, distances, representations, datasets, models, checks, evaluations.

    Parameters
    ----------
    kind: str
        One kind, with what each of its members is.
    """
    from semcon import listing

    with output.data():
        print(listing.text(kind))
    return 0

"""Perturb, look, compare: what is measured, how images are looked at, rows."""

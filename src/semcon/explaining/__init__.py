"""Explanations looked at: how alike two maps are, how faithful a map is, where it looks."""

"""User text to objects: the only place that parses flags, names and recipe files."""

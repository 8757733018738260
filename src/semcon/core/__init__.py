"""Concepts, rows and statistics: no images, no command line, and torch only where a type needs it."""

"""Measure how semantically continuous an image classifier is."""

__version__ = "0.1.0"

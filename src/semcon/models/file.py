"""File: the user's own Python file with a function that builds the network."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from semcon.built import Built
from semcon.weights import load_weights
from semcon.core.errors import SemconError, UnknownNameError


@dataclass(frozen=True)
class File:
    """`builder` in the file at `path`, called without arguments, gives the network; `weights` are loaded into it."""

    path: str
    builder: str
    weights: str | None = None

    def build(self) -> Built:
        """Run the file and call the builder. Errors: `SemconError` saying which of the two failed, and how."""
        builder = self._builder()
        try:
            network = builder()
        except Exception as error:
            raise SemconError(f"{self.builder}() in {self.path} failed: {type(error).__name__}: {error}") from error
        if not isinstance(network, nn.Module):
            kind = type(network).__name__
            raise SemconError(f"{self.builder}() in {self.path} must give an nn.Module, gave {kind}")
        if self.weights is not None:
            load_weights(network, self.weights)
        return Built(network.eval(), self.builder, f"file:{self.path}:{self.builder}", weights=self.weights)

    def _builder(self) -> Callable[[], Any]:
        path = Path(self.path)
        if not path.is_file():
            raise SemconError(f"no such model file: {path}")
        name = f"semcon_user_{hashlib.blake2b(str(path.resolve()).encode(), digest_size=6).hexdigest()}"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise SemconError(f"{path} is not a Python file: expected file:PATH.py:BUILDER")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        sys.path.insert(0, str(path.resolve().parent))
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise SemconError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
        finally:
            sys.path.remove(str(path.resolve().parent))
        builder = getattr(module, self.builder, None)
        if not callable(builder):
            own = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
            raise UnknownNameError(f"builder in {path.name}", self.builder, own)
        return builder

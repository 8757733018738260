"""Weights: from a file into a network, and back into a file of the same form."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from semcon.core.errors import SemconError
from semcon.core.files import write_whole

NESTED = ("state_dict", "model", "net")
PREFIXES = ("module.", "model.", "_orig_mod.")


def load_weights(network: nn.Module, path: str) -> None:
    """Load a .safetensors file, or a pickle of tensors only, strictly; "none" keeps the random weights.

    Accepts a state dict nested under "state_dict", "model" or "net", and prefixes on all keys ("module.", "model.").
    Errors: `SemconError` naming the keys that do not fit.
    """
    if path == "none":
        return
    own = network.state_dict()
    state = {_plain(key, set(own)): value for key, value in _innermost(_read(Path(path)), path).items()}
    counters = {key for key in own if key.endswith("num_batches_tracked")}  # older files lack them; eval ignores them
    missing, unexpected = sorted(set(own) - set(state) - counters), sorted(set(state) - set(own))
    shapes = [
        f"{key} is {tuple(state[key].shape)}, the model's {tuple(own[key].shape)}"
        for key in sorted(set(own) & set(state))
        if state[key].shape != own[key].shape
    ]
    problems = [
        f"{len(keys)} {what} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
        for keys, what in ((missing, "missing"), (unexpected, "unexpected"), (shapes, "of another shape"))
        if keys
    ]
    if problems:
        raise SemconError(f"the weights in {path} do not fit the model: keys {'; '.join(problems)}")
    network.load_state_dict(own | state)


def save_like(network: nn.Module, original: Path, target: Path) -> None:
    """The network's weights in the form of the file they came in: the same keys, dtypes, nesting and other entries.

    Errors: `SemconError` where the file cannot be written.
    """
    own = network.state_dict()
    content = _read(original)
    if original.suffix == ".safetensors":
        from safetensors import safe_open
        from safetensors.torch import save

        with safe_open(original, "pt") as file:
            metadata = file.metadata()
        write_whole(target, save(_refilled(content, own), metadata=metadata))
        return
    buffer = io.BytesIO()
    torch.save(_renested(content, own), buffer)
    write_whole(target, buffer.getbuffer())


def plain_state(network: nn.Module) -> dict[str, Tensor]:
    """The state dict as safetensors wants it: contiguous tensors that share no memory, on the CPU."""
    return {name: value.detach().cpu().clone().contiguous() for name, value in network.state_dict().items()}


def _refilled(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The file's own mapping with the network's values: its keys in their order, its dtypes, its versions of layers."""
    filled: Any = copy.copy(state)
    for key, old in state.items():
        value = own[_plain(key, set(own))].detach()
        new = value.to("cpu", old.dtype, copy=True).contiguous()
        if new.is_floating_point() and bool((new.isinf() & ~value.cpu().isinf()).any()):
            raise SemconError(f"{key} holds numbers too large for {str(old.dtype).removeprefix('torch.')}, its dtype")
        filled[key] = new
    return filled


def _renested(content: Any, own: Mapping[str, Tensor]) -> Any:
    key = _nested(content)
    if key is None:
        return _refilled(content, own)
    return {**content, key: _renested(content[key], own)}


def _nested(content: Any) -> str | None:
    """Under which key the state dict lies; None where this is it."""
    if not isinstance(content, Mapping):
        return None
    return next((key for key in NESTED if isinstance(content.get(key), Mapping)), None)


def _innermost(content: Any, path: str) -> dict[str, Tensor]:
    while (key := _nested(content)) is not None:
        content = content[key]
    if not isinstance(content, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        raise SemconError(f"{path} holds no state dict (names to tensors), but {type(content).__name__}")
    return dict(content)


def _read(path: Path) -> Any:
    """What a file holds, tensors and plain containers only."""
    if not path.is_file():
        raise SemconError(f"no such weights file: {path}")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise SemconError(f"{path} is not a readable safetensors file: {error}") from None
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if start != b"PK\x03\x04" and start[:1] != b"\x80":
            raise ValueError("it is no file that torch.save wrote")
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise SemconError(
            f"{path} holds more than tensors, and semcon does not run code from weight files: save "
            "model.state_dict() with torch.save, or better with safetensors.torch.save_file"
        ) from None
    except Exception as error:  # torch.load fails in many ways on what is cut short or no pickle
        raise SemconError(f"cannot read the weights in {path}: {error}") from None


def _plain(key: str, own: set[str]) -> str:
    """A key without the prefixes that wrappers put before it, unless it is the network's own."""
    while key not in own and (prefix := next((p for p in PREFIXES if key.startswith(p)), None)):
        key = key.removeprefix(prefix)
    return key

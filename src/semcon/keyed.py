"""Counter-based random numbers: a hash of (seed, scope, parameter, draw, sample id, element), no hidden state.

Every sample has its own numbers whatever the batch size, order, device or number of processes. Integers and uniforms
agree bit for bit everywhere; normals to a few units in the last place. The arithmetic is 32-bit and wraps, which numpy
does for uint32 and every torch backend for int32; a right shift is arithmetic there, so it is masked. Keys of samples,
and fields of a few numbers each, are made by numpy on the CPU wherever they are wanted: a hundred operations on some
hundred numbers cost a device far more in launches than in work. Larger fields are made on the device.
Source: the finaliser is the two-round multiply-xorshift family ("lowbias32"), keyed twice per element.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_MASK = 0xFFFFFFFF
_FEW = 16  # numbers a sample that are made on the CPU
_BLOCK = 1 << 18  # numbers worked on at once on a CPU: two int32 copies stay in a core's second-level cache
_Finish = Callable[[Tensor, Tensor], object]  # (bits, out): fills out; bits may be overwritten
_Words = NDArray[np.uint32]


def _signed(value: int) -> int:
    """An unsigned 32-bit number as the int32 with the same bits."""
    value &= _MASK
    return value - (1 << 32) if value >= 1 << 31 else value


_FACTORS = 0x7FEB352D, 0x846CA68B
_FIRST, _SECOND = map(_signed, _FACTORS)


def _hashed(h: _Words) -> _Words:
    """The 32-bit finaliser, in place."""
    h ^= h >> 16
    h *= _FACTORS[0]
    h ^= h >> 15
    h *= _FACTORS[1]
    h ^= h >> 16
    return h


def _mix(h: Tensor, spare: Tensor | None = None) -> Tensor:
    """The same on an int32 tensor; `spare` of the same shape is overwritten."""
    return _mixed_on(_folded(h, 16, spare), spare)


def _mixed_on(h: Tensor, spare: Tensor | None = None) -> Tensor:
    """The finaliser after its first fold."""
    h *= _FIRST
    h = _folded(h, 15, spare)
    h *= _SECOND
    return _folded(h, 16, spare)


def _folded(h: Tensor, shift: int, spare: Tensor | None = None) -> Tensor:
    """h ^ h >> shift, in place. Of a ^ b it is that of a, ^ that of b."""
    moved = torch.bitwise_right_shift(h, shift, out=spare)
    h ^= moved.bitwise_and_((1 << (32 - shift)) - 1)
    return h


def _blocks(samples: int, count: int, device: torch.device) -> Iterator[tuple[slice, slice]]:
    """Rows and elements of one block after the other: all at once, but on a CPU what fits its cache."""
    most = _BLOCK if device.type == "cpu" else samples * count
    width = max(1, min(count, most))
    height = max(1, most // width)
    for row in range(0, samples, height):
        for element in range(0, count, width):
            yield slice(row, row + height), slice(element, element + width)


def _to_uniform(h: Tensor, out: Tensor) -> None:
    out.copy_(h.bitwise_right_shift_(8).bitwise_and_(0xFFFFFF)).add_(0.5).mul_(2.0**-24).clamp_(max=1 - 2.0**-24)


def _to_signed(h: Tensor, out: Tensor) -> None:
    _to_uniform(h, out)
    out.mul_(2).sub_(1)


def _to_normal(h: Tensor, out: Tensor) -> None:
    out.copy_(h.bitwise_right_shift_(8).bitwise_and_(0xFFFFFF)).sub_(2.0**23 - 0.5).mul_(2.0**-23)
    out.erfinv_().mul_(math.sqrt(2))


@dataclass(frozen=True)
class Keys:
    """The identity of a batch of random draws.

    `ids`: (B,) int64 sample ids. `draw`: an int, or (B,) int64 when samples are at different visits. Both may come from
    any device and are kept on the CPU. `scope`: who draws, a perturbation's name. `device`: where the numbers are
    wanted, that of the given ids by default. Two calls with equal fields give equal numbers; changing any field but the
    device gives new ones.
    """

    ids: Tensor
    seed: int = 0
    draw: int | Tensor = 0
    scope: str = ""
    device: torch.device | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "device", self.device or self.ids.device)
        object.__setattr__(self, "ids", self.ids.cpu())
        if isinstance(self.draw, Tensor):
            object.__setattr__(self, "draw", self.draw.cpu())

    def within(self, part: str) -> Keys:
        """The keys of a named part: `color_jitter` -> `color_jitter.hue`."""
        return replace(self, scope=f"{self.scope}.{part}" if self.scope else part)

    def of(self, rows: Tensor) -> Keys:
        """The keys of some of the samples, by index (M,)."""
        rows = rows.cpu()
        draw = self.draw[rows] if isinstance(self.draw, Tensor) else self.draw
        return replace(self, ids=self.ids[rows], draw=draw)

    def here(self) -> Keys:
        """The same numbers on the CPU, for what is decided there: no device is waited for."""
        return replace(self, device=torch.device("cpu"))

    def bits(self, parameter: str, shape: tuple[int, ...] = ()) -> Tensor:
        """Uniform int32 bit patterns, (B, *shape)."""
        return self._draw(parameter, shape, torch.int32, lambda h, out: out.copy_(h))

    def uniform(self, parameter: str, shape: tuple[int, ...] = ()) -> Tensor:
        """Uniform float32 in (0, 1): 24 bits, never 0 or 1. Shape (B, *shape)."""
        return self._draw(parameter, shape, torch.float32, _to_uniform)

    def signed(self, parameter: str, shape: tuple[int, ...] = ()) -> Tensor:
        """Uniform float32 in (-1, 1). Shape (B, *shape)."""
        return self._draw(parameter, shape, torch.float32, _to_signed)

    def normal(self, parameter: str, shape: tuple[int, ...] = ()) -> Tensor:
        """Standard normal float32 by inverse CDF, within 5.5 sigma. Shape (B, *shape)."""
        return self._draw(parameter, shape, torch.float32, _to_normal)

    def _draw(self, parameter: str, shape: tuple[int, ...], dtype: torch.dtype, finish: _Finish) -> Tensor:
        """Bit patterns turned into numbers by `finish`."""
        samples, count = len(self.ids), math.prod(shape)
        make = self._drawn_here if count <= _FEW else self._drawn_there
        return make(self._sample_keys(parameter), (samples, count), dtype, finish).view(samples, *shape)

    def _drawn_here(
        self, keys: tuple[_Words, _Words], size: tuple[int, int], dtype: torch.dtype, finish: _Finish
    ) -> Tensor:
        element = np.arange(size[1], dtype=np.uint32)
        bits = _hashed(_hashed(element ^ keys[0][:, None]) + keys[1][:, None])
        drawn = torch.empty(size, dtype=dtype, device="cpu")
        finish(torch.from_numpy(bits.view(np.int32)), drawn)
        return _sent(drawn, self.device)

    def _drawn_there(
        self, keys: tuple[_Words, _Words], size: tuple[int, int], dtype: torch.dtype, finish: _Finish
    ) -> Tensor:
        """On the device, block by block."""
        first, second = _sent(torch.from_numpy(np.stack(keys).view(np.int32)), self.device)
        device = first.device
        element = _folded(torch.arange(size[1], dtype=torch.int32, device=device), 16)
        first = _folded(first, 16)
        drawn = torch.empty(size, dtype=dtype, device=device)
        work: tuple[Tensor, Tensor] | None = None
        for rows, elements in _blocks(*size, device):
            out = drawn[rows, elements]
            if work is None or work[0].shape != out.shape:
                work = (
                    torch.empty(out.shape, dtype=torch.int32, device=device),
                    torch.empty(out.shape, dtype=torch.int32, device=device),
                )
            h, spare = work
            _mixed_on(torch.bitwise_xor(element[elements], first[rows, None], out=h), spare)
            h += second[rows, None]
            finish(_mix(h, spare), out)
        return drawn

    def _sample_keys(self, parameter: str) -> tuple[_Words, _Words]:
        """Two 32-bit keys per sample from everything but the element."""
        text = f"{self.seed}\x1f{self.scope}\x1f{parameter}".encode()
        salt = int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "little")
        a, b = np.array([salt >> (32 * i) & _MASK for i in range(4)], dtype=np.uint32).reshape(2, 2, 1).swapaxes(0, 1)
        low, high = _halves(self.ids)
        draw = self.draw if isinstance(self.draw, Tensor) else torch.tensor([self.draw], device="cpu")
        draw_low, draw_high = _halves(draw)
        h = _hashed(low ^ a)
        h = _hashed(h + (high + b))
        h = _hashed((h ^ draw_low) + (a ^ b))
        first, second = _hashed(h + draw_high)
        return first, second


def _sent(numbers: Tensor, device: torch.device | None) -> Tensor:
    """On the device. CUDA takes a copy of what lies in ordinary memory, so nothing need be waited for there."""
    return numbers.to(device, non_blocking=device is not None and device.type == "cuda")


def _halves(numbers: Tensor) -> tuple[_Words, _Words]:
    """The lower and upper 32 bits of int64 numbers."""
    whole = numbers.numpy().astype(np.uint64)
    return (whole & _MASK).astype(np.uint32), (whole >> 32).astype(np.uint32)


def sample_id(content: bytes) -> int:
    """A 63-bit id from an image's encoded bytes (or an array's pixels), so that order and names do not matter."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little") >> 1

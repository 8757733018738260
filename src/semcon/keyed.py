"""Counter-based random numbers: a hash of (seed, scope, parameter, draw, sample id, element), no hidden state.

Every sample has its own numbers whatever the batch size, order, device or number of processes. Integers and uniforms
agree bit for bit everywhere; normals to a few units in the last place. The arithmetic is 32-bit and wraps, which
every torch backend does alike for int32; a right shift is arithmetic there, so it is masked.
Source: the finaliser is the two-round multiply-xorshift family ("lowbias32"), keyed twice per element.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF
_BLOCK = 1 << 18  # numbers worked on at once on a CPU: two int32 copies stay in a core's second-level cache
_Finish = Callable[[Tensor, Tensor], object]  # (bits, out): fills out; bits may be overwritten


def _signed(value: int) -> int:
    """An unsigned 32-bit number as the int32 with the same bits."""
    value &= _MASK
    return value - (1 << 32) if value >= 1 << 31 else value


_FIRST, _SECOND = _signed(0x7FEB352D), _signed(0x846CA68B)


def _mix(h: Tensor, spare: Tensor | None = None) -> Tensor:
    """The 32-bit finaliser, in place on an int32 tensor; `spare` of the same shape is overwritten."""
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

    `ids`: (B,) int64 sample ids. `draw`: an int, or (B,) int64 when samples are at different visits. `scope`: who
    draws, a perturbation's name. Two calls with equal fields give equal numbers; changing any field gives new ones.
    """

    ids: Tensor
    seed: int = 0
    draw: int | Tensor = 0
    scope: str = ""

    def within(self, part: str) -> Keys:
        """The keys of a named part: `color_jitter` -> `color_jitter.hue`."""
        return replace(self, scope=f"{self.scope}.{part}" if self.scope else part)

    def of(self, rows: Tensor) -> Keys:
        """The keys of some of the samples, by index (M,)."""
        draw = self.draw[rows] if isinstance(self.draw, Tensor) else self.draw
        return replace(self, ids=self.ids[rows], draw=draw)

    def bits(self, parameter: str, shape: tuple[int, ...] = ()) -> Tensor:
        """Uniform int32 bit patterns, (B, *shape), on the device of `ids`."""
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
        """Bit patterns turned into numbers by `finish`, block by block."""
        first, second = self._sample_keys(parameter)
        samples, count, device = len(self.ids), math.prod(shape), self.ids.device
        element = _folded(torch.arange(count, dtype=torch.int32, device=device), 16)
        first = _folded(first, 16)
        drawn = torch.empty((samples, count), dtype=dtype, device=device)
        work: tuple[Tensor, Tensor] | None = None
        for rows, elements in _blocks(samples, count, device):
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
        return drawn.view(samples, *shape)

    def _sample_keys(self, parameter: str) -> tuple[Tensor, Tensor]:
        """Two int32 keys per sample from everything but the element."""
        text = f"{self.seed}\x1f{self.scope}\x1f{parameter}".encode()
        salt = int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "little")
        words = [_signed(salt >> (32 * i)) for i in range(4)]
        a, b = torch.tensor(words, dtype=torch.int32, device=self.ids.device).view(2, 2, 1).unbind(1)
        draw = self.draw if isinstance(self.draw, Tensor) else torch.full_like(self.ids, self.draw)
        h = _mix(self.ids.to(torch.int32) ^ a)
        h = _mix(h + (self.ids >> 32).to(torch.int32) + b)
        h = _mix((h ^ draw.to(torch.int32)) + (a ^ b))
        first, second = _mix(h + (draw >> 32).to(torch.int32))
        return first, second


def sample_id(content: bytes) -> int:
    """A 63-bit id from an image's encoded bytes (or an array's pixels), so that order and names do not matter."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little") >> 1

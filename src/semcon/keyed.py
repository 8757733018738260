"""Counter-based random numbers: a hash of (seed, scope, parameter, draw, sample id, element), no hidden state.

Every sample has its own numbers whatever the batch size, order, device or number of processes. Integers and uniforms
agree bit for bit everywhere; normals to a few units in the last place. The arithmetic is 32-bit and wraps, which
every torch backend does alike for int32; a right shift is arithmetic there, so it is masked.
Source: the finaliser is the two-round multiply-xorshift family ("lowbias32"), keyed twice per element.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF


def _signed(value: int) -> int:
    """An unsigned 32-bit number as the int32 with the same bits."""
    value &= _MASK
    return value - (1 << 32) if value >= 1 << 31 else value


_FIRST, _SECOND = _signed(0x7FEB352D), _signed(0x846CA68B)


def _mix(h: Tensor) -> Tensor:
    """The 32-bit finaliser, in place on an int32 tensor."""
    h ^= (h >> 16) & 0xFFFF
    h *= _FIRST
    h ^= (h >> 15) & 0x1FFFF
    h *= _SECOND
    h ^= (h >> 16) & 0xFFFF
    return h


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

    def bits(self, parameter: str, shape: tuple[int, ...] = ()) -> Tensor:
        """Uniform int32 bit patterns, (B, *shape), on the device of `ids`."""
        first, second = self._sample_keys(parameter)
        count = math.prod(shape)
        element = torch.arange(count, dtype=torch.int32, device=self.ids.device)
        h = element ^ first[:, None]
        h = _mix(h)
        h += second[:, None]
        return _mix(h).view(-1, *shape)

    def uniform(self, parameter: str, shape: tuple[int, ...] = ()) -> Tensor:
        """Uniform float32 in (0, 1): 24 bits, never 0 or 1. Shape (B, *shape)."""
        field = (self.bits(parameter, shape) >> 8) & 0xFFFFFF
        return field.to(torch.float32).add_(0.5).mul_(2.0**-24).clamp_(max=1 - 2.0**-24)

    def signed(self, parameter: str, shape: tuple[int, ...] = ()) -> Tensor:
        """Uniform float32 in (-1, 1). Shape (B, *shape)."""
        return self.uniform(parameter, shape).mul_(2).sub_(1)

    def normal(self, parameter: str, shape: tuple[int, ...] = ()) -> Tensor:
        """Standard normal float32 by inverse CDF, within 5.5 sigma. Shape (B, *shape)."""
        field = (self.bits(parameter, shape) >> 8) & 0xFFFFFF
        centred = field.to(torch.float32).sub_(2.0**23 - 0.5).mul_(2.0**-23)
        return centred.erfinv_().mul_(math.sqrt(2))

    def _sample_keys(self, parameter: str) -> tuple[Tensor, Tensor]:
        """Two int32 keys per sample from everything but the element."""
        text = f"{self.seed}\x1f{self.scope}\x1f{parameter}".encode()
        salt = int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "little")
        words = [(salt >> (32 * i)) & _MASK for i in range(4)]
        low, high = self.ids.to(torch.int32), (self.ids >> 32).to(torch.int32)
        draw = self.draw if isinstance(self.draw, Tensor) else torch.full_like(self.ids, self.draw)
        draw_low, draw_high = draw.to(torch.int32), (draw >> 32).to(torch.int32)
        keys = []
        for a, b in ((words[0], words[1]), (words[2], words[3])):
            h = _mix(low ^ _signed(a))
            h = _mix(h + high + _signed(b))
            h = _mix((h ^ draw_low) + _signed(a ^ b))
            keys.append(_mix(h + draw_high))
        return keys[0], keys[1]


def sample_id(content: bytes) -> int:
    """A 63-bit id from an image's encoded bytes (or an array's pixels), so that order and names do not matter."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little") >> 1

"""How numbers are written: three significant digits, an interval with the digits of its value."""

from __future__ import annotations

import math

DASH = "–"


def decimals(*values: float | None) -> int:
    """Digits after the point that show the largest of these with three significant digits; at most 4."""
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    if largest == 0:
        return 0
    return min(4, max(0, 2 - math.floor(math.log10(largest))))


def number(value: float | None, places: int | None = None) -> str:
    """`0.483`, `12.3`, `0`; a dash for what is not known. Tiny values keep their exponent."""
    if value is None:
        return DASH
    if value == 0:
        return "0"
    if abs(value) < 5e-5 and places is None:
        return f"{value:.0e}"
    text = f"{value:.{decimals(value) if places is None else places}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def interval(low: float | None, high: float | None, mean: float | None = None) -> str:
    """`[0.462, 0.505]`, as many digits as the value beside it; empty where there is none."""
    if low is None or high is None:
        return ""
    places = decimals(mean, high if not mean else None)
    return f"[{number(low, places)}, {number(high, places)}]"


def with_interval(mean: float | None, low: float | None, high: float | None) -> str:
    """`0.483 [0.462, 0.505]`; the value alone where no interval is known."""
    return f"{number(mean)} {interval(low, high, mean)}".rstrip()


def plain(value: float) -> str:
    """A setting as it was given: `0.05`, `8`, `224`."""
    return f"{value:.10g}"


def percent(share: float | None) -> str:
    """`12 %`; a dash for what is not known."""
    if share is None:
        return DASH
    return f"{100 * share:.0f} %" if share == 0 or share >= 0.01 else "< 1 %"


def words(name: str) -> str:
    """`gaussian_noise` as people write it: `gaussian noise`."""
    return name.replace("_", " ")


def duration(seconds: float) -> str:
    """`42 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def short(text: str, length: int = 48) -> str:
    """A long name with its middle left out; its beginning and its end tell most."""
    if len(text) <= length:
        return text
    head = (length - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"


def sentence(text: str) -> str:
    """A message with a capital letter at its beginning and a stop at its end."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?", ":")) or not text else ".")


def counted(number: int, what: str) -> str:
    """`1 image`, `2 images`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"

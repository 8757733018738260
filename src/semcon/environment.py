"""Versions, device and hardware, for records."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from semcon import __version__
from semcon.subject import Subject


def environment(subject: Subject) -> dict[str, str | int | None]:
    """Versions, device and hardware, for records; no names or paths of the machine."""
    hardware = torch.cuda.get_device_name(subject.device) if subject.device.type == "cuda" else _processor()
    return {
        "semcon": __version__, "python": platform.python_version(), "torch": torch.__version__,
        "device": str(subject.device), "hardware": hardware, "threads": torch.get_num_threads(),
        "precision": subject.precision, "platform": platform.platform(terse=True),
    }  # fmt: skip


def emulated(device: torch.device, precision: str) -> str:
    """Words after the device where a processor has no half precision: networks then run ten times slower. Else ''."""
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    if precision == "32" or device.type != "cpu" or not x86 or "AVX512" in torch.backends.cpu.get_cpu_capability():
        return ""
    kind = "bf16" if precision == "bf16" else "fp16"
    return f" (without {kind} of its own: --precision 32 is many times faster)"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())

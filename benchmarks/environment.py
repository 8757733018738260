"""Where a benchmark ran: versions, hardware, threads."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch


def environment(device: torch.device) -> dict[str, str | int]:
    """Plain JSON; no names or paths of the machine."""
    found: dict[str, str | int] = {"python": platform.python_version(), "threads": torch.get_num_threads()}
    for package in ("semcon", "torch", "torchvision", "kornia", "pillow", "timm"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    found["hardware"] = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return found


def processor() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())

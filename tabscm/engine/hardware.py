"""What the machine at hand is called."""

import platform
from pathlib import Path

import torch


def describe(device: torch.device) -> str:
    """The GPU, or the processor and how many of its threads are used."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{_processor()}, {threads} thread{'s' if threads > 1 else ''}"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():  # platform.processor() knows only the architecture there
        for line in information.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()

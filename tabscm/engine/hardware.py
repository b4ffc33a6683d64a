"""What the machine at hand is called."""

import platform
from pathlib import Path

import torch

PEAKS = {"H100 PCIe": 756e12, "H100": 989e12, "H200": 989e12, "A100": 312e12, "4090": 165e12}
"""Dense bfloat16 matrix products with float32 sums, operations a second, as the data sheets have them."""


def peak_flops(name: str) -> float | None:
    """What a GPU called `name` can do in a second at most; None where it is not known."""
    return next((peak for part, peak in PEAKS.items() if part in name), None)


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

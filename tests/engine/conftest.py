"""What the engine's tests share."""

import html
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from tabscm.engine.stream import Stream
from tabscm.kernel.config import load
from tabscm.kernel.registry import discover

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture(scope="session")
def registry():
    return discover()


@pytest.fixture(scope="session")
def tiny(registry):
    return load(EXPERIMENTS / "tiny.toml", registry)


@pytest.fixture(scope="session")
def quick(registry):
    return load(EXPERIMENTS / "quick.toml", registry)


@pytest.fixture
def replay():
    """Does what a message says brings a batch back: (message, experiment) -> table, truth."""

    def do(message, experiment):
        (call,) = re.findall(
            r"come.? back with tabscm\.engine\.stream: (Stream\(.*\)\.batch\([\d, ]+\))\.", str(message)
        )
        return eval(call, {"Stream": Stream, "experiment": experiment, "device": torch.device("cpu")})

    return do


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture
def opened(tmp_path):
    """opened(text) is a page as a browser has it once its scripts have run: its title, and all of its HTML."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here to open the page in")

    def opened(text):
        page = tmp_path / "page.html"
        page.write_bytes(text.encode("utf-8", "backslashreplace"))
        words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        words += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=2000", "--dump-dom", page.as_uri()]
        seen = subprocess.run(words, capture_output=True, timeout=120, check=True).stdout.decode()
        return html.unescape(re.findall(r"<title>(.*?)</title>", seen, re.DOTALL)[0]), seen

    return opened

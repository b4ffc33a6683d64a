"""What the engine's tests share."""

import base64
import fcntl
import html
import json
import os
import re
import select
import shutil
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest
import torch

from tabscm.engine.model import Model
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


@pytest.fixture(scope="session")
def moved(tiny):
    """moved(seed) is a network of tiny.toml, or of another experiment, whose branches do not start at zero; several
    networks in it differ."""

    def do(seed, experiment=tiny, by=0.1):
        torch.manual_seed(seed)
        model = Model(experiment)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(by * torch.randn_like(parameter))
        return model

    return do


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


def beyond(descriptor):
    """The same file under a number that no browser wants."""
    found = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return found


class Browser:
    """Headless Chromium that does what a person does; it is told so through a pipe, in the protocol of its tools."""

    def __init__(self, profile):
        theirs, self.writing = map(beyond, os.pipe())
        self.reading, ours = map(beyond, os.pipe())
        words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        words += ["--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]
        # bash alone takes numbers of more than one digit; the browser reads from 3 and writes to 4
        shell = ["bash", "-c", f'exec 3<&{theirs} 4>&{ours} && exec "$@"', "bash", *words]
        self.process = subprocess.Popen(shell, pass_fds=(theirs, ours), stderr=subprocess.DEVNULL)
        os.close(theirs)
        os.close(ours)
        self.left, self.number, self.session = b"", 0, None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def call(self, method, **parameters):
        """What the browser answers to a command of its protocol."""
        self.number += 1
        own = {"sessionId": self.session} if self.session else {}
        message = {"id": self.number, "method": method, "params": parameters, **own}
        os.write(self.writing, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.left:
                assert select.select([self.reading], [], [], 60)[0], f"the browser does not answer {method}"
                self.left += os.read(self.reading, 1 << 20)
            line, self.left = self.left.split(b"\0", 1)
            answer = json.loads(line)
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]

    def run(self, script):
        """The value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, script, seconds=120):
        """Wait until an expression is true of the page, and return its value."""
        end = time.monotonic() + seconds
        while not (found := self.run(script)):
            assert time.monotonic() < end, f"{script} is not true of the page"
            time.sleep(0.1)
        return found

    def open(self, address, *, width=1200, dark=False):
        """Go to a page on a screen that is so wide, in pixels."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.resize(width)
        self.call("Page.navigate", url=address)
        self.until(f"document.readyState === 'complete' && location.href === {json.dumps(address)}")

    def resize(self, width):
        """Look at the page on a screen that is so wide, in pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)

    def choose(self, where, file):
        """Choose a file in the input that a selector finds."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        found = self.call("DOM.querySelector", nodeId=root, selector=where)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(file)], nodeId=found)

    def overhang(self):
        """By how many pixels the page is wider than the screen."""
        return self.run("document.documentElement.scrollWidth - document.documentElement.clientWidth")

    def picture(self, file):
        """Write what there is of the page, all of its length, as PNG."""
        found = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        Path(file).write_bytes(base64.b64decode(found["data"]))

    def close(self):
        """End it."""
        os.close(self.writing)
        os.close(self.reading)
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A browser, for the tests of a file."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here to open the page in")
    with closing(Browser(tmp_path_factory.mktemp("profile"))) as browser:
        yield browser

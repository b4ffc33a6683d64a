"""`serve`: it says where it is, answers there, and ends at a word."""

import os
import re
import signal
import subprocess
import sys
import urllib.request

import pytest


@pytest.fixture
def heard():
    """A shell that starts the tests in the background has SIGINT ignored, and so would what the tests start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("word", [signal.SIGINT, signal.SIGTERM])
def test_serve_says_where_it_is_and_ends_at_a_word(trained, tmp_path, word, heard):
    words = [sys.executable, "-m", "tabscm", "serve", "--no-browser", "--run", str(trained)]
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as serving:
        try:
            line = serving.stdout.readline()
            assert serving.stdout.readline() == "Nobody else can reach it. Ctrl-C closes it.\n"
            address = re.fullmatch(r"TabSCM is at (http://127\.0\.0\.1:\d+/[\w-]{43}/)\n", line)[1]
            with urllib.request.urlopen(address) as page:
                assert "Give it a table" in page.read().decode()
        finally:
            serving.send_signal(word)
        out, err = serving.communicate(timeout=60)
    assert (out, err, serving.returncode) == ("", "", 0)
    assert list(tmp_path.iterdir()) == []


def test_serve_says_at_once_what_is_wrong_with_the_network(call, tmp_path):
    code, out, err = call("serve", "--no-browser", "--run", tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith(f"{tmp_path}: not a run folder, it has no experiment.toml.")

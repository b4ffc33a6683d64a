"""The quick figures of processes.py: one run of two processes, one of which is killed, beside a run of one process."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def script():
    spec = spec_from_file_location("faults_processes", Path(__file__).with_name("processes.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_two_processes_one_of_them_killed_and_restarted_do_what_one_does(script, tmp_path):
    uneven = ["stream.tables=7"]
    one = script.launch(tmp_path / "one", 1, settings=uneven)
    assert one.code == 0, one.errors
    fault = script.Fault("kill", rank=1, step=13)
    two = script.launch(tmp_path / "two", 2, settings=uneven, fault=fault, restarts=1)
    assert two.code == 0, two.errors
    assert "died with <Signals.SIGKILL: 9>" in two.errors or "exitcode: -9" in two.errors, two.errors
    assert script.gradient_distance(one, two) <= script.GRADIENT
    assert script.same_tasks(one, two) == script.STEPS
    assert script.same_losses(one, two) == script.STEPS


def test_an_error_in_one_process_ends_both_with_one_message(script, tmp_path):
    found = script.launch(tmp_path / "run", 2, fault=script.Fault("fail", rank=1, step=3))
    assert script.one_message(found), found.errors

# SPDX-License-Identifier: Apache-2.0
"""Child processes: their environment, logs, crashes, and that none is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from testkit.errors import ServiceError
from testkit.processes import ProcessDiedError, Processes

TIMEOUT = 10.0
SLEEPER = ["sleep", "600"]
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
)
# Airflow's tasks have process groups of their own, too.
PARENT = (
    "import subprocess, time; child = subprocess.Popen(['sleep', '600'], process_group=0);"
    " print(child.pid, flush=True); {then}"
)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Processes with a short grace period."""
    with Processes(tmp_path / "logs", grace=0.3) as some:
        yield some


def start_python(processes: Processes, name: str, code: str) -> None:
    """Run Python code."""
    processes.start(name, [sys.executable, "-c", code], dict(os.environ))


def first_output(processes: Processes, name: str) -> str:
    """Wait for the first output of a process."""
    return processes.wait_until("output", lambda: processes.log(name).read_text().strip(), TIMEOUT)


def is_alive(pid: int) -> bool:
    """Return whether a process is running."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def eventually(condition: Callable[[], bool]) -> bool:
    """Wait until a condition holds."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_a_process_gets_its_environment_and_nothing_else(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process sees the variables it was given, and none of ours."""
    monkeypatch.setenv("OURS", "leaked")
    processes.start("env", ["/usr/bin/env"], {"THEIRS": "given"})
    processes.finish("env", TIMEOUT)
    assert processes.log("env").read_text().split() == ["THEIRS=given"]


def test_a_dead_process_is_reported_with_name_code_and_log(processes: Processes) -> None:
    """The error holds the name of the process, its exit code and the last lines of its log."""
    start_python(processes, "talker", "print('\\n'.join(f'line {n}' for n in range(100))); raise SystemExit(3)")
    with pytest.raises(ProcessDiedError) as caught:
        processes.wait_until("nothing", lambda: None, TIMEOUT)
    text = str(caught.value)
    assert "talker exited with code 3" in text
    assert "line 99" in text
    assert "line 80" in text
    assert "line 79" not in text


def test_a_killed_process_is_reported_with_the_signal(processes: Processes) -> None:
    """A process killed from outside is reported with the name of the signal."""
    processes.start("sleeper", SLEEPER, {})
    os.kill(processes.pid("sleeper"), signal.SIGKILL)
    with pytest.raises(ProcessDiedError, match="sleeper was killed by SIGKILL"):
        processes.wait_until("nothing", lambda: None, TIMEOUT)


def test_a_crash_leaves_descendants_until_the_context_ends(tmp_path: Path) -> None:
    """Descendants of a crashed process live on until the context ends, and its name is free."""
    with Processes(tmp_path, grace=0.3) as some:
        start_python(some, "parent", PARENT.format(then="time.sleep(600)"))
        child = int(first_output(some, "parent"))
        some.crash("parent")
        assert is_alive(child)
        some.start("parent", SLEEPER, {})
        some.check()
    assert not is_alive(child)


def test_members_include_descendants(processes: Processes) -> None:
    """Members include descendants in process groups of their own and orphans of a crash, and nothing else."""
    start_python(processes, "parent", PARENT.format(then="time.sleep(600)"))
    child, parent = int(first_output(processes, "parent")), processes.pid("parent")
    processes.start("other", SLEEPER, dict(os.environ))
    assert set(processes.members()) == {parent, child, processes.pid("other")}
    processes.crash("parent")
    assert set(processes.members()) == {child, processes.pid("other")}


def test_leaving_the_context_ends_everything(tmp_path: Path) -> None:
    """After the context no process is left, even if an exception ended it."""
    pids = []
    with pytest.raises(RuntimeError), Processes(tmp_path, grace=0.3) as some:  # noqa: PT012 - the block is tested
        for name in ("one", "two"):
            some.start(name, SLEEPER, {})
            pids.append(some.pid(name))
        raise RuntimeError
    assert not any(map(is_alive, pids))


def test_a_process_that_ignores_sigterm_is_killed(processes: Processes) -> None:
    """A process that ignores SIGTERM is killed after the grace period."""
    start_python(processes, "stubborn", STUBBORN)
    first_output(processes, "stubborn")
    pid = processes.pid("stubborn")
    started = time.monotonic()
    processes.stop()
    assert not is_alive(pid)
    assert time.monotonic() - started < TIMEOUT


def test_a_stopped_process_can_clean_up(processes: Processes) -> None:
    """SIGTERM comes first, so that a process can clean up."""
    code = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('bye')));"
    start_python(processes, "polite", f"{code} print('ready', flush=True); time.sleep(600)")
    first_output(processes, "polite")
    processes.stop()
    assert processes.log("polite").read_text().split() == ["ready", "bye"]


@pytest.mark.parametrize("then", ["time.sleep(600)", "raise SystemExit(1)"])
def test_descendants_in_other_process_groups_are_stopped(processes: Processes, then: str) -> None:
    """Descendants are stopped with a process, even if the process itself died long before."""
    start_python(processes, "parent", PARENT.format(then=then))
    log = processes.log("parent")
    assert eventually(lambda: bool(log.read_text().strip()))
    child = int(log.read_text())
    assert is_alive(child)
    processes.stop()
    assert eventually(lambda: not is_alive(child))


def test_a_killed_name_can_be_started_again(processes: Processes) -> None:
    """A component can be restarted after a kill."""
    processes.start("phoenix", SLEEPER, {})
    first = processes.pid("phoenix")
    processes.kill("phoenix")
    assert not is_alive(first)
    processes.check()
    processes.start("phoenix", SLEEPER, {})
    assert is_alive(processes.pid("phoenix"))


def test_stopping_one_leaves_the_others(processes: Processes) -> None:
    """Only the named processes are stopped."""
    processes.start("goes", SLEEPER, {})
    processes.start("stays", SLEEPER, {})
    processes.stop(["goes"])
    processes.check()
    assert is_alive(processes.pid("stays"))


def test_waiting_for_a_process_that_fails_is_an_error(processes: Processes) -> None:
    """Waiting for a process that fails raises its failure."""
    start_python(processes, "task", "raise SystemExit('no such table')")
    with pytest.raises(ProcessDiedError, match="no such table"):
        processes.finish("task", TIMEOUT)


def test_a_process_that_does_not_finish_is_an_error(processes: Processes) -> None:
    """Waiting for a process to finish times out."""
    processes.start("task", SLEEPER, {})
    with pytest.raises(ServiceError, match="task did not finish within 0 s"):
        processes.finish("task", 0.1)


def test_the_timeout_error_names_what_was_waited_for(processes: Processes) -> None:
    """The timeout error names what was waited for."""
    with pytest.raises(ServiceError, match=r"Gave up waiting for Godot after 0 s"):
        processes.wait_until("Godot", lambda: None, 0.1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signalled_program_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C, SIGTERM and a closed terminal stop the program and everything that it has started."""
    program = f"""
from pathlib import Path
from testkit.interrupts import interrupts
from testkit.processes import Processes
interrupts.install()
with Processes(Path({str(tmp_path)!r}), grace=0.3) as some:
    some.start("sleeper", {SLEEPER!r}, {{}})
    print(some.pid("sleeper"), flush=True)
    some.wait_until("the signal", lambda: None, 60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout
        child = int(running.stdout.readline())
        running.send_signal(number)
        running.send_signal(number)
        _, errors = running.communicate(timeout=TIMEOUT)
    assert b"KeyboardInterrupt" in errors
    assert not is_alive(child)

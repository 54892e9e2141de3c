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

from demo.errors import DemoError
from demo.processes import ProcessDiedError, Processes

PATIENCE = 10.0
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
    """Processes with little patience."""
    with Processes(tmp_path / "logs", grace=0.3) as some:
        yield some


def start_python(processes: Processes, name: str, code: str) -> None:
    """Run some Python."""
    processes.start(name, [sys.executable, "-c", code], dict(os.environ))


def said(processes: Processes, name: str) -> str:
    """Wait for what a process prints first."""
    return processes.wait_until("a word", lambda: processes.log(name).read_text().strip(), PATIENCE)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def eventually(condition: Callable[[], bool]) -> bool:
    """Wait until a condition holds."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_a_process_gets_its_environment_and_nothing_else(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process sees the variables it was given, and none of ours."""
    monkeypatch.setenv("OURS", "leaked")
    processes.start("env", ["/usr/bin/env"], {"THEIRS": "given"})
    processes.finish("env", PATIENCE)
    assert processes.log("env").read_text().split() == ["THEIRS=given"]


def test_a_death_is_told_with_its_name_its_code_and_the_end_of_its_log(processes: Processes) -> None:
    """Who died, how, and its last words are in the error."""
    start_python(processes, "talker", "print('\\n'.join(f'line {n}' for n in range(100))); raise SystemExit(3)")
    with pytest.raises(ProcessDiedError) as caught:
        processes.wait_until("nothing", lambda: None, PATIENCE)
    text = str(caught.value)
    assert "talker ended with exit code 3" in text
    assert "line 99" in text
    assert "line 80" in text
    assert "line 79" not in text


def test_a_killed_process_is_told_with_the_signal(processes: Processes) -> None:
    """A process killed from outside is reported with the name of the signal."""
    processes.start("victim", SLEEPER, {})
    os.kill(processes.pid("victim"), signal.SIGKILL)
    with pytest.raises(ProcessDiedError, match="victim was killed by SIGKILL"):
        processes.wait_until("nothing", lambda: None, PATIENCE)


def test_a_crash_leaves_helpers_behind_until_the_end(tmp_path: Path) -> None:
    """What a crashed process has started lives on, its name is free, and the end of the context is its end too."""
    with Processes(tmp_path, grace=0.3) as some:
        start_python(some, "parent", PARENT.format(then="time.sleep(600)"))
        child = int(said(some, "parent"))
        some.crash("parent")
        assert is_alive(child)
        some.start("parent", SLEEPER, {})
        some.check()
    assert not is_alive(child)


def test_members_are_those_started_and_what_they_started(processes: Processes) -> None:
    """Helpers are named too, in groups of their own or left behind by a crash; strangers are not."""
    start_python(processes, "parent", PARENT.format(then="time.sleep(600)"))
    child, parent = int(said(processes, "parent")), processes.pid("parent")
    processes.start("other", SLEEPER, dict(os.environ))
    assert set(processes.members()) == {parent, child, processes.pid("other")}
    processes.crash("parent")
    assert set(processes.members()) == {child, processes.pid("other")}


def test_leaving_the_context_ends_everything(tmp_path: Path) -> None:
    """After the context no process is left, also when an error ended it."""
    pids = []
    with pytest.raises(RuntimeError), Processes(tmp_path, grace=0.3) as some:  # noqa: PT012 - the block is tested
        for name in ("one", "two"):
            some.start(name, SLEEPER, {})
            pids.append(some.pid(name))
        raise RuntimeError
    assert not any(map(is_alive, pids))


def test_who_ignores_sigterm_is_killed(processes: Processes) -> None:
    """A process that ignores SIGTERM is gone after the grace."""
    start_python(processes, "stubborn", STUBBORN)
    said(processes, "stubborn")
    pid = processes.pid("stubborn")
    started = time.monotonic()
    processes.stop()
    assert not is_alive(pid)
    assert time.monotonic() - started < PATIENCE


def test_stopping_lets_a_process_end_by_itself(processes: Processes) -> None:
    """SIGTERM comes first, so that a process can clean up."""
    code = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('bye')));"
    start_python(processes, "polite", f"{code} print('ready', flush=True); time.sleep(600)")
    said(processes, "polite")
    processes.stop()
    assert processes.log("polite").read_text().split() == ["ready", "bye"]


@pytest.mark.parametrize("then", ["time.sleep(600)", "raise SystemExit(1)"])
def test_children_in_groups_of_their_own_are_ended_too(processes: Processes, then: str) -> None:
    """What a process has started dies with it, also when the process itself died long before."""
    start_python(processes, "parent", PARENT.format(then=then))
    log = processes.log("parent")
    assert eventually(lambda: bool(log.read_text().strip()))
    child = int(log.read_text())
    assert is_alive(child)
    processes.stop()
    assert eventually(lambda: not is_alive(child))


def test_a_killed_name_can_be_started_again(processes: Processes) -> None:
    """After a crash that a test has made, the same component starts again."""
    processes.start("phoenix", SLEEPER, {})
    first = processes.pid("phoenix")
    processes.kill("phoenix")
    assert not is_alive(first)
    processes.check()
    processes.start("phoenix", SLEEPER, {})
    assert is_alive(processes.pid("phoenix"))


def test_stopping_one_leaves_the_others(processes: Processes) -> None:
    """Only who is named is stopped."""
    processes.start("goes", SLEEPER, {})
    processes.start("stays", SLEEPER, {})
    processes.stop(["goes"])
    processes.check()
    assert is_alive(processes.pid("stays"))


def test_a_process_that_should_finish_and_fails_is_an_error(processes: Processes) -> None:
    """Waiting for the end of a process that fails tells its failure."""
    start_python(processes, "task", "raise SystemExit('no such table')")
    with pytest.raises(ProcessDiedError, match="no such table"):
        processes.finish("task", PATIENCE)


def test_a_process_that_does_not_finish_is_an_error(processes: Processes) -> None:
    """Waiting for the end of a process ends, too."""
    processes.start("task", SLEEPER, {})
    with pytest.raises(DemoError, match="task was not done after"):
        processes.finish("task", 0.1)


def test_waiting_gives_up_in_words(processes: Processes) -> None:
    """What was waited for in vain is in the error."""
    with pytest.raises(DemoError, match=r"Gave up after .* waiting for Godot"):
        processes.wait_until("Godot", lambda: None, 0.1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_program_that_is_asked_to_stop_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C, a SIGTERM or a closed terminal end the program and all that it has started."""
    program = f"""
from pathlib import Path
from demo.interrupts import interrupts
from demo.processes import Processes
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
        _, errors = running.communicate(timeout=PATIENCE)
    assert b"KeyboardInterrupt" in errors
    assert not is_alive(child)

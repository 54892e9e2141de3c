# SPDX-License-Identifier: Apache-2.0
"""Named child processes: each in its own session, each with a log file, all of them stopped together."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import psutil

from testkit.errors import ServiceError
from testkit.interrupts import interrupts

GRACE_SECONDS = 3.0
_POLL_SECONDS = 0.4

T = TypeVar("T")


class ProcessDiedError(ServiceError):
    """A process ended without being stopped.

    :param name: name of the process.
    :param code: its exit code; negative for the signal that killed it.
    :param log: its log file.
    """

    def __init__(self, name: str, code: int, log: Path) -> None:
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
        super().__init__(f"{name} {how}. Last lines of {log}:\n{tail(log)}")
        self.name = name
        self.code = code


class Processes:
    """A set of processes that lives as long as its context.

    :param logs: folder for one log file per process.
    :param grace: seconds a process has to exit after each of two SIGTERMs, before SIGKILL.
    """

    def __init__(self, logs: Path, grace: float = GRACE_SECONDS) -> None:
        self._logs = logs
        self._grace = grace
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._orphaned_sessions: set[int] = set()

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> None:
        """Start a process; its output goes to its log.

        :param name: name of the process, free again once it has been stopped.
        :param command: program and arguments.
        :param env: its whole environment.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        with interrupts.held(), self.log(name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def log(self, name: str) -> Path:
        """Return the log file of a process."""
        return self._logs / f"{name}.log"

    def pid(self, name: str) -> int:
        """Return a process's id, which is also the id of its session."""
        return self._running[name].pid

    def pids(self) -> dict[str, int]:
        """Return the ids of all processes that were started and not stopped, by name."""
        return {name: process.pid for name, process in self._running.items()}

    def members(self) -> list[int]:
        """Return the ids of all live processes: those started here and their descendants."""
        return _members({process.pid for process in self._running.values()} | self._orphaned_sessions)

    def check(self) -> None:
        """Check that all processes are alive.

        :raises ProcessDiedError: a process has ended.
        """
        for name, process in self._running.items():
            code = process.poll()
            if code is not None:
                raise ProcessDiedError(name, code, self.log(name))

    def wait_until(self, what: str, probe: Callable[[], T | None], timeout: float) -> T:
        """Wait for a condition while all processes are alive.

        :param what: what is waited for, for the error message.
        :param probe: returns something truthy once it is there.
        :param timeout: seconds.
        :return: what the probe returned.
        :raises ProcessDiedError: a process ended meanwhile.
        :raises ServiceError: the time is up.
        """
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            self.check()
            found = probe()
            if found:
                return found
            time.sleep(_POLL_SECONDS)
        raise ServiceError(f"Gave up waiting for {what} after {timeout:.0f} s. Logs: {self._logs}")

    def finish(self, name: str, timeout: float) -> None:
        """Wait for a process that exits by itself.

        :param timeout: seconds.
        :raises ProcessDiedError: it failed.
        :raises ServiceError: the time is up.
        """
        process = self._running[name]
        end = time.monotonic() + timeout
        while process.poll() is None and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)
        if process.poll() == 0:
            self._forget([name])
            return
        self.check()
        raise ServiceError(f"{name} did not finish within {timeout:.0f} s. Log: {self.log(name)}")

    def kill(self, name: str) -> None:
        """Kill a process and its whole session with SIGKILL, as a crash of its machine would."""
        self._forget([name])

    def crash(self, name: str) -> None:
        """Kill a process alone with SIGKILL; its descendants live on, at most as long as this set."""
        process = self._running.pop(name)
        self._orphaned_sessions.add(process.pid)
        process.kill()
        process.wait()

    def stop(self, names: Iterable[str] | None = None) -> None:
        """Stop processes with SIGTERM, then kill what is left of their sessions.

        :param names: names of the processes; None for all.
        """
        chosen = list(self._running if names is None else names)
        for _ in range(2):  # to Airflow a second SIGTERM means "don't wait"
            for name in self._living(chosen):
                with suppress(ProcessLookupError):
                    os.killpg(self.pid(name), signal.SIGTERM)
            end = time.monotonic() + self._grace
            while time.monotonic() < end and self._living(chosen):
                time.sleep(_POLL_SECONDS / 8)
        self._forget(chosen)

    def _living(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if self._running[name].poll() is None]

    def _forget(self, names: Sequence[str]) -> None:
        gone = {name: self._running[name] for name in names}
        _kill_sessions({process.pid for process in gone.values()})
        for name, process in gone.items():
            process.wait()
            del self._running[name]

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything."""
        with interrupts.held():
            self.stop()
            _kill_sessions(self._orphaned_sessions)


def tail(log: Path, lines: int = 20) -> str:
    """Return the last lines of a log file."""
    with suppress(FileNotFoundError):
        return "\n".join(log.read_text(errors="replace").rstrip().splitlines()[-lines:]) or "(empty)"
    return "(no log file)"


def _kill_sessions(sessions: set[int]) -> None:
    """Kill every member of the sessions, and repeat until none is left: a member may just have started another."""
    while members := _members(sessions):
        for pid in members:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL_SECONDS / 20)


def _members(sessions: set[int]) -> list[int]:
    """Find the live processes of sessions: Airflow's tasks have process groups of their own, but no sessions."""
    members = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError, PermissionError):
            if os.getsid(process.pid) in sessions and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process.pid)
    return members

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# PyAV 18.1.0, whose wheel brings SVT-AV1 4.1.0: one picture is encoded as AV1, as root.
#
# Guess: an encoder is as fast as its preset says, and uses threads of its own, with the priority of the process. When it
# is closed, nothing is left of it.
#
# What happens: as root, SVT-AV1 gives the thread that opens it the real-time policy SCHED_FIFO with the highest priority,
# 99, and never takes it back. Every thread and every process that this one starts from then on inherits it. The encoders
# of H.264 and VP9 in the same wheel change nothing. So a service of root that has once made an AVIF is from then on
# served before everything else on the machine, and so is whatever it starts. Our tests were: their workers had encoded
# one AVIF while they imported a module, and a suite of minutes took many times as long whenever a server that they had
# started was busy, since the others hardly ran. Since then, the tests set their policy back.
#
# Needs Linux, python3 with venv, a package index, and root with the right to set policies (CAP_SYS_NICE), which
# containers rarely have; without it nothing changes.
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo "run this as root: for others SVT-AV1 changes nothing" >&2; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check "av==18.1.0"

"$folder/venv/bin/python" - >"$folder/output" 2>/dev/null <<'PYTHON'
import io
import os
import subprocess
import sys
import threading

import av

POLICIES = {os.SCHED_OTHER: "SCHED_OTHER", os.SCHED_FIFO: "SCHED_FIFO"}
SHOW = "import os; print(os.sched_getscheduler(0), os.sched_getparam(0).sched_priority)"


def show(who, policy=None, priority=None):
    policy = os.sched_getscheduler(0) if policy is None else policy
    priority = os.sched_getparam(0).sched_priority if priority is None else priority
    print(f"{who}: {POLICIES[policy]}, priority {priority}", flush=True)


def encode(container, codec):
    with av.open(io.BytesIO(), "w", format=container) as output:
        stream = output.add_stream(codec, rate=25, width=64, height=64, pix_fmt="yuv420p")
        output.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        output.mux(stream.encode(None))
    show(f"after {codec}")


show("before")
encode("mp4", "libx264")
encode("webm", "libvpx-vp9")
encode("avif", "libsvtav1")
thread = threading.Thread(target=show, args=("a thread that starts then",))
thread.start()
thread.join()
show("a process that starts then", *map(int, subprocess.check_output([sys.executable, "-c", SHOW]).split()))
PYTHON

cat "$folder/output"
diff "$folder/output" - <<'EXPECTED'
before: SCHED_OTHER, priority 0
after libx264: SCHED_OTHER, priority 0
after libvpx-vp9: SCHED_OTHER, priority 0
after libsvtav1: SCHED_FIFO, priority 99
a thread that starts then: SCHED_FIFO, priority 99
a process that starts then: SCHED_FIFO, priority 99
EXPECTED
echo "as described"

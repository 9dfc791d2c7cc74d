"""Workers on one folder of parts, killed at random moments; a program, run by test_kills.py.

    python killed_workers.py SHARDS OUT KILLS

Two workers at a time, forked from this process, which has imported and opened what they need:
that takes seconds. Whoever is killed is followed by another, and the last two run to the end.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time

import backbones
from backbones import Classifier


def work(classifier: Classifier, shards: str, out: str) -> int:
    """A worker's process number."""
    if (pid := os.fork()) == 0:
        code = 1
        try:
            manifest = backbones.predict_parts(classifier, f"{shards}/*.tar", out, format="csv")
            code = int(manifest is None)
        finally:
            os._exit(code)
    return pid


def num_parts(out: str) -> int:
    """Parts that are there."""
    names = os.listdir(out) if os.path.isdir(out) else []
    return sum(name.startswith("part-") for name in names)


def main() -> None:
    shards, out, kills = sys.argv[1], sys.argv[2], int(sys.argv[3])
    rng = random.Random(0)
    classifier = backbones.open("lenet5.digits", device="cpu", precision="exact", threads=1)
    classifier.members[0].build()
    assert backbones.predict_parts  # imported before the workers need it
    workers = [work(classifier, shards, out) for _ in range(2)]
    killed = there = 0
    for number in range(kills):
        before = there
        while (there := num_parts(out)) == before:  # the work goes on again
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.05))
        pid = workers.pop(rng.randrange(2))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        killed += os.WIFSIGNALED(status)
        print(f"kill {number}: {there} parts", file=sys.stderr)
        workers.append(work(classifier, shards, out))
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in workers]
    print(killed, *codes)


if __name__ == "__main__":
    main()

"""Records what the workers of a cluster do. The workers import this module because a Job of capp is pickled as the
subclass below; it writes into the folder that the environment variable CAPP_WATCH names. The programs
tests/cluster_*.py share the rest."""
import functools
import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np

from capp import Model, _worker, classify

CHOICES = ["the sun was rising.", "the grass was cut.", "it rained", "he had forgotten the key", "yes"]
PRIOR = [0.1, 0.2, 0.3, 0.15, 0.25]


def note(event):
    """One file per process: the lines of several processes could mix."""
    with open(Path(os.environ["CAPP_WATCH"]) / str(os.getpid()), "a") as file:
        file.write(f"{event}\n")


def watched(init):
    @functools.wraps(init)
    def open_model(self, path, **keywords):
        init(self, path, **keywords)
        note(f"open {self.info.threads} {os.path.realpath(path)}")

    return open_model


Model.__init__ = watched(Model.__init__)


class Job(_worker.Job):
    def __call__(self, *arguments):
        note("begin")
        out = super().__call__(*arguments)
        note("end")
        return out


def events():
    """{pid: [event]} of all workers so far."""
    folder = Path(os.environ["CAPP_WATCH"])
    return {int(file.name): file.read_text().splitlines() for file in folder.iterdir()}


def clear():
    """Forgets what this process has done."""
    (Path(os.environ["CAPP_WATCH"]) / str(os.getpid())).unlink(missing_ok=True)


def parent_of(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("PPid:")).split()[1])


def in_the_midst(seen):
    """A worker that has finished a batch and works on another."""
    return next((pid for pid, lines in seen.items() if lines.count("begin") > max(1, lines.count("end"))), None)


def kill_one(killed, generations=0):
    """In a separate thread: kills, with SIGKILL, the first worker that is in the middle of its work, or its ancestor.
    killed receives the process id."""
    def work():
        while (pid := in_the_midst(events())) is None:
            time.sleep(0.002)
        target = pid
        for _ in range(generations):
            target = parent_of(target)
        os.kill(target, signal.SIGKILL)
        killed.append(pid)

    threading.Thread(target=work, daemon=True).start()


def prompts(n):
    """Texts of different lengths; some are missing."""
    return [None if i % 11 == 5 else f"Number {i}: {'my body cast a shadow over the grass, ' * (i % 4)}because"
            for i in range(n)]


def on_one_machine(function, texts, *arguments, **keywords):
    """The results of capp.classify; None where there is no text."""
    found = iter(getattr(classify, function)([text for text in texts if text is not None], *arguments,
                                             show_progress_bar=False, **keywords))
    return [None if text is None else plain(next(found)) for text in texts]


def plain(value):
    return value.tolist() if isinstance(value, np.ndarray) else value


def report(**facts):
    print("\n" + json.dumps(facts))

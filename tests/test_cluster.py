"""capp.spark and capp.ray on clusters of two workers on this machine. One worker is killed in the middle of its work;
the results have the bits of capp.classify in one process. The programs that run there are tests/cluster_spark.py and
cluster_ray.py."""
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = [pytest.mark.long, pytest.mark.timeout(3000)]


@pytest.fixture(scope="module")
def python():
    """The Python of an environment that has Spark and Ray."""
    done = subprocess.run([ROOT / "tools" / "venv.sh", ROOT / "tests" / "cluster_requirements.txt"], stdout=subprocess.PIPE,
                          text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def short_folder():
    """A short path: the folder contains sockets, whose paths may have at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="capp", dir="/tmp") as folder:
        yield folder


def run(python, program, *arguments, build, watch):
    watch.mkdir()
    env = {**os.environ, "CAPP_WATCH": str(watch), "CAPP_LIBRARY": str(build / "libcapp.so.0"),
           "PYTHONPATH": f"{ROOT / 'python'}{os.pathsep}{ROOT / 'tests'}"}
    done = subprocess.run([python, ROOT / "tests" / program, *arguments], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-5000:]
    return json.loads(done.stdout.splitlines()[-1])  # engines print too


def check(found, in_the_midst=True):
    """At least two workers, each of which opened a model only once; the killed one had done part of its work.
    in_the_midst: the worker itself was killed, with a batch begun; else its parent was killed, and the worker may have
    finished that batch."""
    assert found["equal"] == dict.fromkeys(found["equal"], True) and len(found["equal"]) == 5
    (killed,) = found["killed"]
    workers = {int(pid): events for pid, events in found["events"].items() if "begin" in events}
    assert len(workers) >= 2 and "end" in workers[killed]
    if in_the_midst:
        assert workers[killed].count("begin") == workers[killed].count("end") + 1
    opened = [[event for event in events if event.startswith("open")] for events in workers.values()]
    assert all(1 <= len(each) == len(set(each)) for each in opened)  # each with path and threads
    assert sum(any(event.startswith("open 1 ") for event in each) for each in opened) >= 2  # what the engine gives
    assert "a prompt is empty" in found["said"]


@pytest.mark.parametrize("dies", ["worker", "executor"])
def test_spark(python, smollm2, build, tmp_path, dies):
    assert shutil.which("java"), "Spark needs Java: run make check"
    (tmp_path / "spark").mkdir()
    found = run(python, "cluster_spark.py", smollm2, tmp_path / "spark", dies, build=build, watch=tmp_path / "watch")
    check(found, in_the_midst=dies == "worker")


def test_ray(python, smollm2, build, tmp_path, short_folder):
    check(run(python, "cluster_ray.py", smollm2, short_folder, build=build, watch=tmp_path / "watch"))

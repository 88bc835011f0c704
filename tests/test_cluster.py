"""capp.spark and capp.ray on clusters of two workers on this machine, one of which is killed in the midst of its work:
the results are the bits of capp.classify in one process. tests/cluster_spark.py and cluster_ray.py are what runs there."""
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
    """Of an environment that has Spark and Ray."""
    done = subprocess.run([ROOT / "tools" / "venv.sh", ROOT / "tests" / "cluster_requirements.txt"], stdout=subprocess.PIPE,
                          text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def short_folder():
    """Sockets are in it, whose paths have 107 bytes at most."""
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
    """Two workers or more, each of which opened a model once, whatever it did; the killed one had done some of its work.
    in_the_midst: it died itself, with a batch begun; else its parent did, and it may have come to the end of that."""
    assert found["equal"] == dict.fromkeys(found["equal"], True) and len(found["equal"]) == 5
    (killed,) = found["killed"]
    workers = {int(pid): events for pid, events in found["events"].items() if "begin" in events}
    assert len(workers) >= 2 and "end" in workers[killed]
    if in_the_midst:
        assert workers[killed].count("begin") == workers[killed].count("end") + 1
    opened = [[event for event in events if event.startswith("open")] for events in workers.values()]
    assert all(1 <= len(each) == len(set(each)) for each in opened)  # each with path and threads
    assert sum(any(event.startswith("open 1 ") for event in each) for each in opened) >= 2  # as many as the engine gives
    assert "a prompt is empty" in found["said"]


@pytest.mark.parametrize("dies", ["worker", "executor"])
def test_spark(python, smollm2, build, tmp_path, dies):
    assert shutil.which("java"), "Spark needs Java: run make check"
    (tmp_path / "spark").mkdir()
    found = run(python, "cluster_spark.py", smollm2, tmp_path / "spark", dies, build=build, watch=tmp_path / "watch")
    check(found, in_the_midst=dies == "worker")


def test_ray(python, smollm2, build, tmp_path, short_folder):
    check(run(python, "cluster_ray.py", smollm2, short_folder, build=build, watch=tmp_path / "watch"))

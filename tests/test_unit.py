"""Runs the C test programs (tests/test_*.c): each test in its own process, in the release build and again under
AddressSanitizer and UBSan. The sanitizer build leaves out tests whose names begin with slow_. With --long,
ThreadSanitizer's build runs those that use threads, and the builds with clang and against musl run all but slow_ ones."""
import json
import os
import subprocess
from pathlib import Path

import pytest

SKIPPED = 77
BUILDS = {"release": "CAPP_BUILD", "asan": "CAPP_BUILD_ASAN", "tsan": "CAPP_BUILD_TSAN", "clang": "CAPP_BUILD_CLANG",
          "musl": "CAPP_BUILD_MUSL"}
THREADED = ("test_choose", "test_close", "test_engine", "test_faults", "test_generate", "test_models", "test_queue",
            "test_queue_end", "test_sabotage", "test_threads")
ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1",
}


# Tiles that the machine lacks are lent (tests/lent_tiles.h) to tests of kernels always, to those of whole models, which take
# some minutes, with --long.
LENT = {"CAPP_LEND_TILES": "1"}


def programs(build):
    """The test programs of a build folder, as Meson lists them; a file that remains from an earlier build is not
    listed."""
    targets = Path(build) / "meson-info" / "intro-targets.json"
    if not targets.exists():
        return []
    names = [target["filename"][0] for target in json.loads(targets.read_text()) if target["type"] == "executable"]
    return sorted(Path(name) for name in names if Path(name).name.startswith("test_"))


def cases():
    for build, variable in BUILDS.items():
        folder = os.environ.get(variable)
        for program in programs(folder) if folder else []:
            if build == "tsan" and program.name not in THREADED:
                continue
            listed = subprocess.run([program, "--list"], capture_output=True, text=True)
            names = listed.stdout.split() if listed.returncode == 0 else ["--list"]
            for name in names:
                marks = [] if build in ("release", "asan") else [pytest.mark.long]
                if name.startswith("slow_"):
                    if build != "release":
                        continue
                    marks.append(pytest.mark.slow)
                yield pytest.param(program, name, {}, id=f"{build}-{program.name}-{name}", marks=marks)
                if build == "release" and "amx" in name.split("_"):
                    yield pytest.param(program, name, LENT, id=f"lent-{program.name}-{name}", marks=pytest.mark.long)


@pytest.mark.parametrize("program, name, lent", cases())
def test_unit(program, name, lent, tmp_path):
    environment = {**os.environ, **ENVIRONMENT, **lent, "TMPDIR": str(tmp_path)}
    done = subprocess.run([program, name], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=environment, text=True, errors="replace")
    if done.returncode == SKIPPED:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}"


def test_there_are_test_programs(build):
    assert len(programs(build)) >= 5

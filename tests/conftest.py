"""Shared by all tests. `make test` says where things are through environment variables. Without them, builds are looked
for in their usual folders, so that `pytest tests/test_cli.py` works too.

CAPP_BUILD       release build with tests (build-test)
CAPP_BUILD_ASAN  build with AddressSanitizer and UBSan (build-asan); its tests are skipped where it is missing
CAPP_BUILD_TSAN  build with ThreadSanitizer, for --long; CAPP_BUILD_CLANG and CAPP_BUILD_MUSL, likewise, builds with clang
                 and against musl
CAPP_MODELS      folder of the real models
CAPP_SHARED      data and golden files beside the checkout (../shared)
"""
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "capp"
sys.path.insert(0, str(ROOT / "tests"))
os.environ.setdefault("CAPP_BUILD", str(ROOT / "build-test"))
os.environ.setdefault("CAPP_MODELS", str(CACHE / "models"))
os.environ.setdefault("CAPP_SHARED", str(ROOT.parent / "shared"))
for name in ("MODEL", "FETCH", "THREADS", "MEMORY", "WEIGHTS_MEMORY", "PRECISION", "ISA", "CONTEXT", "WINDOW", "PROGRESS", "QUIET"):
    os.environ.pop(f"CAPP_{name}", None)  # tests choose these themselves
os.environ["CAPP_CONFIG"] = ""
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs and their children ignore it


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="also run tests marked long (make check)")
    parser.addoption("--fast", action="store_true", help="leave out tests marked slow")


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes minutes; run by make check")
    config.addinivalue_line("markers", "slow: takes more than some ten seconds")


def pytest_collection_modifyitems(config, items):
    unwanted = [] if config.getoption("--long") else ["long"]
    unwanted += ["slow"] if config.getoption("--fast") else []
    left_out = [item for item in items if any(item.get_closest_marker(name) for name in unwanted)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


# ---- The last line: "N passed, N failed" -----------------------------------------------------------------------------

closing = []


def pytest_terminal_summary(terminalreporter):
    def count(*outcomes):
        return sum(len(terminalreporter.stats.get(outcome, [])) for outcome in outcomes)

    closing.append(f"{count('passed', 'xfailed')} passed, {count('failed', 'error', 'xpassed')} failed, "
                   f"{count('skipped')} skipped")
    not_run = [str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", [])
               if terminalreporter.config.getoption("--long") and "long" in report.keywords]
    if not_run:
        closing[-1] += f"; {len(not_run)} of the long tests did NOT run: " + "; ".join(sorted(set(not_run)))


def pytest_unconfigure():
    if closing:
        sys.stdout.flush()
        print("\n" + closing.pop(), flush=True)


# ---- Fixtures --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def build():
    """Folder of the release build."""
    folder = Path(os.environ["CAPP_BUILD"])
    assert folder.is_dir(), f"{folder} is missing: run make test"
    return folder


@pytest.fixture(scope="session")
def capp(build):
    """Path of the command."""
    return str(build / "capp")


def real_model(name):
    folder = os.environ["CAPP_MODELS"]
    fetch = [sys.executable, str(ROOT / "tools" / "fetch.py"), "--folder", folder, name]
    done = subprocess.run(fetch, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
    return f"{folder}/{name}.gguf"


@pytest.fixture(scope="session")
def smollm2():
    """Path of SmolLM2 135M Instruct, Q4_1."""
    return real_model("smollm2")


@pytest.fixture(scope="session")
def gemma3():
    """Path of Gemma 3 270M, Q4_K_M."""
    return real_model("gemma3")


@pytest.fixture(scope="session")
def shared():
    """Folder of the project's shared data; a user's clone does not have it."""
    folder = Path(os.environ["CAPP_SHARED"])
    if not folder.is_dir():
        pytest.skip(f"no shared data in {folder}")
    return str(folder)


@pytest.fixture(scope="session")
def fixtures():
    """Folder of the reference data in the repository."""
    return ROOT / "tests" / "fixtures"


def tiny(tmp_path_factory, architecture):
    import tiny as models

    return str(models.make(tmp_path_factory.mktemp("models") / f"tiny-{architecture}.gguf", architecture))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """Path of a tiny random Llama with byte-level BPE; see tests/tiny.py."""
    return tiny(tmp_path_factory, "llama")


@pytest.fixture(scope="session")
def tiny_gpt2(tmp_path_factory):
    return tiny(tmp_path_factory, "gpt2")


@pytest.fixture(scope="session")
def tiny_gemma3(tmp_path_factory):
    """Path of a tiny random Gemma 3, with SentencePiece and sliding windows."""
    return tiny(tmp_path_factory, "gemma3")


@pytest.fixture
def model(tiny_model):
    """Options of the command that name the tiny model."""
    return ["-m", str(tiny_model)]


@pytest.fixture
def write(tmp_path):
    """write(name, content) writes a file and returns its path."""

    def write_file(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


@pytest.fixture
def disk(tmp_path):
    """Makes a small disk for the test, and can enlarge it."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def size(kib, *how):
        options = ",".join([*how, f"size={kib}k"])
        return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True).returncode

    if os.geteuid() or size(4):
        pytest.skip("no disk can be mounted here")
    yield folder, lambda kib: size(kib, "remount")
    subprocess.run(["umount", folder], check=True)

"""Dequantization against the gguf package, bit for bit, on random blocks."""

import os
import pathlib
import subprocess
import sys

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("gguf")

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
import blocks  # noqa: E402

PLAIN = ["F32", "F16", "BF16"]

# Zeros, the smallest and largest subnormals and normals, one, infinities.
EXTREME_HALVES = np.array(
    [0, 0x8000, 1, 0x8001, 0x3FF, 0x83FF, 0x400, 0x8400, 0x3C00, 0xBC00, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00], np.uint16
)


def tool():
    build = os.environ.get("CAPP_BUILD")
    if not build:
        pytest.skip("CAPP_BUILD is not set")
    return pathlib.Path(build) / "tests" / "dequant_tool"


def run(name, stored):
    done = subprocess.run([tool(), str(blocks.NUMBERS[name])], input=stored.tobytes(), stdout=subprocess.PIPE)
    assert done.returncode == 0
    return np.frombuffer(done.stdout, np.uint32)


def without_nan(halves):
    return np.where((halves & 0x7FFF) > 0x7C00, halves & 0xFC00, halves).astype(np.uint16)


def random_blocks(name, n, scales):
    """[n][bytes of a block]; scales: "random", "extreme" or "usual"."""
    rng = np.random.default_rng([blocks.NUMBERS[name], n, len(scales)])
    halves = {
        "extreme": lambda n: rng.choice(EXTREME_HALVES, n),
        "usual": lambda n: (rng.standard_normal(n) * 0.01).astype(np.float16).view(np.uint16),
        "random": lambda n: without_nan(rng.integers(0, 65536, n, dtype=np.uint16)),
    }
    return blocks.random(name, n, rng, halves[scales])


def plain_words(name, n):
    """F32, F16, BF16: random words without NaN, [n] of them as rows of bytes."""
    if name == "F32":
        words = np.random.default_rng(1).integers(0, 2**32, n, dtype=np.uint32)
        return np.where((words & 0x7FFFFFFF) > 0x7F800000, 0, words).astype(np.uint32).reshape(1, n).view(np.uint8)
    words = np.arange(65536, dtype=np.uint16)  # all possible values
    if name == "F16":
        return without_nan(words).reshape(1, -1).view(np.uint8)
    return np.where((words & 0x7FFF) > 0x7F80, 0, words).astype(np.uint16).reshape(1, -1).view(np.uint8)


def check(name, stored):
    with np.errstate(all="ignore"):
        expected = np.ascontiguousarray(blocks.dequantize(name, stored)).view(np.uint32).ravel()
    got = run(name, stored)
    assert got.size == expected.size
    # inf * 0 and inf - inf are NaN in both; which NaN is the compiler's choice of operand order.
    nan = np.isnan(got.view(np.float32)) & np.isnan(expected.view(np.float32))
    wrong = np.flatnonzero((got != expected) & ~nan)
    assert wrong.size == 0, (name, wrong[:5], got[wrong[:5]], expected[wrong[:5]])


@pytest.mark.parametrize("scales", ["random", "extreme", "usual"])
@pytest.mark.parametrize("name", list(blocks.SCALES))
def test_blocks(name, scales):
    check(name, random_blocks(name, 1501, scales))


@pytest.mark.parametrize("name", PLAIN)
def test_plain(name):
    check(name, plain_words(name, 40001))


@pytest.mark.parametrize("name", [*PLAIN, *blocks.SCALES])
def test_one_block(name):
    """capp reads and writes exactly one block; the loops over whole batches would hide an excess."""
    check(name, plain_words(name, 1)[:, :4] if name in PLAIN else random_blocks(name, 1, "usual"))


def test_every_supported_type_is_listed():
    """A type that capp reads and this file does not know would stay untested."""
    readable = [name for name, number in blocks.NUMBERS.items() if run_status(number) == 0]
    assert sorted(readable) == sorted([*PLAIN, *blocks.SCALES])


def run_status(number):
    return subprocess.run([tool(), str(number)], stdin=subprocess.DEVNULL).returncode


def test_the_codebooks_are_what_the_tool_writes():
    made = subprocess.run([sys.executable, ROOT / "tools" / "make_codebooks.py"], capture_output=True, text=True)
    assert made.stdout == (ROOT / "src" / "kernel" / "codebooks.h").read_text(), made.stderr

"""Dequantisation against the gguf package, bit for bit, on random blocks."""

import os
import pathlib
import subprocess

import pytest

np = pytest.importorskip("numpy")
gguf = pytest.importorskip("gguf")
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType  # noqa: E402

TYPES = "F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS TQ1_0 TQ2_0 MXFP4".split()

# Bytes where a block's float16 scales begin.
SCALES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0], "TQ1_0": [52], "TQ2_0": [64],
    "MXFP4": [],
}  # fmt: skip

# Zeros, the least and greatest subnormals and normals, one, infinities.
EXTREME_HALVES = np.array(
    [0, 0x8000, 1, 0x8001, 0x3FF, 0x83FF, 0x400, 0x8400, 0x3C00, 0xBC00, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00], np.uint16
)


def tool():
    build = os.environ.get("CAPP_BUILD")
    if not build:
        pytest.skip("CAPP_BUILD is not set")
    return pathlib.Path(build) / "tests" / "dequant_tool"


def run(qtype, blocks):
    done = subprocess.run([tool(), str(int(qtype))], input=blocks.tobytes(), stdout=subprocess.PIPE)
    assert done.returncode == 0
    return np.frombuffer(done.stdout, np.uint32)


def without_nan(halves):
    return np.where((halves & 0x7FFF) > 0x7C00, halves & 0xFC00, halves).astype(np.uint16)


def random_blocks(name, n, scales):
    """[n][bytes of a block]; scales: "random", "extreme" or "usual"."""
    size = GGML_QUANT_SIZES[GGMLQuantizationType[name]][1]
    rng = np.random.default_rng([TYPES.index(name), n, len(scales)])
    blocks = rng.integers(0, 256, (n, size), dtype=np.uint8)
    for at in SCALES.get(name, []):
        if scales == "extreme":
            halves = rng.choice(EXTREME_HALVES, n)
        elif scales == "usual":
            halves = (rng.standard_normal(n) * 0.01).astype(np.float16).view(np.uint16)
        else:
            halves = without_nan(rng.integers(0, 65536, n, dtype=np.uint16))
        blocks[:, at : at + 2] = halves.reshape(n, 1).view(np.uint8)
    return blocks


def plain_words(name, n):
    """F32, F16, BF16: random words without NaN, [n] of them as rows of bytes."""
    if name == "F32":
        words = np.random.default_rng(1).integers(0, 2**32, n, dtype=np.uint32)
        return np.where((words & 0x7FFFFFFF) > 0x7F800000, 0, words).astype(np.uint32).reshape(1, n).view(np.uint8)
    words = np.arange(65536, dtype=np.uint16)  # all that there are
    if name == "F16":
        return without_nan(words).reshape(1, -1).view(np.uint8)
    return np.where((words & 0x7FFF) > 0x7F80, 0, words).astype(np.uint16).reshape(1, -1).view(np.uint8)


def check(name, blocks):
    qtype = GGMLQuantizationType[name]
    with np.errstate(all="ignore"):
        expected = np.ascontiguousarray(gguf.dequantize(blocks, qtype)).view(np.uint32).ravel()
    got = run(qtype, blocks)
    assert got.size == expected.size
    # inf * 0 and inf - inf are NaN in both; which NaN is the compiler's choice of operand order.
    nan = np.isnan(got.view(np.float32)) & np.isnan(expected.view(np.float32))
    wrong = np.flatnonzero((got != expected) & ~nan)
    assert wrong.size == 0, (name, wrong[:5], got[wrong[:5]], expected[wrong[:5]])


@pytest.mark.parametrize("scales", ["random", "extreme", "usual"])
@pytest.mark.parametrize("name", list(SCALES))
def test_blocks(name, scales):
    check(name, random_blocks(name, 1501, scales))


@pytest.mark.parametrize("name", ["F32", "F16", "BF16"])
def test_plain(name):
    check(name, plain_words(name, 40001))


@pytest.mark.parametrize("name", TYPES)
def test_one_block(name):
    """No more is read or written than one block; the loops over whole batches hide that."""
    blocks = plain_words(name, 1)[:, :4] if name in ("F32", "F16", "BF16") else random_blocks(name, 1, "usual")
    check(name, blocks)


def test_every_supported_type_is_listed():
    """A type that capp reads and this file does not know would go untested."""
    readable = {t.name for t in GGMLQuantizationType if run_status(t) == 0}
    assert readable == set(TYPES)


def run_status(qtype):
    return subprocess.run([tool(), str(int(qtype))], stdin=subprocess.DEVNULL).returncode

"""Precision f32 gives the same bits with every instruction set, and they are the bits in the repository
(tests/bits.py)."""
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import bits  # noqa: E402

UNITS = ("portable", "ref", "avx2", "avx512", "avx512bf16", "amx")


@pytest.fixture(scope="module")
def expected():
    return json.loads(bits.EXPECTED.read_text())


def test_the_file_has_the_version_of_the_arithmetic(expected):
    assert expected["arithmetic"] == bits.arithmetic(), "write tests/fixtures/bits.json again: tools/make_bits.py"


def test_the_file_has_every_model(expected):
    assert list(expected["models"]) == bits.NAMES


@pytest.mark.parametrize("name", bits.NAMES)
def test_bits(build, expected, name):
    for unit in UNITS:
        found = bits.bits_of(build, name, unit)
        assert found in (None, expected["models"][name]), (
            f"{unit} gives other bits; if they are meant to change, raise the version of the arithmetic "
            "(CAPP_ARITHMETIC in include/capp.h) and run tools/make_bits.py")


def test_another_arithmetic_shows(build, expected):
    """The comparison can fail: products of bfloat16 give other bits."""
    found = bits.bits_of(build, "llama", "vdpbf16ps")
    assert found["logprobs"] != expected["models"]["llama"]["logprobs"]
    assert found["posterior"] != expected["models"]["llama"]["posterior"]

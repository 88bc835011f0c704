"""Precisions f32, i16, mixed and i8 give the same bits with every instruction set, and they are the bits in the repository
(tests/bits.py, tests/integers.py)."""
import copy
import json
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import bits  # noqa: E402
import integers  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
import make_bits  # noqa: E402

INTEGER_UNITS = ("ref", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16", "amx")
UNITS = ("portable", "ref", "avx2", "avx512", "avx512bf16", "amx")


@pytest.fixture(scope="module")
def expected():
    return json.loads(bits.EXPECTED.read_text())


def test_the_file_has_the_version_of_the_arithmetic(expected):
    assert expected["arithmetic"] == bits.arithmetic(), "write tests/fixtures/bits.json again: tools/make_bits.py"


def test_other_bits_need_another_version(expected):
    """tools/make_bits.py writes bits that change only with another version of the arithmetic; new models do not change any."""
    version = expected["arithmetic"]
    make_bits.check(expected, {**expected, "models": {**expected["models"], "new": {}}}, version)
    for kind, name in (("models", "llama"), ("files", "rwkv7"), ("i16", "Q4_0"), ("mixed", "Q6_K"), ("i8", "Q4_1")):
        other = copy.deepcopy(expected)
        row = other[kind][name]["logprobs"]
        row[0] = f"{int(row[0][0], 16) ^ 1:x}" + row[0][1:]
        with pytest.raises(SystemExit, match=f"bits of {name} change; raise CAPP_ARITHMETIC"):
            make_bits.check(expected, other, version)
        make_bits.check(expected, other, version + 1)


def test_the_file_has_every_model(expected):
    assert list(expected["models"]) == bits.NAMES
    assert list(expected["files"]) == bits.FILE_NAMES
    assert list(expected["i16"]) == integers.NAMES
    assert list(expected["mixed"]) == integers.MIXED_NAMES
    assert list(expected["i8"]) == integers.I8_NAMES


def expected_models(expected):
    return {**expected["models"], **expected["files"]}


@pytest.mark.parametrize("name", bits.NAMES + bits.FILE_NAMES)
def test_bits(build, expected, name):
    for unit in UNITS:
        found = bits.bits_of(build, name, unit)
        assert found in (None, expected_models(expected)[name]), (
            f"{unit} gives other bits; if they are meant to change, raise the version of the arithmetic "
            "(CAPP_ARITHMETIC in include/capp.h) and run tools/make_bits.py")


@pytest.mark.parametrize("name", integers.NAMES)
def test_bits_of_integers(build, expected, tmp_path, name):
    model, known = integers.make(tmp_path, name), expected["i16"][name]
    assert integers.weights_of(model) == known["weights"], "numpy makes other random numbers: run tools/make_bits.py again"
    for isa in INTEGER_UNITS:
        found = integers.bits_of(build, model, isa)
        assert found in (None, known["logprobs"]), (
            f"{isa} gives other bits; if they are meant to change, raise the version of the arithmetic "
            "(CAPP_ARITHMETIC in include/capp.h) and run tools/make_bits.py")


@pytest.mark.parametrize("name", integers.I8_NAMES)
def test_bits_of_one_digit(build, expected, tmp_path, name):
    model = integers.make(tmp_path, name)
    for isa in INTEGER_UNITS:
        assert integers.bits_of(build, model, isa, precision="i8") in (None, expected["i8"][name]["logprobs"]), isa
    assert expected["i8"][name]["logprobs"] != expected["i16"][name]["logprobs"]


@pytest.mark.parametrize("name", integers.MIXED_NAMES)
def test_bits_of_mixed(build, expected, tmp_path, name):
    model = integers.with_outliers(integers.make(tmp_path, name))
    for isa in INTEGER_UNITS:
        assert integers.bits_of(build, model, isa, precision="mixed") in (None, expected["mixed"][name]["logprobs"]), isa
    for precision in "i16", "i8":
        assert integers.bits_of(build, model, "ref", precision=precision) != expected["mixed"][name]["logprobs"]


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("variable", ["CAPP_BUILD_CLANG", "CAPP_BUILD_MUSL"])
def test_other_compilers_give_the_same_bits(expected, tmp_path, variable):
    if variable not in os.environ:
        pytest.skip(f"no {variable}: make check")
    build = Path(os.environ[variable])
    for name in bits.NAMES + bits.FILE_NAMES:
        for unit in UNITS:
            assert bits.bits_of(build, name, unit) in (None, expected_models(expected)[name]), f"{name}, {unit}"
    for name in integers.NAMES:
        model = integers.make(tmp_path, name)
        for isa in INTEGER_UNITS:
            assert integers.bits_of(build, model, isa) in (None, expected["i16"][name]["logprobs"]), f"{name}, {isa}"


def test_another_arithmetic_shows(build, expected):
    """The comparison can fail: products of bfloat16 give other bits."""
    found = bits.bits_of(build, "llama", "vdpbf16ps")
    assert found["logprobs"] != expected["models"]["llama"]["logprobs"]
    assert found["posterior"] != expected["models"]["llama"]["posterior"]

"""Slices of the fuzzing of GGUF files and tokenizers; `make fuzz` runs the whole."""

import os
import pathlib
import subprocess

import pytest

MUTATIONS, SEED = 100_000, 20_000_000  # not those of make fuzz, which begin at 1


TOKENIZERS = sorted((pathlib.Path(__file__).parent / "fixtures" / "tokenizers").glob("*.json"))


@pytest.mark.parametrize("name, files", [("fuzz_gguf", []), ("fuzz_tokenizer", TOKENIZERS)])
def test_slice(name, files):
    build = os.environ.get("CAPP_BUILD_ASAN")
    if not build:
        pytest.skip("CAPP_BUILD_ASAN is not set")
    program = pathlib.Path(build) / "tests" / name
    done = subprocess.run([program, str(MUTATIONS), str(SEED), *files], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-5000:]
    assert f"{MUTATIONS} mutations" in done.stdout

"""The loops of AMX tiles, counted in the disassembly: there is no machine with the unit at hand whose time could be taken."""
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import count_instructions  # noqa: E402

LOADS = {"accumulate_half_kept": 3, "accumulate_kept": 4, "accumulate_half": 3, "accumulate_one": 4, "accumulate_many": 4}


@pytest.fixture(scope="module")
def counted(build):
    if not (build / "libkernel_amx.a").exists():
        pytest.skip("not a build for x86-64")
    return {kernel.function: (kernel, count_instructions.count(build, kernel)) for kernel in count_instructions.TILES}


@pytest.mark.parametrize("function", LOADS)
def test_a_step_loads_each_tile_once(counted, function):
    """Two loads of rows and two of columns for four dots, and nothing else that touches memory: no sums, no stack."""
    kernel, found = counted[function]
    assert found["multiply"] == found["fewest"]
    assert found["memory"] == LOADS[function] and not found["stack"]
    assert found["all"] <= kernel.most, found


def test_the_streamed_tiles_are_those_that_are_not_read_again(build, counted):
    """With many rows the panel stays in the first-level cache and rows pass; with few the other way round."""
    def streamed(function):
        return [line.split("%")[-1] for line in count_instructions.round_of(build, counted[function][0]) if "tileloaddt1" in line]
    assert streamed("accumulate_many") == ["tmm4", "tmm5"]
    assert streamed("accumulate_kept") == streamed("accumulate_half_kept") == []
    assert streamed("accumulate_one") == streamed("accumulate_half") == ["tmm6", "tmm7"]


def test_a_worse_loop_is_seen(build, counted):
    """One tile of rows instead of two: three loads for two dots."""
    kernel, found = counted["accumulate_half"]
    best = counted["accumulate_many"][1]
    assert found["memory"] / found["multiply"] > best["memory"] / best["multiply"]


def test_nothing_is_copied(build, counted):
    """Sums go between tiles and memory without the C library's memmove and memcpy."""
    text = subprocess.run(["objdump", "-dr", build / "libkernel_amx.a"], capture_output=True, text=True, check=True).stdout
    body = text[text.index("<multiply_block>:") if "<multiply_block>:" in text else text.index("<multiply_panel>:"):]
    assert "memmove" not in body and "memcpy" not in body

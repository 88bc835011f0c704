"""AArch64, on any machine: programs of the cross-build (make aarch64) run under qemu's user emulation, as processors with
more and more units. The bits of precision f32 are those in the repository, which x86-64 gives too."""
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import bits  # noqa: E402
import test_tiny_models  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build-aarch64"
SYSROOT = ROOT / "build-sysroot-aarch64"
pytestmark = pytest.mark.skipif(not (BUILD / "capp").exists(), reason="no build-aarch64: make aarch64")

# Processors of qemu and the best instruction set that each has.
PROCESSORS = {"cortex-a53": "neon", "neoverse-n1": "neondot", "max,sve=off": "neoni8mm", "max": "neoni8mm"}
KERNELS = ("test_bits", "test_integers", "test_kernels", "test_products", "test_unpack")
REST = ("test_available", "test_gguf", "test_math", "test_plan", "test_vocab")
WHOLE = ("test_engine", "test_parts")  # of these the tests of neon alone; the others take minutes under emulation


def under(processor):
    return ["qemu-aarch64", "-L", SYSROOT, "-cpu", processor]


def run(processor, *command, **options):
    return subprocess.run([*under(processor), *map(str, command)], capture_output=True, text=True, errors="replace", **options)


@pytest.fixture(scope="module", autouse=True)
def emulator():
    assert shutil.which("qemu-aarch64"), "no qemu-aarch64: tools/setup.sh aarch64"


def cases():
    """make test runs the quick ones, for which it builds the programs; make aarch64 runs all."""
    quick = [("cortex-a53", "test_unpack"), ("neoverse-n1", "test_integers"), ("max,sve=off", "test_integers")]
    rest = [("cortex-a53", program) for program in KERNELS + REST + WHOLE] + [("max", "test_integers")]
    return quick + [pytest.param(*case, marks=pytest.mark.long) for case in rest if case not in quick]


@pytest.mark.parametrize("processor, program", cases())
def test_unit(processor, program, tmp_path):
    path = BUILD / "tests" / program
    names = [name for name in run(processor, path, "--list").stdout.split()
             if not name.startswith("slow_") and (program not in WHOLE or "neon" in name)]
    assert names
    done = {name: run(processor, path, name, env={**os.environ, "TMPDIR": str(tmp_path)}) for name in names}
    failed = {name: one.stdout + one.stderr for name, one in done.items() if one.returncode not in (0, 77)}
    assert not failed, "\n".join(f"{name}: {text}" for name, text in failed.items())
    assert any(one.returncode == 0 for one in done.values())


@pytest.mark.parametrize("processor", PROCESSORS)
def test_the_best_instruction_set_is_chosen(processor, tiny_model):
    done = run(processor, BUILD / "capp", "bench", "-m", tiny_model, "--prefill", 4, "--repeat", 1, "--json", "-")
    assert json.loads(done.stdout)["isa"] == PROCESSORS[processor]


@pytest.mark.parametrize("name", bits.NAMES)
def test_bits_and_reference(name):
    """On the processor with NEON alone: the bits of the file, which all machines share, and the log-probabilities of
    transformers."""
    found = bits.bits_of(BUILD, name, "neon", under("cortex-a53"))
    assert found == json.loads(bits.EXPECTED.read_text())["models"][name]
    runs = json.loads((bits.TINY / name / "reference.json").read_text())["runs"]
    wanted = [run["logprobs"] for context in sorted({run["context"] for run in runs}) for run in runs if run["context"] == context]
    for one, got in zip(wanted, found["logprobs"], strict=True):
        numbers = [number for (number,) in struct.iter_unpack(">f", bytes.fromhex(got))]
        assert numbers == pytest.approx(one, abs=test_tiny_models.TOLERANCE)


@pytest.mark.parametrize("name, parts", [("llama", "rope activation"), ("gemma3", "window q_norm"), ("mixtral", "router_norm"),
                                         ("mamba2", "decay skip"), ("qwen3next", "shared_router tail")])
def test_a_missing_part_of_a_model_shows(name, parts, monkeypatch):
    expected = json.loads(bits.EXPECTED.read_text())["models"][name]
    for part in parts.split():
        monkeypatch.setenv("CAPP_SABOTAGE", part)
        assert bits.bits_of(BUILD, name, "neon", under("cortex-a53"))["logprobs"] != expected["logprobs"], part


@pytest.mark.long
@pytest.mark.parametrize("name", bits.NAMES)
def test_bits(name):
    expected = json.loads(bits.EXPECTED.read_text())["models"][name]
    for processor, isa in PROCESSORS.items():
        for unit in ("portable", "ref", isa) if name == "llama" else (isa,):
            assert bits.bits_of(BUILD, name, unit, under(processor)) == expected, f"{unit} of {processor}"


def inner_loop(code):
    """The instructions of the loop of a function, as objdump prints it, with the largest share of products."""
    lines = [(int(at, 16), text) for at, text in re.findall(r"^ +([0-9a-f]+):\t(.*)$", code, re.M)]
    loops = []
    for end, (at, text) in enumerate(lines):
        to = re.match(r"b\.\w+ ([0-9a-f]+)|cbn?z \w+, ([0-9a-f]+)", text.replace("\t", " "))
        start = [n for n, (other, _) in enumerate(lines[:end]) if to and other == int(to[1] or to[2], 16)]
        loops += [[body for _, body in lines[begin:end + 1]] for begin in start]
    return max(loops, key=lambda loop: sum(text.startswith("fmla") for text in loop) / len(loop))


def test_the_product_has_few_instructions():
    """The numbers of docs/performance.md."""
    dump = ["aarch64-linux-gnu-objdump", "-d", "--no-show-raw-insn", "--disassemble=packed_6_1", BUILD / "libkernel_neon.a"]
    loop = inner_loop(subprocess.run(dump, capture_output=True, text=True, check=True).stdout)
    assert sum(text.startswith("fmla") for text in loop) == 24 and len(loop) <= 38, loop
    assert not any("[sp" in text for text in loop)


def test_other_bits_show():
    expected = json.loads(bits.EXPECTED.read_text())["models"]["llama"]
    assert bits.bits_of(BUILD, "llama", "vdpbf16ps", under("max")) != expected

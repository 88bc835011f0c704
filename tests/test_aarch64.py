"""AArch64, on any machine: programs of the cross-build (make aarch64) run under qemu's user emulation, as processors with
more and more units. The bits of precisions f32, i16, mixed and i8 are those in the repository, which x86-64 gives too."""
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
import integers  # noqa: E402
import test_tiny_models  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import count_instructions  # noqa: E402

BUILD = ROOT / "build-aarch64"
SYSROOT = ROOT / "build-sysroot-aarch64"
pytestmark = pytest.mark.skipif(not (BUILD / "capp").exists(), reason="no build-aarch64: make aarch64")

# Processors of qemu and the instruction sets that each has, the best one last.
PROCESSORS = {"cortex-a53": ("neon",), "neoverse-n1": ("neon", "neondot"),
              "max,sve=off": ("neon", "neondot", "neoni8mm", "neonbf16"), "max": ("neon", "neondot", "neoni8mm", "neonbf16")}
KERNELS = ("test_bits", "test_integers", "test_kernels", "test_products", "test_unpack")
REST = ("test_available", "test_gguf", "test_math", "test_plan", "test_quant_blocks", "test_vocab")
WHOLE = ("test_engine", "test_parts")  # of these the tests of neon alone; the others take minutes under emulation
BF16 = ("test_engine", "test_parts", "test_precision", "test_products")
# Programs and the names of their tests that make test runs. It builds these programs.
QUICK = [("max,sve=off", "test_unpack", ""), ("cortex-a53", "test_integers", "neon$"), ("neoverse-n1", "test_integers", "neondot"),
         ("max,sve=off", "test_integers", "neoni8mm"), ("max,sve=off", "test_products", "neonbf16|emulation_is_bfmmla")]


def under(processor):
    return ["qemu-aarch64", "-L", SYSROOT, "-cpu", processor]


def run(processor, *command, **options):
    return subprocess.run([*under(processor), *map(str, command)], capture_output=True, text=True, errors="replace", **options)


@pytest.fixture(scope="module", autouse=True)
def emulator():
    assert shutil.which("qemu-aarch64"), "no qemu-aarch64: tools/setup.sh aarch64"


def cases():
    """make test runs the quick ones; make aarch64 runs all."""
    rest = [("cortex-a53", program, "neon" if program in WHOLE else "") for program in KERNELS + REST + WHOLE]
    rest += [("max", program, "neonbf16|bfmmla|lane") for program in BF16]
    rest += [("max", "test_integers", "neon"), ("max", "test_kernels", "dispatch|peak")]
    return QUICK + [pytest.param(*case, marks=pytest.mark.long) for case in rest]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("processor, program, chosen", cases())
def test_unit(processor, program, chosen, tmp_path):
    path = BUILD / "tests" / program
    names = [name for name in run(processor, path, "--list").stdout.split()
             if not name.startswith("slow_") and re.search(chosen, name)]
    assert names
    done = {name: run(processor, path, name, env={**os.environ, "TMPDIR": str(tmp_path)}) for name in names}
    failed = {name: one.stdout + one.stderr for name, one in done.items() if one.returncode not in (0, 77)}
    assert not failed, "\n".join(f"{name}: {text}" for name, text in failed.items())
    assert any(one.returncode == 0 for one in done.values())


def chosen_isa(processor, model, **environment):
    """The instruction set that `capp generate` reports, or its process if that fails."""
    done = run(processor, BUILD / "capp", "generate", "-m", model, "-n", 1, "--json", "-", input="a\n",
               env={**os.environ, **environment})
    return done if done.returncode else re.search(r'"isa": "(\w+)"', done.stdout)[1]


@pytest.mark.parametrize("processor", PROCESSORS)
def test_the_best_instruction_set_is_chosen(processor, tiny_model):
    assert chosen_isa(processor, tiny_model) == PROCESSORS[processor][-1]


@pytest.mark.parametrize("isa", ["ref", *PROCESSORS["max"]])
def test_another_instruction_set_is_chosen_by_the_environment(isa, tiny_model):
    """On the processor between; what it lacks is an error."""
    found = chosen_isa("neoverse-n1", tiny_model, CAPP_ISA=isa)
    if isa in ("ref", *PROCESSORS["neoverse-n1"]):
        assert found == isa
    else:
        assert found.returncode == 2 and isa in found.stderr


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
        assert numbers == pytest.approx(one, abs=test_tiny_models.WIDER.get(name, test_tiny_models.TOLERANCE))


@pytest.mark.parametrize("name", bits.FILE_NAMES)
def test_bits_of_files(name):
    """Architectures that have no folder in the tests, such as RWKV-7 and PLaMo 2."""
    assert bits.bits_of(BUILD, name, "neon", under("cortex-a53")) == json.loads(bits.EXPECTED.read_text())["files"][name]


@pytest.mark.parametrize("name, parts", [("llama", "rope activation"), ("gemma3", "window q_norm"), ("mixtral", "router_norm"),
                                         ("mamba2", "decay skip"), ("qwen3next", "shared_router tail")])
def test_a_missing_part_of_a_model_shows(name, parts, monkeypatch):
    expected = json.loads(bits.EXPECTED.read_text())["models"][name]
    for part in parts.split():
        monkeypatch.setenv("CAPP_SABOTAGE", part)
        assert bits.bits_of(BUILD, name, "neon", under("cortex-a53"))["logprobs"] != expected["logprobs"], part


@pytest.mark.parametrize("name", ["Q4_1", "Q6_K", pytest.param("gptq", marks=pytest.mark.long),
                                  *(pytest.param(name, marks=pytest.mark.long) for name in integers.NAMES
                                    if name not in ("Q4_1", "Q6_K", "gptq"))])
def test_bits_of_integers(name, tmp_path):
    model, known = integers.make(tmp_path, name), json.loads(bits.EXPECTED.read_text())["i16"][name]
    for isa in PROCESSORS["max"]:
        assert integers.bits_of(BUILD, model, isa, under("max,sve=off")) == known["logprobs"], isa


@pytest.mark.parametrize("name", ["Q4_1", *(pytest.param(name, marks=pytest.mark.long) for name in integers.I8_NAMES if name != "Q4_1")])
def test_bits_of_one_digit(name, tmp_path):
    model, known = integers.make(tmp_path, name), json.loads(bits.EXPECTED.read_text())["i8"][name]
    for isa in PROCESSORS["max"]:
        assert integers.bits_of(BUILD, model, isa, under("max,sve=off"), "i8") == known["logprobs"], isa


@pytest.mark.parametrize("name", ["Q4_1", pytest.param("Q6_K", marks=pytest.mark.long)])
def test_bits_of_mixed(name, tmp_path):
    model, known = integers.with_outliers(integers.make(tmp_path, name)), json.loads(bits.EXPECTED.read_text())["mixed"][name]
    for isa in PROCESSORS["max"]:
        assert integers.bits_of(BUILD, model, isa, under("max,sve=off"), "mixed") == known["logprobs"], isa


@pytest.mark.parametrize("name", ["gemma3", "llama", *(pytest.param(name, marks=pytest.mark.long) for name in bits.NAMES
                                                       if name not in ("gemma3", "llama"))])
def test_bits_of_bf16(name, build):
    """BFMMLA gives the bits of its emulation, which is run on this machine. They are not those of float32."""
    found = bits.bits_of(BUILD, name, "neonbf16:bf16", under("max,sve=off"))
    assert found == bits.bits_of(build, name, "bfmmla")
    assert found["logprobs"] != json.loads(bits.EXPECTED.read_text())["models"][name]["logprobs"]


@pytest.mark.long
@pytest.mark.parametrize("name", bits.NAMES)
def test_bits(name):
    """llama with every instruction set of every processor, the others with the best."""
    expected = json.loads(bits.EXPECTED.read_text())["models"][name]
    for processor, isas in PROCESSORS.items():
        for unit in ("portable", "ref", *isas) if name == "llama" else isas[-1:]:
            assert bits.bits_of(BUILD, name, unit, under(processor)) == expected, f"{unit} of {processor}"


@pytest.mark.parametrize("kernel", count_instructions.KERNELS, ids=lambda kernel: kernel.unit)
def test_products_have_few_instructions(kernel):
    found = count_instructions.count(BUILD, kernel)
    assert found["all"] <= kernel.most and found["multiply"] == found["fewest"], found
    assert not found["stack"] or kernel.precision == "i16"


def test_the_page_has_the_counts():
    assert count_instructions.table(BUILD) in (ROOT / "docs" / "performance.md").read_text()


def test_a_worse_product_is_seen():
    """That of a single row of float32, and of two rows of bfloat16: fewer products for each number loaded."""
    for unit, function, done in (("FMLA", "packed_1_1", 16), ("BFMMLA", "tile_1", 2 * 16 * 8)):
        best = next(kernel for kernel in count_instructions.KERNELS if kernel.unit == unit)
        worse = count_instructions.Kernel(best.precision, best.isa, unit, best.library, function, done, best.each, 0)
        assert count_instructions.count(BUILD, worse)["all"] / done > best.most / best.done


def test_other_bits_show():
    expected = json.loads(bits.EXPECTED.read_text())["models"]["llama"]
    assert bits.bits_of(BUILD, "llama", "vdpbf16ps", under("max")) != expected

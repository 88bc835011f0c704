"""Models whose matrices all have one type that stores integers, and their bits in precisions i16, mixed and i8. tools/make_bits.py
writes these into tests/fixtures/bits.json; tests/test_expected_bits.py compares with them."""
import hashlib
import os
import struct
import subprocess

import gguf

import bits
import quantized
import test_gguf_types

NAMES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4"]
# Folders whose blocks have these types (kernel/quant_blocks.h), of tests/quantized.py.
FOLDERS = ["gptq", "gptq-2", "gptq-3", "gptq-grouped", "gptq-experts-order", "gptq-no-index", "gptq-one-group", "gptq-8-64", "gptq-shared-order", "awq", "int4-shared-order", "int8", "w8a8"]
NAMES += FOLDERS
I8_NAMES = ["Q4_1", "Q6_K", "gptq"]  # with one offset or scale a block, with many, and from a folder
MIXED_NAMES = ["Q4_1", "Q6_K"]  # of with_outliers
IDS = [[3 + (7 * i * i + 31 * row + 11 * i) % 256 for i in range(24)] for row in range(2)]


def make(folder, name):
    if name in FOLDERS:
        return quantized.make(folder / name, name)[0]
    return test_gguf_types.make(folder / f"{name}.gguf", [name], True)


def with_outliers(model):
    """Some numbers of each row become so large that precision mixed keeps the low digits of some blocks."""
    for tensor in gguf.GGUFReader(model, "r+").tensors:
        if tensor.name.endswith("norm.weight"):
            tensor.data[::64] *= 30
    return model


def weights_of(model):
    """A digest of all tensors: other random numbers would make another model."""
    digest = hashlib.sha256()
    if model.is_dir():
        return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(model.glob("*.safetensors")))).hexdigest()
    for tensor in gguf.GGUFReader(model).tensors:
        digest.update(tensor.data.tobytes())
    return digest.hexdigest()


def bits_of(build, model, isa, emulator=(), precision="i16"):
    """[hex digits, 8 per token, for each row of IDS]; None where the machine lacks the instruction set. emulator: a command
    that runs the programs of the build."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CAPP_")}
    done = subprocess.run([*emulator, build / "tests" / "model_tool", model, f"{isa}:{precision}"], env=environment, capture_output=True, text=True,
                          input="".join(" ".join(str(i % 96 if model.is_dir() else i) for i in ids) + "\n" for ids in IDS))
    if done.returncode == bits.LACKING:
        return None
    assert done.returncode == 0, done.stderr
    return ["".join(struct.pack(">f", float(number)).hex() for number in line.split()) for line in done.stdout.splitlines()]

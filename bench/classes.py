"""Classes of processors that one machine stands in for: the instruction sets that both programs may use."""
import base
import machine
import peers

# class -> (llama.cpp's build, capp's instruction set and precision; None: what they choose)
CLASSES = {"own": ("build", None, None), "AVX2": ("build-avx2", "avx2", "auto"), "AVX2, f32": ("build-avx2", "avx2", "f32"),
           "AVX2 and AVX-VNNI": ("build-client", "avxvnni", "auto"), "AVX2 and AVX-VNNI, i16": ("build-client", "avxvnni", "i16"),
           "AVX-512": ("build-512", "avx512", "f32"), "AVX-512 VNNI": ("build-512", "avx512vnni", "auto"),
           "AVX-512 VNNI, i16": ("build-512", "avx512vnni", "i16"), "AVX-512 BF16": ("build-512", "avx512bf16", "auto")}
# capp's instruction set -> what a processor of the class has
ISAS = {"avx2": "AVX2", "avxvnni": "AVX2 and AVX-VNNI", "avx512": "AVX-512", "avx512vnni": "AVX-512 VNNI",
        "avx512bf16": "AVX-512 BF16", "amx": "AMX"}
FLAGS = {"avx2": "avx2", "avxvnni": "avx_vnni", "avx512": "avx512f", "avx512vnni": "avx512_vnni", "avx512bf16": "avx512_bf16", "amx": "amx_tile"}


def here():
    """The instruction sets that this machine has."""
    flags = machine.cpu_facts()[2]
    return [isa for isa, flag in FLAGS.items() if flag in flags]


def checked(bench, name):
    """CLASSES[name]; an error if this machine or the peers' folder has no such class."""
    build, isa, precision = CLASSES[name]
    if isa and isa not in here():
        raise base.Skip(f"this machine has no {ISAS[isa]}")
    peers.have(bench, f"llama/{build}/bin/llama-bench", "llama.cpp")
    return build, isa, precision or bench.precision

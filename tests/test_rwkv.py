"""RWKV-7 of many shapes against double precision (tests/rwkv.py), which llama.cpp's log-probabilities check in turn."""
import subprocess

import gguf
import numpy as np
import pytest

import llama_models
import rwkv
from test_llama_cpp import REFERENCES
from test_tiny_models import scored

# Heads that are no multiple of a vector or wider than a block of columns, one head, ranks above the width, one layer.
SHAPES = {
    "narrow": dict(heads=5, dim=12, ranks=(3, 1, 2, 7)),
    "single": dict(heads=1, dim=50, ranks=(70, 5, 60, 80), layers=2),
    "shallow": dict(heads=3, dim=8, layers=1),
    "gateless": dict(heads=2, dim=20, ranks=(6, 5, 4), layers=4),
    "arwkv": dict(arch="arwkv7", heads=3, dim=36, feed=20),
}  # fmt: skip
TEXTS = [[(7 * i * i + 3 * i + 5) % 97 for i in range(n)] for n in (2, 17, 60)]


def difference(got, expected):
    return max(abs(a - b) for row, other in zip(got, expected, strict=True) for a, b in zip(row, other, strict=True))


@pytest.mark.parametrize("name", ["rwkv7", "arwkv7", "arwkv7-plain"])
def test_the_reference_is_llama_cpp(name):
    runs, reference = REFERENCES[name], rwkv.Reference(llama_models.FILES / f"{name}.gguf")
    assert difference([reference.logprobs(run["ids"]) for run in runs], [run["logprobs"] for run in runs]) <= 1e-4


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(build, name, tmp_path):
    path = tmp_path / f"{name}.gguf"
    rwkv.Maker(path, **SHAPES[name])
    reference = rwkv.Reference(path)
    expected = [reference.logprobs(ids) for ids in TEXTS]
    for isa in ("ref", "avx2"):
        assert difference(scored(build, path, [{"ids": ids} for ids in TEXTS], 0, isa), expected) <= 1e-4
    assert scored(build, path, [{"ids": TEXTS[2]}], 0, "close") == scored(build, path, [{"ids": TEXTS[2]}], 0, "ref")
    for way in ("wkv_shift", "wkv_decay", "wkv_removal", *(["wkv_feed_shift"] if name != "arwkv" else [])):
        assert difference(scored(build, path, [{"ids": ids} for ids in TEXTS], 0, sabotage=way), expected) >= 0.05


@pytest.mark.parametrize("unit", ["avx2", "vdpbf16ps", "avx2:i16"])
@pytest.mark.parametrize("name", SHAPES)
def test_paths_alone_and_in_a_tree(build, name, unit, tmp_path):
    path, long = tmp_path / f"{name}.gguf", TEXTS[2]
    integers = unit.endswith("i16")
    shape = dict(SHAPES[name], heads=2, dim=32, matrices=gguf.GGMLQuantizationType.Q8_0, feed=64) if integers else SHAPES[name]
    rwkv.Maker(path, **shape)
    paths = [{"ids": long[:n] + TEXTS[1][-m:]} for n, m in ((1, 1), (1, 17), (5, 9), (20, 3), (59, 1), (20, 12))]
    together = scored(build, path, [{"ids": long}, *paths], 0, unit)
    assert together[1:] == [scored(build, path, [one], 0, unit)[0] for one in paths]
    assert scored(build, path, [{"ids": long}], 0, unit, unscored=30)[0] == together[0][29:]
    if integers:
        expected = rwkv.Reference(path).logprobs(long)
        assert 0 < difference([together[0]], [expected]) <= 5e-3


def test_an_adapter(build, tmp_path):
    """LoRA on all wide products, as llama.cpp has it."""
    path, rng = tmp_path / "model.gguf", np.random.default_rng(3)
    rwkv.Maker(path)
    reference = rwkv.Reference(path)
    writer = gguf.GGUFWriter(str(tmp_path / "adapter.gguf"), "rwkv7")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 6.0)
    wide = [name for name in reference.tensors if name.endswith(("receptance.weight", "_key.weight", "_value.weight", "mix_output.weight"))]
    assert len(wide) == 3 * 6
    for name in wide:
        n, k = reference.tensors[name].shape
        a, b = (rng.standard_normal(shape).astype(np.float32) * 0.2 for shape in ((3, k), (n, 3)))
        writer.add_tensor(name + ".lora_a", a)
        writer.add_tensor(name + ".lora_b", b)
        reference.tensors[name] += 6.0 / 3 * 0.5 * b.astype(np.float64) @ a
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()
    lines = "".join(" ".join(map(str, ids)) + "\n" for ids in TEXTS)
    done = subprocess.run([build / "tests" / "model_tool", path, "avx2", tmp_path / "adapter.gguf", "0.5"], input=lines, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    got = [[float(number) for number in line.split()] for line in done.stdout.splitlines()]
    assert difference(got, [reference.logprobs(ids) for ids in TEXTS]) <= 1e-4
    assert difference(got, scored(build, path, [{"ids": ids} for ids in TEXTS], 0)) >= 0.05

"""Folders of GPTQ, AWQ and float8: the bits of log-probabilities are those of a float32 folder of the weights that
numpy dequantised (tests/quantised.py)."""
import json
import shutil
import struct
import subprocess

import numpy as np
import pytest

import quantised
import test_tiny_models as tiny

GPTQ = dict(quant_method="gptq", bits=4, group_size=32, desc_act=False, sym=True, damp_percent=0.01,
            true_sequential=True, static_groups=False, checkpoint_format="gptq")  # fmt: skip

AWQ = dict(quant_method="awq", bits=4, group_size=32, zero_point=True, version="gemm")
FP8 = dict(quant_method="fp8", activation_scheme="dynamic", fmt="e4m3")
BLOCKS = dict(strategy="block", scale="weight_scale_inv")


def zero_bias(stem, values):
    return {f"{stem}.bias": np.zeros(values.shape[0], np.float16)}


def activation_scales(stem, values):
    """What compressed-tensors keeps of activations, and of keys and values."""
    names = [f"{stem}.input_scale"] + ([stem.replace("k_proj", "k_scale")] if stem.endswith("k_proj") else [])
    return {name: np.ones(1, np.float32) for name in names}


def compressed(strategy, **options):
    weights = dict(num_bits=8, type="float", symmetric=True, strategy=strategy, dynamic=False, **options)
    activations = dict(num_bits=8, type="float", strategy="token", dynamic=True)
    group = dict(weights=weights, input_activations=activations, output_activations=None, targets=["Linear"])
    return dict(quant_method="compressed-tensors", format="float-quantized", quantization_status="compressed",
                config_groups=dict(group_0=group), ignore=["lm_head"], kv_cache_scheme=None, sparsity_config={})


# name: model, method, quantization_config, options of quantised.make
CASES = {
    "gptq": ("llama", quantised.gptq, GPTQ, {}),
    "gptq-act-order": ("llama", quantised.gptq, dict(GPTQ, desc_act=True), dict(act_order=True, symmetric=False)),
    "gptq-v2": ("qwen2", quantised.gptq, dict(GPTQ, checkpoint_format="gptq_v2", sym=False, pack_dtype="int32"),
                dict(v2=True, symmetric=False, scale_dtype="BF16")),
    "gptq-one-group": ("llama-biases", quantised.gptq, dict(GPTQ, group_size=-1), dict(group=-1, index=False)),
    "gptq-no-index": ("qwen3", quantised.gptq, dict(GPTQ, group_size=64), dict(group=64, index=False, shards=3)),
    "gptq-2": ("mistral", quantised.gptq, dict(GPTQ, bits=2), dict(bits=2)),
    "gptq-3": ("gptneox", quantised.gptq, dict(GPTQ, bits=3), dict(bits=3, symmetric=False)),
    "gptq-8": ("phi3", quantised.gptq, dict(GPTQ, bits=8), dict(bits=8, act_order=True, scale_dtype=np.float32)),
    "gptq-transposed": ("gpt2", quantised.gptq, GPTQ, {}),
    "gptq-grouped": ("bloom", quantised.gptq, GPTQ, dict(act_order=True)),
    "gptq-experts": ("qwen3moe", quantised.gptq, GPTQ, {}),
    "gptq-experts-mixtral": ("mixtral", quantised.gptq, dict(GPTQ, group_size=16), dict(group=16)),
    "gptq-dynamic": ("ministral", quantised.gptq, dict(GPTQ, lm_head=True, dynamic={"+:.*down.*": {"bits": 8}}),
                     dict(head=True, each=[dict(bits=8), dict(), dict(bits=2, group=16)])),
    "gptq-zero-biases": ("llama3", quantised.gptq, GPTQ, dict(extra=zero_bias)),
    "awq": ("llama", quantised.awq, AWQ, {}),
    "awq-one-group": ("phi3", quantised.awq, dict(AWQ, group_size=-1, version="GEMM"), dict(group=-1)),
    "awq-experts": ("mixtral", quantised.awq, AWQ, dict(scale_dtype="BF16")),
    "awq-grouped": ("gptneox", quantised.awq, dict(AWQ, group_size=16), dict(group=16, shards=2)),
    "awq-biases": ("qwen2", quantised.awq, dict(AWQ, modules_to_not_convert=["lm_head"]), dict(symmetric=True)),
    "fp8": ("llama", quantised.float8, FP8, dict(resize=False)),
    "fp8-blocks": ("qwen3", quantised.float8, dict(FP8, weight_block_size=[16, 16]), dict(resize=False, **BLOCKS)),
    "fp8-large-blocks": ("phi3", quantised.float8, dict(FP8, weight_block_size=[128, 128], scale_fmt="ue8m0"),
                         dict(BLOCKS, block=(128, 128), scale_dtype="BF16")),
    "fp8-experts": ("qwen3moe", quantised.float8, dict(FP8, weight_block_size=[16, 16]), dict(resize=False, **BLOCKS)),
    "fp8-e5m2": ("olmoe", quantised.float8, FP8, dict(resize=False, e5m2=True, scale_dtype=np.float16)),
    "fp8-fbgemm": ("llama3", quantised.float8, dict(quant_method="fbgemm_fp8", activation_scale_ub=1200.0),
                   dict(resize=False, strategy="channel", head=True)),
    "fp8-grouped": ("gptneox", quantised.float8, FP8, dict(resize=False, strategy="flat")),
    "fp8-grouped-blocks": ("falcon-40b", quantised.float8, dict(FP8, weight_block_size=[16, 16]),
                           dict(resize=False, **BLOCKS)),
    "compressed": ("qwen2", quantised.float8, compressed("channel"),
                   dict(resize=False, strategy="channel", scale_dtype="BF16", extra=activation_scales)),
    "compressed-tensor": ("mistral", quantised.float8, compressed("tensor"), dict(resize=False)),
    "compressed-blocks": ("gemma3", quantised.float8, compressed("block", block_structure=[16, 16]),
                          dict(resize=False, strategy="block")),
    "compressed-groups": ("granite", quantised.float8, compressed("group", group_size=4),
                          dict(resize=False, strategy="group", block=(1, 4))),
}  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Makes each case once."""
    made = {}

    def get(case):
        if case not in made:
            name, method, config, options = CASES[case]
            made[case] = quantised.make(tmp_path_factory.mktemp("quantised") / case, name, method, config, **options)
        return made[case]

    return get


@pytest.mark.parametrize("case", CASES)
def test_the_same_bits(build, folders, case):
    name = CASES[case][0]
    stored, plain = folders(case)
    runs = tiny.reference(name)[:3]
    for isa in ("ref", "avx2"):
        got = tiny.scored(build, stored, runs, runs[0]["context"], isa)
        assert got == tiny.scored(build, plain, runs, runs[0]["context"], isa)
        assert np.std(np.concatenate(got)) > 0.3


# ---- What is refused ---------------------------------------------------------------------------------------------


def rewritten(folder, change):
    """Saves the folder again after change(header entries, config); the data of tensors may be replaced by bytes."""
    path = folder / "model.safetensors"
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    tensors = {name: [entry["dtype"], entry["shape"], data[8 + size + entry["data_offsets"][0]:
               8 + size + entry["data_offsets"][1]]] for name, entry in json.loads(data[8 : 8 + size]).items()}
    config = json.loads((folder / "config.json").read_text())
    change(tensors, config["quantization_config"], config)
    (folder / "config.json").write_text(json.dumps(config))
    header, body = {}, b""
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


Q = "model.layers.1.self_attn.q_proj."
BROKEN = {
    "no scales": ("gptq", lambda t, q, c: t.pop(Q + "scales"), Q + "scales, of GPTQ, is missing"),
    "no zeros": ("gptq", lambda t, q, c: t.pop(Q + "qzeros"), Q + "qzeros, of GPTQ, is missing"),
    "a group too many": ("gptq", lambda t, q, c: t[Q + "g_idx"].__setitem__(2, struct.pack("<96i", *range(96))),
                         Q + "g_idx, of GPTQ, names a group that has no scales"),
    "a negative group": ("gptq", lambda t, q, c: t[Q + "g_idx"].__setitem__(2, struct.pack("<96i", *[-1] * 96)),
                         Q + "g_idx, of GPTQ, names a group"),
    "other bits": ("gptq", lambda t, q, c: q.update(bits=8),
                   "of GPTQ, is 96 x 12 of I32; a product of 96 x 96 needs 96 x 24"),
    "odd bits": ("gptq", lambda t, q, c: q.update(bits=5), '"quantization_config.bits" is not 2, 3, 4 or 8'),
    "other groups": ("gptq-one-group", lambda t, q, c: q.update(group_size=16),
                     "has not as many rows as config.json's"),
    "marlin": ("gptq", lambda t, q, c: q.update(checkpoint_format="marlin"),
               'checkpoint_format" is "marlin"; capp reads gptq'),
    "rotation": ("gptq", lambda t, q, c: q.update(rotation="hadamard"), '"quantization_config.rotation" is no field'),
    "words of 16 bits": ("gptq", lambda t, q, c: q.update(pack_dtype="int16"), 'pack_dtype" is "int16"'),
    "another method": ("gptq", lambda t, q, c: q.update(quant_method="bitsnbytes"),
                       '"bitsnbytes" (model.layers.0.mlp.down_proj.qweight is I32); capp reads gptq'),
    "config without": ("gptq", lambda t, q, c: c.pop("quantization_config"), "quantize_config.json"),
    "a bias that is not zero": ("gptq-zero-biases", lambda t, q, c: t[Q + "bias"].__setitem__(2, b"\1" * 192),
                                Q + "bias has no place"),
    "gemv": ("awq", lambda t, q, c: q.update(version="gemv"),
             '"quantization_config.version" is "gemv"; capp reads gemm'),
    "llm-awq": ("awq", lambda t, q, c: q.update(backend="llm-awq"), 'backend" is "llm-awq"'),
    "awq of 8 bits": ("awq", lambda t, q, c: q.update(bits=8), '"quantization_config.bits" is not 4'),
    "awq's groups": ("awq", lambda t, q, c: q.update(group_size=16), "scales, of AWQ, has not as many rows"),
    "awq's words": ("awq", lambda t, q, c: t[Q + "qweight"].__setitem__(1, [48, 24]),
                    Q + "qweight, of AWQ, is 24 x 48 of I32; a product of 96 x 96 needs 12 x 96 of I32"),
    "no scale": ("fp8", lambda t, q, c: t.pop(Q + "weight_scale"), Q + "weight_scale, of float8, is missing"),
    "float8 of another shape": ("fp8", lambda t, q, c: t[Q + "weight"].__setitem__(1, [18, 72]),
                                Q + "weight, of float8, is 72 x 18; the hyperparameters say 36 x 36"),
    "other blocks": ("fp8-blocks", lambda t, q, c: q.update(weight_block_size=[12, 16]),
                     "weight_scale_inv, of float8, is 3 x 3 of F32; a product of 36 x 40 has one scale"),
    "no blocks": ("fp8-blocks", lambda t, q, c: q.pop("weight_block_size"), "of float8, is 3 x 3 of F32"),
    "blocks of nothing": ("fp8-blocks", lambda t, q, c: q.update(weight_block_size=[0, 16]),
                          "is not two numbers from 1 up"),
    "scales of integers": ("fp8", lambda t, q, c: t[Q + "weight_scale"].__setitem__(0, "I32"),
                           Q + "weight_scale, of float8, is 1 x 1 of I32"),
    "a scale of an unknown kind": ("fp8", lambda t, q, c: t.update({Q + "weight_shift": ["F32", [1], bytes(4)]}),
                                   Q + "weight_shift has no place"),
    "float8 and no method": ("fp8", lambda t, q, c: c.pop("quantization_config"),
                             "has type F8_E4M3, which capp cannot read"),
    "packed": ("compressed", lambda t, q, c: q.update(format="pack-quantized"),
               'format" is "pack-quantized"; capp reads'),
    "sparse": ("compressed", lambda t, q, c: q.update(sparsity_config={"format": "sparse-24-bitmask"}),
               'sparsity_config.format" is "sparse-24-bitmask"'),
    "rotated": ("compressed", lambda t, q, c: q.update(transform_config={"config_groups": {"u": 1}}),
                "does not rotate activations"),
}  # fmt: skip


@pytest.mark.parametrize("way", BROKEN)
def test_broken(build, folders, tmp_path, way):
    case, change, message = BROKEN[way]
    shutil.copytree(folders(case)[0], tmp_path / "model")
    rewritten(tmp_path / "model", change)
    done = subprocess.run([build / "tests" / "model_tool", tmp_path / "model", "ref"], input="", capture_output=True,
                          text=True)
    assert done.returncode == 2 and message in done.stderr, done.stderr


INSPECTED = {
    "gptq": "GPTQ, 4 bits, a scale for 32 inputs",
    "gptq-one-group": "GPTQ, 4 bits, a scale for all inputs",
    "gptq-dynamic": "GPTQ, bits by product",
    "awq": "AWQ, 4 bits, a scale for 32 inputs",
    "fp8": "float8, scales of tensors or rows",
    "compressed-blocks": "float8, scales of blocks of 16 x 16",
}


@pytest.mark.parametrize("case", INSPECTED)
def test_inspect(capp, folders, case):
    done = subprocess.run([capp, "inspect", folders(case)[0]], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert INSPECTED[case] in done.stdout
    assert "cannot read" not in done.stdout

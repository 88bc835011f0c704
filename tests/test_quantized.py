"""Quantized folders: the bits of log-probabilities equal those of a float32 folder with the weights that
numpy dequantized (tests/quantized.py)."""
import hashlib
import json
import shutil
import struct
import subprocess

import gguf
import numpy as np
import pytest

import convert
import quantized
import test_tiny_models as tiny
from quantized import CASES

@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Makes each case once."""
    made = {}

    def get(case):
        if case not in made:
            made[case] = quantized.make(tmp_path_factory.mktemp("quantized") / case, case)
        return made[case]

    return get


@pytest.mark.parametrize("case", CASES)
def test_the_same_bits(build, folders, case):
    name = CASES[case][0]
    stored, plain = folders(case)
    runs = tiny.reference(name)[:3]
    for isa in ("ref", "avx2", "vdpbf16ps", "close"):
        got = tiny.scored(build, stored, runs, runs[0]["context"], isa)
        assert got == tiny.scored(build, plain, runs, runs[0]["context"], isa)
        assert np.std(np.concatenate(got)) > 0.3


@pytest.mark.parametrize("case", sorted(folder.name for folder in quantized.LIBRARY.iterdir()))
def test_folders_of_libraries(build, tmp_path, case):
    """compressed-tensors and bitsandbytes wrote these folders (tools/make_quantized_folders.py)."""
    weights, reference = quantized.library_case(tmp_path / "plain", case)
    for name, digest in reference["weights"].items():
        assert hashlib.sha256(weights[name].astype(np.float32).tobytes()).hexdigest() == digest, name
    runs = reference["rows"]
    for isa in ("ref", "avx2"):
        got = tiny.scored(build, quantized.LIBRARY / case, runs, None, isa)
        assert got == tiny.scored(build, tmp_path / "plain", runs, None, isa)
    for numbers, run in zip(got, runs, strict=True):
        assert np.abs(np.array(numbers) - run["logprobs"]).max() < 1e-4


# ---- Precision i16 -------------------------------------------------------------------------------------------------

# Cases whose products are all integers in groups of a multiple of 32 inputs.
WHOLE = ("gptq", "gptq-2", "gptq-3", "gptq-grouped", "gptq-experts-order", "gptq-v2", "gptq-one-group", "gptq-no-index",
         "gptq-transposed", "gptq-shared-order", "gptq-8-64", "awq", "awq-one-group", "awq-experts", "awq-biases", "int4", "int4-shared-order", "int4-channel", "int4-experts", "int8",
         "w8a8")  # fmt: skip


@pytest.mark.parametrize("case", WHOLE)
def test_integers(build, capp, folders, case):
    """Precision i16 is near float32, and has the same bits on every instruction set. Precision auto decides in it."""
    runs = tiny.reference(CASES[case][0])[:3]
    stored, context = folders(case)[0], runs[0]["context"]
    exact = np.concatenate(tiny.scored(build, stored, runs, context))
    got = tiny.scored_by_integers(build, stored, runs, context)
    assert all(one == got[0] for one in got)
    errors = np.abs(np.concatenate(got[0]) - exact)
    assert 0 < errors.mean() < 1e-3 and errors.max() < 5e-3
    assert deciding(capp, stored) == "i16"


def deciding(capp, folder):
    """The precision that decides under auto. --fingerprint needs a tokenizer."""
    shutil.copy(quantized.TINY.parent / "tokenizers" / "unigram.json", folder / "tokenizer.json")
    done = subprocess.run([capp, "inspect", "--fingerprint", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["deciding"]


@pytest.mark.parametrize("case", ["gptq-8", "gptq-experts-mixtral", "fp8", "nvfp4", "bnb-4", "w8a8-groups"])
def test_no_integers(capp, folders, case):
    """Groups of 16, scales of float32: float32 decides."""
    assert deciding(capp, folders(case)[0]) == "f32"


# Sizes with which all products of mixtral and dots1 have several groups of 32 inputs.
SEVERAL = {36: 96, 10: 32, 20: 64, 40: 128, 12: 64, 24: 128}


@pytest.mark.parametrize("name, order", [("mixtral", "experts"), ("dots1", "experts"), ("dots1", "others")])
def test_an_order_of_inputs_for_each_expert(build, capp, tmp_path, monkeypatch, name, order):
    """Also beside a shared expert (dots1), or for this one alone. Experts that take their inputs in the order of the first
    one show."""
    monkeypatch.setattr(quantized, "SIZES", SEVERAL)
    own, stored, plain = quantized.packed(name, quantized.gptq, act_order=order)
    folder = quantized.write_folder(tmp_path / "stored", {**own, "quantization_config": dict(quantized.GPTQ, desc_act=True)}, stored)
    quantized.write_folder(tmp_path / "plain", own, plain)
    runs = tiny.reference(name)[:3]
    context = runs[0]["context"]
    exact = np.concatenate(tiny.scored(build, tmp_path / "plain", runs, context))
    got = tiny.scored_by_integers(build, folder, runs, context)
    assert all(one == got[0] for one in got)
    errors = np.abs(np.concatenate(got[0]) - exact)
    assert 0 < errors.mean() < 1e-3 and errors.max() < 5e-3
    assert deciding(capp, folder) == "i16"
    wrong = np.concatenate(tiny.scored(build, folder, runs, context, "avx2:i16", sabotage="expert_order"))
    assert order == "others" or (np.abs(wrong - exact).max() > 0.05 and np.abs(wrong - exact).mean() > 0.01)


# Matrices that llama.cpp's quantizer leaves as they are.
LEFT = ("per_layer_model_proj", "altup", "laurel")
WIDE = {36: 64, 44: 96, 14: 32, 10: 32, 7: 32, 20: 64, 40: 128, 70: 160, 56: 128, 88: 192}
WIDE_KEYS = ("hidden_size", "intermediate_size", "head_dim", "hidden_size_per_layer_input", "laurel_rank")


def widened(value, key=None):
    """A configuration with sizes of whole blocks of 32."""
    if isinstance(value, dict):
        return {name: widened(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [widened(inner, key) for inner in value]
    return WIDE[value] if key in WIDE_KEYS and value else value


@pytest.mark.parametrize("name", ["gemma3n", "gemma4-layers"])
def test_integers_beside_usual_floats(build, capp, tmp_path, monkeypatch, name):
    """A GGUF file of integers is decided in i16 although the matrices in LEFT are floats; another one may not be."""
    monkeypatch.setattr(quantized, "SIZES", WIDE)
    monkeypatch.setattr(quantized, "SIZE_KEYS", ())
    config, tensors = quantized.model(name)
    quantized.write_folder(tmp_path / "plain", widened(config), tensors)
    runs = tiny.reference(name)[:3]
    for left, precision in ((LEFT, "i16"), ((*LEFT, "blk.0.proj"), "f32")):
        path = tmp_path / f"{precision}.gguf"
        convert.convert(tmp_path / "plain", path, gguf.GGMLQuantizationType.Q8_0, left=left, pretokenizer="default")
        done = subprocess.run([capp, "inspect", "--fingerprint", path], capture_output=True, text=True)
        assert done.returncode == 0 and json.loads(done.stdout)["deciding"] == precision, done.stderr
        exact = np.concatenate(tiny.scored(build, path, runs, None))
        got = tiny.scored_by_integers(build, path, runs, None)
        assert all(one == got[0] for one in got)
        errors = np.abs(np.concatenate(got[0]) - exact)
        assert 0 < errors.mean() < 1e-3 and errors.max() < 5e-3


def shifted(tensors, suffix, change):
    for name in tensors:
        if name.endswith(suffix):
            values = np.frombuffer(tensors[name][2], np.int32 if suffix != ".scales" else np.float16)
            tensors[name][2] = change(values.reshape(tensors[name][1])).tobytes()


def middle_zeros(values, bits):
    """The zeros of symmetric weights instead of those in the file."""
    groups, words = values.shape
    return quantized.packed_bits(np.full((words * 32 // bits, groups), 2 ** (bits - 1) - 1), bits).T


SABOTAGE = {
    "a zero is dropped": (".qzeros", middle_zeros),
    "the scale of another group": (".scales", lambda values, bits: np.roll(values, 1, axis=0)),
    "the order of inputs is ignored": (".g_idx", lambda values, bits: np.sort(values)),
}
OTHER_BITS = [(way, case) for way in ("a zero is dropped", "the scale of another group") for case in ("gptq-2", "gptq-3")]


@pytest.mark.parametrize("way, case", [*((way, "gptq-shared-order") for way in SABOTAGE), *OTHER_BITS])
def test_sabotage_shows(build, folders, tmp_path, way, case):
    """The tolerances of test_integers find products that leave a part of the format out."""
    suffix, change = SABOTAGE[way]
    runs = tiny.reference(CASES[case][0])[:3]
    exact = np.concatenate(tiny.scored(build, folders(case)[0], runs, runs[0]["context"]))
    shutil.copytree(folders(case)[0], tmp_path / "model")
    rewritten(tmp_path / "model", lambda tensors, q, c: shifted(tensors, suffix, lambda values: change(values, q["bits"])))
    got = np.concatenate(tiny.scored(build, tmp_path / "model", runs, runs[0]["context"], "avx2:i16"))
    assert np.abs(got - exact).max() > 0.05 and np.abs(got - exact).mean() > 0.01


# ---- What is refused ---------------------------------------------------------------------------------------------


def rewritten(folder, change):
    """Saves the folder again after change(header entries, config); bytes can replace the data of tensors."""
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
                         Q + "g_idx, of GPTQ, contains a group without scales"),
    "a negative group": ("gptq", lambda t, q, c: t[Q + "g_idx"].__setitem__(2, struct.pack("<96i", *[-1] * 96)),
                         Q + "g_idx, of GPTQ, contains a group"),
    "other bits": ("gptq", lambda t, q, c: q.update(bits=8),
                   "of GPTQ, is 96 x 12 of type I32, but a matrix of 96 x 96 needs 96 x 24"),
    "odd bits": ("gptq", lambda t, q, c: q.update(bits=5), '"quantization_config.bits" must be 2, 3, 4 or 8'),
    "other groups": ("gptq-one-group", lambda t, q, c: q.update(group_size=16),
                     "does not have the number of rows that quantization_config"),
    "marlin": ("gptq", lambda t, q, c: q.update(checkpoint_format="marlin"),
               'checkpoint_format" is "marlin"; capp supports gptq'),
    "rotation": ("gptq", lambda t, q, c: q.update(rotation="hadamard"), '"quantization_config.rotation" is an unknown field'),
    "words of 16 bits": ("gptq", lambda t, q, c: q.update(pack_dtype="int16"), 'pack_dtype" is "int16"'),
    "another method": ("gptq", lambda t, q, c: q.update(quant_method="bitsnbytes"),
                       '"bitsnbytes" (model.layers.0.mlp.down_proj.qweight is I32); capp supports gptq'),
    "config without": ("gptq", lambda t, q, c: c.pop("quantization_config"), "quantize_config.json"),
    "a bias that is not zero": ("gptq-zero-biases", lambda t, q, c: t[Q + "bias"].__setitem__(2, b"\1" * 192),
                                "unexpected tensor " + Q + "bias"),
    "gemv": ("awq", lambda t, q, c: q.update(version="gemv"),
             '"quantization_config.version" is "gemv"; capp supports gemm'),
    "llm-awq": ("awq", lambda t, q, c: q.update(backend="llm-awq"), 'backend" is "llm-awq"'),
    "awq of 8 bits": ("awq", lambda t, q, c: q.update(bits=8), '"quantization_config.bits" must be 4'),
    "awq's groups": ("awq", lambda t, q, c: q.update(group_size=16), "scales, of AWQ, does not have the number of rows"),
    "awq's words": ("awq", lambda t, q, c: t[Q + "qweight"].__setitem__(1, [48, 24]),
                    Q + "qweight, of AWQ, is 24 x 48 of type I32, but a matrix of 96 x 96 needs 12 x 96 of type I32"),
    "no scale": ("fp8", lambda t, q, c: t.pop(Q + "weight_scale"), Q + "weight_scale, of float8, is missing"),
    "float8 of another shape": ("fp8", lambda t, q, c: t[Q + "weight"].__setitem__(1, [18, 72]),
                                Q + "weight, of float8, is 72 x 18, but the hyperparameters say 36 x 36"),
    "other blocks": ("fp8-blocks", lambda t, q, c: q.update(weight_block_size=[12, 16]),
                     "weight_scale_inv, of float8, is 3 x 3 of type F32, but a matrix of 36 x 40 must have one scale"),
    "no blocks": ("fp8-blocks", lambda t, q, c: q.pop("weight_block_size"), "of float8, is 3 x 3 of type F32"),
    "blocks of nothing": ("fp8-blocks", lambda t, q, c: q.update(weight_block_size=[0, 16]),
                          "must be two positive integers"),
    "scales of integers": ("fp8", lambda t, q, c: t[Q + "weight_scale"].__setitem__(0, "I32"),
                           Q + "weight_scale, of float8, is 1 x 1 of type I32"),
    "a scale of an unknown kind": ("fp8", lambda t, q, c: t.update({Q + "weight_shift": ["F32", [1], bytes(4)]}),
                                   "unexpected tensor " + Q + "weight_shift"),
    "float8 and no method": ("fp8", lambda t, q, c: c.pop("quantization_config"),
                             "has type F8_E4M3, which capp does not support"),
    "another format": ("compressed", lambda t, q, c: q.update(format="marlin-24"),
                       'format" is "marlin-24"; capp supports pack-quantized'),
    "3 bits": ("int4", lambda t, q, c: t[Q + "weight_packed"].__setitem__(slice(1, 3), [[96, 9], bytes(96 * 9 * 4)]),
               Q + "weight_packed, of compressed-tensors, has 3 bits for each weight, which capp reads only as GPTQ stores them"),
    "5 bits": ("int4", lambda t, q, c: t[Q + "weight_packed"].__setitem__(slice(1, 3), [[96, 15], bytes(96 * 15 * 4)]),
               Q + "weight_packed, of compressed-tensors, must have 2, 4 or 8 bits"),
    "packed rows": ("int4", lambda t, q, c: t[Q + "weight_packed"].__setitem__(1, [72, 16]),
                    Q + "weight_packed, of compressed-tensors, "),
    "scales of another shape": ("int4", lambda t, q, c: t[Q + "weight_scale"].__setitem__(1, [32, 9]),
                                Q + "weight_scale, of compressed-tensors, is 9 x 32 of type F16"),
    "zeros of another shape": ("int4-act-order", lambda t, q, c: t[Q + "weight_zero_point"].__setitem__(1, [3, 12]),
                               Q + "weight_zero_point, of compressed-tensors, is 12 x 3"),
    "a group without scales": ("int4-act-order", lambda t, q, c: t[Q + "weight_g_idx"].__setitem__(2, struct.pack("<96i", *range(96))),
                               Q + "weight_g_idx, of compressed-tensors, contains a group without scales"),
    "zeros of int8": ("w8a8-groups", lambda t, q, c: t["transformer.h.0.mlp.dense_h_to_4h.weight_zero_point"].__setitem__(0, "U8"),
                      "weight_zero_point, of compressed-tensors, is "),
    "no scale of the tensor": ("nvfp4-modelopt", lambda t, q, c: t.pop(Q + "weight_scale_2"),
                               Q + "weight_scale_2, of ModelOpt, is missing"),
    "scales of float4": ("nvfp4", lambda t, q, c: t[Q + "weight_scale"].__setitem__(0, "U8"),
                         Q + "weight_scale, of compressed-tensors, is 6 x 96 of type U8"),
    "another algorithm": ("nvfp4-modelopt", lambda t, q, c: q.update(quant_algo="W4A8_AWQ"),
                          'quant_algo" is "w4a8_awq"; capp supports NVFP4'),
    "both": ("bnb-4", lambda t, q, c: q.update(load_in_8bit=True), "load_in_8bit must be true, and not both"),
    "no state": ("bnb-4", lambda t, q, c: t.pop(Q + "weight.quant_state.bitsandbytes__nf4"),
                 Q + "weight.quant_state.bitsandbytes__fp4, of bitsandbytes, is missing"),
    "a state of another weight": ("bnb-4", lambda t, q, c: t[Q + "weight.quant_state.bitsandbytes__nf4"].__setitem__(
        slice(1, 3), [[15], b'{"shape":[1,2]}']), "has another shape than the hyperparameters say"),
    "a state that is no JSON": ("bnb-4", lambda t, q, c: t[Q + "weight.quant_state.bitsandbytes__nf4"].__setitem__(
        slice(1, 3), [[3], b"{]}"]), "is not a JSON object in bytes"),
    "blocks of other sizes": ("bnb-4", lambda t, q, c: t[Q + "weight.absmax"].__setitem__(slice(1, 3), [[8], bytes(32)]),
                              Q + "weight.absmax, of bitsandbytes, is 8 x 1 of type F32"),
    "no scales of int8": ("bnb-8", lambda t, q, c: t.pop("transformer.h.0.mlp.dense_h_to_4h.SCB"), "SCB, of bitsandbytes, is missing"),
    "tiles of int8": ("bnb-8", lambda t, q, c: t["transformer.h.0.mlp.dense_h_to_4h.weight_format"].__setitem__(2, b"\1"),
                      "says that rows are in another order"),
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


def write_apart(folder, stored, **fields):
    """A copy of stored whose quantization is in hf_quant_config.json alone."""
    shutil.copytree(stored, folder)
    config = json.loads((folder / "config.json").read_text())
    del config["quantization_config"]
    (folder / "config.json").write_text(json.dumps(config))
    apart = dict(producer=dict(name="modelopt", version="0.23.0"), quantization=dict(exclude_modules=["lm_head"], kv_cache_quant_algo=None, **fields))
    (folder / "hf_quant_config.json").write_text(json.dumps(apart))
    return folder


@pytest.mark.parametrize("case, algorithm", [("nvfp4-modelopt", "NVFP4"), ("fp8", "FP8")])
def test_quantization_in_a_file_of_its_own(build, capp, folders, tmp_path, case, algorithm):
    stored, plain = folders(case)
    runs = tiny.reference(CASES[case][0])[:3]
    folder = write_apart(tmp_path / "model", stored, quant_algo=algorithm)
    expected = tiny.scored(build, plain, runs, runs[0]["context"])
    assert tiny.scored(build, folder, runs, runs[0]["context"]) == expected
    assert f"ModelOpt, {algorithm}" in subprocess.run([capp, "inspect", folder], capture_output=True, text=True).stdout


@pytest.mark.parametrize("content, message", [
    ('{"quantization": {"quant_algo": "W4A8_AWQ"}}', '"quantization.quant_algo" is "w4a8_awq"; capp supports NVFP4'),
    ('{"quantization": {"kv_cache_quant_algo": "FP8"}}', '"quantization.quant_algo" is missing'),
    ('{"quantization": {"quant_algo": "NVFP4", "turned": true}}', '"quantization.turned" is an unknown field'),
    ('{"producer": {}}', '"quantization" must be an object'), ("[]", "not a JSON object"), ("{", "hf_quant_config.json")])
def test_a_broken_file_of_its_own(build, folders, tmp_path, content, message):
    """It does not count where config.json has quantization_config."""
    folder = write_apart(tmp_path / "model", folders("nvfp4-modelopt")[0])
    (folder / "hf_quant_config.json").write_text(content)
    done = subprocess.run([build / "tests" / "model_tool", folder, "ref"], input="", capture_output=True, text=True)
    assert done.returncode == 2 and message in done.stderr and "hf_quant_config.json" in done.stderr, done.stderr
    if content.startswith('{"q'):
        shutil.copy(folders("nvfp4-modelopt")[0] / "config.json", folder)
        done = subprocess.run([build / "tests" / "model_tool", folder, "ref"], input="", capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


INSPECTED = {
    "gptq": "GPTQ, 4 bits, a scale for 32 inputs",
    "gptq-one-group": "GPTQ, 4 bits, a scale for all inputs",
    "gptq-dynamic": "GPTQ, bits by product",
    "awq": "AWQ, 4 bits, a scale for 32 inputs",
    "fp8": "float8, scales of tensors or rows",
    "fp8-blocks": "float8, scales of blocks of 16 x 16",
    "compressed-blocks": "compressed-tensors, float-quantized",
    "int4": "compressed-tensors, pack-quantized",
    "nvfp4-modelopt": "ModelOpt, NVFP4",
    "bnb-4-nested": "bitsandbytes, 4 bits",
}


@pytest.mark.parametrize("case", INSPECTED)
def test_inspect(capp, folders, case):
    done = subprocess.run([capp, "inspect", folders(case)[0]], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert INSPECTED[case] in done.stdout
    assert "cannot read" not in done.stdout

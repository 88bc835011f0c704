"""LoRA adapters: log-probabilities with an adapter equal those of a model with the adapter merged into its weights by
numpy. Model and adapter are each a folder or a GGUF file (tests/lora.py). An error names what does not fit."""
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import convert  # noqa: E402
import lora  # noqa: E402

TINY = Path(__file__).resolve().parent / "fixtures" / "tiny"
NAMES = sorted(folder.name for folder in TINY.iterdir())
PEFT = TINY.parent / "lora"
# One model for each way to store rows; the others run with --long.
OFTEN = ("bloom", "cohere", "falcon-40b", "gemma3", "gpt2", "gptneox", "gptoss", "llama", "mistral", "mixtral", "opt", "opt-350m", "phi3",
         "qwen3moe", "smollm3", "lfm2", "qwen35", "granitehybrid", "nemotron_h")  # fmt: skip
# GGUF has the architecture, but not this part of it
FOLDERS_ONLY = ("phi-norms", "phimoe-long", "dbrx-plain", "minicpm3-plain", "gemma3n-plain", "llama4", "llama4-plain",
                "qwen3moe-dense", "afmoe-plain", "qwen35", "qwen35moe", "qwen3next", "granitehybrid",
                "granitehybrid-experts", "nemotron_h_moe", "nemotron_h_moe-mlp", "nemotron_h_moe-latent", "falcon_h1",
                "falcon_h1-plain", "falcon_h1-norm", "granitemoeshared", "lfm2moe", "kimi_linear")
IDS = json.loads((TINY / "llama" / "reference.json").read_text())["runs"][0]["ids"]
TOLERANCE, LEAST = 1e-4, 0.1


def ran(build, model, *adapters, isa="avx2", ids=IDS):
    """adapters: (path, weight)"""
    extra = [str(part) for adapter in adapters for part in adapter]
    return subprocess.run([build / "tests" / "model_tool", model, isa, *extra], input=" ".join(map(str, ids)) + "\n",
                          capture_output=True, text=True)


def scored(build, model, *adapters, **options):
    done = ran(build, model, *adapters, **options)
    assert done.returncode == 0, done.stderr
    return np.array(done.stdout.split(), float)


def refused(build, model, *adapters):
    done = ran(build, model, *adapters)
    assert done.returncode == 2 and done.stderr
    return done.stderr


def difference(a, b):
    assert len(a) == len(b) > 0
    return np.abs(a - b).max()


@pytest.mark.parametrize("name", [name if name in OFTEN else pytest.param(name, marks=pytest.mark.long) for name in NAMES])
def test_every_architecture(build, name, tmp_path):
    """Pairs for every product, the embedding and the head, with both kinds of model and both kinds of adapter."""
    model = lora.Model(TINY / name)
    headless = name in ("cohere", "cohere2", "gemma", "gemma2")  # GGUF has no name for a separate head of these
    pairs = model.adapter(1, [*model.products(), model.embedding] if headless else None)
    wanted = scored(build, model.merged(tmp_path / "merged", (pairs, 8 / 3)))
    assert difference(wanted, scored(build, model.path)) >= LEAST
    peft = model.peft(tmp_path / "peft", pairs)
    assert difference(wanted, scored(build, model.path, (peft, 1))) <= TOLERANCE
    if name in FOLDERS_ONLY or not convert.convert(model.path, tmp_path / "model.gguf"):
        return
    assert difference(wanted, scored(build, tmp_path / "model.gguf", (peft, 1))) <= TOLERANCE
    adapter = model.gguf(tmp_path / "adapter.gguf", pairs)
    for base in (tmp_path / "model.gguf", model.path):
        assert difference(wanted, scored(build, base, (adapter, 1))) <= TOLERANCE


def test_plamo_2(build, tmp_path):
    """Only as GGUF: rows of heads that hold gate and input in turn, and steps of heads."""
    path, random = TINY.parent / "llama_cpp" / "plamo2.gguf", np.random.default_rng(3)
    shutil.copy(path, tmp_path / "merged.gguf")
    writer = convert.gguf.GGUFWriter(str(tmp_path / "adapter.gguf"), "plamo2")
    writer.add_type(convert.gguf.GGUFType.ADAPTER)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 3.0)
    for tensor in convert.gguf.GGUFReader(tmp_path / "merged.gguf", "r+").tensors:
        if not tensor.name.startswith("blk.") or len(tensor.shape) != 2 or "_norm." in tensor.name or "conv1d" in tensor.name:
            continue
        inputs, outputs = (int(n) for n in tensor.shape)
        a, b = (random.standard_normal(shape).astype(np.float32) * 0.3 for shape in ((3, inputs), (outputs, 3)))
        tensor.data[:] = tensor.data + b @ a
        writer.add_tensor(f"{tensor.name}.lora_a", a)
        writer.add_tensor(f"{tensor.name}.lora_b", b)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()
    wanted = scored(build, tmp_path / "merged.gguf")
    assert difference(wanted, scored(build, path)) >= LEAST
    assert difference(wanted, scored(build, path, (tmp_path / "adapter.gguf", 1))) <= TOLERANCE


def test_multipliers_belong_to_a_format(build, tmp_path):
    """GGUF files of Falcon-H1 have the multipliers in their tensors, so adapters of one format do not fit the other."""
    model = lora.Model(TINY / "falcon_h1")
    convert.convert(model.path, tmp_path / "model.gguf")
    pairs = model.adapter(1, ["model.layers.0.self_attn.k_proj"])
    peft, adapter = model.peft(tmp_path / "peft", pairs), model.gguf(tmp_path / "adapter.gguf", pairs)
    assert "multipliers" in refused(build, tmp_path / "model.gguf", (peft, 1))
    assert "multipliers" in refused(build, model.path, (adapter, 1))
    assert ran(build, tmp_path / "model.gguf", (adapter, 1)).returncode == 0


# ---- Against PEFT ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(folder.name for folder in PEFT.iterdir()))
def test_peft_itself(build, name, tmp_path):
    """The results of PEFT with its own adapters (tools/make_lora_adapters.py), with both kinds of model; for some
    adapters also as llama.cpp converts them."""
    reference = json.loads((PEFT / name / "reference.json").read_text())
    base, converted = TINY / reference["model"], PEFT / name / "adapter.gguf"
    kinds = [list(zip([PEFT / name, PEFT / name / "second"], reference["weights"]))]
    if converted.exists():  # without rslora: of rank 4, its scale is twice the other
        kinds.append([(converted, 2 if name == "phi3-fused" else 1)])
    convert.convert(base, tmp_path / "model.gguf")
    for run in reference["runs"]:
        for model in (base, tmp_path / "model.gguf"):
            for adapters in kinds:
                assert difference(np.array(run["logprobs"]), scored(build, model, *adapters, ids=run["ids"])) <= 2e-4
        assert difference(np.array(run["logprobs"]), scored(build, base, ids=run["ids"])) >= LEAST


# ---- Scales and weights ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def llama():
    return lora.Model(TINY / "llama")


def same_as_merged(build, model, folder, adapters, *merged):
    """Scores with the adapters equal those of the model that numpy merges with these scales."""
    wanted = scored(build, model.merged(folder / "merged", *merged))
    assert difference(wanted, scored(build, model.path, *adapters)) <= TOLERANCE


@pytest.mark.parametrize("weights", [(1, 1), (0.5, -1.25), (0, 2)])
def test_several_adapters_add(build, llama, tmp_path, weights):
    first, second = llama.adapter(1), llama.adapter(2, llama.products()[::2], rank=5)
    peft = llama.peft(tmp_path / "first", first)
    adapter = llama.gguf(tmp_path / "second.gguf", second, alpha=10)
    same_as_merged(build, llama, tmp_path, [(peft, weights[0]), (adapter, weights[1])],
                   (first, weights[0] * 8 / 3), (second, weights[1] * 10 / 5))


def test_weight_0_is_the_model_itself(build, llama, tmp_path):
    peft = llama.peft(tmp_path / "peft", llama.adapter(1))
    adapter = llama.gguf(tmp_path / "adapter.gguf", llama.adapter(2))
    plain = ran(build, llama.path)
    assert plain.returncode == 0 and plain.stdout
    assert ran(build, llama.path, (peft, 0), (adapter, -0.0)).stdout == plain.stdout
    assert ran(build, llama.path, (peft, 1)).stdout != plain.stdout


@pytest.mark.parametrize("isa", ["ref", "avx2"])
def test_instruction_sets(build, llama, tmp_path, isa):
    pairs = llama.adapter(1)
    wanted = scored(build, llama.merged(tmp_path / "merged", (pairs, 8 / 3)), isa="ref")
    assert difference(wanted, scored(build, llama.path, (llama.peft(tmp_path / "peft", pairs), 1), isa=isa)) <= TOLERANCE


def test_scales_of_peft(build, llama, tmp_path):
    """rank_pattern and alpha_pattern are regular expressions that match the end of a module's name; the first match
    counts."""
    ranks = {"q_proj": 5, r"layers\.[12]\.mlp\.\w+": 2}
    alphas = {"model.layers.0.self_attn.v_proj": 20, "v_proj": 2.5, "o_proj|q_proj": 1}

    def rank(module):
        return 5 if module.endswith("q_proj") else 2 if ".mlp." in module and ".0." not in module else 4

    def alpha(module):
        if module.endswith("v_proj"):
            return 20 if ".0." in module else 2.5
        return 1 if module.endswith(("o_proj", "q_proj")) else 6

    pairs = llama.adapter(3, rank=rank)
    for stabilized in (False, True):
        folder = tmp_path / str(stabilized)
        peft = llama.peft(folder / "peft", pairs, r=4, lora_alpha=6, rank_pattern=ranks, alpha_pattern=alphas,
                          use_rslora=stabilized)
        same_as_merged(build, llama, folder, [(peft, 1)],
                       (pairs, lambda module: alpha(module) / (rank(module) ** 0.5 if stabilized else rank(module))))


def test_plain_patterns_match_as_expressions(build, llama, tmp_path):
    """Patterns that are plain names are compared, not matched; they select what PEFT's expressions select. Many of them
    take no time."""
    alphas = {"k_proj.": 1, "_proj": 2, "v.proj": 3, r"v\.proj": 4, r"self_attn\.q_proj": 5, "attn.k_proj": 6, ".o_proj": 7, "": 8,
              **{f"model.layers.{i}.mlp.experts.{i}.up_proj": i for i in range(2000)}, "mlp.up_proj": 9, "model.layers.1.mlp": 10,
              "model.layers.0.mlp.gate_proj": 11, "mode.": 12, r"m.del\.embed.tokens": 13}

    expressions = [(re.compile(rf"(.*\.)?({key})$"), value) for key, value in alphas.items()]

    def alpha(module):
        return next((value for expression, value in expressions if expression.match(module)), 6)

    pairs = llama.adapter(3)
    assert {alpha(module) for module in pairs} >= {3, 5, 6, 9, 11, 13}
    peft = llama.peft(tmp_path / "peft", pairs, lora_alpha=6, alpha_pattern=alphas)
    same_as_merged(build, llama, tmp_path, [(peft, 1)], (pairs, lambda module: alpha(module) / 3))


@pytest.mark.long
def test_patterns_that_take_long_together(build, llama, tmp_path):
    """No single pattern is too much."""
    peft = llama.peft(tmp_path / "peft", llama.adapter(3), alpha_pattern={f"{'.*' * 4}[{i}!]": 3 for i in range(1000)})
    start = time.monotonic()
    said = refused(build, llama.path, (peft, 1))
    assert "and the patterns before it take too long to match" in said and '"alpha_pattern": the pattern' in said
    assert time.monotonic() - start < 60


@pytest.mark.parametrize("prefix", ["", lora.PREFIX])
def test_names_without_the_prefix_of_head_and_model(build, llama, tmp_path, prefix):
    pairs = llama.adapter(1, llama.products())
    peft = llama.peft(tmp_path / "peft", {name.removeprefix("model."): pair for name, pair in pairs.items()}, prefix=prefix)
    same_as_merged(build, llama, tmp_path, [(peft, 1)], (pairs, 8 / 3))


@pytest.mark.parametrize("fan_in_fan_out", [False, True])
def test_the_model_says_how_its_products_are_stored(build, tmp_path, fan_in_fan_out):
    model = lora.Model(TINY / "gpt2")
    pairs = model.adapter(1)
    peft = model.peft(tmp_path / "peft", pairs, fan_in_fan_out=fan_in_fan_out)
    same_as_merged(build, model, tmp_path, [(peft, 1)], (pairs, 8 / 3))


@pytest.mark.parametrize("alpha, scale", [(None, 1), (0.0, 1), (5.0, 5 / 32)])
@pytest.mark.parametrize("kind", [None, "F16", "BF16", "Q8_0"])
def test_alpha_and_types_of_gguf(build, llama, tmp_path, alpha, scale, kind):
    import gguf

    modules = [name for name in llama.products() if "q_proj" in name or "down" in name]
    pairs = llama.adapter(4, modules, rank=32)
    kind = kind and gguf.GGMLQuantizationType[kind]
    if kind:  # numpy merges what is stored
        for pair in pairs.values():
            for part in "ab":
                values = getattr(pair, part)
                if values.shape[1] % gguf.GGML_QUANT_SIZES[kind][0] == 0:
                    setattr(pair, part, gguf.dequantize(gguf.quantize(values, kind), kind).reshape(values.shape))
    adapter = llama.gguf(tmp_path / "adapter.gguf", pairs, alpha=alpha, kind=kind)
    same_as_merged(build, llama, tmp_path, [(adapter, 0.1)], (pairs, 0.1 * scale))


# ---- Fused and separate parts ----------------------------------------------------------------------------------------


def split_names(model, pairs, parts):
    """Splits pairs of a fused module into pairs of its parts. parts: {fused: [(part, rows)]}"""
    found = {}
    for module, pair in pairs.items():
        stem, _, last = module.rpartition(".")
        at = 0
        for part, rows in parts.get(last, [(last, len(pair.b))]):
            found[f"{stem}.{part}"] = lora.Pair(pair.a, pair.b[at : at + rows])
            at += rows
    return found


def write_gguf(path, architecture, pairs, alpha=8.0):
    """pairs: {tensor of GGUF without .weight: Pair}"""
    import gguf

    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    for name, pair in pairs.items():
        writer.add_tensor(f"{name}.weight.lora_a", np.ascontiguousarray(pair.a, np.float32))
        writer.add_tensor(f"{name}.weight.lora_b", np.ascontiguousarray(pair.b, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_apart_in_the_adapter_and_fused_in_the_model(build, tmp_path):
    model = lora.Model(TINY / "phi3")
    pairs = model.adapter(1, [name for name in model.products() if "qkv" in name or "gate_up" in name])
    d, feed = model.folder.head_dim, model.folder.get("intermediate_size")
    q, kv = model.folder.heads * d, model.folder.kv_heads * d
    apart = split_names(model, pairs, {"qkv_proj": [("q", q), ("k", kv), ("v", kv)], "gate_up_proj": [("gate_up", 2 * feed)]})
    names = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "gate_up": "ffn_up"}
    stored = {f"blk.{name.split('.')[2]}.{names[name.split('.')[-1]]}": pair for name, pair in apart.items()}
    adapter = write_gguf(tmp_path / "adapter.gguf", "phi3", stored)
    same_as_merged(build, model, tmp_path, [(adapter, 1)], (pairs, 8 / 3))


def test_fused_in_the_adapter_and_apart_in_the_model(build, tmp_path):
    model = lora.Model(TINY / "phi")
    random = np.random.default_rng(7)
    width, layers = model.folder.width, model.folder.layers
    fused = [lora.Pair(random.standard_normal((2, width)) * 0.1, random.standard_normal((3 * width, 2))) for _ in range(layers)]
    adapter = write_gguf(tmp_path / "adapter.gguf", "phi2", {f"blk.{i}.attn_qkv": pair for i, pair in enumerate(fused)})
    parts = {"qkv": [(f"{part}_proj", width) for part in "qkv"]}
    pairs = split_names(model, {f"model.layers.{i}.self_attn.qkv": pair for i, pair in enumerate(fused)}, parts)
    same_as_merged(build, model, tmp_path, [(adapter, 1)], (pairs, 4))


def test_experts_in_one_parameter(build, tmp_path):
    """As PEFT has them for GPT-OSS: each order of wrapping, also on blocks of MXFP4."""
    model = lora.Model(TINY / "gptoss-mxfp4")
    random = np.random.default_rng(3)
    experts, layers, r = model.folder.get("num_local_experts"), model.folder.layers, 2
    tensors, orders = {}, (("", ".base_layer"), (".base_layer", ""))
    for i in range(layers):
        for name, wrap in zip(("gate_up_proj", "down_proj"), orders[i % 2]):
            stem = f"model.layers.{i}.mlp.experts"
            base = model.tensors[f"{stem}.{name}"]  # [experts][inputs][outputs]
            a = random.standard_normal((experts, r, base.shape[1])) * 0.1
            b = random.standard_normal((base.shape[2], r, experts))
            tensors[f"{lora.PREFIX}{stem}{wrap}.lora_A.weight"] = a.reshape(-1, base.shape[1])
            tensors[f"{lora.PREFIX}{stem}{wrap}.lora_B.weight"] = b.reshape(base.shape[2], -1)
            scale = (6 if name == "down_proj" else 4) / r
            model.tensors[f"{stem}.{name}"] = base + scale * np.einsum("ore,eri->eio", b, a)
    (tmp_path / "peft").mkdir()
    lora.write_peft(tmp_path / "peft", tensors, r=r, lora_alpha=4, alpha_pattern={"experts.down_proj": 6})
    wanted = scored(build, model.merged(tmp_path / "merged"))
    assert difference(wanted, scored(build, model.path)) >= LEAST
    convert.convert(model.path, tmp_path / "model.gguf")
    for base in (model.path, tmp_path / "model.gguf"):
        assert difference(wanted, scored(build, base, (tmp_path / "peft", 1))) <= TOLERANCE


# ---- The embedding ---------------------------------------------------------------------------------------------------


def peft_tensors(folder):
    return convert.read_tensors(folder)


def rewrite(folder, tensors=None, **config):
    """Adds tensors, or removes them where the value is None; sets fields of the config."""
    if tensors:
        kept = {name: values for name, values in {**peft_tensors(folder), **tensors}.items() if values is not None}
        lora.write_safetensors(folder / "adapter_model.safetensors", kept)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))


def test_positions(build, tmp_path):
    """A pair works on GPT-2's table of positions as on its table of tokens."""
    model = lora.Model(TINY / "gpt2")
    random = np.random.default_rng(5)
    shape = model.tensors["transformer.wpe.weight"].shape
    a, b = random.standard_normal((2, shape[1])) * 0.3, random.standard_normal((shape[0], 2))
    pairs = model.adapter(1, ["transformer.h.0.attn.c_attn"], rank=2)
    peft = model.peft(tmp_path / "peft", pairs)
    stem = lora.PREFIX + "transformer.wpe.lora_embedding_"
    rewrite(peft, {stem + "A": b.T, stem + "B": a.T})
    model.tensors["transformer.wpe.weight"] = model.tensors["transformer.wpe.weight"] + 4 * (b @ a)
    same_as_merged(build, model, tmp_path, [(peft, 1)], (pairs, 4))


def test_the_copy_of_the_embedding_is_no_change(build, llama, tmp_path):
    """PEFT stores the whole embedding beside its pair; if it has a different number of rows, tokens were added."""
    pairs = llama.adapter(1)
    peft = llama.peft(tmp_path / "peft", pairs)
    name, table = "model.embed_tokens.base_layer.weight", llama.tensors["model.embed_tokens.weight"]
    rewrite(peft, {lora.PREFIX + name: table})
    same_as_merged(build, llama, tmp_path, [(peft, 1)], (pairs, 8 / 3))
    rewrite(peft, {lora.PREFIX + name: np.concatenate([table, table[:2]])})
    assert "trained for another model" in refused(build, llama.path, (peft, 1))


def test_a_file_of_the_folder_will_do(build, llama, tmp_path):
    peft = llama.peft(tmp_path / "peft", llama.adapter(1))
    wanted = ran(build, llama.path, (peft, 1)).stdout
    assert wanted and wanted != ran(build, llama.path).stdout
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert ran(build, llama.path, (peft / name, 1)).stdout == wanted
        here = subprocess.run([build / "tests" / "model_tool", llama.path, "avx2", name, "1"], cwd=peft, capture_output=True,
                              input=" ".join(map(str, IDS)) + "\n", text=True)
        assert here.stdout == wanted, here.stderr


# ---- Refused adapters and the names in the errors --------------------------------------------------------------------

V = lora.PREFIX + "model.layers.1.self_attn.v_proj"

REFUSED = {
    "DoRA": (dict(use_dora=True), '"use_dora" asks for a feature that capp does not support'),
    "DoRA's tensors": ({f"{V}.lora_magnitude_vector": np.ones(12)}, "lora_magnitude_vector belongs to DoRA"),
    "biases": (dict(bias="all"), '"bias" must be none'),
    "a bias": ({lora.PREFIX + "model.layers.0.mlp.up_proj.bias": np.ones(44)}, "up_proj.bias was fully trained"),
    "biases of LoRA": (dict(lora_bias=True), '"lora_bias" asks'),
    "a bias of LoRA": ({f"{V}.lora_B.bias": np.ones(12)}, "v_proj.lora_B.bias is a bias of LoRA"),
    "modules": (dict(modules_to_save=["lm_head"]), '"modules_to_save" asks'),
    "a module": ({lora.PREFIX + "lm_head.weight": np.ones((97, 36))}, "lm_head.weight was fully trained"),
    "a norm": ({lora.PREFIX + "model.norm.weight": np.ones(36)}, "model.norm.weight is a trained norm"),
    "tokens": (dict(trainable_token_indices=[1, 2]), '"trainable_token_indices" asks'),
    "another kind": (dict(peft_type="IA3"), '"peft_type" must be LORA'),
    "another beginning": (dict(init_lora_weights="pissa"), '"init_lora_weights" is an initialization'),
    "layers made of layers": (dict(layer_replication=[[0, 2], [1, 3]]), '"layer_replication" asks'),
    "an unknown field": (dict(stripes=3), '"stripes" asks'),
    "a rank that is not": (dict(r=4), "has rank 3, but adapter_config.json says 4"),
    "a pattern's rank": (dict(rank_pattern={"k_proj": 2}), "k_proj has rank 3, but adapter_config.json says 2"),
    "no number": (dict(lora_alpha="many"), '"lora_alpha" is not a number'),
    "no pattern": (dict(alpha_pattern={"v": 1, "(": 2}), 'json: "alpha_pattern": the pattern "(" is not a valid pattern: missing'),
    "no pattern's number": (dict(alpha_pattern={"q_proj": "2"}), '"alpha_pattern": the pattern "q_proj" must have a number'),
    "a long pattern": (dict(rank_pattern={"q" * 1001: 3}), '"rank_pattern": the pattern "' + "q" * 60 + '..." has more than 1000 bytes'),
    "many patterns": (dict(rank_pattern={f"q{i}": 3 for i in range(20001)}), '"rank_pattern": has 20001 patterns; capp supports at most 20000'),
    "large patterns": (dict(alpha_pattern={"(?:%d|(?:ab){900})" % i: 3 for i in range(900)}), 'the patterns before it take too much memory'),
    "a pattern that takes memory": (dict(rank_pattern={"(?:" + "()" * 450 + ".)*": 3}), '"rank_pattern": the pattern "(?:()()()()()()()()()()()()()()()()()()()()()()()()()()()()(..." is not a valid pattern: heap limit exceeded'),
    "a pattern that takes long": (dict(alpha_pattern={"(?:[a-z]+|.)*[!?]": 3}), '"alpha_pattern": the pattern "(?:[a-z]+|.)*[!?]" is not a valid pattern'),
    "half a pair": ({f"{V}.lora_B.weight": None}, "v_proj.lora_A.weight has no counterpart"),
    "the other half": ({f"{V}.lora_A.weight": None}, "v_proj.lora_B.weight has no counterpart"),
    "other inputs": ({f"{V}.lora_A.weight": np.ones((3, 35))},
                     "module model.layers.1.self_attn.v_proj are 35 x 3 and 3 x 12, but in"),
    "other outputs": ({f"{V}.lora_B.weight": np.ones((13, 3))}, "has 36 inputs and 12 outputs"),
    "a layer too many": ({V.replace(".1.", ".9.") + ".lora_A.weight": np.ones((3, 36)),
                          V.replace(".1.", ".9.") + ".lora_B.weight": np.ones((12, 3))},
                         "model.layers.9.self_attn.v_proj.lora_A.weight in"),
    "a module too many": ({V.replace("v_proj", "w_proj") + ".lora_A.weight": np.ones((3, 36)),
                           V.replace("v_proj", "w_proj") + ".lora_B.weight": np.ones((12, 3))},
                          "w_proj.lora_A.weight in"),
    "a module twice": ({V.removeprefix(lora.PREFIX) + ".lora_A.weight": np.ones((3, 36)),
                        V.removeprefix(lora.PREFIX) + ".lora_B.weight": np.ones((12, 3))}, "v_proj occurs twice"),
    "an embedding's pair": ({f"{V}.lora_A.weight": None, f"{V}.lora_B.weight": None,
                             f"{V}.lora_embedding_A": np.ones((3, 12)), f"{V}.lora_embedding_B": np.ones((36, 3))},
                            "trained for another model"),
    "no number in a tensor": ({f"{V}.lora_B.weight": np.full((12, 3), np.nan)}, "v_proj.lora_B.weight multiplied by its scale"),
}  # fmt: skip


@pytest.mark.parametrize("way", REFUSED)
def test_refused(build, llama, tmp_path, way):
    change, message = REFUSED[way]
    peft = llama.peft(tmp_path / "peft", llama.adapter(1))
    assert not ran(build, llama.path, (peft, 1)).stderr
    tensors = any("." in name for name in change)
    rewrite(peft, change if tensors else None, **({} if tensors else change))
    said = refused(build, llama.path, (peft, 1))
    assert message in said and str(peft) in said


def test_files_that_are_missing(build, llama, tmp_path):
    peft = llama.peft(tmp_path / "peft", llama.adapter(1))
    assert "this is a LoRA adapter, not a model" in refused(build, peft)
    (peft / "adapter_model.safetensors").rename(peft / "adapter_model.bin")
    assert "no adapter_model.safetensors in the folder" in refused(build, llama.path, (peft, 1))
    (peft / "adapter_config.json").unlink()
    assert "no adapter_config.json in the folder" in refused(build, llama.path, (peft, 1))
    said = refused(build, llama.path, (peft / "adapter_model.safetensors", 1))
    assert f"{peft}/adapter_model.safetensors: " in said  # the file is missing
    (peft / "adapter_model.safetensors").write_bytes((peft / "adapter_model.bin").read_bytes())
    said = refused(build, llama.path, (peft / "adapter_model.safetensors", 1))
    assert f"{peft}: no adapter_config.json in the folder" in said
    (peft / "mine.safetensors").write_bytes((peft / "adapter_model.bin").read_bytes())
    for name in ("mine.safetensors", "adapter_model.bin"):
        said = refused(build, llama.path, (peft / name, 1))
        assert f"{peft / name}: neither a GGUF adapter" in said and "use the folder with adapter_config.json" in said
    assert "none" in refused(build, llama.path, (tmp_path / "none", 1))
    assert "general.type is not" in refused(build, llama.path, (gguf_of(tmp_path, "llama"), 1))


def gguf_of(folder, name):
    path = folder / f"{name}.gguf"
    convert.convert(TINY / name, path)
    return path


def test_an_adapter_of_another_model(build, llama, tmp_path):
    pairs = llama.adapter(1)
    peft, adapter = llama.peft(tmp_path / "peft", pairs), llama.gguf(tmp_path / "adapter.gguf", pairs)
    for base in (TINY / "qwen2", gguf_of(tmp_path, "qwen2")):
        said = refused(build, base, (adapter, 1))
        assert 'for the architecture "llama"' in said and '"qwen2"' in said and str(base) in said
    assert "trained for another model" in refused(build, TINY / "gpt2", (peft, 1))
    assert "trained for another model" in refused(build, TINY / "llama3", (peft, 1))  # one key-value head
    odd = llama.gguf(tmp_path / "odd.gguf", pairs, architecture="gemma2")
    assert 'for the architecture "gemma2"' in refused(build, llama.path, (odd, 1))


def test_exchanged_as_a_conversion_leaves_gpt2(build, tmp_path):
    model = lora.Model(TINY / "gpt2")
    pairs = model.adapter(1, ["transformer.h.0.mlp.c_fc"])
    exchanged = {"blk.0.ffn_up": lora.Pair(pair.b.T, pair.a.T) for pair in pairs.values()}
    adapter = write_gguf(tmp_path / "adapter.gguf", "gpt2", exchanged)
    assert "inputs and outputs are exchanged" in refused(build, model.path, (adapter, 1))


def test_gguf_with_more_than_pairs(build, llama, tmp_path):
    import gguf

    def written(name, *tensors, **keys):
        writer = gguf.GGUFWriter(str(tmp_path / name), "llama")
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string("adapter.type", keys.get("type", "lora"))
        if "tokens" in keys:
            writer.add_array("adapter.alora.invocation_tokens", keys["tokens"])
        for tensor, shape in tensors:
            writer.add_tensor(tensor, np.ones(shape, np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return refused(build, llama.path, (tmp_path / name, 1))

    pair = (("blk.0.attn_v.weight.lora_a", (2, 36)), ("blk.0.attn_v.weight.lora_b", (12, 2)))
    assert "blk.0.attn_norm.weight is a trained norm" in written("a", *pair, ("blk.0.attn_norm.weight", (36,)))
    assert "blk.0.attn_v.weight.lora_a has no counterpart blk.0.attn_v.weight.lora_b" in written("b", pair[0])
    assert 'adapter.type must be "lora"' in written("c", *pair, type="vera")
    assert "adapter.alora.invocation_tokens" in written("d", *pair, tokens=[1, 2])
    assert "the adapter has no tensors" in written("e")

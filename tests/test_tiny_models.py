"""Every architecture, from a folder and from a GGUF file, against transformers in float32 (tests/fixtures/tiny, made by
tools/make_tiny_models.py); and the table of deliberate errors, each of which must change the results."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import bits  # noqa: E402
import convert  # noqa: E402
import lora  # noqa: E402

TINY = Path(__file__).resolve().parent / "fixtures" / "tiny"
NAMES = sorted(folder.name for folder in TINY.iterdir())
TOLERANCE, LEAST = 1e-4, 0.05
WIDER = {"gemma3n-widths": 2e-4}
BF16 = 0.07  # mean difference: most have 0.03, but where two experts are close, another may be chosen
BF16_WIDER = {"dbrx": 0.12}

# The parts that a model has: without such a part, its results must change.
ATTENTION = "rope attention_norm feed_norm output_norm score_scale activation"
SABOTAGE = {
    "llama": ATTENTION,
    "llama-biases": "rope qkv_bias out_bias up_bias down_bias",
    "llama-linear": "scaling",
    "llama3": "scaling",
    "llama-yarn": "scaling magnitude",
    "mistral": "window window_by_one",
    "ministral": "window window_by_one",
    "smollm3": "rope still",
    "granite": "embedding_scale residual_scale score_scale",
    "qwen2": "qkv_bias window",
    "qwen3": "q_norm k_norm rope",
    "gemma": "embedding_scale attention_norm activation",
    "gemma2": "score_cap logit_cap window attention_post_norm feed_post_norm score_scale",
    "gemma3": "scaling window q_norm k_norm attention_post_norm feed_post_norm score_scale",
    "phi": "rope parallel head_bias qkv_bias out_bias up_bias down_bias norm_bias activation",
    "phi-norms": "q_norm k_norm qk_norm_bias",
    "phi3": "rope window activation",
    "phi3-long": "scaling magnitude",
    "gpt2": "positions qkv_bias out_bias up_bias down_bias norm_bias activation",
    "gptj": "rope rope_kind parallel up_bias down_bias head_bias activation",
    "gptneox": "rope parallel qkv_bias out_bias activation norm_bias",
    "gptneox-sequential": "rope parallel",
    "opt": "positions position_offset activation qkv_bias out_bias up_bias down_bias",
    "opt-350m": "positions norm_after feed_norm output_norm",
    "bloom": "alibi tokens_norm qkv_bias activation",
    "mpt": "alibi clamp activation",
    "falcon": "rope parallel activation",
    "falcon-40b": "rope parallel qkv_bias out_bias up_bias down_bias feed_norm",
    "stablelm": "rope qkv_bias norm_bias feed_norm",
    "stablelm-parallel": "q_norm k_norm parallel",
    "starcoder2": "window qkv_bias out_bias up_bias down_bias norm_bias activation",
    "olmo": "clamp rope attention_norm",
    "olmo2": "q_norm k_norm attention_post_norm feed_post_norm",
    "cohere": "rope rope_kind parallel q_norm k_norm",
    "cohere2": "rope window parallel",
    "mixtral": "experts_used router_norm rope",
    "qwen3moe": "experts_used router_norm q_norm k_norm",
    "qwen3moe-dense": "experts_used router_norm",
    "olmoe": "experts_used router_norm q_norm k_norm clamp",
    "gptoss": "sinks window router_bias expert_biases experts_used router_norm magnitude scaling qkv_bias out_bias activation",
    "ministral3": "growth scaling rope",
    "olmo3": "window local_rope scaling magnitude attention_post_norm feed_post_norm q_norm k_norm",
    "glm4": "rope rope_kind qkv_bias attention_norm feed_norm attention_post_norm feed_post_norm",
    "exaone4": "window still rope q_norm k_norm attention_post_norm feed_post_norm",
    "exaone4-global": "scaling rope q_norm k_norm",
    "seed_oss": "rope qkv_bias out_bias up_bias down_bias feed_norm",
    "seed_oss-plain": "rope attention_norm",
    "arcee": "activation qkv_bias out_bias up_bias down_bias rope",
    "ernie4_5": "rope rope_kind qkv_bias out_bias up_bias down_bias",
    "hunyuan-dense": "rope qk_norm_rotated q_norm k_norm qkv_bias out_bias",
    "apertus": "activation curve scaling q_norm k_norm attention_norm feed_norm",
    "nemotron": "rope activation norm_bias qkv_bias out_bias up_bias down_bias",
    "qwen2moe": "experts_used router_norm shared shared_router qkv_bias",
    "qwen2moe-dense": "experts_used shared shared_router",
    "glm4moe": "experts_used router_norm router_sigmoid router_scale choice_bias expert_groups shared q_norm k_norm qkv_bias",
    "glm4moe-plain": "experts_used router_norm router_sigmoid choice_bias shared",
    "dots1": "experts_used router_norm router_sigmoid router_scale choice_bias shared q_norm k_norm",
    "ernie4_5-moe": "experts_used router_norm choice_bias shared rope_kind",
    "hunyuan-moe": "experts_used router_norm shared qk_norm_rotated",
    "minimax-m2": "experts_used router_norm router_sigmoid choice_bias q_norm k_norm rope",
    "granitemoe": "experts_used router_norm embedding_scale residual_scale score_scale",
    "granitemoeshared": "experts_used router_norm shared qkv_bias out_bias score_scale",
    "starcoder": "positions qkv_bias out_bias up_bias down_bias norm_bias activation",
    "starcoder-heads": "positions qkv_bias activation",
    "gptoss-mxfp4": "sinks expert_biases router_bias",
    "afmoe": "rope window still embedding_scale attention_gate q_norm k_norm router_norm router_sigmoid router_scale choice_bias "
             "shared attention_post_norm",
    "afmoe-plain": "rope window still attention_gate shared",
    "deepseek2": "rope rope_kind scaling score_scale q_latent_norm kv_latent_norm experts_used router_scale expert_groups "
                 "groups_by_best shared",
    "deepseek2-lite": "rope kv_latent_norm experts_used shared",
    "deepseek3": "rope scaling score_scale q_latent_norm kv_latent_norm router_norm router_sigmoid choice_bias expert_groups",
    "glm4_moe_lite": "rope q_latent_norm kv_latent_norm router_norm router_sigmoid router_scale choice_bias shared",
    "mistral4": "growth scaling rope score_scale kv_latent_norm router_norm shared",
    "gemma4": "scaling window q_norm k_norm v_norm layer_scale logit_cap keys_as_values embedding_scale local_rope",
    "gemma4-unified": "scaling window v_norm layer_scale keys_as_values",
    "gemma4-layers": "side_gate side_norm side_post_norm side_tokens layer_scale feed_post_norm back window v_norm",
    "gemma4-experts": "expert_norm expert_post_norm shared_post_norm router_scales expert_scale feed_norm experts_used "
                      "feed_post_norm",
    "falcon_h1": "tail decay step_bias skip taps_bias mix_norm norm_first rope attention_norm feed_norm output_norm score_scale "
                 "embedding_scale qkv_factors out_factors mix_in_factors mix_out_factors up_factors down_factors up_bias down_bias",
    "falcon_h1-plain": "tail decay step_bias skip rope attention_norm feed_norm",
    "falcon_h1-norm": "tail decay step_bias skip mix_norm norm_first rope",
    "gemma3n": "altup_predict altup_correct altup_norm altup_scale laurel_norm cutoff spread merge side_norm side_post_norm "
               "side_tokens back window v_norm local_rope logit_cap feed_post_norm attention_post_norm attention_norm",
    "gemma3n-plain": "altup_predict altup_correct laurel_norm spread merge side_post_norm",
    "gemma3n-widths": "altup_predict cutoff spread merge side_post_norm back window activation feed_norm",
    "phimoe": "near rope window qkv_bias out_bias head_bias norm_bias",
    "phimoe-long": "scaling magnitude near",
    "dbrx": "rope clamp experts_used router_norm",
    "dbrx-plain": "rope experts_used router_norm",
    "minicpm3": "scaling magnitude rope rope_kind embedding_scale residual_scale score_scale q_latent_norm kv_latent_norm",
    "minicpm3-plain": "rope kv_latent_norm embedding_scale residual_scale",
    "muse-glimmer": "rope still window attention_gate q_norm k_norm tokens_norm logit_cap attention_post_norm feed_post_norm",
    "qwen3vlmoe": "experts_used router_norm q_norm k_norm rope qkv_bias out_bias",
    "llama4": "chunks window growth growth_still still q_norm k_norm rope rope_kind scaling experts_used router_sigmoid shared",
    "llama4-plain": "rope still experts_used shared qkv_bias out_bias",
    "llama4-context": "rope still q_norm k_norm router_sigmoid shared",
    "kimi_linear": "tail decay step_bias mix_norm kv_latent_norm experts_used router_norm router_sigmoid router_scale choice_bias shared "
                   "attention_norm",
    "mamba": "tail fade_rates step_bias selected_skip taps_bias attention_norm output_norm",
    "mamba-plain": "tail fade_rates step_bias selected_skip",
    "falcon_mamba": "tail fade_rates step_norm b_norm c_norm",
    "jamba": "tail fade_rates step_bias selected_skip taps_bias step_norm b_norm c_norm experts_used router_norm score_scale "
             "attention_norm feed_norm output_norm activation",
    "jamba-dense": "tail fade_rates step_norm b_norm c_norm activation",
    "lfm2": "tail rope q_norm k_norm attention_norm feed_norm output_norm",
    "lfm2-wide": "tail rope q_norm k_norm",
    "lfm2moe": "tail experts_used router_norm router_sigmoid router_scale choice_bias q_norm k_norm",
    "granitehybrid": "tail decay step_bias skip taps_bias mix_norm embedding_scale residual_scale score_scale",
    "granitehybrid-experts": "tail decay step_bias skip mix_norm rope experts_used router_norm shared",
    "nemotron_h": "tail decay step_bias skip taps_bias mix_norm attention_norm feed_norm output_norm score_scale activation",
    "nemotron_h-feeds": "tail decay step_bias skip mix_norm up_bias down_bias feed_norm activation",
    "nemotron_h_moe": "tail decay experts_used router_norm router_sigmoid router_scale choice_bias shared activation",
    "nemotron_h_moe-latent": "tail decay experts_used router_scale choice_bias shared latent_experts activation",
    "nemotron_h_moe-mlp": "experts_used router_norm router_scale choice_bias expert_groups shared",
    "mamba2": "tail decay step_bias skip taps_bias mix_norm attention_norm output_norm",
    "qwen35": "tail decay step_bias mix_norm in_turn rope q_norm k_norm attention_gate attention_norm feed_norm",
    "qwen35moe": "tail decay step_bias mix_norm in_turn attention_gate experts_used router_norm shared shared_router qkv_bias",
    "qwen3next": "tail decay step_bias mix_norm in_turn attention_gate rope experts_used router_norm shared",
}  # fmt: skip

# GGUF has the architecture, but not this part of it
FOLDERS_ONLY = ("phimoe-long", "dbrx-plain", "minicpm3-plain", "gemma3n-plain", "llama4", "llama4-plain", "phi-norms", "falcon_h1-norm",
                "qwen3moe-dense", "afmoe-plain", "starcoder-heads", "qwen2moe-dense", "nemotron_h_moe-mlp")


def reference(name):
    return json.loads((TINY / name / "reference.json").read_text())["runs"]


def scored(build, model, runs, context, isa="avx2", sabotage=None, unscored=1, adapters=()):
    """Log-probabilities of each run; None where the machine lacks the instruction set. adapters: (path, weight)"""
    environment = {**os.environ, **({"CAPP_SABOTAGE": sabotage} if sabotage else {}),
                   **({"CAPP_CONTEXT": str(context)} if context else {}), "CAPP_UNSCORED": str(unscored)}
    lines = "".join(" ".join(map(str, run["ids"])) + "\n" for run in runs)
    extra = [str(part) for adapter in adapters for part in adapter]
    done = subprocess.run([build / "tests" / "model_tool", model, isa, *extra], input=lines, capture_output=True, text=True,
                          env=environment)
    if done.returncode == bits.LACKING:
        return None
    assert done.returncode == 0, done.stderr
    return [[float(number) for number in line.split()] for line in done.stdout.splitlines()]


def scored_by_integers(build, model, runs, context, precision="i16", adapters=()):
    """The same on each instruction set that multiplies integers and that this machine has."""
    found = [scored(build, model, runs, context, f"{isa}:{precision}", adapters=adapters)
             for isa in ("ref", "avx2", "avxvnni", "avx512vnni")]
    assert found[0] and found[1]
    return [one for one in found if one]


def differences(build, model, name, **options):
    every = []
    runs = reference(name)
    for context in {run["context"] for run in runs}:
        same = [run for run in runs if run["context"] == context]
        for run, got in zip(same, scored(build, model, same, context, **options), strict=True):
            assert len(got) == len(run["logprobs"])
            every += [abs(a - b) for a, b in zip(got, run["logprobs"])]
    return every


def largest_difference(build, model, name, **options):
    return max(differences(build, model, name, **options))


def mean_difference(build, name, unit, **options):
    every = differences(build, TINY / name, name, isa=unit, **options)
    return sum(every) / len(every)


@pytest.mark.parametrize("name", NAMES)
def test_folder(build, name):
    for isa in ("ref", "avx2"):
        assert largest_difference(build, TINY / name, name, isa=isa) <= WIDER.get(name, TOLERANCE)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in FOLDERS_ONLY])
def test_gguf(build, name, tmp_path):
    if not convert.convert(TINY / name, tmp_path / "model.gguf"):
        assert convert.Folder(TINY / name).type in ("ministral", "opt")
        return
    assert largest_difference(build, tmp_path / "model.gguf", name) <= WIDER.get(name, TOLERANCE)


def test_kimi_k2(build, tmp_path):
    """Its folders are those of DeepSeek V3 with another model_type."""
    for file in ("config.json", "model.safetensors"):
        (tmp_path / file).write_bytes((TINY / "deepseek3" / file).read_bytes().replace(b'"deepseek_v3"', b'"kimi_k2"'))
    assert largest_difference(build, tmp_path, "deepseek3") <= TOLERANCE


@pytest.mark.parametrize("unit", ["avx2", "vdpbf16ps"])
@pytest.mark.parametrize("name", ["gemma3", "gemma3n", "llama4", "gemma4", "gemma4-layers", "gemma4-experts",
                                  "deepseek2", "deepseek2-lite", "deepseek3", "glm4_moe_lite", "mistral4", "afmoe",
                                  "granitehybrid", "nemotron_h", "nemotron_h-feeds", "nemotron_h_moe",
                                  "nemotron_h_moe-mlp", "nemotron_h_moe-latent", "mamba2", "mamba", "mamba-plain",
                                  "falcon_mamba", "jamba", "jamba-dense", "kimi_linear", "falcon_h1", "falcon_h1-plain",
                                  "falcon_h1-norm"])
def test_paths_alone_and_in_a_tree(build, name, unit):
    """Texts that branch after one token, in the window, beyond it and at the end: the same bits as each alone."""
    long, other = reference(name)[2]["ids"], reference(name)[1]["ids"]
    paths = [{"ids": long[:n] + other[-m:]} for n, m in ((1, 1), (1, 20), (5, 9), (20, 3), (40, 1), (20, 12))]
    together = scored(build, TINY / name, [{"ids": long}, *paths], 0, unit)
    assert together[1:] == [scored(build, TINY / name, [path], 0, unit)[0] for path in paths]


def test_gguf_with_an_image_part(build, tmp_path):
    """Ollama's files of multimodal models have the image part, too."""
    for name, beside in (("alone", ()), ("beside", ("v.blk.0.attn_q.weight", "mm.0.bias", "a.conv1d.weight"))):
        convert.convert(TINY / "gemma3", tmp_path / f"{name}.gguf", beside={tensor: convert.np.ones((4, 6), "float32") for tensor in beside})
    alone, beside = (scored(build, tmp_path / f"{name}.gguf", reference("gemma3"), 0) for name in ("alone", "beside"))
    assert alone == beside
    convert.convert(TINY / "gemma3", tmp_path / "other.gguf", beside={"vv.0.weight": convert.np.ones((4, 6), "float32")})
    done = subprocess.run([build / "tests" / "model_tool", tmp_path / "other.gguf", "ref"], input="", capture_output=True, text=True)
    assert done.returncode == 2 and "unexpected tensor vv.0.weight" in done.stderr


# Architectures that exist only as GGUF files, and a model with the same arithmetic. (tests/test_llama_cpp.py has more.)
SAME = [("internlm2", "llama"), ("xverse", "llama"), ("baichuan", "llama"), ("minicpm", "granite"), ("orion", "stablelm"),
        ("deepseek", "granitemoeshared"), ("bailingmoe2", "dots1"), ("qwen2vl", "qwen2"), ("qwen3vl", "qwen3"),
        ("qwen3vlmoe", "qwen3moe"), ("gptoss", "gptoss")]


@pytest.mark.parametrize("arch, name", SAME)
def test_gguf_of_the_same_arithmetic(build, arch, name, tmp_path):
    assert convert.convert(TINY / name, tmp_path / "model.gguf", arch=arch)
    assert largest_difference(build, tmp_path / "model.gguf", name) <= TOLERANCE


def test_gpt_oss_of_ollama(build, tmp_path):
    """Its first files have the rows of gate and up in turn, and two neighbors in a byte of MXFP4."""
    assert convert.convert(TINY / "gptoss", tmp_path / "floats.gguf", arch="gptoss", older=True)
    assert largest_difference(build, tmp_path / "floats.gguf", "gptoss") <= TOLERANCE
    mxfp4 = convert.gguf.GGMLQuantizationType.MXFP4
    for older in (False, True):
        convert.convert(TINY / "gptoss-mxfp4", tmp_path / f"{older}.gguf", mxfp4, arch="gptoss", older=older)
    convert.convert(TINY / "gptoss-mxfp4", tmp_path / "model.gguf", mxfp4)
    newer, older, plain = (scored(build, tmp_path / f"{name}.gguf", reference("gptoss-mxfp4"), 0) for name in ("False", "True", "model"))
    assert newer == older == plain


@pytest.mark.parametrize("name", NAMES)
def test_prompts_without_scores(build, name):
    """The last layer runs only for the rows whose next tokens are scored, with the same bits."""
    run = reference(name)[-1]
    all_scored, some = (scored(build, TINY / name, [run], run["context"], unscored=n)[0] for n in (1, 30))
    assert some == all_scored[29:]


@pytest.mark.parametrize("name", ["deepseek2", "deepseek2-lite", "deepseek3"])
def test_latent_attention_of_older_files(build, name, tmp_path):
    """They have kv_b, whose parts are used as columns and as rows; in blocks it is dequantized first."""
    assert convert.convert(TINY / name, tmp_path / "older.gguf", older=True)
    assert largest_difference(build, tmp_path / "older.gguf", name) <= TOLERANCE
    for path, rounded in (("blocks.gguf", False), ("floats.gguf", True)):
        convert.convert(TINY / name, tmp_path / path, convert.gguf.GGMLQuantizationType.Q8_0, older=True, rounded=rounded)
    blocks, floats = (scored(build, tmp_path / path, reference(name), 0) for path in ("blocks.gguf", "floats.gguf"))
    assert blocks == floats
    assert (blocks != scored(build, tmp_path / "older.gguf", reference(name), 0)) == (name == "deepseek2-lite")


@pytest.mark.parametrize("name, way", [(name, way) for name in NAMES for way in SABOTAGE[name].split()])
def test_every_sabotage_shows(build, name, way):
    assert largest_difference(build, TINY / name, name, sabotage=way) >= LEAST


@pytest.mark.parametrize("name", NAMES)
def test_bf16(build, name):
    """Products of bfloat16, computed as either unit computes them, stay near; without the last input or column they do
    not."""
    for unit in ("vdpbf16ps", "tiles"):
        limit = BF16_WIDER.get(name, BF16)
        assert mean_difference(build, name, unit) <= limit
        for way in ("last_input", "last_column"):
            assert mean_difference(build, name, unit, sabotage=way) >= 3 * limit


@pytest.mark.parametrize("name", NAMES)
def test_close_rows_under_auto(build, name):
    """The float32 lane packs from the file whenever it runs, and gives the same bits."""
    runs = [run for run in reference(name) if run["context"] == reference(name)[0]["context"]]
    context = runs[0]["context"]
    assert scored(build, TINY / name, runs, context, "close") == scored(build, TINY / name, runs, context, "ref")


def test_layers_for_further_tokens_are_skipped(build, tmp_path):
    tensors = convert.read_tensors(TINY / "qwen35")
    tensors["mtp.layers.0.mlp.up_proj.weight"] = tensors["model.layers.0.mlp.up_proj.weight"]
    (tmp_path / "config.json").write_text((TINY / "qwen35" / "config.json").read_text())
    lora.write_safetensors(tmp_path / "model.safetensors", tensors)
    assert scored(build, tmp_path, reference("qwen35"), 0) == scored(build, TINY / "qwen35", reference("qwen35"), 0)


@pytest.mark.parametrize("name, letters", [("nemotron_h", "M-*-M"), ("nemotron_h_moe", "M*EE"), ("nemotron_h_moe-mlp", "EM*-")])
def test_parts_of_layers_as_letters(build, name, letters, tmp_path):
    """Older folders of Nemotron-H name the parts of all layers in one text; a letter without a meaning is an
    error."""
    config = json.loads((TINY / name / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes((TINY / name / "model.safetensors").read_bytes())
    del config["layers_block_type"]
    older = dict(config, num_hidden_layers=len(letters), hybrid_override_pattern=letters)
    (tmp_path / "config.json").write_text(json.dumps(older))
    assert scored(build, tmp_path, reference(name), 0) == scored(build, TINY / name, reference(name), 0)
    for wrong, message in (({"hybrid_override_pattern": letters[:-1] + "X"}, 'has type "X"'),
                           ({"hybrid_override_pattern": letters[:-1]}, 'has type ""')):
        (tmp_path / "config.json").write_text(json.dumps({**older, **wrong}))
        done = subprocess.run([build / "tests" / "model_tool", tmp_path, "ref"], input="", capture_output=True, text=True)
        assert done.returncode == 2 and message in done.stderr


def test_published_folders_of_kimi_linear(build, tmp_path):
    """They have the sizes and the kinds of layers in linear_attn_config, which counts layers from 1."""
    config = json.loads((TINY / "kimi_linear" / "config.json").read_text())
    for key in ("layer_types", "mlp_layer_types", "linear_head_dim", "linear_num_heads", "linear_conv_kernel_dim"):
        del config[key]
    config.update(first_k_dense_replace=1, moe_layer_freq=1, linear_attn_config={
        "full_attn_layers": [2], "kda_layers": [1, 3], "head_dim": 12, "num_heads": 3, "short_conv_kernel_size": 4})
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes((TINY / "kimi_linear" / "model.safetensors").read_bytes())
    assert scored(build, tmp_path, reference("kimi_linear"), 0) == scored(build, TINY / "kimi_linear", reference("kimi_linear"), 0)
    config["linear_attn_config"]["full_attn_layers"] = [0]
    (tmp_path / "config.json").write_text(json.dumps(config))
    done = subprocess.run([build / "tests" / "model_tool", tmp_path, "ref"], input="", capture_output=True, text=True)
    assert done.returncode == 2 and "linear_attn_config.full_attn_layers" in done.stderr


@pytest.mark.parametrize("name, layers, floats", [("mamba2", 3, 3 * (6 * 12 + 2 * 2 * 10) + 6 * 10 * 12), ("lfm2", 3, 2 * 36), ("llama", 0, 0)])
def test_inspect_reports_recurrent_states(capp, name, layers, floats):
    """The last inputs of the convolution, and the matrices of the heads."""
    texts = [subprocess.run([capp, "inspect", *how, TINY / name], capture_output=True, text=True, check=True).stdout for how in ((), ("--json",))]
    state = f"{4 * layers * floats} bytes a sequence in f32" if layers else None
    assert json.loads(texts[1])["model"].get("recurrent state") == state
    assert ("recurrent state" in texts[0]) == (state is not None) and (state or "KV cache") in texts[0]


@pytest.mark.parametrize("way", ["newer", "apart"])
def test_other_folders_of_qwen3_vl_moe(build, tmp_path, way):
    """transformers 5 writes the products of experts as [experts][outputs][inputs]; quantized folders have a tensor of each."""
    tensors = {}
    for name, values in convert.read_tensors(TINY / "qwen3vlmoe").items():
        if ".mlp.experts." not in name:
            tensors[name] = values
        elif way == "newer":
            tensors[name] = values.swapaxes(1, 2)
        else:
            for i, expert in enumerate(values.swapaxes(1, 2)):
                own = name.replace("experts.", f"experts.{i}.") + ".weight"
                parts = zip(("gate_proj", "up_proj"), convert.np.split(expert, 2)) if "gate_up" in name else [("gate_up_proj", expert)]
                tensors.update({own.replace("gate_up_proj", part): rows for part, rows in parts})
    (tmp_path / "config.json").write_text((TINY / "qwen3vlmoe" / "config.json").read_text())
    lora.write_safetensors(tmp_path / "model.safetensors", tensors)
    assert scored(build, tmp_path, reference("qwen3vlmoe"), 0) == scored(build, TINY / "qwen3vlmoe", reference("qwen3vlmoe"), 0)


@pytest.mark.parametrize("feed", [18, 36])
def test_experts_with_a_square_product(build, tmp_path, feed):
    """Two layouts of the same Qwen3-VL MoE with 36 inputs: gate and up together have 36 outputs, or down has 36 inputs."""
    config, found = json.loads((TINY / "qwen3vlmoe" / "config.json").read_text()), []
    shapes = {"gate_up_proj": (4, 36, 2 * feed), "down_proj": (4, feed, 36)}
    for axes in (0, 1, 2), (0, 2, 1):
        random = convert.np.random.default_rng(5)
        tensors = {name: random.normal(0, 0.2, shapes[name.split(".")[-1]]).astype("f").transpose(axes) if ".mlp.experts." in name else values
                   for name, values in convert.read_tensors(TINY / "qwen3vlmoe").items()}
        (tmp_path / "config.json").write_text(json.dumps(config | {"moe_intermediate_size": feed}))
        lora.write_safetensors(tmp_path / "model.safetensors", tensors)
        found.append(scored(build, tmp_path, reference("qwen3vlmoe"), 0))
    assert found[0] == found[1]


def test_every_case_can_be_remade():
    """The list in the tool equals that of the folders."""
    tool = (TINY.parent.parent.parent / "tools" / "make_tiny_models.py").read_text()
    assert [name for name in NAMES if f'"{name}": (' not in tool and f'["{name}"] = (' not in tool] == []

"""config.json. Other settings give the numbers of transformers with the same settings (tests/fixtures/variants.json,
made by tools/make_tiny_models.py). A missing field has the default of the family's class in transformers. A setting
that capp does not have is an error that names it. Further fields of real checkpoints are accepted."""
import json
import subprocess
from pathlib import Path

import pytest

FIXTURES = Path(__file__).resolve().parent / "fixtures"
TINY = FIXTURES / "tiny"
NAMES = sorted(folder.name for folder in TINY.iterdir())
DEFAULTS = json.loads((FIXTURES / "config_defaults.json").read_text())["classes"]
VARIANTS = json.loads((FIXTURES / "variants.json").read_text())
TOLERANCE, LEAST = 1e-4, 0.01
IDS = "3 17 64 5 90 41 8 22 77 13 50 6 31 88 19 2 60 44 9 71 35 96 27 12 58 30\n"


@pytest.fixture
def run(build, tmp_path):
    """Log-probabilities of IDS by a tiny model under another configuration, or what is wrong with it."""

    def run(name, config, ids=IDS):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        for path in (TINY / name).glob("model*"):
            if not (folder / path.name).exists():
                (folder / path.name).symlink_to(path)
        (folder / "config.json").write_text(json.dumps(config))
        done = subprocess.run([build / "tests" / "model_tool", folder, "avx2"], input=ids, capture_output=True, text=True)
        assert done.returncode in (0, 2), done.stderr
        return done.stdout or done.stderr

    return run


def config_of(name):
    return json.loads((TINY / name / "config.json").read_text())


def is_error(result):
    """Whether the result is a message: everything except log-probabilities is one."""
    try:
        return not [float(word) for word in result.split()]
    except ValueError:
        return True


@pytest.mark.parametrize("i", range(len(VARIANTS)),
                         ids=[f"{case['of']}-{'-'.join(case['differences'])}" for case in VARIANTS])
def test_another_setting(run, i):
    """The setting matters: without it the numbers differ."""
    case = VARIANTS[i]
    name, ids = case["of"], " ".join(map(str, case["ids"])) + "\n"
    got = run(name, {**config_of(name), **case["differences"]}, ids)
    assert not is_error(got), got
    differences = [abs(float(a) - b) for a, b in zip(got.split(), case["logprobs"], strict=True)]
    assert max(differences) <= TOLERANCE
    plain = [abs(float(a) - b) for a, b in zip(run(name, config_of(name), ids).split(), case["logprobs"], strict=True)]
    same = case["differences"].get("rope_scaling", {}).get("rope_type") == "dynamic"  # no change inside the context
    assert (max(plain) >= LEAST) != same


@pytest.mark.parametrize("name", NAMES)
def test_absent_is_the_default_of_the_class(run, name):
    """Both give the same numbers, or both give an error (where the tensors do not fit the default)."""
    config = config_of(name)
    for key, default in DEFAULTS[config["model_type"]].items():
        rest = {other: value for other, value in config.items() if other != key}
        absent, explicit = run(name, rest), run(name, {**rest, key: default})
        assert absent == explicit or (is_error(absent) and is_error(explicit)), (key, default, absent, explicit)


# Further fields of published checkpoints, none of which changes the results.
REAL = {
    "bloom": dict(attention_softmax_in_fp32=True, bias_dropout_fusion=True, masked_softmax_fusion=True, offset_alibi=100,
                  pretraining_tp=4, seq_length=2048, skip_bias_add=True, skip_bias_add_qkv=False, slow_but_exact=False,
                  unk_token_id=0, n_inner=None),
    "cohere": dict(model_max_length=131072, use_cache=True),
    "cohere2": dict(layer_switch=4, order_of_interleaved_layers="local_attn_first", position_embedding_type="rope_gptj",
                    rotary_pct=1.0, use_embedding_sharing=True, use_gated_activation=True, use_parallel_block=True,
                    use_parallel_embedding=True, use_qk_norm=False, cache_implementation="hybrid"),
    "falcon": dict(apply_residual_connection_post_layernorm=False, ff_factor=4, hidden_dropout=0.0),
    "gemma2": dict(sliding_window_size=9, cache_implementation="hybrid", hidden_act="gelu_pytorch_tanh"),
    "gpt2": dict(_num_labels=1, n_ctx=1024, gradient_checkpointing=False, summary_type="cls_index",
                 scale_attn_weights=True, task_specific_params={"text-generation": {"do_sample": True}}),
    "gptj": dict(rotary=True, scale_attn_weights=True, gradient_checkpointing=False),
    "gptneox": dict(attention_probs_dropout_prob=0, hidden_dropout_prob=0),
    "gptoss": dict(experts_per_token=2, initial_context_length=4096, swiglu_limit=7.0, swiglu_alpha=1.702),
    "llama": dict(max_sequence_length=2048, pretraining_tp=2, is_llama_config=True, rope_interleaved=False,
                  _flash_attn_2_enabled=True),
    "mpt": dict(tokenizer_name="EleutherAI/gpt-neox-20b", learned_pos_emb=True, embedding_fraction=1.0, logit_scale=None,
                init_config={"name": "kaiming_normal_"}, no_bias=True),
    "opt": dict(activation_dropout=0.0, prefix="</s>", layerdrop=0.0, learned_embeddings=True, scale_embeddings=False),
    "phi3": dict(full_attn_mod=1, interpolate_factor=1, lm_head_bias=False, mlp_bias=False, attention_bias=False),
    "starcoder2": dict(activation_function="gelu", attention_softmax_in_fp32=True, layer_norm_epsilon=1e-5,
                       mlp_type="default", norm_type="layer_norm", scale_attention_softmax_in_fp32=True,
                       scale_attn_weights=True),
}


@pytest.mark.parametrize("name", REAL)
def test_fields_of_real_checkpoints(run, name):
    config = config_of(name)
    assert run(name, {**config, **REAL[name]}) == run(name, config)


def test_names_of_old_files(run):
    """Bloom's checkpoints call the width n_embed, and some of GPT-2's fields have newer names."""
    config = config_of("bloom")
    old = {("n_embed" if key == "hidden_size" else key): value for key, value in config.items()}
    assert run("bloom", old) == run("bloom", config)
    config, names = config_of("gpt2"), {"n_embd": "hidden_size", "n_head": "num_attention_heads",
                                        "n_layer": "num_hidden_layers", "n_positions": "max_position_embeddings"}
    assert run("gpt2", {names.get(key, key): value for key, value in config.items()}) == run("gpt2", config)


# Settings that would change the numbers: the field that the message must name.
REFUSED = [
    ("bloom", dict(slow_but_exact=True), "slow_but_exact"),
    ("falcon", dict(apply_residual_connection_post_layernorm=True), "apply_residual_connection_post_layernorm"),
    ("falcon", dict(ff_factor=2), "ff_factor"),
    ("cohere2", dict(order_of_interleaved_layers="global_attn_first"), "order_of_interleaved_layers"),
    ("gptj", dict(rotary=False), "rotary"),
    ("gptoss", dict(swiglu_limit=1.0), "swiglu_limit"),
    ("gptoss", dict(swiglu_alpha=1.0), "swiglu_alpha"),
    ("llama", dict(rope_interleaved=True), "rope_interleaved"),
    ("llama", dict(rope_scaling=dict(rope_type="nonsense", factor=2.0)), "nonsense"),
    ("llama", dict(rope_scaling=dict(rope_type="linear", factor=2.0, extra=1)), "rope_scaling.extra"),
    ("mpt", dict(logit_scale="inv_sqrt_d_model"), "logit_scale"),
    ("mpt", dict(attn_config=dict(rope=True)), "attn_config.rope"),
    ("mpt", dict(attn_config=dict(kv_n_heads=1)), "attn_config.kv_n_heads"),
    ("mpt", dict(attn_config=dict(attn_type="grouped_query_attention")), "attn_config.attn_type"),
    ("phi3", dict(full_attn_mod=2), "full_attn_mod"),
    ("opt", dict(scale_embeddings=True), "scale_embeddings"),
]


@pytest.mark.parametrize("name, change, named", REFUSED)
def test_what_is_refused_is_named(run, name, change, named):
    assert f'"{named}"' in run(name, {**config_of(name), **change})


def test_an_absent_rope_scaling_is_not_none(run):
    """GPT-OSS's class has its own YaRN settings; null means none."""
    config = config_of("gptoss")
    assert '"rope_scaling" is missing' in run("gptoss", {k: v for k, v in config.items() if k != "rope_scaling"})
    assert not is_error(run("gptoss", {**config, "rope_scaling": None}))


def test_caps_that_are_null_are_none(run):
    config = config_of("gemma2")
    without = {k: v for k, v in config.items() if k != "attn_logit_softcapping"}
    assert run("gemma2", {**config, "attn_logit_softcapping": None}) != run("gemma2", without)


def test_queries_of_ministral_3_grow(run):
    """Equal to Llama except for the growth, which begins where the original context ends."""
    config = config_of("llama-yarn")
    scaling, original = config.pop("rope_scaling"), 8
    scaling = {**scaling, "rope_theta": config.pop("rope_theta"), "original_max_position_embeddings": original}
    plain = run("llama-yarn", {**config, "rope_parameters": scaling}).split()
    for growth in (0.0, 0.5):
        grown = run("llama-yarn", {**{k: v for k, v in config.items() if not k.endswith("_bias") and k != "pretraining_tp"},
                                   "model_type": "ministral3",
                                   "rope_parameters": {**scaling, "llama_4_scaling_beta": growth}}).split()
        assert len(grown) == len(plain)
        assert grown[:original] == plain[:original]
        assert (grown == plain) == (growth == 0)


def test_the_rotation_of_ministral_3_is_not_left_out(run):
    """The class has its own YaRN settings where config.json has none, or null."""
    config = {k: v for k, v in config_of("mistral").items() if k != "rope_theta"}
    for rope in ({}, {"rope_parameters": None}):
        assert '"rope_parameters" is missing' in run("mistral", {**config, "model_type": "ministral3", **rope})


INCOMPLETE = [("llama3", "rope_type"), ("llama3", "factor"), ("llama3", "low_freq_factor"), ("llama3", "high_freq_factor"),
              ("llama3", "original_max_position_embeddings"), ("llama-linear", "rope_type"), ("llama-linear", "factor"),
              ("llama-yarn", "rope_type"), ("llama-yarn", "factor"), ("gptoss", "rope_type"), ("phi3-long", "type")]  # fmt: skip


@pytest.mark.parametrize("name, key", INCOMPLETE)
def test_scaling_without_what_it_needs(run, name, key):
    config = config_of(name)
    scaling = config["rope_scaling"]
    for spelling in {"rope_type": ("rope_type", "type"), "type": ("rope_type", "type")}.get(key, (key,)):
        scaling.pop(spelling, None)
    result = run(name, config)
    assert ("rope_type" if key == "type" else key) in result and "config.json" in result, result


@pytest.mark.parametrize("name", ["gemma2", "gemma3"])
def test_hidden_activation_counts(run, name):
    config = config_of(name)
    assert run(name, {**config, "hidden_act": "relu"}) == run(name, config)
    assert run(name, {**config, "hidden_activation": "relu"}) != run(name, config)


@pytest.mark.parametrize("name, key", [("falcon", "parallel_attn"), ("gptneox", "use_parallel_residual"),
                                       ("gpt2", "scale_attn_weights")])
def test_null_is_false(run, name, key):
    config = config_of(name)
    assert run(name, {**config, key: None}) == run(name, {**config, key: False}) != run(name, {**config, key: True})


@pytest.mark.parametrize("name, key, value", [("llama", "rotary_dim", 4), ("qwen3", "rotary_pct", 0.5), ("gptj", "rope_theta", 500.0),
                                              ("falcon", "rotary_emb_base", 500.0)])
def test_a_rotation_of_another_family(run, name, key, value):
    result = run(name, {**config_of(name), key: value})
    assert f'"{key}" is' in result and "does not support" in result, result

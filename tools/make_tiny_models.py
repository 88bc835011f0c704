#!/usr/bin/env python3
"""Makes tests/fixtures/tiny: a random model of each architecture as a folder, and its log-probabilities in transformers.

    python3 -m venv ENV && ENV/bin/pip install -r tools/tiny_requirements.txt
    ENV/bin/python tools/make_tiny_models.py [NAME...]

The models of NEWER are made by transformers 5, in an environment of tools/tiny_requirements_5.txt, the others by
transformers 4. With either version, the tool makes the models that belong to it.

NAME/config.json, NAME/model*.safetensors   the model, seeds fixed, weights rounded to the type that is stored
NAME/reference.json                         token ids, and their log-probabilities by transformers in float32

and, where no NAME is given, tests/fixtures/variants.json: some of the models under other settings of config.json, and
their log-probabilities.

Norms and biases are random too, logits spread by at least 2, hidden sizes are not multiples of a vector, and windows
and original contexts are shorter than the texts: leaving out any part of a model changes the results
(tests/test_tiny_models.py). tests/convert.py makes GGUF files from the folders.
"""
import json
import shutil
import sys
import tempfile
import zlib
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

try:
    from transformers.initialization import no_init_weights
except ImportError:
    from transformers.modeling_utils import no_init_weights

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "tiny"
VOCABULARY, CONTEXT, WINDOW, SPREAD = 97, 96, 9, 2.5
LENGTHS = (14, 25, 41)

# Names of sizes: first those of most families, then those of older ones.
USUAL = dict(vocab_size=VOCABULARY, hidden_size=36, intermediate_size=44, num_hidden_layers=3, num_attention_heads=6,
             num_key_value_heads=2, max_position_embeddings=CONTEXT, rope_theta=3000.0)
LARGE = dict(USUAL, head_dim=10, num_attention_heads=4)
GPT = dict(vocab_size=VOCABULARY, n_positions=CONTEXT, n_embd=36, n_layer=3, n_head=3)
FOUR = dict(num_hidden_layers=4)
SPARSE = dict(num_experts_per_tok=2, intermediate_size=20)
LOCAL, GLOBAL = "sliding_attention", "full_attention"

# name: (model_type, differences from the family's default, type of the stored weights)
CASES = {
    "llama": ("llama", dict(USUAL, tie_word_embeddings=False), "float32"),
    "llama-biases": ("llama", dict(LARGE, attention_bias=True, mlp_bias=True, tie_word_embeddings=True), "float16"),
    "llama-linear": ("llama", dict(USUAL, rope_scaling=dict(rope_type="linear", factor=4.0)), "bfloat16"),
    "llama3": ("llama", dict(USUAL, num_key_value_heads=1, rope_scaling=dict(
        rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=32)), "bfloat16"),
    "llama-yarn": ("llama", dict(LARGE, rope_scaling=dict(
        rope_type="yarn", factor=4.0, original_max_position_embeddings=24)), "bfloat16"),
    "mistral": ("mistral", dict(LARGE, sliding_window=WINDOW), "bfloat16"),
    "ministral": ("ministral", dict(LARGE, **FOUR, sliding_window=WINDOW, layer_types=[LOCAL, GLOBAL] * 2), "bfloat16"),
    "smollm3": ("smollm3", dict(USUAL, **FOUR, no_rope_layers=[1, 1, 1, 0], pad_token_id=0), "bfloat16"),
    "granite": ("granite", dict(USUAL, embedding_multiplier=3.0, residual_multiplier=0.6, attention_multiplier=0.7,
                                logits_scaling=1.5, tie_word_embeddings=True), "bfloat16"),
    "qwen2": ("qwen2", dict(USUAL, use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1), "bfloat16"),
    "qwen3": ("qwen3", LARGE, "bfloat16"),
    "gemma": ("gemma", dict(LARGE, num_key_value_heads=1, rope_theta=3000.0), "bfloat16"),
    "gemma2": ("gemma2", dict(LARGE, query_pre_attn_scalar=24, sliding_window=WINDOW, attn_logit_softcapping=2.0,
                              final_logit_softcapping=6.0, **FOUR), "bfloat16"),
    "gemma3": ("gemma3_text", dict(LARGE, query_pre_attn_scalar=24, sliding_window=WINDOW, **FOUR,
                                   layer_types=[LOCAL, LOCAL, LOCAL, GLOBAL], rope_local_base_freq=100.0,
                                   rope_scaling=dict(rope_type="linear", factor=8.0)), "bfloat16"),
    "phi": ("phi", dict(USUAL, num_attention_heads=3, num_key_value_heads=3), "bfloat16"),
    "phi-norms": ("phi", dict(USUAL, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=3,
                              qk_layernorm=True), "bfloat16"),
    "phi3": ("phi3", dict(USUAL, num_attention_heads=3, num_key_value_heads=1, sliding_window=WINDOW, pad_token_id=0,
                          partial_rotary_factor=0.5), "bfloat16"),
    "phi3-long": ("phi3", dict(USUAL, pad_token_id=0, original_max_position_embeddings=32, rope_scaling=dict(
        type="longrope", short_factor=[1.0, 1.2, 1.5], long_factor=[1.0, 3.0, 9.0])), "bfloat16"),
    "gpt2": ("gpt2", GPT, "bfloat16"),
    "gptj": ("gptj", dict(GPT, rotary_dim=4), "bfloat16"),
    "gptneox": ("gpt_neox", dict(USUAL, num_attention_heads=3, num_key_value_heads=3, rotary_pct=0.5, rotary_emb_base=3000), "bfloat16"),
    "gptneox-sequential": ("gpt_neox", dict(USUAL, num_attention_heads=3, num_key_value_heads=3, rotary_pct=0.5,
                                            use_parallel_residual=False), "bfloat16"),
    "opt": ("opt", dict(vocab_size=VOCABULARY, hidden_size=36, word_embed_proj_dim=36, ffn_dim=44, num_hidden_layers=3,
                        num_attention_heads=3, max_position_embeddings=CONTEXT), "bfloat16"),
    "opt-350m": ("opt", dict(vocab_size=VOCABULARY, hidden_size=36, word_embed_proj_dim=20, ffn_dim=44,
                             num_hidden_layers=3, num_attention_heads=3, max_position_embeddings=CONTEXT,
                             do_layer_norm_before=False), "bfloat16"),
    "bloom": ("bloom", dict(vocab_size=VOCABULARY, hidden_size=36, n_layer=3, n_head=6), "bfloat16"),
    "mpt": ("mpt", dict(vocab_size=VOCABULARY, d_model=36, n_heads=3, n_layers=3, max_seq_len=CONTEXT,
                        attn_config=dict(clip_qkv=1.0, attn_impl="torch")), "bfloat16"),
    "falcon": ("falcon", dict(USUAL, ffn_hidden_size=44), "bfloat16"),
    "falcon-40b": ("falcon", dict(USUAL, ffn_hidden_size=44, new_decoder_architecture=True, num_kv_heads=2, bias=True),
                   "bfloat16"),
    "stablelm": ("stablelm", dict(USUAL, num_attention_heads=3, num_key_value_heads=1, use_qkv_bias=True,
                                  partial_rotary_factor=0.5), "bfloat16"),
    "stablelm-parallel": ("stablelm", dict(USUAL, num_attention_heads=3, num_key_value_heads=3, qk_layernorm=True,
                                           use_parallel_residual=True, partial_rotary_factor=0.5), "bfloat16"),
    "starcoder2": ("starcoder2", dict(USUAL, sliding_window=WINDOW), "bfloat16"),
    "olmo": ("olmo", dict(USUAL, clip_qkv=1.0), "bfloat16"),
    "olmo2": ("olmo2", USUAL, "bfloat16"),
    "cohere": ("cohere", dict(USUAL, use_qk_norm=True, logit_scale=0.25), "bfloat16"),
    "cohere2": ("cohere2", dict(LARGE, **FOUR, sliding_window=WINDOW, logit_scale=0.25), "bfloat16"),
    "mixtral": ("mixtral", dict(LARGE, **SPARSE, num_local_experts=5), "bfloat16"),
    "qwen3moe": ("qwen3_moe", dict(LARGE, **SPARSE, moe_intermediate_size=20, num_experts=5, norm_topk_prob=True),
                 "bfloat16"),
    "qwen3moe-dense": ("qwen3_moe", dict(LARGE, **SPARSE, moe_intermediate_size=12, num_experts=3, decoder_sparse_step=2,
                                         num_hidden_layers=4, mlp_only_layers=[3]), "bfloat16"),
    "olmoe": ("olmoe", dict(USUAL, **SPARSE, num_experts=5, clip_qkv=1.0), "bfloat16"),
    "gptoss": ("gpt_oss", dict(LARGE, **SPARSE, num_local_experts=5, sliding_window=WINDOW, **FOUR,
                               layer_types=[LOCAL, GLOBAL] * 2, rope_scaling=dict(
                                   rope_type="yarn", factor=4.0, beta_fast=32.0, beta_slow=1.0, truncate=False,
                                   original_max_position_embeddings=24)), "bfloat16"),
}
CASES["gptoss-mxfp4"] = ("gpt_oss", dict(CASES["gptoss"][1], hidden_size=64, intermediate_size=32, num_local_experts=3,
                                         num_hidden_layers=2, layer_types=[LOCAL, GLOBAL]), "bfloat16")

SMALL = dict(USUAL, num_hidden_layers=2)
SHORT = dict(LARGE, num_hidden_layers=2)
MIX = dict(num_experts_per_tok=2, intermediate_size=20)
PLAIN = dict(rope_type="default", rope_theta=3000.0)
YARN = dict(rope_type="yarn", rope_theta=3000.0, factor=4.0, original_max_position_embeddings=24)
LLAMA3 = dict(rope_type="llama3", rope_theta=3000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=32)


def without(sizes, *names):
    return {name: size for name, size in sizes.items() if name not in names}


LATENT = dict(without({**SHORT, **MIX}, "rope_theta", "head_dim", "num_key_value_heads"), num_hidden_layers=3,
              num_attention_heads=3, num_key_value_heads=3, kv_lora_rank=18, q_lora_rank=14, qk_nope_head_dim=10,
              qk_rope_head_dim=6, v_head_dim=12, moe_intermediate_size=12)
GEMMA4 = dict(without(SHORT, "rope_theta"), num_hidden_layers=3, layer_types=[LOCAL, LOCAL, GLOBAL], global_head_dim=14,
              sliding_window=WINDOW, final_logit_softcapping=6.0, rope_parameters={
                  LOCAL: dict(rope_type="default", rope_theta=100.0),
                  GLOBAL: dict(rope_type="proportional", rope_theta=3000.0, partial_rotary_factor=0.45)})


GEMMA3N = dict(without(SHORT, "rope_theta"), num_hidden_layers=3, layer_types=[LOCAL, LOCAL, GLOBAL], sliding_window=WINDOW,
               final_logit_softcapping=6.0, hidden_size_per_layer_input=14, vocab_size_per_layer_input=VOCABULARY,
               laurel_rank=7, rope_parameters={LOCAL: dict(rope_type="default", rope_theta=100.0), GLOBAL: PLAIN})


NEWER = {
    "ministral3": ("ministral3", dict(without(SHORT, "rope_theta"), rope_parameters=dict(
        YARN, mscale=1.0, mscale_all_dim=1.0, llama_4_scaling_beta=0.5)), "bfloat16"),
    "olmo3": ("olmo3", dict(without(USUAL, "rope_theta"), **FOUR, sliding_window=WINDOW, rope_parameters={
        GLOBAL: YARN, LOCAL: PLAIN}), "bfloat16"),
    "glm4": ("glm4", dict(SHORT, head_dim=12), "bfloat16"),
    "exaone4": ("exaone4", dict(USUAL, **FOUR, sliding_window=WINDOW), "bfloat16"),
    "exaone4-global": ("exaone4", dict(without(SMALL, "rope_theta"), rope_parameters=LLAMA3, sliding_window=None,
                                       layer_types=[GLOBAL] * 2, tie_word_embeddings=True), "bfloat16"),
    "seed_oss": ("seed_oss", dict(SHORT, attention_out_bias=True, mlp_bias=True), "bfloat16"),
    "seed_oss-plain": ("seed_oss", dict(SHORT, attention_bias=False), "bfloat16"),
    "arcee": ("arcee", dict(SMALL, attention_bias=True, mlp_bias=True), "bfloat16"),
    "ernie4_5": ("ernie4_5", dict(SHORT, use_bias=True, tie_word_embeddings=False), "bfloat16"),
    "hunyuan-dense": ("hunyuan_v1_dense", dict(without(SHORT, "rope_theta"), attention_bias=True, rope_parameters=dict(
        rope_type="dynamic", alpha=10.0, factor=1.0, rope_theta=100.0)), "bfloat16"),
    "apertus": ("apertus", dict(without(SMALL, "rope_theta"), rope_parameters=LLAMA3), "bfloat16"),
    "nemotron": ("nemotron", dict(SMALL, num_attention_heads=3, num_key_value_heads=1, attention_bias=True, mlp_bias=True),
                 "bfloat16"),
    "starcoder": ("gpt_bigcode", dict(GPT, n_layer=2), "bfloat16"),
    "qwen2moe": ("qwen2_moe", dict({**SMALL, **MIX}, moe_intermediate_size=12, num_experts=5,
                                   shared_expert_intermediate_size=16), "bfloat16"),
    "qwen2moe-dense": ("qwen2_moe", dict({**SMALL, **MIX}, num_experts=3, moe_intermediate_size=12, qkv_bias=False,
                                         shared_expert_intermediate_size=8, decoder_sparse_step=2), "bfloat16"),
    "glm4moe": ("glm4_moe", dict({**SHORT, **MIX}, head_dim=12, attention_bias=True, use_qk_norm=True, n_routed_experts=6,
                                 moe_intermediate_size=12, n_group=3, topk_group=2, routed_scaling_factor=1.7,
                                 num_hidden_layers=3), "bfloat16"),
    "glm4moe-plain": ("glm4_moe", dict({**SHORT, **MIX}, head_dim=12, n_routed_experts=4, moe_intermediate_size=12,
                                       first_k_dense_replace=0, norm_topk_prob=False), "bfloat16"),
    "dots1": ("dots1", dict({**SHORT, **MIX}, n_routed_experts=5, moe_intermediate_size=12, n_shared_experts=2,
                            first_k_dense_replace=1, norm_topk_prob=True, routed_scaling_factor=0.7,
                            sliding_window=None), "bfloat16"),
    "ernie4_5-moe": ("ernie4_5_moe", dict({**SMALL, **MIX}, moe_num_experts=5, moe_k=2, moe_intermediate_size=12), "bfloat16"),
    "hunyuan-moe": ("hunyuan_v1_moe", dict({**without(SHORT, "rope_theta"), **MIX}, num_experts=4, moe_topk=2), "bfloat16"),
    "minimax-m2": ("minimax_m2", dict({**SHORT, **MIX}, head_dim=12, rotary_dim=6, num_local_experts=5), "bfloat16"),
    "granitemoe": ("granitemoe", dict({**SMALL, **MIX}, num_local_experts=5, embedding_multiplier=3.0,
                                      residual_multiplier=0.6, attention_multiplier=0.7, logits_scaling=1.5), "bfloat16"),
    "granitemoeshared": ("granitemoeshared", dict({**SMALL, **MIX}, num_local_experts=4, shared_intermediate_size=12,
                                                  attention_multiplier=0.3, attention_bias=True), "bfloat16"),
    "afmoe": ("afmoe", dict({**LARGE, **MIX}, **FOUR, num_dense_layers=1, moe_intermediate_size=12, num_experts=5,
                            num_shared_experts=2, route_scale=1.4, sliding_window=WINDOW, mup_enabled=True), "bfloat16"),
    "afmoe-plain": ("afmoe", dict({**SHORT, **MIX}, num_dense_layers=0, moe_intermediate_size=12, num_experts=4,
                                  num_shared_experts=1, sliding_window=WINDOW, global_attn_every_n_layers=2), "bfloat16"),
    "deepseek2": ("deepseek_v2", dict(
        LATENT, rope_parameters=dict(YARN, mscale=0.7, mscale_all_dim=0.7), n_group=3, topk_group=1, n_routed_experts=6,
        n_shared_experts=2, topk_method="group_limited_greedy", routed_scaling_factor=1.3, first_k_dense_replace=1), "bfloat16"),
    "deepseek2-lite": ("deepseek_v2", dict(
        LATENT, q_lora_rank=None, kv_lora_rank=32, n_group=1, topk_group=1, n_routed_experts=4, topk_method="greedy",
        num_hidden_layers=2, rope_parameters=PLAIN), "bfloat16"),
    "deepseek3": ("deepseek_v3", dict(
        LATENT, rope_parameters=dict(YARN, mscale=1.0, mscale_all_dim=1.0), n_group=3, topk_group=2, n_routed_experts=6,
        n_shared_experts=1, first_k_dense_replace=1, num_mtp_layers=0), "bfloat16"),
    "glm4_moe_lite": ("glm4_moe_lite", dict(
        LATENT, n_routed_experts=4, n_shared_experts=1, num_hidden_layers=2, mlp_layer_types=["dense", "sparse"],
        rms_norm_eps=1e-6, rope_parameters=PLAIN), "bfloat16"),
    "mistral4": ("mistral4", dict(
        LATENT, n_routed_experts=4, n_shared_experts=1, num_hidden_layers=2, first_k_dense_replace=0, rope_parameters=dict(
            YARN, mscale=1.0, mscale_all_dim=1.0, llama_4_scaling_beta=0.5)), "bfloat16"),
    # Without per-layer embeddings and without experts: the values of global layers are their keys.
    "gemma4": ("gemma4_text", dict(GEMMA4, hidden_size_per_layer_input=0, vocab_size_per_layer_input=8,
                                   attention_k_eq_v=True, num_global_key_value_heads=1), "bfloat16"),
    "gemma4-unified": ("gemma4_unified_text", dict(GEMMA4, attention_k_eq_v=True, num_global_key_value_heads=1), "bfloat16"),
    "gemma4-layers": ("gemma4_text", dict(
        GEMMA4, num_hidden_layers=5, num_key_value_heads=1, layer_types=[LOCAL, GLOBAL, LOCAL, LOCAL, GLOBAL],
        num_kv_shared_layers=2, use_double_wide_mlp=True, hidden_size_per_layer_input=14,
        vocab_size_per_layer_input=VOCABULARY), "bfloat16"),
    "gemma4-experts": ("gemma4_text", dict(
        GEMMA4, hidden_size_per_layer_input=0, vocab_size_per_layer_input=8, enable_moe_block=True, num_experts=5,
        top_k_experts=2, moe_intermediate_size=12, final_logit_softcapping=None), "bfloat16"),
    "starcoder-heads": ("gpt_bigcode", dict(GPT, n_layer=2, multi_query=False), "bfloat16"),
    "phimoe": ("phimoe", dict(without({**SMALL, **SPARSE}, "rope_theta"), num_local_experts=5, attention_bias=True, lm_head_bias=True,
                              rope_parameters=PLAIN, sliding_window=WINDOW), "bfloat16"),
    "phimoe-long": ("phimoe", dict(
        without({**SMALL, **SPARSE}, "rope_theta"), num_local_experts=4, rope_parameters=dict(
            rope_type="longrope", rope_theta=3000.0, short_factor=[1.0, 1.2, 1.5], long_factor=[1.0, 3.0, 9.0], short_mscale=1.3,
            long_mscale=1.3, original_max_position_embeddings=64), router_jitter_noise=0.1), "bfloat16"),
    "dbrx": ("dbrx", dict(
        vocab_size=VOCABULARY, d_model=36, n_heads=6, n_layers=3, max_seq_len=CONTEXT, rope_parameters=PLAIN,
        attn_config=dict(clip_qkv=1.0, kv_n_heads=2, rope_theta=3000.0), ffn_config=dict(ffn_hidden_size=20, moe_num_experts=5, moe_top_k=2)), "bfloat16"),
    "dbrx-plain": ("dbrx", dict(
        vocab_size=VOCABULARY, d_model=36, n_heads=3, n_layers=2, max_seq_len=CONTEXT, rope_parameters=PLAIN, attn_config=dict(kv_n_heads=1, clip_qkv=50.0, rope_theta=3000.0),
        ffn_config=dict(ffn_hidden_size=20, moe_num_experts=3, moe_top_k=2, moe_normalize_expert_weights=None)), "bfloat16"),
    "minicpm3": ("minicpm3", dict(
        without(LATENT, "num_experts_per_tok", "moe_intermediate_size"),
        rope_parameters=dict(rope_type="longrope", rope_theta=3000.0, short_factor=[1.0, 1.2, 1.5], long_factor=[1.0, 3.0, 9.0],
                             original_max_position_embeddings=64)), "bfloat16"),
    "minicpm3-plain": ("minicpm3", dict(
        without(LATENT, "num_experts_per_tok", "moe_intermediate_size", "v_head_dim"), q_lora_rank=None, num_hidden_layers=2,
        scale_emb=3, scale_depth=1.1, dim_model_base=50, tie_word_embeddings=False, rope_parameters=PLAIN), "bfloat16"),
    "muse-glimmer": ("muse_glimmer", dict(text_config=dict(
        without(LARGE, "rope_theta"), num_hidden_layers=6, rope_parameters=PLAIN, sliding_window=WINDOW, final_logit_softcapping=6.0,
        output_multiplier=0.7, qk_scale_factor=1.9, bos_token_id=1, eos_token_id=2, pad_token_id=0), out_hidden_size=8,
        projector_hidden_size=8, vision_config=dict(num_hidden_layers=1, hidden_size=8, intermediate_size=8, num_attention_heads=1,
                                                    patch_size=2, pos_emb_height=2, pos_emb_width=2)), "bfloat16"),
    "qwen3vlmoe": ("qwen3_vl_moe", dict(text_config=dict(
        without({**SHORT, **SPARSE}, "rope_theta"), moe_intermediate_size=20, num_experts=4,
        attention_bias=True, tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, pad_token_id=0,
        rope_parameters=dict(PLAIN, mrope_section=[2, 2, 1], mrope_interleaved=True)), vision_config=dict(
            depth=1, hidden_size=8, intermediate_size=8, num_heads=1, patch_size=2, out_hidden_size=36,
            num_position_embeddings=4, deepstack_visual_indexes=[0])), "bfloat16"),
    "llama4": ("llama4_text", dict(
        without({**LARGE, **SPARSE}, "rope_theta"), **FOUR, intermediate_size_mlp=28, num_local_experts=5, attention_chunk_size=WINDOW,
        interleave_moe_layer_step=2, attn_scale=0.3, floor_scale=7, rope_parameters=LLAMA3), "bfloat16"),
    "llama4-plain": ("llama4_text", dict(
        without({**SHORT, **MIX}, "rope_theta"), intermediate_size_mlp=28, num_local_experts=4, use_qk_norm=False, attention_bias=True,
        num_hidden_layers=3, attention_chunk_size=None, attn_temperature_tuning=False, no_rope_layers=[1, 0, 1], moe_layers=[0, 2],
        rope_parameters=PLAIN), "bfloat16"),
    "llama4-context": ("llama4_text", dict(
        without({**SHORT, **MIX}, "rope_theta"), **FOUR, intermediate_size_mlp=28, num_local_experts=4, num_experts_per_tok=1,
        rope_parameters=PLAIN), "bfloat16"),
    "gemma3n": ("gemma3n_text", dict(
        GEMMA3N, num_hidden_layers=5, layer_types=[LOCAL, GLOBAL, LOCAL, LOCAL, GLOBAL], num_kv_shared_layers=2,
        activation_sparsity_pattern=[0.8, 0.8, 0.0, 0.6, 0.0]), "bfloat16"),
    "gemma3n-widths": ("gemma3n_text", dict(
        GEMMA3N, num_hidden_layers=4, layer_types=[LOCAL, GLOBAL, LOCAL, GLOBAL], num_kv_shared_layers=2, intermediate_size=[28, 44, 36, 20],
        activation_sparsity_pattern=[0.8, 0.0, 0.7, 0.0]), "bfloat16"),
    "gemma3n-plain": ("gemma3n_text", dict(
        GEMMA3N, altup_num_inputs=3, altup_correct_scale=False, num_kv_shared_layers=0, activation_sparsity_pattern=[0.0] * 3,
        final_logit_softcapping=30.0, vocab_size_per_layer_input=40), "bfloat16"),
}

# Models with a state from token to token in some layers or all.
CONV, LINEAR = "conv", "linear_attention"
SCAN = dict(mamba_n_heads=6, mamba_d_head=12, mamba_n_groups=2, mamba_d_state=10)
NEMOTRON_H = dict({**without(without(USUAL, "rope_theta"), "num_hidden_layers"), "head_dim": 10}, mamba_num_heads=6, mamba_head_dim=12,
                  n_groups=2, ssm_state_size=10)
NEMOTRON_MOE = dict(n_routed_experts=6, num_experts_per_tok=2, moe_intermediate_size=12,
                    moe_shared_expert_intermediate_size=20, routed_scaling_factor=1.3)
DELTA = dict(head_dim=16, rope_parameters=PLAIN, linear_num_key_heads=2, linear_num_value_heads=6,
             linear_key_head_dim=12, linear_value_head_dim=20)
NEWER.update({
    "lfm2": ("lfm2", dict(USUAL, **FOUR, layer_types=[CONV, GLOBAL, CONV, CONV], block_auto_adjust_ff_dim=False), "bfloat16"),
    "qwen35": ("qwen3_5_text", dict(without(USUAL, "rope_theta"), **DELTA, num_hidden_layers=4,
                                    layer_types=[LINEAR, GLOBAL, LINEAR, LINEAR]), "bfloat16"),
    "qwen35moe": ("qwen3_5_moe_text", dict(without(USUAL, "rope_theta"), **DELTA, num_hidden_layers=3, num_experts=5,
                                           num_experts_per_tok=2, moe_intermediate_size=12, tie_word_embeddings=True,
                                           shared_expert_intermediate_size=16, layer_types=[LINEAR, LINEAR, GLOBAL],
                                           attention_bias=True), "bfloat16"),
    "qwen3next": ("qwen3_next", dict(without(USUAL, "rope_theta"), **{**DELTA, "linear_num_value_heads": 4}, num_experts=5,
                                     num_experts_per_tok=2, moe_intermediate_size=12, num_hidden_layers=4,
                                     shared_expert_intermediate_size=16, full_attention_interval=2), "bfloat16"),
    "lfm2moe": ("lfm2_moe", dict(USUAL, **FOUR, layer_types=[CONV, GLOBAL, CONV, GLOBAL], num_experts=5, num_experts_per_tok=2,
                                 moe_intermediate_size=12, num_dense_layers=1, routed_scaling_factor=1.3), "bfloat16"),
    "granitehybrid": ("granitemoehybrid", dict(
        USUAL, **SCAN, layer_types=["mamba", "attention", "mamba"], num_local_experts=0, shared_intermediate_size=20,
        embedding_multiplier=3.0, residual_multiplier=0.6, attention_multiplier=0.7, logits_scaling=1.5), "bfloat16"),
    "granitehybrid-experts": ("granitemoehybrid", dict(
        USUAL, **{**SCAN, "mamba_n_groups": 1, "mamba_conv_bias": False}, layer_types=["mamba", "mamba", "attention"],
        num_local_experts=5, num_experts_per_tok=2, shared_intermediate_size=20, position_embedding_type="rope",
        tie_word_embeddings=True), "bfloat16"),
    "nemotron_h": ("nemotron_h", dict(
        NEMOTRON_H, layers_block_type=["linear_attention", "mlp", "full_attention", "mlp", "linear_attention"]), "bfloat16"),
    "nemotron_h-feeds": ("nemotron_h", dict(
        NEMOTRON_H, layers_block_type=["full_attention", "linear_attention", "linear_attention", "mlp"], n_groups=1,
        use_conv_bias=False, mlp_bias=True), "bfloat16"),
    "nemotron_h_moe": ("nemotron_h", dict(
        NEMOTRON_H, layers_block_type=["linear_attention", "full_attention", "moe", "moe"], **NEMOTRON_MOE), "bfloat16"),
    "nemotron_h_moe-mlp": ("nemotron_h", dict(
        NEMOTRON_H, layers_block_type=["moe", "linear_attention", "full_attention", "mlp"], **{**NEMOTRON_MOE, "n_group": 2, "topk_group": 1,
                                                                          "norm_topk_prob": False}), "bfloat16"),
    "nemotron_h_moe-latent": ("nemotron_h", dict(
        NEMOTRON_H, layers_block_type=["linear_attention", "full_attention", "moe", "moe"], **NEMOTRON_MOE, moe_latent_size=20), "bfloat16"),
    "mamba2": ("mamba2", dict(vocab_size=VOCABULARY, hidden_size=36, num_hidden_layers=3, num_heads=6, head_dim=12, n_groups=2,
                              state_size=10), "bfloat16"),
    "falcon_h1": ("falcon_h1", dict(
        USUAL, **{**SCAN, "mamba_d_head": 9}, mamba_d_ssm=54, mamba_rms_norm=True, mamba_norm_before_gate=False, mlp_bias=True,
        embedding_multiplier=1.7, lm_head_multiplier=0.8, key_multiplier=0.6, attention_in_multiplier=1.3,
        attention_out_multiplier=0.7, ssm_in_multiplier=1.4, ssm_out_multiplier=0.6, mlp_multipliers=[1.5, 0.6],
        ssm_multipliers=[0.7, 1.2, 0.8, 1.6, 0.5]), "bfloat16"),
    "falcon_h1-plain": ("falcon_h1", dict(
        {**USUAL, **SCAN, "mamba_n_groups": 1, "num_hidden_layers": 2}, mamba_d_ssm=None, mamba_conv_bias=False, head_dim=10,
        tie_word_embeddings=True), "bfloat16"),
    "falcon_h1-norm": ("falcon_h1", dict(
        {**USUAL, **SCAN, "num_hidden_layers": 2}, mamba_d_ssm=72, mamba_rms_norm=True, num_key_value_heads=1), "bfloat16"),
    "mamba": ("mamba", dict(vocab_size=VOCABULARY, hidden_size=36, num_hidden_layers=2, state_size=10, tie_word_embeddings=False), "bfloat16"),
    "mamba-plain": ("mamba", dict(vocab_size=VOCABULARY, hidden_size=20, num_hidden_layers=2, state_size=7, expand=3, time_step_rank=5,
                                  conv_kernel=3, use_conv_bias=False), "bfloat16"),
    "falcon_mamba": ("falcon_mamba", dict(vocab_size=VOCABULARY, hidden_size=36, num_hidden_layers=2, state_size=10, mixer_rms_eps=1e-5),
                     "bfloat16"),
    "jamba": ("jamba", dict(
        without(USUAL, "rope_theta"), attn_layer_period=3, attn_layer_offset=1, expert_layer_offset=0, num_experts=4,
        num_experts_per_tok=2, mamba_d_state=10), "bfloat16"),
    "jamba-dense": ("jamba", dict(
        without(USUAL, "rope_theta"), attn_layer_period=2, attn_layer_offset=0, num_experts=1, num_experts_per_tok=1,
        mamba_d_state=12, mamba_dt_rank=4, mamba_conv_bias=False, tie_word_embeddings=True), "bfloat16"),
    "kimi_linear": ("kimi_linear", dict(
        without(LATENT, "q_lora_rank", "num_key_value_heads"), num_key_value_heads=3, linear_head_dim=12, linear_num_heads=3,
        layer_types=[LINEAR, GLOBAL, LINEAR], num_local_experts=5, n_shared_experts=1, rms_norm_eps=1e-5), "bfloat16"),
    "lfm2-wide": ("lfm2", dict({**USUAL, "num_key_value_heads": 1, "intermediate_size": 60}, block_multiple_of=16, conv_L_cache=5,
                               layer_types=[CONV, CONV, GLOBAL], tie_word_embeddings=False), "bfloat16"),
})


def yarn(**more):
    return dict(rope_scaling=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=24, **more))


# (a model above, the fields that differ): settings that need no other tensors.
VARIANTS = [
    *(("llama", dict(hidden_act=name)) for name in ("gelu", "gelu_python", "gelu_pytorch_tanh", "quick_gelu", "relu", "relu2")),
    ("llama", yarn(beta_fast=8.0, beta_slow=0.5)),
    ("llama", yarn(mscale=0.707, mscale_all_dim=1.0)),
    ("llama", yarn(mscale=1.0, mscale_all_dim=0.0)),
    ("llama", yarn(attention_factor=0.8, truncate=False)),
    ("llama", dict(rope_scaling=dict(rope_type="yarn", factor=8.0))),
    ("llama", dict(rope_scaling=dict(type="linear", factor=3.0))),
    ("llama", dict(rope_scaling=dict(rope_type="dynamic", factor=3.0))),
    *(("gpt2", dict(activation_function=name)) for name in ("quick_gelu", "relu2", "silu")),
    ("gpt2", dict(scale_attn_weights=False)),
    ("gpt2", dict(scale_attn_by_inverse_layer_idx=True, reorder_and_upcast_attn=True)),
    ("qwen2", dict(layer_types=None, max_window_layers=0)),
    ("qwen2", dict(layer_types=[LOCAL, GLOBAL, LOCAL])),
    ("qwen3moe", dict(use_sliding_window=True, sliding_window=5, max_window_layers=2)),
    ("qwen3moe", dict(norm_topk_prob=False)),
    ("gemma2", dict(attn_logit_softcapping=None, final_logit_softcapping=None, query_pre_attn_scalar=7)),
    ("gemma3", dict(final_logit_softcapping=3.0, layer_types=[GLOBAL, LOCAL, LOCAL, GLOBAL])),
    ("cohere2", dict(layer_types=[GLOBAL, LOCAL, LOCAL, GLOBAL])),
    ("smollm3", dict(no_rope_layers=[0, 1, 1, 0])),
    ("mpt", dict(attn_config=dict(softmax_scale=0.1))),
    ("falcon", dict(alibi=True)),
]
# Falcon's eager attention adds ALiBi twice, in the mask and to the scores; the others do not.
OTHER_ATTENTION = {"falcon": "sdpa"}
SHARDED = "qwen3"  # saved in several files with an index
LONG = "phi3-long"  # has separate factors for texts above its original context


def is_norm(name):
    parts = name.split(".")
    return any("norm" in part or part.startswith(("ln_", "ln")) for part in parts[-3:])


def randomize(model, plus_one, newer):
    """Products keep the variance of their input, norms and biases are about 1 and 0."""
    for name, b in model.named_buffers():
        if name.endswith(("e_score_correction_bias", "expert_bias")):
            b.copy_(torch.randn(b.shape) * 0.2)
        if name.endswith("layer_scalar"):
            b.copy_(torch.rand(b.shape) + 0.4)
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape)
        if is_norm(name) and name.endswith("weight"):
            p.data = noise * 0.4 + (0 if plus_one and "linear_attn" not in name else 1)
        elif p.dim() == 1 or name.endswith("bias") or (name.endswith("A_log") and p.dim() == 4):
            p.data = noise * 0.5
        elif "modality_router" in name:  # its inputs are divided by the width
            p.data = noise * 6
        elif "embed" in name and "unembed" not in name or "wte" in name or "wpe" in name:
            p.data = noise * 0.7
        else:
            inputs = p.shape[-2] if p.dim() == 3 and not newer else p.shape[0] if "c_" in name and "mlp.c_fc.w" not in name else p.shape[-1]
            p.data = noise * (1.4 / inputs**0.5)


def rounded(model, dtype):
    for p in (*model.parameters(), *(b for name, b in model.named_buffers() if name.endswith(("bias", "scalar")))):
        p.data = p.data.to(getattr(torch, dtype)).float()


def spread(model, ids):
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    return logits.std(dim=-1).mean().item()


def calibrate(model, ids, plus_one):
    """Scales the last norm, or the head where the norm has no weights, until logits spread."""
    names = dict(model.named_parameters())
    last = next((p for name, p in reversed(names.items()) if is_norm(name) and "layers." not in name and "per_layer" not in name
                 and ".h." not in name and "vision" not in name and "blocks." not in name and name.endswith("weight")), None)
    cap = getattr(model.config, "final_logit_softcapping", None)
    if last is None:
        last = model.lm_head.weight
    for _ in range(6):
        factor = SPREAD / max(spread(model, ids), 1e-6)
        last.data = (last.data + plus_one) * factor - plus_one
    assert cap is None or cap > SPREAD


def packed(model):
    """Rounds the experts' products to MXFP4 in place; returns {name: blocks, name: scales} as GPT-OSS's folders store
    them."""
    tensors = {}
    for name, p in model.named_parameters():
        if not name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            continue
        rows = np.ascontiguousarray(p.data.swapaxes(1, 2).numpy())  # [experts][outputs][inputs]
        blocks = gguf.quantize(rows, gguf.GGMLQuantizationType.MXFP4)
        p.data = torch.tensor(gguf.dequantize(blocks, gguf.GGMLQuantizationType.MXFP4)).swapaxes(1, 2).contiguous()
        blocks = blocks.reshape(*rows.shape[:2], -1, 17)
        fours = np.concatenate([blocks[..., 1:] & 15, blocks[..., 1:] >> 4], axis=-1)
        tensors[f"{name}_blocks"] = torch.tensor(fours[..., ::2] | fours[..., 1::2] << 4)
        tensors[f"{name}_scales"] = torch.tensor(np.ascontiguousarray(blocks[..., 0]))
    return tensors


def store_packed(folder, tensors):
    """Replaces the products of a folder with their blocks and scales."""
    path = folder / "model.safetensors"
    kept = {name: values for name, values in load_file(path).items() if f"{name}_blocks" not in tensors}
    save_file({**kept, **tensors}, path)
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "mxfp4"}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def keep_text(folder):
    """Leaves only the text model of a multimodal folder. Published folders of Qwen3-VL have the products of experts as
    [experts][inputs][outputs]; transformers 5 writes them as it has them in memory."""
    tensors = {name.replace("model.language_model.", "model."): values for name, values in load_file(folder / "model.safetensors").items()
               if "vision" not in name and "visual" not in name}
    tensors = {name: values.transpose(1, 2).contiguous() if ".mlp.experts." in name else values for name, values in tensors.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())["text_config"]
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def logprobs(model, ids):
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].double()
    rows = torch.log_softmax(logits, dim=-1)
    return [round(rows[i, ids[i + 1]].item(), 7) for i in range(len(ids) - 1)]


def make(name):
    model_type, differences, dtype = {**CASES, **NEWER}[name]
    seed = zlib.crc32(name.encode())
    torch.manual_seed(seed)
    ids = dict(bos_token_id=1, eos_token_id=2, **(dict(pad_token_id=0) if name in NEWER else {}))
    config = CONFIG_MAPPING[model_type](**{**ids, **differences}, attn_implementation="eager")
    with no_init_weights():  # all are set below; StableLM's own initialization fails on norms without bias
        # AutoModelForCausalLM does not know these classes.
        others = {"mistral4": "Mistral4ForCausalLM", "muse_glimmer": "MuseGlimmerForConditionalGeneration",
                  "qwen3_vl_moe": "Qwen3VLMoeForConditionalGeneration"}
        new = getattr(transformers, others[model_type])._from_config if model_type in others else AutoModelForCausalLM.from_config
        model = new(config, dtype=torch.float32).eval()
        stored = new(config, dtype=torch.float32)
    model.tie_weights()  # the initialization would have done this
    stored.tie_weights()
    plus_one = int(model_type.startswith(("gemma", "nemotron", "qwen3_5", "qwen3_next"))
                   and not model_type.startswith(("gemma3n", "gemma4", "nemotron_h")))
    runs = [torch.randint(3, VOCABULARY, (n,)).tolist() for n in LENGTHS]
    randomize(model, plus_one, name in NEWER)
    calibrate(model, runs[-1], plus_one)
    rounded(model, dtype)
    blocks = packed(model) if name.endswith("mxfp4") else {}
    assert spread(model, runs[-1]) >= 2, (name, spread(model, runs[-1]))
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    stored.load_state_dict(model.state_dict())
    stored.to(getattr(torch, dtype)).save_pretrained(folder, max_shard_size="30KB" if name == SHARDED else "1GB")
    if blocks:
        store_packed(folder, blocks)
    if model_type in ("muse_glimmer", "qwen3_vl_moe"):
        keep_text(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    reference = [{"ids": ids, "context": CONTEXT if name == LONG and len(ids) > 32 else 0,
                  "logprobs": logprobs(model, ids)} for ids in runs]
    made_by = f"transformers {transformers.__version__}, torch {torch.__version__}, seed {seed}"
    (folder / "reference.json").write_text(json.dumps({"made_by": made_by, "runs": reference}) + "\n")
    print(f"{name}: {sum(f.stat().st_size for f in folder.iterdir())} bytes, spread {spread(model, runs[-1]):.2f}")


def variant(name, differences):
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(FOLDER / name, folder, dirs_exist_ok=True)
        config = json.loads((FOLDER / name / "config.json").read_text())
        (Path(folder) / "config.json").write_text(json.dumps({**config, **differences}))
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32,
                                                     attn_implementation=OTHER_ATTENTION.get(name, "eager")).eval()
    ids = json.loads((FOLDER / name / "reference.json").read_text())["runs"][1]["ids"]
    return {"of": name, "differences": differences, "ids": ids, "logprobs": logprobs(model, ids)}


if __name__ == "__main__":
    newer = not transformers.__version__.startswith("4.")
    for case in sys.argv[1:] or (NEWER if newer else CASES):
        make(case)
    if not sys.argv[1:] and not newer:
        made = [json.dumps(variant(*case)) for case in VARIANTS]
        (FOLDER.parent / "variants.json").write_text("[\n" + ",\n".join(made) + "\n]\n")

"""The metadata of GGUF files that convert.py makes from config.json."""
import math
from statistics import NormalDist

import gguf
import numpy as np

MIXED = ("lfm2", "lfm2_moe", "granitemoehybrid", "nemotron_h")
MAMBA_1 = ("mamba", "falcon_mamba", "jamba")
DELTA = ("qwen3_5_text", "qwen3_5_moe_text", "qwen3_next")
SIGMOID = ("kimi_linear", "lfm2_moe", "glm4_moe", "dots1", "minimax_m2", "deepseek_v3", "glm4_moe_lite", "afmoe")


def add_rope(writer, folder):
    """Frequencies: keys, and tensors of factors."""
    scaling = folder.get("rope_scaling", "rope_parameters.full_attention", "rope_parameters", default={})
    kind = scaling.get("rope_type", scaling.get("type"))
    share = folder.get("partial_rotary_factor", "rotary_pct", "rope_parameters.partial_rotary_factor", default=1)
    base = scaling.get("rope_theta", folder.get("rope_theta", "rotary_emb_base", default=10000.0))
    dims = folder.get("qk_rope_head_dim", "rotary_dim", default=int(folder.head_dim * share))
    writer.add_rope_dimension_count(dims)
    writer.add_rope_freq_base(base * scaling.get("alpha", 1) ** (dims / (dims - 2)))
    if kind in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(kind))
        writer.add_rope_scaling_factor(scaling["factor"])
    if kind == "yarn":
        writer.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])
        if scaling.get("mscale_all_dim"):
            writer.add_rope_scaling_yarn_log_mul(scaling["mscale_all_dim"] * (0.1 if folder.latent else 1))
    if scaling.get("llama_4_scaling_beta"):
        writer.add_attn_temperature_scale(scaling["llama_4_scaling_beta"])
    if kind == "llama3":
        frequencies = base ** (-np.arange(0, dims, 2) / dims)
        original, factor = scaling["original_max_position_embeddings"], scaling["factor"]
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        smooth = np.clip((original * frequencies / (2 * np.pi) - low) / (high - low), 0, 1)
        writer.add_tensor("rope_freqs.weight", (1 / ((1 - smooth) / factor + smooth)).astype(np.float32))
    if kind == "longrope":
        original = folder.get("original_max_position_embeddings", default=scaling.get("original_max_position_embeddings"))
        factor = folder.get("max_position_embeddings") / original
        writer.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE)
        writer.add_rope_scaling_orig_ctx_len(original)
        writer.add_rope_scaling_attn_factors(float(np.sqrt(1 + np.log(factor) / np.log(original))))
        for length in ("long", "short"):
            values = np.array(scaling[f"{length}_factor"], np.float32)
            writer.add_tensor(f"rope_factors_{length}.weight", values)


def add_experts(writer, folder):
    experts = folder.get("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts", "ffn_config.moe_num_experts")
    if not experts or folder.arch == "nemotron_h":
        return
    writer.add_expert_count(experts)
    writer.add_expert_used_count(folder.get("num_experts_per_tok", "num_experts_per_token", "moe_k", "moe_topk", "top_k_experts", "ffn_config.moe_top_k"))
    shared = folder.get("n_shared_experts", "moe_num_shared_experts", "num_shared_experts")
    dense = folder.get("first_k_dense_replace", "moe_layer_start_index", "num_dense_layers", default=folder.get("mlp_layer_types", default=[]).count("dense"))
    if shared and not folder.latent:
        writer.add_expert_shared_count(shared)
    if dense:
        writer.add_leading_dense_block_count(dense)
    if folder.type in SIGMOID:
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    if folder.type in SIGMOID or folder.arch in ("deepseek", "nemotron_h_moe") or folder.latent:
        writer.add_expert_weights_norm(folder.get("norm_topk_prob", default=True))
        writer.add_expert_weights_scale(folder.get("routed_scaling_factor", "route_scale", default=1.0))
    if folder.get("moe_latent_size"):
        writer.add_moe_latent_size(folder.get("moe_latent_size"))
    if folder.arch == "nemotron_h_moe":
        writer.add_expert_group_count(folder.get("n_group"))
    elif folder.get("n_group", default=1) > 1:
        writer.add_expert_group_count(folder.get("n_group"))
        writer.add_expert_group_used_count(folder.get("topk_group"))
    if folder.type == "llama4_text":
        writer.add_expert_feed_forward_length(folder.get("intermediate_size"))
        writer.add_interleave_moe_layer_step(folder.get("interleave_moe_layer_step"))
    if folder.get("moe_intermediate_size"):
        writer.add_expert_feed_forward_length(folder.get("moe_intermediate_size"))


def add_scales(writer, folder):
    if folder.type.startswith("granite"):
        writer.add_embedding_scale(folder.get("embedding_multiplier"))
        writer.add_residual_scale(folder.get("residual_multiplier"))
        writer.add_attention_scale(folder.get("attention_multiplier"))
        writer.add_logit_scale(folder.get("logits_scaling"))
    elif folder.get("logit_scale", "output_multiplier"):
        writer.add_logit_scale(folder.get("logit_scale", "output_multiplier"))
    if folder.type == "muse_glimmer_text":
        writer.add_final_logit_softcapping(folder.get("final_logit_softcapping"))
    if folder.get("query_pre_attn_scalar"):
        writer.add_attention_scale(folder.get("query_pre_attn_scalar") ** -0.5)
    if folder.get("attn_logit_softcapping"):
        writer.add_attn_logit_softcapping(folder.get("attn_logit_softcapping"))
        writer.add_final_logit_softcapping(folder.get("final_logit_softcapping"))
    if folder.get("clip_qkv", "attn_config.clip_qkv"):
        writer.add_clamp_kqv(folder.get("clip_qkv", "attn_config.clip_qkv"))
    if folder.type == "mpt":
        writer.add_max_alibi_bias(folder.get("attn_config.alibi_bias_max"))


def add_mix(writer, folder):
    """What belongs to layers with a state from token to token."""
    types = folder.get("layer_types", "layers_block_type")
    if folder.type in MIXED:
        writer.add_head_count_kv([folder.kv_heads if kind.endswith("attention") and kind != "linear_attention" else 0
                                  for kind in types])
    if folder.type in ("granitemoehybrid", "nemotron_h", "mamba2", "falcon_h1"):
        heads = folder.get("mamba_n_heads", "mamba_num_heads", "num_heads")
        writer.add_ssm_conv_kernel(folder.get("mamba_d_conv", "conv_kernel"))
        writer.add_ssm_state_size(folder.get("mamba_d_state", "ssm_state_size", "state_size"))
        writer.add_ssm_group_count(folder.get("mamba_n_groups", "n_groups"))
        writer.add_ssm_time_step_rank(heads)
        writer.add_ssm_inner_size(heads * folder.get("mamba_d_head", "mamba_head_dim", "head_dim"))
        if folder.type != "falcon_h1":
            writer.add_rope_scaling_finetuned(folder.get("position_embedding_type") == "rope")
    if folder.type == "kimi_linear":
        writer.add_ssm_conv_kernel(folder.get("linear_conv_kernel_dim"))
        writer.add_kda_head_dim(folder.get("linear_head_dim"))
        writer.add_head_count_kv([int(kind == "full_attention") for kind in types])
    if folder.type in MAMBA_1:
        writer.add_ssm_conv_kernel(folder.get("mamba_d_conv", "conv_kernel"))
        writer.add_ssm_state_size(folder.get("mamba_d_state", "state_size"))
        writer.add_ssm_time_step_rank(folder.get("mamba_dt_rank", "time_step_rank"))
        writer.add_ssm_inner_size(folder.get("mamba_expand", "expand") * folder.width)
    if folder.type == "jamba":
        period, offset = folder.get("attn_layer_period"), folder.get("attn_layer_offset")
        writer.add_head_count_kv([folder.kv_heads if i % period == offset else 0 for i in range(folder.layers)])
    elif folder.type in MAMBA_1:
        writer.add_ssm_dt_b_c_rms(folder.type == "falcon_mamba")
    if folder.type.startswith("lfm2"):
        writer.add_shortconv_l_cache(folder.get("conv_L_cache"))
        writer.add_layer_norm_rms_eps(folder.get("norm_eps"))
    if folder.type in DELTA:
        heads, dim = folder.get("linear_num_value_heads"), folder.get("linear_value_head_dim")
        writer.add_ssm_conv_kernel(folder.get("linear_conv_kernel_dim"))
        writer.add_ssm_state_size(folder.get("linear_key_head_dim"))
        writer.add_ssm_group_count(folder.get("linear_num_key_heads"))
        writer.add_ssm_time_step_rank(heads)
        writer.add_ssm_inner_size(heads * dim)
        recurrent = [kind == "linear_attention" for kind in types]
        if folder.type == "qwen3_next":
            writer.add_full_attention_interval(recurrent.index(False) + 1)
        else:
            writer.add_array(f"{folder.arch}.attention.recurrent_layers", recurrent)


def lfm2_feed(folder):
    return folder.tensors["model.layers.0.feed_forward.w1.weight"].shape[0]


def add_metadata(writer, folder):
    dense = folder.type == "granitemoehybrid" and not folder.get("num_local_experts")
    feed = folder.get("shared_intermediate_size" if dense else "intermediate_size_mlp", "intermediate_size", "n_inner", "ffn_hidden_size",
                      "ffn_config.ffn_hidden_size", default=4 * folder.width)
    if folder.type == "gemma3n_text":
        feed = feed if len(set(feed)) > 1 else feed[0]
    writer.add_context_length(folder.get("max_position_embeddings", "n_positions", "max_seq_len", default=2048))
    writer.add_embedding_length(folder.width)
    writer.add_block_count(folder.layers)
    writer.add_head_count(folder.heads or 0)
    gemma4 = folder.type.startswith("gemma4")
    if gemma4:
        add_gemma4(writer, folder)
    elif folder.type in ("mamba2", "mamba", "falcon_mamba"):
        writer.add_feed_forward_length(0)
    elif folder.latent:
        writer.add_feed_forward_length(feed)
        add_latent(writer, folder)
    else:
        if folder.type == "nemotron_h":
            feeds = {"mlp": feed, "moe": folder.get("moe_intermediate_size")}
            feed = [feeds.get(kind, 0) for kind in folder.get("layers_block_type")]
        writer.add_feed_forward_length(feed if folder.type != "lfm2" else lfm2_feed(folder))
        if folder.type not in (*MIXED, "jamba"):
            writer.add_head_count_kv(folder.kv_heads)
        writer.add_key_length(folder.head_dim)
        writer.add_value_length(folder.head_dim)
    eps = folder.get("rms_norm_eps")
    if eps:
        writer.add_layer_norm_rms_eps(eps)
    else:
        writer.add_layer_norm_eps(folder.get("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "norm_eps", default=1e-5))
    if folder.type not in ("gpt2", "bloom", "mpt", "gpt_bigcode", "mamba2", *MAMBA_1) and not gemma4:
        add_rope(writer, folder)
    if folder.get("sliding_window"):
        writer.add_sliding_window(folder.get("sliding_window"))
        if folder.get("layer_types") and not gemma4:
            writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in folder.get("layer_types")])
    local = folder.get("rope_local_base_freq", "rope_parameters.sliding_attention.rope_theta")
    if local and not gemma4 and folder.type != "olmo3":
        writer.add_rope_freq_base_swa(local)
    if folder.arch in ("qwen2vl", "qwen3vl", "qwen3vlmoe"):  # of the axes of positions, which are the same for text
        half = folder.head_dim // 2
        writer.add_rope_dimension_sections([(half + 2) // 3, (half + 1) // 3, half // 3, 0])
    if folder.get("use_parallel_residual") is not None:
        writer.add_parallel_residual(folder.get("use_parallel_residual"))
    if folder.type == "apertus":
        for key in ("alpha_p", "alpha_n", "beta", "eps"):
            values = [folder.tensors[f"model.layers.{i}.mlp.act_fn.{key}"].item() for i in range(folder.layers)]
            getattr(writer, f"add_xielu_{key}")(values)
    if folder.type == "gemma3n_text":
        add_gemma3n(writer, folder)
    add_experts(writer, folder)
    add_mix(writer, folder)
    add_scales(writer, folder)


def add_latent(writer, folder):
    """The sizes of latent attention. Newer files have one head of keys and values for all."""
    rotating, value = folder.get("qk_rope_head_dim"), folder.get("v_head_dim")
    key = folder.get("qk_nope_head_dim") + rotating
    writer.add_kv_lora_rank(folder.latent)
    if folder.get("q_lora_rank"):
        writer.add_q_lora_rank(folder.get("q_lora_rank"))
    if folder.type != "kimi_linear":
        writer.add_head_count_kv(folder.heads if folder.older else 1)
    writer.add_key_length(key if folder.older else folder.latent + rotating)
    writer.add_value_length(value if folder.older else folder.latent)
    if not folder.older:
        writer.add_key_length_mla(key)
        writer.add_value_length_mla(value)
    if folder.get("n_shared_experts", "num_shared_experts"):
        writer.add_expert_shared_count(folder.get("n_shared_experts", "num_shared_experts"))


def add_gemma3n(writer, folder):
    scales = [NormalDist().inv_cdf(share) if share else -math.inf for share in folder.get("activation_sparsity_pattern")]
    writer.add_activation_sparsity_scale(scales)
    writer.add_altup_active_idx(folder.get("altup_active_idx"))
    writer.add_altup_num_inputs(folder.get("altup_num_inputs"))
    writer.add_embedding_length_per_layer_input(folder.get("hidden_size_per_layer_input"))
    writer.add_shared_kv_layers(folder.get("num_kv_shared_layers"))
    writer.add_final_logit_softcapping(folder.get("final_logit_softcapping"))


def add_gemma4(writer, folder):
    """What differs between layers with and without a window."""
    local = [kind == "sliding_attention" for kind in folder.get("layer_types")]
    wide = folder.get(f"per_layer_config.{local.index(False)}.head_dim")
    shared, feed = folder.get("num_kv_shared_layers", default=0), folder.get("intermediate_size")
    writer.add_shared_kv_layers(shared)
    writer.add_embedding_length_per_layer_input(folder.get("hidden_size_per_layer_input") or 0)
    writer.add_sliding_window_pattern(local)
    writer.add_key_length(wide)
    writer.add_value_length(wide)
    writer.add_key_length_swa(folder.head_dim)
    writer.add_value_length_swa(folder.head_dim)
    writer.add_rope_dimension_count(wide)
    writer.add_rope_dimension_count_swa(folder.head_dim)
    writer.add_rope_freq_base(folder.get("rope_parameters.full_attention.rope_theta"))
    writer.add_rope_freq_base_swa(folder.get("rope_parameters.sliding_attention.rope_theta"))
    moving = int(wide * folder.get("rope_parameters.full_attention.partial_rotary_factor") / 2)
    writer.add_tensor("rope_freqs.weight", np.array([1.0] * moving + [1e30] * (wide // 2 - moving), np.float32))
    if folder.get("use_double_wide_mlp"):
        writer.add_feed_forward_length([feed] * (folder.layers - shared) + [2 * feed] * shared)
    else:
        writer.add_feed_forward_length(feed)
    writer.add_head_count_kv([folder.get(f"per_layer_config.{i}.num_key_value_heads", "num_key_value_heads")
                              for i in range(folder.layers)])
    if folder.get("final_logit_softcapping"):
        writer.add_final_logit_softcapping(folder.get("final_logit_softcapping"))

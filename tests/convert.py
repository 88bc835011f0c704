"""Converts folders of small models to GGUF files with the gguf package. The names of tensors come from the package. The
changes that the format requires are made here: it permutes the rows of q and k, adds the 1 to norms, and stacks
experts."""
import json
import math
import re
import struct
import sys
from pathlib import Path
from statistics import NormalDist

import gguf
import numpy as np

# model_type of config.json: architecture in GGUF. GGUF does not have the other types.
ARCHITECTURES = {
    "llama": "llama", "mistral": "llama", "mixtral": "llama", "smollm3": "smollm3", "granite": "granite",
    "qwen2": "qwen2", "qwen3": "qwen3", "qwen3_moe": "qwen3moe", "gemma": "gemma", "gemma2": "gemma2",
    "gemma3_text": "gemma3", "phi": "phi2", "phi3": "phi3", "gpt2": "gpt2", "gptj": "gptj", "gpt_neox": "gptneox",
    "bloom": "bloom", "mpt": "mpt", "falcon": "falcon", "stablelm": "stablelm", "starcoder2": "starcoder2",
    "olmo": "olmo", "olmo2": "olmo2", "cohere": "command-r", "cohere2": "cohere2", "olmoe": "olmoe",
    "gpt_oss": "gpt-oss", "ministral3": "mistral3", "olmo3": "olmo2", "glm4": "glm4", "exaone4": "exaone4",
    "seed_oss": "seed_oss", "arcee": "arcee", "ernie4_5": "ernie4_5", "hunyuan_v1_dense": "hunyuan-dense",
    "apertus": "apertus", "nemotron": "nemotron", "gpt_bigcode": "starcoder", "qwen2_moe": "qwen2moe",
    "glm4_moe": "glm4moe", "dots1": "dots1", "ernie4_5_moe": "ernie4_5-moe", "hunyuan_v1_moe": "hunyuan-moe",
    "minimax_m2": "minimax-m2", "granitemoe": "granitemoe", "granitemoeshared": "granitemoe",
    "lfm2": "lfm2", "qwen3_5_text": "qwen35", "qwen3_5_moe_text": "qwen35moe", "qwen3_next": "qwen3next", "lfm2_moe": "lfm2moe",
    "granitemoehybrid": "granitehybrid", "nemotron_h": "nemotron_h", "mamba2": "mamba2", "falcon_h1": "falcon-h1",
    "mamba": "mamba", "falcon_mamba": "mamba", "jamba": "jamba", "kimi_linear": "kimi-linear",
    "gemma3n_text": "gemma3n", "gemma4_text": "gemma4", "gemma4_unified_text": "gemma4", "deepseek_v2": "deepseek2", "deepseek_v3": "deepseek2", "glm4_moe_lite": "deepseek2", "mistral4": "mistral4",
    "afmoe": "afmoe", "llama4_text": "llama4", "phimoe": "phimoe", "dbrx": "dbrx", "minicpm3": "minicpm3",
    "muse_glimmer_text": "muse-glimmer",
}  # fmt: skip
PERMUTED = ("llama", "smollm3", "granite", "olmo", "mistral3", "arcee", "granitemoe", "internlm2", "xverse", "baichuan", "minicpm",
            "deepseek", "granitehybrid", "muse-glimmer")
MIXED = ("lfm2", "lfm2_moe", "granitemoehybrid", "nemotron_h")
MAMBA_1 = ("mamba", "falcon_mamba", "jamba")
DELTA = ("qwen3_5_text", "qwen3_5_moe_text", "qwen3_next")
SIGMOID = ("kimi_linear", "lfm2_moe", "glm4_moe", "dots1", "minimax_m2", "deepseek_v3", "glm4_moe_lite", "afmoe")
DTYPES = {"U8": np.uint8, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}


def read_tensors(folder):
    """{name: float32 array} of all *.safetensors."""
    tensors = {}
    for path in sorted(Path(folder).glob("*.safetensors")):
        data = path.read_bytes()
        (size,) = struct.unpack("<Q", data[:8])
        for name, entry in json.loads(data[8 : 8 + size]).items():
            if name == "__metadata__":
                continue
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            values = np.frombuffer(data[begin:end], DTYPES[entry["dtype"]])
            if entry["dtype"] == "BF16":
                values = (values.astype(np.uint32) << 16).view(np.float32)
            tensors[name] = values.astype(np.float32 if entry["dtype"] != "U8" else np.uint8).reshape(entry["shape"])
    return unpacked(tensors)


def unpacked(tensors):
    """Products of MXFP4 as float32, [experts][inputs][outputs]."""
    rest = {name: values for name, values in tensors.items() if not name.endswith(("_blocks", "_scales"))}
    for name, blocks in tensors.items():
        if name.endswith("_blocks"):
            stem = name.removesuffix("_blocks")
            fours = np.stack([blocks & 15, blocks >> 4], axis=-1).reshape(*blocks.shape[:-1], 32)
            halves = fours[..., :16] | fours[..., 16:] << 4
            stored = np.concatenate([tensors[f"{stem}_scales"][..., None], halves], axis=-1)
            values = gguf.dequantize(stored.reshape(*blocks.shape[:2], -1), gguf.GGMLQuantizationType.MXFP4)
            rest[stem] = values.swapaxes(1, 2)
    return rest


def permuted(rows, heads):
    """Rows of each head from halves to neighbors."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def ungrouped(rows, heads, kv_heads):
    """Splits rows that are stored by key-value head (its q heads, its k, its v) into q, k, v."""
    group = heads // kv_heads
    parts = rows.reshape(kv_heads, group + 2, -1, *rows.shape[1:])
    return np.concatenate([parts[:, :group].reshape(-1, *rows.shape[1:]), parts[:, group].reshape(-1, *rows.shape[1:]),
                           parts[:, group + 1].reshape(-1, *rows.shape[1:])])


class Folder:
    def __init__(self, path, arch=None, older=False):
        self.older = older  # latent attention as in GGUF files before May 2025
        self.config = json.loads((Path(path) / "config.json").read_text())
        self.tensors = read_tensors(path)
        self.type = self.config["model_type"]
        self.older |= self.type == "minicpm3"  # its files have stayed so
        self.arch = arch or ARCHITECTURES.get(self.type)
        if self.type == "nemotron_h" and "moe" in self.config["layers_block_type"]:
            self.arch = "nemotron_h_moe"

    def get(self, *names, default=None):
        for name in names:
            value = self.config
            for key in name.split("."):
                value = value.get(key) if isinstance(value, dict) else None
            if value is not None:
                return value
        return default

    @property
    def heads(self):
        return self.get("num_attention_heads", "n_head", "n_heads")

    @property
    def kv_heads(self):
        if self.type == "gpt_bigcode":
            return 1 if self.get("multi_query", default=True) else self.heads
        if self.type == "falcon":
            return self.get("num_kv_heads") if self.get("new_decoder_architecture") else 1
        return self.get("num_key_value_heads", "attn_config.kv_n_heads", default=self.heads)

    @property
    def width(self):
        return self.get("hidden_size", "n_embd", "d_model")

    @property
    def head_dim(self):
        return self.get("head_dim", default=self.width // self.heads)

    @property
    def latent(self):
        return self.get("kv_lora_rank")

    @property
    def layers(self):
        return self.get("num_hidden_layers", "n_layer", "n_layers", default=len(self.get("layers_block_type", default=())))


def experts_stacked(tensors):
    """Joins the tensors of single experts into one, expert first, under the name that the gguf package knows."""
    stacks, rest = {}, {}
    for name, values in tensors.items():
        match = re.fullmatch(r"(.*\.experts)\.(\d+)\.(\w+)\.weight", name)
        if match:
            stacks.setdefault(f"{match[1]}.{match[3]}.weight", {})[int(match[2])] = values
        else:
            rest[name] = values
    for name, parts in stacks.items():
        rest[name] = np.stack([parts[i] for i in range(len(parts))])
    return rest


def heads_stacked(tensors):
    """Joins StableLM's norms of single heads into one."""
    stacks, rest = {}, {}
    for name, values in tensors.items():
        match = re.fullmatch(r"(.*layernorm)\.norms\.(\d+)\.weight", name)
        if match:
            stacks.setdefault(f"{match[1]}.weight", {})[int(match[2])] = values
        else:
            rest[name] = values
    rest.update({name: np.stack([parts[i] for i in range(len(parts))]) for name, parts in stacks.items()})
    return rest


def gpt_oss_experts(tensors):
    """Separates gate and up; products become [outputs][inputs]."""
    rest = {}
    for name, values in tensors.items():
        if "gate_up_proj" in name:
            turned = values.swapaxes(1, 2) if values.ndim == 3 else values
            suffix = ".bias" if name.endswith("bias") else ".weight"
            stem = name.split(".gate_up_proj")[0]
            rest[f"{stem}.gate_proj{suffix}"], rest[f"{stem}.up_proj{suffix}"] = turned[:, ::2], turned[:, 1::2]
        elif ".experts.down_proj" in name:
            bias = name.endswith("bias")
            rest[name.replace("_bias", ".bias") if bias else name + ".weight"] = values if bias else values.swapaxes(1, 2)
        elif name.endswith("sinks"):
            rest[name + ".weight"] = values
        else:
            rest[name] = values
    return rest


def granite_experts(tensors, dense):
    """Separates gate and up, under names that the gguf package knows. dense: the shared part is the only one."""
    rest = {}
    for name, values in tensors.items():
        stem = name.split("block_sparse_moe.")[0].split("shared_mlp.")[0]
        kind = "experts." if "block_sparse_moe." in name else "" if dense else "shared_expert."
        if name.endswith("input_linear.weight"):
            gate, up = np.split(values, 2, axis=-2)
            rest[f"{stem}mlp.{kind}gate_proj.weight"], rest[f"{stem}mlp.{kind}up_proj.weight"] = gate, up
        elif name.endswith("output_linear.weight"):
            rest[f"{stem}mlp.{kind}down_proj.weight"] = values
        else:
            rest[name] = values
    return rest


def split_kv_b(tensors, heads, still):
    """Separates the parts of kv_b that belong to keys and to values."""
    rest = {}
    for name, values in tensors.items():
        if ".kv_b_proj." not in name:
            rest[name] = values
            continue
        parts = values.reshape(heads, -1, values.shape[-1])
        rest[name.replace("kv_b_proj", "k_b_proj")] = parts[:, :still].swapaxes(1, 2)
        rest[name.replace("kv_b_proj", "v_b_proj")] = parts[:, still:]
    return rest


def separate_experts(tensors):
    """Separates gate and up of experts in one tensor."""
    rest = {}
    for name, values in tensors.items():
        if name.endswith("experts.gate_up_proj"):
            stem = name.removesuffix("gate_up_proj")
            rest[f"{stem}gate_proj.weight"], rest[f"{stem}up_proj.weight"] = np.split(values, 2, axis=1)
        else:
            rest[f"{name}.weight" if name.endswith("experts.down_proj") else name] = values
    return rest


def gemma4_name(name):
    """Adds the suffixes that the folder's names lack; factors are beside the product that they belong to."""
    layer = re.match(r"model\.layers\.(\d+)\.", name)
    if name.endswith("router.scale"):
        return f"blk.{layer[1]}.ffn_gate_inp.scale"
    if name.endswith("per_expert_scale"):
        return f"blk.{layer[1]}.ffn_down_exps.scale"
    return name if name.endswith(".weight") else f"{name}.weight"


def dbrx_changed(name, values, folder):
    """Experts as [expert][outputs][inputs], with a suffix."""
    if ".experts." not in name:
        return name, values
    values = values.reshape(folder.get("ffn_config.moe_num_experts"), -1, values.shape[1])
    return f"{name}.weight", values.swapaxes(1, 2) if name.endswith("w2") else values


def muse_glimmer_norms(tensors, folder):
    """Adds the 1 to the norms of layers, and norms of q and k, of which the first has the factor of q."""
    names = {"input": "attn_norm", "post_attention": "post_attention_norm", "pre_feedforward": "ffn_norm", "post_feedforward": "post_ffw_norm"}
    rest = {}
    for name, values in tensors.items():
        match = re.fullmatch(r"model\.layers\.(\d+)\.(\w+)_layernorm\.weight", name)
        rest[f"blk.{match[1]}.{names[match[2]]}.weight" if match else name] = values + 1 if match else values
    for i in range(folder.layers):
        for letter, factor in (("q", folder.get("qk_scale_factor")), ("k", 1)):
            rest[f"blk.{i}.attn_{letter}_norm.weight"] = np.full(folder.head_dim, factor, np.float32)
    return rest


def altup_stacked(tensors):
    """Joins the matrices of all streams into one tensor; adds a suffix that the folder's name lacks."""
    stacks, rest = {}, {}
    for name, values in tensors.items():
        match = re.fullmatch(r"(model\.altup_\w*projections)\.(\d+)\.weight", name)
        if match:
            stacks.setdefault(f"{match[1]}.weight", {})[int(match[2])] = values
        else:
            rest[f"{name}.weight" if name.endswith("_scale") else name] = values
    return rest | {name: np.stack([parts[i] for i in range(len(parts))]) for name, parts in stacks.items()}


def fused(tensors):
    """Joins q, k and v of a layer into one tensor."""
    rest = {name: values for name, values in tensors.items() if not re.search(r"self_attn\.[qkv]_proj\.", name)}
    for name in tensors:
        if ".self_attn.q_proj." in name:
            parts = [tensors[name.replace("q_proj", f"{letter}_proj")] for letter in "qkv"]
            rest[name.replace("q_proj", "qkv_proj")] = np.concatenate(parts)
    return rest


def in_turn(values, folder, width):
    """Rows of DeltaNet's heads of v, `width` each: from groups that share a head of k to heads of k in turn."""
    groups = folder.get("linear_num_key_heads")
    parts = values.reshape(groups, folder.get("linear_num_value_heads") // groups, width, *values.shape[1:])
    return parts.swapaxes(0, 1).reshape(values.shape)


def delta_ungrouped(values, folder):
    """q, k and v, and gate, of rows that are stored by head of k."""
    groups, keys = folder.get("linear_num_key_heads"), folder.get("linear_key_head_dim")
    wide = folder.get("linear_num_value_heads") // groups * folder.get("linear_value_head_dim")
    parts = values.reshape(groups, 2 * (keys + wide), -1)
    q, k, v, gate = np.split(parts, [keys, 2 * keys, 2 * keys + wide], axis=1)
    return np.concatenate([part.reshape(-1, values.shape[1]) for part in (q, k, v)]), gate.reshape(-1, values.shape[1])


def delta_changed(name, values, folder):
    """The tensors of a layer with DeltaNet, in the form of llama.cpp's converter."""
    if name.endswith("linear_attn.in_proj_qkvz.weight"):
        qkv, gate = delta_ungrouped(values, folder)
        yield name.replace("in_proj_qkvz", "in_proj_qkv"), qkv
        yield name.replace("in_proj_qkvz", "in_proj_z"), gate
        return
    dim = folder.get("linear_value_head_dim")
    qk = 2 * folder.get("linear_num_key_heads") * folder.get("linear_key_head_dim")
    if folder.type.startswith("qwen3_5") and ".linear_attn." in name:
        if re.search(r"(in_proj_qkv|conv1d)\.", name):
            values = np.concatenate([values[:qk], in_turn(values[qk:], folder, dim)])
        elif ".in_proj_z." in name:
            values = in_turn(values, folder, dim)
        elif re.search(r"in_proj_[ab]|A_log|dt_bias", name):
            values = in_turn(values, folder, 1)
        elif ".out_proj." in name:
            values = in_turn(values.T, folder, dim).T
    if name.endswith("norm.weight") and not name.endswith("linear_attn.norm.weight"):
        values = values + 1
    yield name, values


def multiplied(name, values, folder):
    """Falcon-H1: GGUF files have the factors in the tensors."""
    factors = {"down_proj": folder.get("mlp_multipliers")[1], "gate_proj": folder.get("mlp_multipliers")[0],
               "k_proj": folder.get("key_multiplier") * folder.get("attention_in_multiplier"),
               "q_proj": folder.get("attention_in_multiplier"), "v_proj": folder.get("attention_in_multiplier"),
               "o_proj": folder.get("attention_out_multiplier"), "out_proj": folder.get("ssm_out_multiplier"),
               "in_proj": folder.get("ssm_in_multiplier"), "lm_head": folder.get("lm_head_multiplier"),
               "embed_tokens": folder.get("embedding_multiplier")}
    values = values * np.float32(factors.get(name.split(".")[-2], 1))
    if ".in_proj." in name:
        inner, shared = folder.tensors[name.replace("in_proj", "out_proj")].shape[1], folder.get("mamba_n_groups") * folder.get("mamba_d_state")
        sizes = (inner, inner, shared, shared, folder.get("mamba_n_heads"))
        values = values * np.repeat(folder.get("ssm_multipliers"), sizes).astype(np.float32)[:, None]
    return values


def changed(folder):
    """The folder's tensors in the form that GGUF requires, under the folder's names."""
    tensors = heads_stacked(experts_stacked(folder.tensors))
    if folder.type == "gpt_oss":
        tensors = gpt_oss_experts(tensors)
    if folder.type.startswith("granitemoe"):
        tensors = granite_experts(tensors, folder.get("num_local_experts") == 0)
    if folder.arch == "bailingmoe2":
        tensors = fused(tensors)
    if folder.type == "llama4_text":
        tensors = separate_experts({name: values.swapaxes(1, 2) if values.ndim == 3 else values for name, values in tensors.items()})
    if folder.type == "dbrx":
        tensors = dict(dbrx_changed(name, values, folder) for name, values in tensors.items())
    if folder.type == "muse_glimmer_text":
        tensors = muse_glimmer_norms(tensors, folder)
    if folder.type == "gemma3n_text":
        tensors = altup_stacked(tensors)
    if folder.type == "mistral4":
        tensors = separate_experts(tensors)
    if folder.latent and not folder.older:
        tensors = split_kv_b(tensors, folder.heads, folder.get("qk_nope_head_dim"))
    if folder.type in DELTA:
        tensors = dict(pair for name, values in tensors.items() for pair in delta_changed(name, values, folder))
    for name, values in tensors.items():
        if folder.type == "falcon_h1":
            values = multiplied(name, values, folder)
        if folder.type == "lfm2_moe" and ".experts." in name:
            name = name.removeprefix("model.")
        if folder.type == "kimi_linear":
            name = re.sub(r"block_sparse_moe\.(?=(gate|up|down)_proj)", "mlp.", name)
        if folder.type == "jamba":
            name = name.replace("feed_forward.experts", "mlp.experts")
        if folder.arch == "nemotron_h_moe":
            name = name.replace("backbone.layers", "model.layers").replace("mixer.experts", "mlp.experts") if ".experts." in name else name
        if name.endswith(".expert_bias"):
            name += ".bias"
        if name.endswith(("mamba.A_log", "mamba.D", "mixer.A_log", "mixer.D")) and folder.type not in MAMBA_1:
            values = values[:, None]
        if name.endswith(("mamba.norm.weight", "mixer.norm.weight")):
            values = values.reshape(folder.get("mamba_n_groups", "n_groups"), -1)
        if name.endswith("A_log"):
            values = -np.exp(values)
        if name.endswith("dt_bias"):
            name = name.replace("dt_bias", "dt_proj.bias")
        if name.endswith(("conv.weight", "conv1d.weight")):
            values = values[None] if folder.type == "kimi_linear" else values.squeeze(1)
        if name.endswith("e_score_correction_bias"):
            name, values = name.replace("_bias", ".bias"), values.reshape(-1)
        if folder.arch in PERMUTED and re.search(r"\.(q|k)_proj\.(weight|bias)", name):
            values = permuted(values, folder.heads if ".q_proj." in name else folder.kv_heads)
        if folder.type == "nemotron" and re.search(r"norm\.weight", name):
            values = values + 1
        if folder.type in ("gemma", "gemma2", "gemma3_text") and name.endswith("norm.weight"):
            values = values + 1
        if folder.type == "gpt2" and re.search(r"c_(attn|proj|fc)\.weight", name):
            values = values.T
        if folder.type in ("gpt_neox", "bloom", "falcon") and "query_key_value" in name:
            values = ungrouped(values, folder.heads, folder.kv_heads)
        if folder.type == "gpt_bigcode" and "c_attn" in name:
            values = ungrouped(values, folder.heads, folder.kv_heads)
        if name.endswith(".expert_bias"):
            name += ".bias"
        if folder.type.startswith("gemma4"):
            name = gemma4_name(name)
        if ".act_fn." not in name:  # numbers of xIELU: GGUF has them in the metadata
            yield name, np.ascontiguousarray(values)


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
        (feed,) = set(feed)
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


def name_map(folder):
    known = {"muse-glimmer": "afmoe"}.get(folder.arch, folder.arch)  # the package does not have this architecture
    arch = {name: arch for arch, name in gguf.MODEL_ARCH_NAMES.items()}[known]
    return gguf.get_tensor_name_map(arch, folder.layers)


def tensor_name(names, name):
    if name.startswith("blk."):
        return name
    short = name.removeprefix("transformer.")  # the package knows Bloom's names without it
    found = names.get_name(name, try_suffixes=(".weight", ".bias")) or names.get_name(short, (".weight", ".bias"))
    assert found, f"the gguf package has no name for {name}"
    return found


def quantized(values, quantization):
    """Quantizes tensors whose rows are whole blocks; leaves others unchanged."""
    block, _ = gguf.GGML_QUANT_SIZES[quantization]
    if values.ndim < 2 or values.shape[-1] % block:
        return values, None
    return gguf.quantize(values, quantization), quantization


def add_vocabulary(writer, size):
    """No tokens, only their number."""
    writer.add_tokenizer_model("none")
    writer.add_vocab_size(size)


def one_of_each(into):
    """Converts a model of tests/fixtures/tiny of each architecture: the one with the shortest name. Returns the paths."""
    folders = {}
    for folder in sorted((Path(__file__).resolve().parent / "fixtures" / "tiny").iterdir(), key=lambda f: (len(f.name), f.name)):
        folders.setdefault(Folder(folder).arch, folder)
    folders.pop(None, None)
    paths = {arch: Path(into) / f"{arch}.gguf" for arch in folders}
    for arch, folder in folders.items():
        convert(folder, paths[arch])
    return list(paths.values())


def add_characters(writer, size, pretokenizer):
    """Tokens for the printable characters of ASCII, in the form of byte-level BPE."""
    tokens = ["<s>", "\u0120"] + [chr(33 + i) for i in range(size - 3)] + ["ab"]
    writer.add_tokenizer_model("gpt2")
    if pretokenizer:
        writer.add_tokenizer_pre(pretokenizer)
    writer.add_token_list([text.encode() for text in tokens])
    writer.add_token_types([gguf.TokenType.CONTROL] + [gguf.TokenType.NORMAL] * (size - 1))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)


def convert(folder, path, quantization=gguf.GGMLQuantizationType.F32, arch=None, older=False, rounded=False, beside={}, vocabulary=False,
            pretokenizer=False):
    """Writes the folder's model to path. Returns False where GGUF does not have its architecture. arch: another
    architecture with the same arithmetic. older: see Folder. rounded: store what the quantization keeps as float32.
    beside: {name: values} of further tensors. vocabulary: what llama.cpp needs to open the file.
    pretokenizer: a vocabulary of characters, with a pre-tokenizer of this name or (None) without one."""
    folder = Folder(folder, arch, older)
    if folder.arch is None:
        return False
    writer = gguf.GGUFWriter(str(path), folder.arch)
    add_metadata(writer, folder)
    if vocabulary:
        add_vocabulary(writer, folder.get("vocab_size"))
    if pretokenizer is not False:
        add_characters(writer, folder.get("vocab_size"), pretokenizer)
    names = name_map(folder)
    for name, values in changed(folder):
        stored, kind = quantized(values, quantization)
        if rounded and kind is not None:
            stored, kind = gguf.dequantize(stored, kind).reshape(values.shape), None
        writer.add_tensor(tensor_name(names, name), stored, raw_dtype=kind)
    for name, values in beside.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return True


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    print(*one_of_each(sys.argv[1]))

"""Converts folders of small models to GGUF files with the gguf package. The names of tensors come from the package. The
changes that the format requires are made here: it permutes the rows of q and k, adds the 1 to norms, and stacks
experts."""
import json
import re
import struct
import sys
from pathlib import Path

import blocks
import gguf
import numpy as np
import plamo
from convert_metadata import DELTA, MAMBA_1, add_metadata

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
    "muse_glimmer_text": "muse-glimmer", "qwen3_vl_moe_text": "qwen3vlmoe",
}  # fmt: skip
PERMUTED = ("llama", "smollm3", "granite", "olmo", "mistral3", "arcee", "granitemoe", "internlm2", "xverse", "baichuan", "minicpm",
            "deepseek", "granitehybrid", "muse-glimmer")
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
    if folder.type in ("llama4_text", "qwen3_vl_moe_text"):
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


def name_map(folder):
    known = {"muse-glimmer": "afmoe", "gptoss": "gpt-oss"}.get(folder.arch, folder.arch)  # those that the package does not have
    arch = {name: arch for arch, name in gguf.MODEL_ARCH_NAMES.items()}[known]
    return gguf.get_tensor_name_map(arch, folder.layers)


def tensor_name(names, name):
    if name.startswith("blk."):
        return name
    short = name.removeprefix("transformer.")  # the package knows Bloom's names without it
    found = names.get_name(name, try_suffixes=(".weight", ".bias")) or names.get_name(short, (".weight", ".bias"))
    assert found, f"the gguf package has no name for {name}"
    return found


# Keys of llama.cpp's files of GPT-OSS that Ollama's do not have.
OLLAMA_LACKS = ("rope.scaling.type", "rope.dimension_count", "attention.sliding_window_pattern")


def gates_and_ups_in_turn(tensors):
    """As Ollama's first files have them: the rows of gate and up alternately, in one tensor."""
    rest = {}
    for name, values in tensors.items():
        if ".experts.up_proj" in name:
            gate = tensors[name.replace("up_proj", "gate_proj")]
            both = np.stack([gate, values], 2).reshape(gate.shape[0], -1, *gate.shape[2:])
            rest[name.replace("model.layers.", "blk.").replace("mlp.experts.up_proj", "ffn_gate_up_exps")] = both
        elif ".experts.gate_proj" not in name:
            rest[name] = values
    return rest


def ollama_name(name):
    """The name in Ollama's files of GPT-OSS."""
    return name.replace("attn_output", "attn_out").replace("attn_sinks.weight", "attn_sinks").replace("post_attention_norm", "ffn_norm")


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
    """Converts a model of tests/fixtures/tiny of each architecture: the one with the shortest name. Returns the paths, and
    those of the GGUF files in tests/fixtures/llama_cpp and of a vocabulary of PLaMo 2."""
    folders, fixtures = {}, Path(__file__).resolve().parent / "fixtures"
    for folder in sorted((fixtures / "tiny").iterdir(), key=lambda f: (len(f.name), f.name)):
        folders.setdefault(Folder(folder).arch, folder)
    folders.pop(None, None)
    paths = {arch: Path(into) / f"{arch}.gguf" for arch in folders}
    for arch, folder in folders.items():
        convert(folder, paths[arch])
    vocabulary = Path(into) / "plamo2-vocabulary.gguf"
    plamo.write(vocabulary, 1)
    return [*paths.values(), *sorted((fixtures / "llama_cpp").glob("*.gguf")), vocabulary]


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
            pretokenizer=False, left=()):
    """Writes the folder's model to path. Returns False where GGUF does not have its architecture. arch: another
    architecture with the same arithmetic. older: see Folder. rounded: store what the quantization keeps as float32.
    beside: {name: values} of further tensors. vocabulary: what llama.cpp needs to open the file.
    pretokenizer: a vocabulary of characters, with a pre-tokenizer of this name or (None) without one. left: parts of the
    names of tensors that are not quantized."""
    folder = Folder(folder, arch, older)
    if folder.arch is None:
        return False
    writer = gguf.GGUFWriter(str(path), folder.arch)
    add_metadata(writer, folder)
    if folder.arch == "gptoss":
        for key in OLLAMA_LACKS:
            del writer.kv_data[0][f"gptoss.{key}"]
    if vocabulary:
        add_vocabulary(writer, folder.get("vocab_size"))
    if pretokenizer is not False:
        add_characters(writer, folder.get("vocab_size"), pretokenizer)
    names = name_map(folder)
    tensors = dict(changed(folder))
    if older and folder.arch == "gptoss":
        tensors = gates_and_ups_in_turn(tensors)
    for name, values in tensors.items():
        own = tensor_name(names, name)
        floats = name.endswith(".bias") or any(part in own for part in left)
        stored, kind = (values, None) if floats else quantized(values, quantization)
        if rounded and kind is not None:
            stored, kind = gguf.dequantize(stored, kind).reshape(values.shape), None
        if folder.arch == "gptoss":
            own = ollama_name(own)
        if older and kind == gguf.GGMLQuantizationType.MXFP4:  # as numbers, because the package does not know the type
            pairs = blocks.pairs_of_halves(stored).view(np.int8)
            writer.add_tensor(own, pairs, raw_shape=values.shape, raw_dtype=blocks.NUMBERS["MXFP4_PAIRS"])
        else:
            writer.add_tensor(own, stored, raw_dtype=kind)
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

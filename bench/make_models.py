#!/usr/bin/env python3
"""Models of the shapes of Qwen3.5-4B, Gemma 4 E4B and Qwen3-30B-A3B, with random weights in the types of Q4_K_M, for `make bench
WORK=big`:

    $(tools/venv.sh) bench/make_models.py qwen35-4b|gemma4-e4b|30b-a3b FILE [--layers N]

They are NAME.gguf in the folder of the peers' models. --layers makes the first N layers alone: for measurements while you
work, or where a program copies the weights and memory does not hold them twice. The tokenizers are those of llama.cpp's models of vocabularies, which ../shared/peers/setup.sh unpacks. The digits of
all blocks are random, so no page is like another; weights have a deviation of 0.02. The answers mean nothing, but
every program that reads the file right gives the same ones."""
import argparse
import math
import os

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

CHUNK = 1 << 18  # blocks that are made at once
DEVIATION = 0.02


def half(x):
    return np.frombuffer(np.float16(x).tobytes(), np.uint8)


def q4_k(rng, n, deviation=DEVIATION):
    """w = d 33 q - dmin 33: all scales and minima are 33, as packed numbers of six bits."""
    blocks = rng.integers(0, 256, (n, 144), dtype=np.uint8)
    blocks[:, 0:2], blocks[:, 2:4] = half(deviation / 33 / 4.6), half(7.5 * deviation / 33 / 4.6)
    blocks[:, 4:12], blocks[:, 12:16] = 161, 17
    return blocks


def q6_k(rng, n):
    """w = d 33 (q - 32)"""
    blocks = rng.integers(0, 256, (n, 210), dtype=np.uint8)
    blocks[:, 192:208], blocks[:, 208:210] = 33, half(DEVIATION / 33 / 18.5)
    return blocks


def bf16(rng, n):
    return np.ascontiguousarray((DEVIATION * rng.standard_normal(n, dtype=np.float32)).view(np.uint16)[1::2])


def wide_q4_k(rng, n):
    return q4_k(rng, n, 1)


def narrow_q4_k(rng, n):
    return q4_k(rng, n, DEVIATION / 10)


# What a tensor's values are: a type of the file, or a function that makes its numbers -> the type, what makes n of its blocks
BLOCKS = {Type.Q4_K: (Type.Q4_K, q4_k), Type.Q6_K: (Type.Q6_K, q6_k), Type.BF16: (Type.BF16, bf16), wide_q4_k: (Type.Q4_K, wide_q4_k),
          narrow_q4_k: (Type.Q4_K, narrow_q4_k)}


def blocks_of(kind):
    return BLOCKS.get(kind) or (Type.F32, lambda rng, n: kind(rng, n).astype(np.float32))


def near_one(rng, n):
    return 1 + DEVIATION * rng.standard_normal(n)


def near_an_eighth(rng, n):
    return near_one(rng, n) / 8


def normal(rng, n):
    return rng.standard_normal(n)


def small(rng, n):
    return DEVIATION * rng.standard_normal(n)


def decays(rng, n):
    return -rng.uniform(1, 16, n)


def proportional(rng, n):
    """Divisors of Gemma 4's frequencies: a quarter of the dimensions is rotated."""
    return np.where(np.arange(n) < n // 4, 1, 1e30)


def more_bits(i, n):
    """Whether Q4_K_M gives more bits to layer i of n, for the tensors for which it makes a difference."""
    return Type.Q6_K if i < n // 8 or i >= 7 * n // 8 or (i - n // 8) % 3 == 2 else Type.Q4_K


def qwen35_4b(n):
    """Three layers with a recurrent state, then one with attention."""
    width, feed, keys, values = 2560, 9216, 16 * 128, 32 * 128
    facts = {"block_count": n, "context_length": 262144, "embedding_length": width, "feed_forward_length": feed,
             "attention.head_count": 16, "attention.head_count_kv": 4, "attention.key_length": 256, "attention.value_length": 256,
             "attention.layer_norm_rms_epsilon": 1e-6, "rope.freq_base": 1e7, "rope.dimension_count": 64,
             "rope.dimension_sections": [11, 11, 10, 0], "ssm.conv_kernel": 4, "ssm.state_size": 128, "ssm.group_count": 16,
             "ssm.time_step_rank": 32, "ssm.inner_size": values, "full_attention_interval": 4}
    tensors = [("token_embd.weight", [width, 248320], Type.Q6_K), ("output_norm.weight", [width], near_one)]
    for i in range(n):
        layer = {"attn_norm.weight": ([width], near_one), "post_attention_norm.weight": ([width], near_one),
                 "ffn_gate.weight": ([width, feed], Type.Q4_K), "ffn_up.weight": ([width, feed], Type.Q4_K),
                 "ffn_down.weight": ([feed, width], more_bits(i, n))}
        if i % 4 == 3:
            layer |= {"attn_q.weight": ([width, 2 * 16 * 256], Type.Q4_K), "attn_k.weight": ([width, 4 * 256], Type.Q4_K),
                      "attn_v.weight": ([width, 4 * 256], more_bits(i, n)), "attn_output.weight": ([16 * 256, width], Type.Q4_K),
                      "attn_q_norm.weight": ([256], near_one), "attn_k_norm.weight": ([256], near_one)}
        else:
            layer |= {"attn_qkv.weight": ([width, 2 * keys + values], more_bits(i, n)), "attn_gate.weight": ([width, values], Type.Q4_K),
                      "ssm_alpha.weight": ([width, 32], Type.Q4_K), "ssm_beta.weight": ([width, 32], Type.Q4_K),
                      "ssm_conv1d.weight": ([4, 2 * keys + values], normal), "ssm_a": ([32], decays), "ssm_dt.bias": ([32], normal),
                      "ssm_norm.weight": ([128], near_one), "ssm_out.weight": ([values, width], Type.Q4_K)}
        tensors += [(f"blk.{i}.{name}", *what) for name, what in layer.items()]
    return "qwen35", "qwen35", 248320, facts, tensors


def gemma4_e4b(n):
    """Five layers with a window, then one without. The last layers read the keys and values of others. All layers have side
    embeddings. Scores of attention are not divided by the root of a head's size, so the norms of keys are small."""
    width, feed, side, vocabulary, own = 2560, 10240, 256, 262144, max(6, n * 24 // 42 // 6 * 6)
    facts = {"block_count": n, "context_length": 131072, "embedding_length": width, "feed_forward_length": feed,
             "attention.head_count": 8, "attention.head_count_kv": 2, "attention.key_length": 512, "attention.value_length": 512,
             "attention.key_length_swa": 256, "attention.value_length_swa": 256, "attention.sliding_window": 512,
             "attention.sliding_window_pattern": [i % 6 != 5 for i in range(n)], "attention.shared_kv_layers": n - own,
             "attention.layer_norm_rms_epsilon": 1e-6, "rope.freq_base": 1e6, "rope.freq_base_swa": 1e4, "rope.dimension_count": 512,
             "rope.dimension_count_swa": 256, "embedding_length_per_layer_input": side, "final_logit_softcapping": 30.0}
    tensors = [("token_embd.weight", [width, vocabulary], Type.Q6_K), ("per_layer_token_embd.weight", [n * side, vocabulary], Type.Q6_K),
               ("per_layer_model_proj.weight", [width, n * side], Type.BF16), ("per_layer_proj_norm.weight", [side], near_one),
               ("output_norm.weight", [width], near_one), ("rope_freqs.weight", [256], proportional)]
    for i in range(n):
        head = 512 if i % 6 == 5 else 256
        layer = {name: ([width], near_one) for name in ("attn_norm.weight", "post_attention_norm.weight", "ffn_norm.weight",
                                                        "post_ffw_norm.weight", "post_norm.weight")}
        layer |= {"attn_q.weight": ([width, 8 * head], Type.Q4_K), "attn_q_norm.weight": ([head], near_one),
                  "attn_output.weight": ([8 * head, width], Type.Q4_K), "layer_output_scale.weight": ([1], near_one),
                  "ffn_gate.weight": ([width, feed], Type.Q4_K), "ffn_up.weight": ([width, feed], Type.Q4_K),
                  "ffn_down.weight": ([feed, width], more_bits(i, n)), "inp_gate.weight": ([width, side], Type.Q4_K),
                  "proj.weight": ([side, width], Type.Q4_K)}
        if i < own:
            layer |= {"attn_k.weight": ([width, 2 * head], Type.Q4_K), "attn_k_norm.weight": ([head], near_an_eighth),
                      "attn_v.weight": ([width, 2 * head], more_bits(i, own))}
        tensors += [(f"blk.{i}.{name}", *what) for name, what in layer.items()]
    return "gemma4", "gemma-4", vocabulary, facts, tensors


def a3b_30b(n):
    """A mixture of 128 experts, of which each token uses 8. Embeddings are large and the outputs of attention, which tokens have
    in common, small. So tokens stay different, and those of a text use nearly all experts in every layer."""
    width, experts, feed, heads = 2048, 128, 768, 32 * 128
    facts = {"block_count": n, "context_length": 40960, "embedding_length": width, "feed_forward_length": 6144,
             "attention.head_count": 32, "attention.head_count_kv": 4, "attention.key_length": 128, "attention.value_length": 128,
             "attention.layer_norm_rms_epsilon": 1e-6, "rope.freq_base": 1e6, "expert_count": experts, "expert_used_count": 8,
             "expert_feed_forward_length": feed}
    tensors = [("token_embd.weight", [width, 151936], wide_q4_k), ("output.weight", [width, 151936], Type.Q6_K),
               ("output_norm.weight", [width], near_one)]
    for i in range(n):
        layer = {"attn_norm.weight": ([width], near_one), "attn_q.weight": ([width, heads], Type.Q4_K),
                 "attn_k.weight": ([width, 512], Type.Q4_K), "attn_v.weight": ([width, 512], more_bits(i, n)),
                 "attn_q_norm.weight": ([128], near_one), "attn_k_norm.weight": ([128], near_one),
                 "attn_output.weight": ([heads, width], narrow_q4_k), "ffn_norm.weight": ([width], near_one),
                 "ffn_gate_inp.weight": ([width, experts], small), "ffn_gate_exps.weight": ([width, feed, experts], Type.Q4_K),
                 "ffn_up_exps.weight": ([width, feed, experts], Type.Q4_K),
                 "ffn_down_exps.weight": ([feed, width, experts], more_bits(i, n))}
        tensors += [(f"blk.{i}.{name}", *what) for name, what in layer.items()]
    return "qwen3moe", "qwen2", 151936, facts, tensors


MODELS = {"qwen35-4b": (qwen35_4b, 32), "gemma4-e4b": (gemma4_e4b, 42), "30b-a3b": (a3b_30b, 48)}


def add_tokenizer(writer, path, size):
    """The tokenizer of a file, with unused tokens up to this size, as converters add them."""
    fields = gguf.GGUFReader(path).fields
    have = len(fields["tokenizer.ggml.tokens"].data)
    for name, field in fields.items():
        if not name.startswith("tokenizer."):
            continue
        value = field.contents()
        if name == "tokenizer.ggml.tokens":
            value += [f"[PAD{i}]" for i in range(have, size)]
        elif name == "tokenizer.ggml.token_type":
            value += [int(gguf.TokenType.UNUSED)] * (size - have)
        writer.add_key_value(name, value, field.types[0], field.types[-1] if len(field.types) > 1 else None)


def write_tensors(writer, tensors):
    for name, dims, kind in tensors:
        stored, _ = blocks_of(kind)
        block, size = gguf.GGML_QUANT_SIZES[stored]
        writer.add_tensor_info(name, dims[::-1], np.dtype(np.float32), math.prod(dims) // block * size, stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    rng, out = np.random.default_rng(7), writer.fout[0]
    writer.write_padding(out, out.tell())
    for _, dims, kind in tensors:
        stored, make = blocks_of(kind)
        n = math.prod(dims) // gguf.GGML_QUANT_SIZES[stored][0]
        for i in range(0, n, CHUNK):
            out.write(make(rng, min(n - i, CHUNK)))
        writer.write_padding(out, out.tell())


def main():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("file")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--peers", default=os.environ.get("PEERS") or f"{cache}/capp-peers")
    o = parser.parse_args()
    shape, layers = MODELS[o.model]
    arch, vocabulary, size, facts, tensors = shape(o.layers or layers)
    writer = gguf.GGUFWriter(o.file, arch)
    writer.add_name(f"random {o.model}")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_K_M)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    add = {int: writer.add_uint32, float: writer.add_float32, list: writer.add_array}
    for name, value in facts.items():
        add[type(value)](f"{arch}.{name}", value)
    add_tokenizer(writer, f"{o.peers}/llama/vendor/llama.cpp/models/ggml-vocab-{vocabulary}.gguf", size)
    write_tensors(writer, tensors)
    writer.close()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Makes tests/fixtures/llama_cpp: log-probabilities by llama.cpp in float32, for architectures that transformers does not
have and for some that it has; and random models of architectures that exist only as GGUF files.

    LLAMA_CPP_LIB_PATH=BUILD/bin ENV/bin/python tools/make_llama_references.py [NAME]...

ENV has llama-cpp-python and gguf, BUILD is a build of its llama.cpp: ../shared/peers/setup.sh makes both. With names, only
the log-probabilities of these models are computed again. Those of RWKV need a build for AVX2: with wider vectors llama.cpp
reads past heads of 32.

NAME.gguf         a random model, all weights float32, without a vocabulary
references.json   for each model its token ids and their log-probabilities
rwkv_tokens.json  the ids of random texts in random vocabularies of RWKV (tests/rwkv.py)
tokens.json       texts and their ids, of the vocabularies that llama.cpp brings without ids, and of tests/plamo.py

llama.cpp runs with a float32 KV store, without flash attention, each text in one batch. It takes GELU from a table of
float16; other operations are float32.
"""
import ctypes
import json
import sys
import tempfile
import zlib
from pathlib import Path

import gguf
import llama_cpp
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
import convert  # noqa: E402
import llama_models  # noqa: E402
import plamo as plamo_vocabulary  # noqa: E402
import rwkv  # noqa: E402

FOLDER = ROOT / "tests" / "fixtures" / "llama_cpp"
VOCABULARY, CONTEXT, LENGTHS = 97, 96, (14, 25, 41)
MAMBA_FIRST = "mamam"
LOG = []


class Maker:
    """A GGUF file with random tensors."""

    def __init__(self, name, arch, layers, heads, kv_heads, feed, eps="rms", width=48, folder=FOLDER, **keys):
        self.width = width
        self.random = np.random.default_rng(zlib.crc32(name.encode()))
        self.path = folder / f"{name}.gguf"
        self.writer = writer = gguf.GGUFWriter(str(self.path), arch)
        writer.add_context_length(CONTEXT)
        writer.add_embedding_length(width)
        writer.add_block_count(layers)
        writer.add_head_count(heads)
        writer.add_head_count_kv(kv_heads)
        writer.add_feed_forward_length(feed)
        (writer.add_layer_norm_rms_eps if eps == "rms" else writer.add_layer_norm_eps)(1e-5)
        for key, value in keys.items():
            getattr(writer, f"add_{key}")(value)
        convert.add_vocabulary(writer, VOCABULARY)

    def add(self, name, *shape, bias=False):
        """A matrix [outputs][inputs], which keeps the variance; or a norm, where there is one dimension."""
        noise = self.random.standard_normal(shape)
        self.writer.add_tensor(f"{name}.weight", (noise * 0.4 + 1 if len(shape) == 1 else noise * 1.4 / shape[-1]**0.5).astype(np.float32))
        if bias:
            self.writer.add_tensor(f"{name}.bias", (self.random.standard_normal(shape[-2:][0]) * 0.5).astype(np.float32))

    def add_plain(self, name, numbers):
        """A tensor whose name has no suffix."""
        self.writer.add_tensor(name, numbers.astype(np.float32))

    def ends(self, norm_bias=False, head=True):
        self.writer.add_tensor("token_embd.weight", (self.random.standard_normal((VOCABULARY, self.width)) * 0.7).astype(np.float32))
        self.add("output_norm", self.width, bias=norm_bias)
        if head:
            self.add("output", VOCABULARY, self.width)

    def close(self):
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_tensors_to_file()
        self.writer.close()


def attention(m, i, heads, kv_heads, dim, fused=False, bias=False, out_bias=False):
    if fused:
        m.add(f"blk.{i}.attn_qkv", (heads + 2 * kv_heads) * dim, m.width, bias=bias)
    else:
        for letter, n in (("q", heads), ("k", kv_heads), ("v", kv_heads)):
            m.add(f"blk.{i}.attn_{letter}", n * dim, m.width, bias=bias)
    m.add(f"blk.{i}.attn_output", m.width, heads * dim, bias=out_bias)


def norms(m, i, bias=False):
    m.add(f"blk.{i}.attn_norm", m.width, bias=bias)
    m.add(f"blk.{i}.ffn_norm", m.width, bias=bias)


def feed(m, i, n, names=("gate", "up"), bias=False):
    for name in names:
        m.add(f"blk.{i}.ffn_{name}", n, m.width, bias=bias)
    m.add(f"blk.{i}.ffn_down", m.width, n, bias=bias)


def smallthinker(name, window, function):
    layers, experts, n = 5, 4, 12
    m = Maker(name, "smallthinker", layers, 6, 2, n, key_length=10, value_length=10, rope_dimension_count=10, rope_freq_base=3000.0,
              expert_count=experts, expert_used_count=2, expert_feed_forward_length=n, expert_gating_func=function)
    if window:
        m.writer.add_sliding_window(4096)
    for i in range(layers):
        norms(m, i)
        attention(m, i, 6, 2, 10)
        m.add(f"blk.{i}.ffn_gate_inp", experts, m.width)
        for kind, shape in (("gate", (n, m.width)), ("up", (n, m.width)), ("down", (m.width, n))):
            m.add(f"blk.{i}.ffn_{kind}_exps", experts, *shape)
    m.ends()
    m.close()


def chatglm(name):
    m = Maker(name, "chatglm", 2, 6, 2, 44, rope_dimension_count=4, rope_freq_base=3000.0)
    for i in range(2):
        norms(m, i)
        attention(m, i, 6, 2, 8, fused=True, bias=True)
        m.add(f"blk.{i}.ffn_up", 88, m.width)
        m.add(f"blk.{i}.ffn_down", m.width, 44)
    m.ends()
    m.close()


def refact(name):
    m = Maker(name, "refact", 3, 6, 1, 44)
    for i in range(3):
        norms(m, i)
        attention(m, i, 6, 1, 8)
        feed(m, i, 44)
    m.ends(head=False)
    m.close()


def orion(name):
    m = Maker(name, "orion", 2, 6, 6, 44, eps="layer", rope_dimension_count=8, rope_freq_base=3000.0)
    for i in range(2):
        norms(m, i, bias=True)
        attention(m, i, 6, 6, 8)
        feed(m, i, 44)
    m.ends(norm_bias=True)
    m.close()


def deepseek(name):
    experts, n, shared = 5, 12, 2
    m = Maker(name, "deepseek", 3, 6, 2, 44, rope_dimension_count=8, rope_freq_base=3000.0, leading_dense_block_count=1,
              expert_count=experts, expert_used_count=2, expert_feed_forward_length=n, expert_shared_count=shared,
              expert_weights_scale=1.3)
    for i in range(3):
        norms(m, i)
        attention(m, i, 6, 2, 8)
        if not i:
            feed(m, i, 44)
            continue
        m.add(f"blk.{i}.ffn_gate_inp", experts, m.width)
        for kind, shape in (("gate", (n, m.width)), ("up", (n, m.width)), ("down", (m.width, n))):
            m.add(f"blk.{i}.ffn_{kind}_exps", experts, *shape)
            m.add(f"blk.{i}.ffn_{kind}_shexp", *(size * shared if size == n else size for size in shape))
    m.ends()
    m.close()


def bailingmoe2(name):
    experts, n = 6, 12
    m = Maker(name, "bailingmoe2", 3, 6, 2, 44, key_length=8, value_length=8, rope_dimension_count=8, rope_freq_base=3000.0,
              leading_dense_block_count=1, expert_count=experts, expert_used_count=2, expert_feed_forward_length=n, expert_shared_count=1,
              expert_shared_feed_forward_length=n, expert_weights_scale=1.3, expert_weights_norm=True, expert_group_count=3,
              expert_group_used_count=2, expert_gating_func=gguf.ExpertGatingFuncType.SIGMOID)
    for i in range(3):
        norms(m, i)
        attention(m, i, 6, 2, 8, fused=True)
        m.add(f"blk.{i}.attn_q_norm", 8)
        m.add(f"blk.{i}.attn_k_norm", 8)
        if not i:
            feed(m, i, 44)
            continue
        m.add(f"blk.{i}.ffn_gate_inp", experts, m.width)
        m.writer.add_tensor(f"blk.{i}.exp_probs_b.bias", (m.random.standard_normal(experts) * 0.2).astype(np.float32))
        for kind, shape in (("gate", (n, m.width)), ("up", (n, m.width)), ("down", (m.width, n))):
            m.add(f"blk.{i}.ffn_{kind}_exps", experts, *shape)
            m.add(f"blk.{i}.ffn_{kind}_shexp", *shape)
    m.ends()
    m.close()


def like_llama(name, arch, layers, width, dim, bias=False, **keys):
    heads = width // dim
    m = Maker(name, arch, layers, heads, heads // 2, 20, width=width, **keys)
    for i in range(layers):
        norms(m, i)
        attention(m, i, heads, heads // 2, dim, bias=bias)
        feed(m, i, 20)
    m.ends()
    m.close()


def baichuan(name, layers):
    """llama.cpp recognizes the sizes by the number of layers: the larger one has linear biases."""
    like_llama(name, "baichuan", layers, 16, 8, rope_dimension_count=8, rope_freq_base=3000.0)


def minicpm(name, **keys):
    like_llama(name, "minicpm", 2, 32, 8, rope_dimension_count=8, rope_freq_base=3000.0, **keys)


def codeshell(name):
    m = Maker(name, "codeshell", 2, 6, 2, 44, eps="layer", rope_freq_base=3000.0, rope_scaling_type=gguf.RopeScalingType.LINEAR,
              rope_scaling_factor=1.0)
    for i in range(2):
        norms(m, i, bias=True)
        attention(m, i, 6, 2, 8, fused=True, bias=True, out_bias=True)
        feed(m, i, 44, ("up",), bias=True)
    m.ends(norm_bias=True)
    m.close()


def deci(name):
    """Attention and both parts; its last product alone; no attention; neither; other heads and another width."""
    heads, kv_heads, widths = [6, 6, 0, 0, 4], [2, 0, 0, 0, 1], [44, 28, 36, 0, 20]
    m = Maker(name, "deci", 5, heads, kv_heads, widths, key_length=8, value_length=8, rope_dimension_count=8, rope_freq_base=3000.0)
    for i in range(5):
        if heads[i]:
            m.add(f"blk.{i}.attn_norm", m.width)
        if heads[i] and not kv_heads[i]:
            m.add(f"blk.{i}.attn_output", m.width, m.width)
        elif heads[i]:
            attention(m, i, heads[i], kv_heads[i], 8)
        if widths[i]:
            m.add(f"blk.{i}.ffn_norm", m.width)
            feed(m, i, widths[i])
    m.ends()
    m.close()


def plamo(name):
    m = Maker(name, "plamo", 3, 6, 2, 44)
    for i in range(3):
        m.add(f"blk.{i}.attn_norm", m.width)
        attention(m, i, 6, 2, 8)
        feed(m, i, 44)
    m.ends()
    m.close()


def plamo_layer(m, i, feed):
    """What all layers of PLaMo 2 and 3 have."""
    norms(m, i)
    for part in ("post_attention_norm", "post_ffw_norm"):
        m.add_plain(f"blk.{i}.{part}", m.random.standard_normal(m.width) * 0.2 + 0.4)
    m.add(f"blk.{i}.ffn_up", 2 * feed, m.width)
    m.add(f"blk.{i}.ffn_down", m.width, feed)


def plamo2(name, kinds, twin=None):
    """kinds: a for attention, m for Mamba: heads of 36 values, more than a block of columns. twin: a folder for the same model, of
    which all layers have heads: llama.cpp never finishes a text if the first layer has none, as in the converter's files."""
    heads, kv_heads, d, states, keys, values, feed = 6, 2, 10, 3, 12, 36, 44
    m = Maker(name, "plamo2", len(kinds), heads if twin else [heads * (kind == "a") for kind in kinds],
              [kv_heads * (kind == "a") for kind in kinds], feed, folder=twin or FOLDER, key_length=d, value_length=d, rope_freq_base=3000.0, ssm_state_size=keys, ssm_conv_kernel=4, ssm_time_step_rank=states,
              ssm_inner_size=states * values, ssm_group_count=0)
    inner, latent = states * values, max(64, m.width // 16)
    for i, kind in enumerate(kinds):
        plamo_layer(m, i, feed)
        if kind == "a":
            attention(m, i, heads, kv_heads, d, fused=True)
            for letter, n in (("q", heads), ("k", kv_heads)):
                m.writer.add_tensor(f"blk.{i}.attn_{letter}_norm.weight", (m.random.standard_normal((n, d)) * 0.4 + 1.5).astype(np.float32))
            continue
        m.add(f"blk.{i}.ssm_in", 2 * inner, m.width)
        m.writer.add_tensor(f"blk.{i}.ssm_conv1d.weight", (m.random.standard_normal((inner, 4)) * 0.7).astype(np.float32))
        m.add(f"blk.{i}.ssm_x", latent + 2 * keys, inner)
        m.add(f"blk.{i}.ssm_dt", states, latent, bias=True)
        for part, n in (("dt", latent), ("b", keys), ("c", keys)):
            m.add_plain(f"blk.{i}.ssm_{part}_norm", m.random.standard_normal(n) * 0.4 + 1)
        m.add_plain(f"blk.{i}.ssm_a", -np.exp(m.random.standard_normal(states) * 0.5 - 1))
        m.add_plain(f"blk.{i}.ssm_d", m.random.standard_normal(states) * 0.3 + 1)
        m.add(f"blk.{i}.ssm_out", m.width, inner)
    m.ends(head=name == "plamo2")
    m.close()


def plamo3(name, yarn):
    """llama.cpp rounds the bounds of YaRN. The base makes the upper one almost whole; the lower one is 0."""
    heads, kv_heads, key, value, feed, base, original = 6, 2, 10, 8, 44, 3000.0, 24
    keys = {}
    if yarn:
        base = float((original / (2 * np.pi)) ** (key / (2 * (2 - 1e-5))))
        keys = dict(rope_scaling_type=gguf.RopeScalingType.YARN, rope_scaling_factor=4.0, rope_scaling_orig_ctx_len=original)
    m = Maker(name, "plamo3", 5, heads, kv_heads, feed, key_length=key, value_length=value, rope_freq_base=base, **keys)
    if name == "plamo3":
        m.writer.add_sliding_window(7)
        m.writer.add_sliding_window_pattern(3)
    for i in range(5):
        plamo_layer(m, i, feed)
        m.add(f"blk.{i}.attn_qkv", (heads + kv_heads) * key + kv_heads * value, m.width)
        m.add(f"blk.{i}.attn_q_norm", key)
        m.add(f"blk.{i}.attn_k_norm", key)
        m.add(f"blk.{i}.attn_output", m.width, heads * value)
    m.ends(head=False)
    m.close()


def make_models():
    plamo("plamo")
    plamo2("plamo2", "ammam")
    plamo2("plamo2-mamba", MAMBA_FIRST)
    plamo3("plamo3", True)
    plamo3("plamo3-global", False)
    smallthinker("smallthinker", True, gguf.ExpertGatingFuncType.SIGMOID)
    smallthinker("smallthinker-global", False, gguf.ExpertGatingFuncType.SOFTMAX)
    chatglm("chatglm")
    refact("refact")
    codeshell("codeshell")
    orion("orion")
    baichuan("baichuan-7b", 32)
    baichuan("baichuan-13b", 40)
    minicpm("minicpm", embedding_scale=3.0, residual_scale=0.6, logit_scale=1.5)
    minicpm("minicpm-older")
    like_llama("qwen2vl", "qwen2vl", 2, 32, 8, bias=True, rope_freq_base=3000.0, rope_dimension_sections=[2, 1, 1, 0])
    bailingmoe2("bailingmoe2")
    deepseek("deepseek")
    deci("deci")
    rwkv.Maker(FOLDER / "rwkv7.gguf")
    rwkv.Maker(FOLDER / "arwkv7.gguf", "arwkv7", heads=1, layers=2, feed=36)
    rwkv.Maker(FOLDER / "arwkv7-plain.gguf", "arwkv7", heads=1, ranks=(6, 5, 4), layers=2, feed=36, norm=False)


def logprobs(path, texts):
    parameters = llama_cpp.llama_model_default_params()
    parameters.use_mmap = False
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
    assert model, "".join(LOG[-5:])
    options = llama_cpp.llama_context_default_params()
    options.n_ctx = options.n_batch = options.n_ubatch = CONTEXT
    options.type_k = options.type_v = llama_cpp.GGML_TYPE_F32
    options.flash_attn_type = 0
    options.n_threads = options.n_threads_batch = 1
    every = []
    for ids in texts:
        context = llama_cpp.llama_init_from_model(model, options)
        batch = llama_cpp.llama_batch_init(len(ids), 0, 1)
        batch.n_tokens = len(ids)
        for i, token in enumerate(ids):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = token, i, 1, 0, 1
        assert llama_cpp.llama_decode(context, batch) == 0
        rows = []
        for i in range(len(ids) - 1):
            logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(context, i), (VOCABULARY,)).astype(np.float64)
            top = logits.max()
            rows.append(round(float(logits[ids[i + 1]] - top - np.log(np.exp(logits - top).sum())), 7))
        every.append(rows)
        llama_cpp.llama_batch_free(batch)
        llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return every


def ids_of(path, texts):
    parameters = llama_cpp.llama_model_default_params()
    parameters.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
    assert model, "".join(LOG[-5:])
    vocab, found = llama_cpp.llama_model_get_vocab(model), []
    for text in texts:
        data = text.encode()
        ids = (llama_cpp.llama_token * (len(data) + 8))()
        n = llama_cpp.llama_tokenize(vocab, data, len(data), ids, len(ids), False, False)
        assert n >= 0
        found.append(list(ids[:n]))
    llama_cpp.llama_model_free(model)
    return found


def make_tokens(made_by):
    tokens = {"made_by": made_by, "vocabularies": {}}
    for name in llama_models.WITHOUT_IDS:
        tokens["vocabularies"][name] = ids_of(llama_models.vocabulary(name), llama_models.vocabulary_texts())
    texts = [text for text in plamo_vocabulary.texts(1, 80) if len(text) < 400]
    with tempfile.TemporaryDirectory() as folder:
        plamo_vocabulary.write(Path(folder) / "plamo2.gguf", 1)
        tokens["plamo2"] = list(zip(texts, ids_of(Path(folder) / "plamo2.gguf", texts), strict=True))
    (FOLDER / "tokens.json").write_text(json.dumps(tokens) + "\n")


def make_rwkv_tokens(made_by):
    every = []
    for seed in range(3):
        with tempfile.TemporaryDirectory() as folder:
            rwkv.write_vocabulary(Path(folder) / "vocabulary.gguf", rwkv.pieces(seed))
            every.append(ids_of(Path(folder) / "vocabulary.gguf", rwkv.texts_of_pieces(seed + 100, 100)))
    (FOLDER / "rwkv_tokens.json").write_text(json.dumps({"made_by": made_by, "ids": every}) + "\n")


def main():
    make_models()
    keep = llama_cpp.llama_log_callback(lambda level, text, user: LOG.append(text.decode()))
    llama_cpp.llama_log_set(keep, ctypes.c_void_p(0))
    path, chosen = FOLDER / "references.json", sys.argv[1:] or llama_models.NAMES
    models = dict.fromkeys(llama_models.NAMES)
    models.update(json.loads(path.read_text())["models"] if sys.argv[1:] else {})
    for name in chosen:
        with tempfile.TemporaryDirectory() as folder:
            file, texts = llama_models.file_of(name, Path(folder))
            if name == "plamo2-mamba":
                file = Path(folder) / file.name
                plamo2(name, MAMBA_FIRST, Path(folder))
            models[name] = [{"ids": ids, "logprobs": row} for ids, row in zip(texts, logprobs(file, texts), strict=True)]
        print(name, flush=True)
    made_by = f"llama-cpp-python {llama_cpp.__version__}, gguf {gguf.__version__ if hasattr(gguf, '__version__') else ''}".rstrip(", ")
    path.write_text(json.dumps({"made_by": made_by, "models": models}) + "\n")
    make_tokens(made_by)
    make_rwkv_tokens(made_by)


if __name__ == "__main__":
    main()

"""Random RWKV-7 models of any shape as GGUF files, and their log-probabilities in double precision with NumPy; vocabularies
of RWKV, and their rule."""
import random
import zlib

import convert
import gguf
import numpy as np

VOCABULARY, CONTEXT = 97, 96
LETTERS, ORDER = "wavg", "rwkvag"  # products of low rank; the order of mixtures in a file
HEAD_EPS = 64e-5


class Maker:
    """RWKV-7, or ARWKV-7 with RMS norms and a gated feed-forward part. ranks: of decay, rate, value and, perhaps, gate."""

    def __init__(self, path, arch="rwkv7", heads=2, dim=32, ranks=(6, 5, 4, 9), layers=3, feed=80, norm=True,
                 matrices=gguf.GGMLQuantizationType.F32):
        self.random = np.random.default_rng(zlib.crc32(path.stem.encode()))
        self.width, self.bias, self.matrices = heads * dim, arch == "rwkv7", matrices
        self.writer = writer = gguf.GGUFWriter(str(path), arch)
        writer.add_context_length(CONTEXT)
        writer.add_embedding_length(self.width)
        writer.add_block_count(layers)
        writer.add_head_count(0)
        writer.add_feed_forward_length(feed)
        (writer.add_layer_norm_eps if self.bias else writer.add_layer_norm_rms_eps)(1e-5)
        writer.add_wkv_head_size(dim)
        for add, rank in zip((writer.add_decay_lora_rank, writer.add_iclr_lora_rank, writer.add_value_residual_mix_lora_rank,
                              writer.add_gate_lora_rank), ranks):
            add(rank)
        if not self.bias:
            writer.add_token_shift_count(1)
        convert.add_vocabulary(writer, VOCABULARY)
        self.numbers("token_embd", (VOCABULARY, self.width), 0.7)
        if self.bias:
            self.norm("token_embd_norm")
        for i in range(layers):
            self.layer(f"blk.{i}.", ranks if i else (*ranks[:2], ranks[1], *ranks[3:]), feed, norm)
        self.norm("output_norm")
        self.matrix("output", VOCABULARY, self.width)
        for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
            step()

    def numbers(self, name, shape, deviation, mean=0.0, suffix=".weight"):
        self.writer.add_tensor(name + suffix, (self.random.standard_normal(shape) * deviation + mean).astype(np.float32))

    def norm(self, name, bias=None):
        self.numbers(name, self.width, 0.4, 1)
        if self.bias if bias is None else bias:
            self.numbers(name, self.width, 0.5, suffix=".bias")

    def matrix(self, name, n, k, quantized=True):
        values = (self.random.standard_normal((n, k)) * 1.4 / k**0.5).astype(np.float32)
        if quantized and self.matrices != gguf.GGMLQuantizationType.F32:
            self.writer.add_tensor(name + ".weight", gguf.quantize(values, self.matrices), raw_dtype=self.matrices)
        else:
            self.writer.add_tensor(name + ".weight", values)

    def layer(self, at, ranks, feed, norm):
        width = self.width
        self.norm(at + "attn_norm")
        self.norm(at + ("attn_norm_2" if self.bias else "ffn_norm"))
        for letter, rank in zip(LETTERS, ranks):
            self.matrix(f"{at}time_mix_{letter}1", rank, width, False)
            self.matrix(f"{at}time_mix_{letter}2", width, rank, False)
            if letter != "g":
                self.numbers(f"{at}time_mix_{letter}0", width, 1.5, -1.0 if letter == "w" else 0.0)
        self.writer.add_tensor(at + "time_mix_lerp_fused.weight", self.random.random((len(ranks) + 2, 1, 1, width)).astype(np.float32))
        for name, mean, deviation in (("k_k", 0.8, 0.4), ("k_a", 0.8, 0.4), ("r_k", 0.0, 0.5)):
            self.numbers(f"{at}time_mix_{name}", width, deviation, mean)
        for name in ("receptance", "key", "value", "output"):
            self.matrix(f"{at}time_mix_{name}", width, width)
        if norm:
            self.norm(at + "time_mix_ln", True)
        if self.bias:
            self.writer.add_tensor(at + "channel_mix_lerp_k.weight", self.random.random((1, 1, width)).astype(np.float32))
            self.matrix(at + "channel_mix_key", feed, width)
            self.matrix(at + "channel_mix_value", width, feed)
        else:
            for name in ("gate", "up"):
                self.matrix(f"{at}ffn_{name}", feed, width)
            self.matrix(at + "ffn_down", width, feed)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Reference:
    """The model in double precision, token by token."""

    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        self.tensors = {t.name: np.asarray(gguf.dequantize(t.data, t.tensor_type), np.float64).reshape(t.shape[::-1]) for t in reader.tensors}
        self.arch = reader.fields["general.architecture"].contents()
        self.dim = reader.fields[f"{self.arch}.wkv.head_size"].contents()
        self.layers = reader.fields[f"{self.arch}.block_count"].contents()

    def norm(self, name, x):
        weight, bias = (self.tensors.get(name + suffix) for suffix in (".weight", ".bias"))
        if bias is None:
            return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * weight
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred * centred).mean(-1, keepdims=True) + 1e-5) * weight + bias

    def time_mix(self, at, x, first):
        """x [tokens][width]."""
        def of(name):
            return self.tensors.get(f"{at}time_mix_{name}.weight")

        before = np.vstack([np.zeros_like(x[:1]), x[:-1]])
        mixed = {letter: x + (before - x) * row.reshape(-1) for letter, row in zip(ORDER, of("lerp_fused"))}
        r, k, v = (mixed[letter] @ of(name).T for letter, name in (("r", "receptance"), ("k", "key"), ("v", "value")))
        w = np.exp(-0.606531 * sigmoid(np.tanh(mixed["w"] @ of("w1").T) @ of("w2").T + of("w0")))
        a = sigmoid(mixed["a"] @ of("a1").T @ of("a2").T + of("a0"))
        if first is None:
            first = v
        else:
            v = v + (first - v) * sigmoid(mixed["v"] @ of("v1").T @ of("v2").T + of("v0"))
        heads = (len(x), -1, self.dim)
        z = (k * of("k_k")).reshape(heads)
        z = z / np.linalg.norm(z, axis=-1, keepdims=True)
        k = k * (1 + (a - 1) * of("k_a"))
        r, w, k, v, a = (y.reshape(heads) for y in (r, w, k, v, a))
        state, out = np.zeros((r.shape[1], self.dim, self.dim)), np.zeros_like(v)  # [heads][keys][values]
        for t in range(len(x)):
            seen = np.einsum("hk,hkv->hv", z[t], state)
            state = state * w[t][:, :, None] + k[t][:, :, None] * v[t][:, None] - (z[t] * a[t])[:, :, None] * seen[:, None]
            out[t] = np.einsum("hk,hkv->hv", r[t], state)
        if of("ln") is not None:
            centred = out - out.mean(-1, keepdims=True)
            normed = centred / np.sqrt((centred * centred).mean(-1, keepdims=True) + HEAD_EPS)
            out = (normed.reshape(x.shape) * of("ln") + self.tensors[at + "time_mix_ln.bias"]).reshape(heads)
        out = (out + v * (r * k * of("r_k").reshape(-1, self.dim)).sum(-1, keepdims=True)).reshape(x.shape)
        if of("g1") is not None:
            out = out * (sigmoid(mixed["g"] @ of("g1").T) @ of("g2").T)
        return out @ of("output").T, first

    def feed(self, at, x):
        def of(name):
            return self.tensors[f"{at}{name}.weight"]

        if self.arch == "arwkv7":
            gate = x @ of("ffn_gate").T
            return (gate * sigmoid(gate) * (x @ of("ffn_up").T)) @ of("ffn_down").T
        before = np.vstack([np.zeros_like(x[:1]), x[:-1]])
        mixed = x + (before - x) * of("channel_mix_lerp_k").reshape(-1)
        return np.maximum(mixed @ of("channel_mix_key").T, 0) ** 2 @ of("channel_mix_value").T

    def logprobs(self, ids):
        x, first = self.tensors["token_embd.weight"][ids], None
        if self.arch == "rwkv7":
            x = self.norm("token_embd_norm", x)
        for i in range(self.layers):
            at = f"blk.{i}."
            added, first = self.time_mix(at, self.norm(at + "attn_norm", x), first)
            x = x + added
            x = x + self.feed(at, self.norm(at + ("attn_norm_2" if self.arch == "rwkv7" else "ffn_norm"), x))
        logits = self.norm("output_norm", x) @ self.tensors["output.weight"].T
        logits -= logits.max(-1, keepdims=True)
        logprobs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        return [float(logprobs[i, ids[i + 1]]) for i in range(len(ids) - 1)]


# Bytes of which several tokens and escapes are made; a piece may begin or end within a character.
LETTERS_OF_PIECES = "abc .\n\t\r'\"\\é漢🙂\x7f".encode()


def pieces(seed, n=400):
    """The bytes of tokens 1, 2, ...: all single bytes, in another order, and n longer ones."""
    rng = random.Random(seed)
    found = dict.fromkeys(bytes([byte]) for byte in rng.sample(range(256), 256))
    while len(found) < 256 + n:
        start = rng.randrange(len(LETTERS_OF_PIECES))
        run = LETTERS_OF_PIECES[start : start + rng.randint(1, 5)] if rng.random() < 0.4 else b""
        found[run + bytes(rng.choice(LETTERS_OF_PIECES) for _ in range(rng.randint(1, 4)))] = None
    return list(found)


def write_vocabulary(path, tokens):
    """As llama.cpp's converter writes it: Python's notation of bytes, between a control token and unused ones."""
    writer = gguf.GGUFWriter(str(path), "rwkv7")
    writer.add_tokenizer_model("rwkv")
    writer.add_token_list([b"<s>", *(repr(token)[2:-1].encode() for token in tokens), b"[PAD0]", b"[PAD1]"])
    writer.add_token_types([gguf.TokenType.CONTROL, *[gguf.TokenType.NORMAL] * len(tokens), *[gguf.TokenType.UNUSED] * 2])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_eot_token_id(5)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.close):
        step()


def texts_of_pieces(seed, n):
    rng = random.Random(seed)
    characters = LETTERS_OF_PIECES.decode() + "xyzß€"
    return ["".join(rng.choice(characters) for _ in range(rng.randint(1, 60))) for _ in range(n)]


def cut(tokens, text):
    """The rule: from left to right, the longest token."""
    ids, data, found, at = {token: i + 1 for i, token in enumerate(tokens)}, text.encode(), [], 0
    longest = max(map(len, tokens))
    while at < len(data):
        size = next(size for size in range(longest, 0, -1) if data[at : at + size] in ids)
        found.append(ids[data[at : at + size]])
        at += size
    return found

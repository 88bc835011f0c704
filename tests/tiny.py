"""Tiny random models as GGUF files, one per architecture, in float32 with fixed seeds.

Norms and biases are random too, and logits spread by about 3, so that dropping any part of a model changes the results.
The vocabulary has every byte, so that any text works; a few merges or pieces make words of more than one token.
"""
import gguf
import numpy as np

CONTEXT, WIDTH, LAYERS, HEADS, KV_HEADS, HEAD_DIM, FEED, WINDOW = 128, 32, 2, 4, 2, 8, 56, 12
MERGES = ["h e", "t he", "Ġ the", "i n", "Ġ a", "e r", "o n", "Ġ w", "Ġ y", "e s", "Ġy es", "n o", "Ġ no", "r e"]
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
PIECES = ["the", "▁the", "▁a", "▁yes", "▁no", "in", "er", "on", "he", "▁w", "▁y", "es", "▁n", "re"]
TYPE = gguf.TokenType


def byte_letters():
    """GPT-2's printable character for each byte: printable Latin-1 stays; the others follow from U+0100 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable}
    letters.update({byte: chr(256 + i) for i, byte in enumerate(others)})
    return [letters[byte] for byte in range(256)]


def add_byte_level(writer, pre):
    """Byte-level BPE: special tokens, 256 bytes, one token per merge. Returns the number of tokens."""
    tokens = SPECIALS + byte_letters() + [merge.replace(" ", "") for merge in MERGES]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([TYPE.CONTROL] * len(SPECIALS) + [TYPE.NORMAL] * (len(tokens) - len(SPECIALS)))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)
    return len(tokens)


def add_sentencepiece(writer):
    """SentencePiece BPE like Gemma's: BOS first, bytes as a fallback, no space added before a text."""
    first = [("<pad>", TYPE.CONTROL), ("<eos>", TYPE.CONTROL), ("<bos>", TYPE.CONTROL), ("<unk>", TYPE.UNKNOWN),
             ("<start_of_turn>", TYPE.CONTROL), ("▁▁", TYPE.USER_DEFINED)]
    first += [(f"<0x{byte:02X}>", TYPE.BYTE) for byte in range(256)]
    pieces = PIECES + ["▁"] + [chr(letter) for letter in range(ord("!"), ord("~") + 1)]
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([text for text, _ in first] + pieces)
    writer.add_token_scores([0.0] * len(first) + [-float(i) for i in range(len(pieces))])
    writer.add_token_types([kind for _, kind in first] + [TYPE.NORMAL] * len(pieces))
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(3)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    return len(first) + len(pieces)


class Weights:
    """Random tensors with their names in GGUF files."""

    def __init__(self, writer, seed):
        self.writer, self.random = writer, np.random.default_rng(seed)

    def matrix(self, name, outputs, inputs, scale=1.0):
        values = self.random.standard_normal((outputs, inputs)) * scale / np.sqrt(inputs)
        self.writer.add_tensor(name + ".weight", values.astype(np.float32))

    def vector(self, name, n, mean, deviation):
        self.writer.add_tensor(name, (mean + deviation * self.random.standard_normal(n)).astype(np.float32))

    def norm(self, name, n):
        self.vector(name + ".weight", n, 1.0, 0.3)

    def biased(self, name, outputs, inputs):
        self.matrix(name, outputs, inputs)
        self.vector(name + ".bias", outputs, 0.0, 0.3)

    def biased_norm(self, name, n):
        self.norm(name, n)
        self.vector(name + ".bias", n, 0.0, 0.3)


def gated_layer(weights, prefix, gemma3):
    weights.norm(prefix + "attn_norm", WIDTH)
    weights.matrix(prefix + "attn_q", HEADS * HEAD_DIM, WIDTH, 1.5)
    weights.matrix(prefix + "attn_k", KV_HEADS * HEAD_DIM, WIDTH, 1.5)
    weights.matrix(prefix + "attn_v", KV_HEADS * HEAD_DIM, WIDTH)
    weights.matrix(prefix + "attn_output", WIDTH, HEADS * HEAD_DIM)
    if gemma3:
        weights.norm(prefix + "attn_q_norm", HEAD_DIM)
        weights.norm(prefix + "attn_k_norm", HEAD_DIM)
        weights.norm(prefix + "post_attention_norm", WIDTH)
        weights.norm(prefix + "post_ffw_norm", WIDTH)
    weights.norm(prefix + "ffn_norm", WIDTH)
    weights.matrix(prefix + "ffn_gate", FEED, WIDTH)
    weights.matrix(prefix + "ffn_up", FEED, WIDTH)
    weights.matrix(prefix + "ffn_down", WIDTH, FEED)


def gpt2_layer(weights, prefix):
    weights.biased_norm(prefix + "attn_norm", WIDTH)
    weights.biased(prefix + "attn_qkv", 3 * WIDTH, WIDTH)
    weights.biased(prefix + "attn_output", WIDTH, WIDTH)
    weights.biased_norm(prefix + "ffn_norm", WIDTH)
    weights.biased(prefix + "ffn_up", FEED, WIDTH)
    weights.biased(prefix + "ffn_down", WIDTH, FEED)


def make(path, architecture, seed=1, split=0):
    """Writes a model of the architecture ("llama", "gemma3", "gpt2") to path; with `split`, to parts
    NAME-00001-of-0000N.gguf beside it, with `split` tensors each."""
    gpt2, gemma3 = architecture == "gpt2", architecture == "gemma3"
    layers = 7 if gemma3 else LAYERS  # Gemma's sixth layer is the first with full attention
    writer = gguf.GGUFWriter(str(path), architecture, split_max_tensors=split)
    writer.add_name(f"tiny {architecture}")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(FEED)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS if gpt2 else KV_HEADS)
    if gpt2:
        writer.add_layer_norm_eps(1e-5)
    else:
        writer.add_layer_norm_rms_eps(1e-6)
        writer.add_key_length(HEAD_DIM)
        writer.add_value_length(HEAD_DIM)
        writer.add_rope_dimension_count(HEAD_DIM)
        writer.add_rope_freq_base(1e6 if gemma3 else 1e4)
    if gemma3:
        writer.add_sliding_window(WINDOW)
    tokens = add_sentencepiece(writer) if gemma3 else add_byte_level(writer, "gpt-2" if gpt2 else "smollm")

    weights = Weights(writer, seed)
    # Rows have length about 3, so that the head of a tied model gives logits with that spread.
    weights.matrix("token_embd", tokens, WIDTH, 3.0)
    if gpt2:
        weights.matrix("position_embd", CONTEXT, WIDTH)
    for i in range(layers):
        gpt2_layer(weights, f"blk.{i}.") if gpt2 else gated_layer(weights, f"blk.{i}.", gemma3)
    weights.biased_norm("output_norm", WIDTH) if gpt2 else weights.norm("output_norm", WIDTH)
    if architecture == "llama":
        weights.matrix("output", tokens, WIDTH, 3.0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path

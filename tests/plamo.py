"""A random vocabulary of the kind of PLaMo 2, as a GGUF file, and its definition in plain Python."""
import random

import corpus
import gguf
import numpy as np

SPECIAL = ["<|plamo:unk|>", "<|plamo:bos|>", "<|plamo:eos|>", "<|plamo:pad|>", "<|plamo:op|>"]
PADS = 3
PIECES = 1500


def pieces(seed):
    """{text: score}: parts of sentences. Some scores are equal, some are so low that the bytes are better, and some so
    low that the token is never used."""
    rng = random.Random(seed)
    found = {}
    sentences = [*corpus.SENTENCES, *corpus.WORDS, *corpus.SPACES, "aaaaaaaa", "abababab", "  \n\n  "]
    for text in "".join(sentences):
        if rng.random() < 0.9:
            found.setdefault(text, 0.0)
    while len(found) < PIECES:
        text = rng.choice(sentences)
        at = rng.randrange(len(text))
        found.setdefault(text[at : at + rng.randint(1, 9)], 0.0)
    for text in found:
        kind = rng.randrange(20)
        score = rng.choice([-2.0, -3.5, -5.0]) if kind < 8 else -rng.uniform(1, 14) if kind < 17 else [-990.0, -1200.0, -2000.0][kind - 17]
        found[text] = float(np.float32(score))
    return found


def tokens(seed):
    """(texts, scores, types) by id."""
    normal = pieces(seed)
    texts = SPECIAL + [f"<0x{byte:02X}>" for byte in range(256)] + list(normal) + [f"[PAD{i}]" for i in range(1, PADS + 1)]
    scores = [0.0] * (len(SPECIAL) + 256) + list(normal.values()) + [-1000.0] * PADS
    kinds = gguf.TokenType
    types = [kinds.UNKNOWN] + [kinds.CONTROL] * (len(SPECIAL) - 1) + [kinds.BYTE] * 256 + [kinds.NORMAL] * len(normal) + [kinds.UNUSED] * PADS
    return texts, scores, types


def write(path, seed):
    """The keys are those of llama.cpp's converter."""
    texts, scores, types = tokens(seed)
    writer = gguf.GGUFWriter(str(path), "plamo2")
    writer.add_tokenizer_model("plamo2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([text.encode() for text in texts])
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(3)
    writer.add_unk_token_id(0)
    writer.add_eot_token_id(4)
    writer.add_add_space_prefix(False)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.close):
        step()


def encode(seed):
    """A function from a text to its ids, by trying all pieces at every place, from the end of the text on."""
    texts, scores, types = tokens(seed)
    units = {}
    for i, (text, score, kind) in enumerate(zip(texts, scores, types)):
        unit = int(np.floor(abs(score) * 1e4 + 0.5)) * (-1 if score < 0 else 1)
        if kind == gguf.TokenType.NORMAL and unit > -20000000:
            units[text] = (unit, i)
    longest = max(map(len, units))

    def ids(text):
        text = text.removeprefix("\ufeff")
        best = [(0, [])] * (len(text) + 1)  # cost and ids, the last one first
        for at in range(len(text) - 1, -1, -1):
            ways = [(best[at + n][0] - units[text[at : at + n]][0], n, units[text[at : at + n]][1])
                    for n in range(min(longest, len(text) - at), 0, -1) if text[at : at + n] in units]
            unknown = (best[at + 1][0] + 10000000, 1, None)
            cost, n, token = min([*ways, unknown], key=lambda way: way[0])  # of equal ones the first
            own = [len(SPECIAL) + byte for byte in reversed(text[at].encode())] if token is None else [token]
            best[at] = (cost, (n, own))
        result, at = [], 0
        while at < len(text):
            n, own = best[at][1]
            result += reversed(own)
            at += n
        return result

    return ids


def texts(seed, n):
    """Without the texts of control tokens and fillers, which llama.cpp takes for pieces."""
    rng = random.Random(seed)
    found = corpus.random_texts(seed, n) + ["".join(rng.choice(corpus.SENTENCES)[: rng.randint(1, 40)] for _ in range(3)) for _ in range(n)]
    found += ["\ufeffab", "\ufeff", "a\ufeffb", "abababababa", "aaaaaaaaaaaaaaaaaaa"]
    return [text for text in found if "<|plamo:" not in text and "[PAD" not in text and "\0" not in text]

"""Random tokenizers, made with the tokenizers package: small trained BPE and Unigram models, each with its own
normalizer, pre-tokenizer, added tokens and post-processor."""
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

BEHAVIORS = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
PATTERNS = [r"\s+", r"\d", r"\p{N}{1,3}", r"[^\r\n\p{L}\p{N}]?\p{L}+", r"\w+|[^\w\s]+", r"(?i:'s|'t|'ll)|\p{Lu}?\p{Ll}+",
            r"\s+(?!\S)|\s+", r"[\p{P}\p{S}]+", r"[一-龥぀-ゟ゠-ヿ]+", r"^a|b$", r"\ba", r"[^\S\n]+", r"(?=\p{Lu})", r"a{,2}e",
            r"\p{Han}+", r".(?<=e)", r"\h+", r"[\w-]+", r"\P{L}+", r" ?[^(\s|[.,!?…。，、।۔،])]+", r"[\p{Lu}\p{M}&&[^\p{Han}]]+", r"[\W_]", r"x*"]


def charsmap(entries):
    """A character map of sentencepiece: a double array (darts-clone) of texts, and their replacements."""
    trie, blob = {}, b""
    for text, replacement in entries.items():
        node = trie
        for byte in text.encode():
            node = node.setdefault(byte, {})
        node[None] = len(blob)
        blob += replacement.encode() + b"\0"
    units, used = {0: 0}, {0}

    def place(at, node):
        labels = [0 if byte is None else byte for byte in node]
        offset = next(o for o in range(1, 1 << 20) if all((at ^ o ^ label) not in used for label in labels))
        units[at] |= offset << 10 | (0x100 if None in node else 0)
        used.update(at ^ offset ^ label for label in labels)
        for byte, child in node.items():
            units[at ^ offset ^ (byte or 0)] = (0x80000000 | child) if byte is None else byte
        for byte, child in node.items():
            if byte is not None:
                place(at ^ offset ^ byte, child)

    place(0, trie)
    array = b"".join(units.get(i, 0).to_bytes(4, "little") for i in range((max(units) | 0xff) + 1))
    return len(array).to_bytes(4, "little") + array + blob


CHARSMAP = charsmap({"\u00e9": "e", "e\u0301": "E", "\u0301": "", "\t": " ", "\u3000": " ", "ﬁ": "fi", "漢": "漢字", "ab": "x",
                     "½": "1/2", "\U0001f999": "llama", "Å": "a", "a\u0301\u0323": "q"})


def normalizer(rng, depth=0):
    kind = rng.randrange(17 if depth == 0 else 14)
    if kind == 16 or kind == 12:
        return normalizers.Precompiled(CHARSMAP)
    if kind == 0:
        return normalizers.NFC()
    if kind == 1:
        return normalizers.NFD()
    if kind == 2:
        return normalizers.NFKC()
    if kind == 3:
        return normalizers.NFKD()
    if kind == 4:
        return normalizers.Lowercase()
    if kind == 5:
        return normalizers.StripAccents()
    if kind == 6:
        return normalizers.Strip(rng.random() < 0.5, rng.random() < 0.5)
    if kind == 7:
        return normalizers.Prepend(rng.choice(["▁", "ab", " "]))
    if kind == 8:
        return normalizers.Replace(*rng.choice([(" ", "▁"), ("a", ""), ("''", '"'), ("e", "éx"), ("ab", "漢")]))
    if kind == 9:
        return normalizers.Replace(Regex(rng.choice([r"\s+", r" {2,}", r"\d", "x*", r"\p{M}"])), rng.choice(["", " ", "▁", "e"]))
    if kind == 10:
        return normalizers.Nmt()
    if kind == 11:
        return normalizers.ByteLevel()
    if kind >= 14:
        return normalizers.Sequence([normalizer(rng, 1) for _ in range(rng.randint(0, 4))])
    return None if depth == 0 else normalizers.NFC()


def pre_tokenizer(rng, depth=0):
    kind = rng.randrange(13 if depth == 0 else 9)
    if kind == 0:
        return pre_tokenizers.ByteLevel(add_prefix_space=rng.random() < 0.4, use_regex=rng.random() < 0.6)
    if kind in (1, 2):
        pattern = Regex(rng.choice(PATTERNS)) if rng.random() < 0.8 else rng.choice([" ", "▁", "ab", "."])
        return pre_tokenizers.Split(pattern, rng.choice(BEHAVIORS), invert=rng.random() < 0.3)
    if kind == 3:
        return pre_tokenizers.Digits(individual_digits=rng.random() < 0.5)
    if kind == 4:
        return pre_tokenizers.Metaspace("▁", rng.choice(["always", "first", "never"]), rng.random() < 0.7)
    if kind == 5:
        return pre_tokenizers.Whitespace()
    if kind == 6:
        return pre_tokenizers.WhitespaceSplit()
    if kind == 7:
        return pre_tokenizers.Punctuation(rng.choice(BEHAVIORS))
    if kind == 8:
        return rng.choice([pre_tokenizers.CharDelimiterSplit("a"), pre_tokenizers.BertPreTokenizer()])
    if kind == 9:
        return None
    return pre_tokenizers.Sequence([pre_tokenizer(rng, 1) for _ in range(rng.randint(0, 3))])


def bpe(rng):
    unknown = rng.choice([None, "<unk>"])
    options = {"byte_fallback": rng.random() < 0.4, "fuse_unk": rng.random() < 0.5, "ignore_merges": rng.random() < 0.3}
    affixes = {}
    if rng.random() < 0.2:
        affixes["continuing_subword_prefix"] = rng.choice(["##", "é"])
    if rng.random() < 0.2:
        affixes["end_of_word_suffix"] = rng.choice(["</w>", "e"])
    model = models.BPE(unk_token=unknown, **options, **affixes)
    alphabet = pre_tokenizers.ByteLevel.alphabet() if rng.random() < 0.6 else list("abcdeABC ▁é")
    special = (["<unk>"] if unknown else []) + ["<s>", "</s>"]
    if options["byte_fallback"]:
        special += [f"<0x{b:02X}>" for b in range(256) if b < 0xf0 or rng.random() < 0.9]
    # With a continuing_subword_prefix, a vocabulary that is cut off lacks pieces that its merges make.
    return model, trainers.BpeTrainer(vocab_size=rng.choice([300, 500, 900]) + len(special), special_tokens=special,
                                      initial_alphabet=alphabet, limit_alphabet=rng.choice([60, 400]),
                                      show_progress=False, **affixes)


def unigram(rng, corpus):
    """Pieces from the corpus with random scores, some of them equal. Training would take seconds."""
    pieces = {"<unk>": 0.0, "<s>": 0.0, "</s>": 0.0}
    if rng.random() < 0.4:
        pieces.update((f"<0x{b:02X}>", 0.0) for b in range(256) if b < 0xf0 or rng.random() < 0.9)
    for c in "abcdeABC ▁é.":
        pieces[c] = -rng.randint(4, 9)
    while len(pieces) < 900:
        text = rng.choice(corpus).replace(" ", rng.choice(" ▁"))
        at = rng.randrange(len(text) + 1)
        piece = text[at:at + rng.randint(1, 7)]
        if piece:
            pieces[piece] = rng.choice([-rng.randint(3, 9) * len(piece), round(-rng.random() * 12, rng.randint(1, 16))])
    unknown = None if rng.random() < 0.1 else 0
    return models.Unigram(list(pieces.items()), unknown, rng.random() < 0.5)


def added_tokens(rng):
    contents = rng.sample(["<|end|>", "[SEP]", "ab", "é", "a b", "▁", "\n\n", " x", "<s>", "Ab", "漢", "don", "1", "<tool>",
                           "<|", "e\u0301", "  "], rng.randint(0, 7))
    return [AddedToken(c, single_word=rng.random() < 0.3, lstrip=rng.random() < 0.3, rstrip=rng.random() < 0.3,
                       normalized=rng.random() < 0.5, special=rng.random() < 0.4) for c in contents]


def character_class(rng, depth=0):
    """A character class that contains classes: unions, negations, intersections."""
    sides = []
    for _ in range(rng.choice([1, 1, 1, 2])):
        items = [character_class(rng, depth + 1) if depth < 2 and rng.random() < 0.3 else rng.choice(
            ["a", "é", "漢", "b-y", "А-Я", "0-9", r"\s", r"\d", r"\w", r"\p{L}", r"\p{Lu}", r"\P{N}", r"\p{Han}", r"\W", r"\S",
             r"\]", r"\[", r"\-", r"\^", "|", "(", ".", "'"]) for _ in range(rng.randint(1, 3))]
        sides.append("".join(items))
    return ("[^" if rng.random() < 0.3 else "[") + "&&".join(sides) + "]"


def byte_tokenizer(normalizer, pre, added=()):
    """A tokenizer whose ids are its added tokens and the bytes of the text after normalizer and pre-tokenizer."""
    tokenizer = Tokenizer(models.BPE({f"<0x{b:02X}>": b for b in range(256)}, [], byte_fallback=True))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre
    tokenizer.add_tokens(list(added))
    return tokenizer.to_str()


def make_front(seed):
    """Random steps, followed by a Metaspace that asks whether a piece is at the beginning of the text."""
    rng = random.Random(seed)
    steps = [normalizer(rng, 1) for _ in range(rng.randint(0, 4))]
    pres = [pre_tokenizer(rng, 1) for _ in range(rng.choice([0, 0, 1, 2]))]
    added = [AddedToken(c, single_word=rng.random() < 0.2, lstrip=rng.random() < 0.3, rstrip=rng.random() < 0.3,
                        normalized=rng.random() < 0.3, special=rng.random() < 0.3)
             for c in rng.sample(["a", "x", "é", "ab", " x", "▁", "e\u0301", "\n"], rng.choice([0, 0, 1, 2, 3]))]
    last = pre_tokenizers.Metaspace("▁", "first", rng.random() < 0.3)
    return byte_tokenizer(normalizers.Sequence(steps), pre_tokenizers.Sequence([*pres, last]), added)


# Beginnings of texts that normalizers remove, prefix, decompose and compose.
FRONTS = ["é", "e\u0301", "a", "ab", "aa", "İ", "ﬁ", "\u0301", "\u0323", " ", "  ", "x", "\t", "½", "\u1100\u1161", "각",
          "\u1100", "\u1161", "\u11a8", "\u0344", "Å", "漢", "A", "e", "▁", "\u0958", "\u0fb2\u0f71\u0f80", "ǆ", "\n", "b",
          "\u200b", "\x01", "''", "1"]


def make(seed, corpus):
    """A tokenizer, trained on a part of the corpus."""
    import json

    rng = random.Random(seed)
    is_bpe = rng.random() < 0.6
    model, trainer = bpe(rng) if is_bpe else (unigram(rng, corpus), None)
    tokenizer = Tokenizer(model)
    if (step := normalizer(rng)) is not None:
        tokenizer.normalizer = step
    if (step := pre_tokenizer(rng)) is not None:
        tokenizer.pre_tokenizer = step
    if is_bpe:
        tokenizer.train_from_iterator([text[:200] for text in rng.sample(corpus, min(len(corpus), 150))], trainer)
    tokenizer.add_tokens(added_tokens(rng))
    tokenizer.decoder = rng.choice([decoders.ByteLevel(), decoders.Metaspace(), decoders.Fuse()])
    if rng.random() < 0.4:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[(t, tokenizer.token_to_id(t)) for t in ("<s>", "</s>")])
    text = json.loads(tokenizer.to_str())
    return json.dumps(text, ensure_ascii=rng.random() < 0.5)

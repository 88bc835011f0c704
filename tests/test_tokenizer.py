"""`capp tokenize` against golden ids and against the tokenizers package, on text of many scripts."""
import json
import lzma
import random
import subprocess

import pytest

tokenizers = pytest.importorskip("tokenizers")
gguf = pytest.importorskip("gguf")

# The scripts that random characters come from; ASCII more often than others.
BLOCKS = [(0x20, 0x7e)] * 6 + [
    (0, 0x2ff), (0x300, 0x36f), (0x370, 0x52f), (0x590, 0x6ff), (0x900, 0xdff), (0xe00, 0xfff), (0x1000, 0x18af),
    (0x1e00, 0x1fff), (0x2000, 0x2bff), (0x2c00, 0x2fff), (0x3000, 0x30ff), (0x4e00, 0x9fff), (0xac00, 0xd7a3),
    (0xf900, 0xfaff), (0xfb00, 0xffff), (0x10000, 0x12fff), (0x13000, 0x18fff), (0x1b000, 0x1b2ff), (0x1d000, 0x1e8ff),
    (0x1e900, 0x1ffff), (0x20000, 0x323af), (0xe0000, 0xe01ef), (0x10fff0, 0x10ffff)]
SPACES = [" ", "  ", "\n", "\n\n", "\r\n", "\t", " \n", "   ", "\u00a0", "\u2003", "\u3000", "\u180e", "\x0b", "\x0c",
          "\x85", "\u2028", "\u200b", "\ufeff"]
WORDS = ("the of because naïve Ωmega Straße COPA getHTTPResponse snake_case don't I'LL we'Ve he's x'ſ ’s "
         "http://a.b/c?d=e 1984 3.14159 1,000,000 ½ Ⅻ ٣٤٥ 漢字 ひらがな 한국어 हिन्दी ไทย עברית العربية 🦙 👩‍👩‍👧 é "
         "e\u0301 <|im_end|> </s>").split()


def random_texts(seed, n):
    rng = random.Random(seed)

    def character(block=None):
        while True:
            c = rng.randint(*(block or rng.choice(BLOCKS)))
            if not 0xd800 <= c < 0xe000:
                return chr(c)

    def piece():
        kind = rng.randrange(7)
        if kind < 2:
            return " " * kind + rng.choice(WORDS)
        if kind == 2:
            return rng.choice(SPACES) * (1 if rng.random() < 0.7 else rng.randint(2, 40))
        if kind == 3:
            return str(rng.randrange(10 ** rng.randint(1, 12)))
        if kind == 4:
            return "".join(rng.choice("!\"#$%&'()*+,-./:;=?@[]^_`{|}~") for _ in range(rng.randint(1, 8)))
        if kind == 5:
            block = rng.choice(BLOCKS)
            return "".join(character(block) for _ in range(rng.randint(1, 12)))
        return rng.choice("aAbé漢😀ß\u0301") * rng.randint(1, 100)

    return ["".join(piece() for _ in range(rng.randint(1, 30))) for _ in range(n)]


@pytest.fixture(scope="module")
def texts():
    everything = "".join(chr(c) for c in range(0x110000) if not 0xd800 <= c < 0xe000)
    return random_texts(1, 2000) + [everything[i:i + 4096] for i in range(0, 0x34000, 4096)]


def tokenize(capp, model, path, texts, *options):
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    run = subprocess.run([capp, "tokenize", "-m", str(model), *options, str(path)], stdout=subprocess.PIPE, check=True)
    rows = [json.loads(line)["ids"] for line in run.stdout.splitlines()]
    assert len(rows) == len(texts)
    return rows


def check(capp, model, path, texts, peer):
    """Where the special tokens of both are not to be found, ids are equal."""
    special = [t.content for t in peer.get_added_tokens_decoder().values() if t.special or not t.normalized]
    texts = [text for text in texts if not any(token in text for token in special)]
    assert len(texts) > 1000
    expected = [encoding.ids for encoding in peer.encode_batch(texts, add_special_tokens=False)]
    for text, mine, theirs in zip(texts, tokenize(capp, model, path, texts, "--no-bos"), expected):
        assert mine == theirs, ascii(text)


@pytest.mark.parametrize("name", ["smollm2", "gemma3"])
@pytest.mark.parametrize("data", ["copa-dev", "banking77"])
def test_golden_ids(capp, shared, request, tmp_path, name, data):
    model = request.getfixturevalue(name)
    with open(f"{shared}/golden/{data}.{name}.jsonl", encoding="utf-8") as file:
        golden = [json.loads(line) for line in file]
    prompts = tokenize(capp, model, tmp_path / "in.jsonl", [g["prompt"] for g in golden])
    assert prompts == [g["prompt_ids"] for g in golden]
    completions = [c for g in golden for c in g["completions"]]
    ids = tokenize(capp, model, tmp_path / "in.jsonl", [" " + c["text"] for c in completions], "--no-bos")
    assert ids == [c["ids"] for c in completions]


def test_smollm2(capp, smollm2, tmp_path, texts):
    fields = gguf.GGUFReader(smollm2).fields
    tokens, kinds, merges = (fields["tokenizer.ggml." + key].contents() for key in ("tokens", "token_type", "merges"))
    peer = tokenizers.Tokenizer(tokenizers.models.BPE({token: i for i, token in enumerate(tokens)},
                                                      [tuple(merge.split(" ")) for merge in merges]))
    pre = tokenizers.pre_tokenizers
    peer.pre_tokenizer = pre.Sequence([pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=False)])
    peer.add_special_tokens([t for t, kind in zip(tokens, kinds) if kind == gguf.TokenType.CONTROL])
    check(capp, smollm2, tmp_path / "in.jsonl", texts, peer)


def sentencepiece_peer(model):
    """The merges that the pieces' scores stand for, best first; user-defined pieces as added tokens."""
    fields = gguf.GGUFReader(model).fields
    tokens, kinds, scores = (fields["tokenizer.ggml." + key].contents() for key in ("tokens", "token_type", "scores"))
    ids = {token: i for i, token in enumerate(tokens)}
    merges = []
    for token, kind, score in zip(tokens, kinds, scores):
        if kind != gguf.TokenType.NORMAL:
            continue
        cuts = [(token[:k], token[k:]) for k in range(1, len(token)) if token[:k] in ids and token[k:] in ids]
        merges += [(-score, *cut) for cut in sorted(cuts, key=lambda cut: (ids[cut[0]], ids[cut[1]]))]
    merges.sort(key=lambda merge: merge[0])
    unknown = tokens[fields["tokenizer.ggml.unknown_token_id"].contents()]
    peer = tokenizers.Tokenizer(tokenizers.models.BPE(ids, [merge[1:] for merge in merges], fuse_unk=True,
                                                      byte_fallback=True, unk_token=unknown))
    prefix = fields.get("tokenizer.ggml.add_space_prefix")
    steps = [] if prefix and not prefix.contents() else [tokenizers.normalizers.Prepend("▁")]
    peer.normalizer = tokenizers.normalizers.Sequence([*steps, tokenizers.normalizers.Replace(" ", "▁")])
    peer.add_special_tokens([t for t, kind in zip(tokens, kinds) if kind == gguf.TokenType.CONTROL])
    peer.add_tokens([tokenizers.AddedToken(t, normalized=True) for t, kind in zip(tokens, kinds)
                     if kind == gguf.TokenType.USER_DEFINED])
    return peer


def test_gemma3(capp, gemma3, tmp_path, texts):
    check(capp, gemma3, tmp_path / "in.jsonl", texts, sentencepiece_peer(gemma3))


def test_llama_spm(capp, shared, tmp_path, texts):
    model = f"{shared}/data/vocabs/ggml-vocab-llama-spm.gguf"
    check(capp, model, tmp_path / "in.jsonl", texts, sentencepiece_peer(model))


@pytest.mark.parametrize("peer, vocabulary", [("gpt2", "gpt-2"), ("llama3", "llama-bpe"), ("qwen3", "qwen2")])
def test_published_tokenizers(capp, shared, tmp_path, texts, peer, vocabulary):
    """tokenizer.json of the models themselves, where the vocabulary in the GGUF file is the same."""
    peer = tokenizers.Tokenizer.from_str(lzma.open(f"{shared}/data/tokenizers/{peer}.json.xz").read().decode())
    if peer.normalizer:  # NFC, which GGUF files do not mention
        texts = [text for text in texts if peer.normalizer.normalize_str(text) == text]
    check(capp, f"{shared}/data/vocabs/ggml-vocab-{vocabulary}.gguf", tmp_path / "in.jsonl", texts, peer)


def test_detached_spaces(capp, smollm2, tmp_path):
    """What makes CAPPr's rule: a prompt and a completion with its space, tokenised apart, are the text's own ids."""
    whole, prompt, completion = tokenize(capp, smollm2, tmp_path / "in.jsonl", ["a b", "a", " b"], "--no-bos")
    assert whole == prompt + completion


def test_invalid_utf8_is_an_error(capp, smollm2):
    run = subprocess.run([capp, "tokenize", "-m", str(smollm2)], input=b'{"text": "ab\xff"}\n', capture_output=True)
    assert run.returncode == 2 and run.stdout == b""
    assert run.stderr.count(b"\n") == 1

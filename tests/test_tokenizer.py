"""`capp tokenize` against golden ids and against the tokenizers package, on text of many scripts."""
import json
import lzma
import random
import re
import subprocess
from pathlib import Path

import llama_models
import pretokenizers
import pytest
import rwkv
from corpus import everything, random_texts, training_texts
from random_tokenizers import charsmap

tokenizers = pytest.importorskip("tokenizers")
gguf = pytest.importorskip("gguf")


RWKV_TOKENS = Path(__file__).resolve().parent / "fixtures" / "llama_cpp" / "rwkv_tokens.json"


@pytest.fixture(scope="module")
def texts():
    return random_texts(1, 2000) + everything()


def tokenize(capp, model, path, texts, *options):
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    run = subprocess.run([capp, "tokenize", "-m", str(model), *options, str(path)], stdout=subprocess.PIPE, check=True)
    rows = [json.loads(line)["ids"] for line in run.stdout.splitlines()]
    assert len(rows) == len(texts)
    return rows


def check(capp, model, path, texts, peer):
    """The ids are equal on texts that contain no special tokens of either tokenizer."""
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
    """The merges that the scores of the pieces imply, best first; user-defined pieces as added tokens."""
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
    """tokenizer.json of the models themselves, where its vocabulary equals that of the GGUF file."""
    peer = tokenizers.Tokenizer.from_str(lzma.open(f"{shared}/data/tokenizers/{peer}.json.xz").read().decode())
    if peer.normalizer:  # NFC, which GGUF files do not mention
        texts = [peer.normalizer.normalize_str(text) for text in texts]
    check(capp, f"{shared}/data/vocabs/ggml-vocab-{vocabulary}.gguf", tmp_path / "in.jsonl", texts, peer)


def raw_bpe_gguf(path, rng, model, pre):
    """A vocabulary like Gemma 4's: characters of raw UTF-8, bytes, random merges, runs of line ends; and the same for
    the tokenizers package."""
    tokens = ["<pad>", "<eos>", "<bos>", *(f"<0x{byte:02X}>" for byte in range(256)), *"abcdeé漢▁.", "\n", "\n\n\n"]
    pieces, merges = list("abcdeé漢▁."), []
    while len(merges) < 300:
        pair = rng.choice(pieces), rng.choice(pieces)
        if len("".join(pair)) <= 8 and pair not in merges:
            merges.append(pair)
            pieces.append("".join(pair))
    tokens += [piece for piece in dict.fromkeys(pieces) if piece not in tokens]
    kinds = [gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.BYTE] * 256
    writer = gguf.GGUFWriter(path, "gemma4")
    writer.add_tokenizer_model(model)
    if pre:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list([text.encode() for text in tokens])
    writer.add_token_types(kinds + [gguf.TokenType.NORMAL] * (len(tokens) - len(kinds)))
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(1)
    writer.add_add_bos_token(False)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.close):
        step()
    peer = tokenizers.Tokenizer(tokenizers.models.BPE({text: i for i, text in enumerate(tokens)}, merges, byte_fallback=True))
    peer.normalizer = tokenizers.normalizers.Replace(" ", "▁")
    peer.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex("\n+"), "isolated")
    return peer, tokens.index("\n\n\n")


@pytest.mark.parametrize("model, pre, bos", [("gemma4", None, True), ("gpt2", "gemma4", True), ("gpt2", "sarvam-moe", False)])
def test_raw_bpe(capp, tmp_path, model, pre, bos):
    rng = random.Random(7)
    peer, run = raw_bpe_gguf(tmp_path / "vocabulary.gguf", rng, model, pre)
    texts = ["".join(rng.choice("abcdeé漢 .🙂\n") for _ in range(rng.randint(1, 60))) for _ in range(2000)]
    texts = [re.sub("\n{3,}", "\n\n", text) for text in texts]
    expected = [encoding.ids for encoding in peer.encode_batch(texts)]
    assert tokenize(capp, tmp_path / "vocabulary.gguf", tmp_path / "in.jsonl", texts, "--no-bos") == expected
    whole, single = tokenize(capp, tmp_path / "vocabulary.gguf", tmp_path / "in.jsonl", ["a\n\n\nb", "b"])
    assert (run in whole) == bos and (single[0] == 2) == bos  # Gemma 4 has runs of line ends, and BOS in any case


def vocabulary_of_llama_cpp(name):
    path = llama_models.vocabulary(name)
    if not path.exists():
        pytest.skip("llama.cpp's sources are not on this machine")
    return path


@pytest.mark.parametrize("name", llama_models.WITH_IDS)
def test_vocabularies_of_llama_cpp(capp, tmp_path, name):
    path = vocabulary_of_llama_cpp(name)
    ids = [[int(word) for word in line.split()] for line in Path(f"{path}.out").read_text().splitlines()]
    assert tokenize(capp, path, tmp_path / "in.jsonl", llama_models.vocabulary_texts(name), "--no-bos") == ids


@pytest.mark.parametrize("name", llama_models.WITHOUT_IDS)
def test_vocabularies_whose_ids_llama_cpp_computed(capp, tmp_path, name):
    """llama.cpp brings no ids of them; tools/make_llama_references.py asked it."""
    path = vocabulary_of_llama_cpp(name)
    ids = json.loads((llama_models.FILES / "tokens.json").read_text())["vocabularies"][name]
    assert tokenize(capp, path, tmp_path / "in.jsonl", llama_models.vocabulary_texts(), "--no-bos") == ids


def test_no_vocabulary_of_llama_cpp_is_left_out():
    folder = vocabulary_of_llama_cpp("gpt-2").parent
    names = {path.name.removeprefix("ggml-vocab-").removesuffix(".gguf") for path in folder.glob("ggml-vocab-*.gguf")}
    assert names == {*llama_models.WITH_IDS, *llama_models.WITHOUT_IDS, llama_models.WORDPIECE}


def test_wordpiece_is_refused_by_name(capp):
    done = subprocess.run([capp, "tokenize", "-m", vocabulary_of_llama_cpp(llama_models.WORDPIECE)], input=b"", capture_output=True)
    assert done.returncode == 2 and b'tokenizer.ggml.model: "bert" is not supported' in done.stderr


def test_every_pretokenizer_of_llama_cpp_is_known():
    """tests/fixtures/pretokenizers.txt has the names in llama.cpp's source."""
    names = (llama_models.TINY.parent / "pretokenizers.txt").read_text().split()
    source = Path(__file__).resolve().parent.parent / "src" / "token" / "pretokenizer.c"
    table = re.findall(r'^    {"([^"]+)", ', source.read_text(), re.M)
    assert len(names) > 90 and set(names) <= set(table)
    source = llama_models.vocabulary("gpt-2").parent.parent / "src" / "llama-vocab.cpp"
    if source.exists():
        assert set(re.findall('tokenizer_pre == "([^"]+)"', source.read_text())) == set(names)


@pytest.fixture(scope="module")
def trained():
    return pretokenizers.vocabulary(training_texts())


@pytest.mark.long
@pytest.mark.parametrize("name", pretokenizers.STEPS)
def test_families(capp, tmp_path, texts, trained, name):
    """Words as the tokenizer.json of published models cuts them, by the tokenizers package."""
    tokens, merges = trained
    writer = gguf.GGUFWriter(tmp_path / "vocabulary.gguf", "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(name)
    writer.add_token_list([token.encode() for token in tokens])
    writer.add_token_types([gguf.TokenType.NORMAL] * len(tokens))
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.close):
        step()
    check(capp, tmp_path / "vocabulary.gguf", tmp_path / "in.jsonl", texts, pretokenizers.peer(name, tokens, merges))


@pytest.mark.long
def test_families_differ(texts, trained):
    """So the texts and the vocabulary of test_families show which family it is. The patterns of qwen2 and bailingmoe cut alike."""
    found = {tuple(tuple(each.ids) for each in pretokenizers.peer(name, *trained).encode_batch(texts[:2000])) for name in pretokenizers.STEPS}
    assert len(found) == len(pretokenizers.STEPS) - 1


@pytest.mark.long
def test_gemma4(capp, tmp_path, texts):
    """The vocabulary of Gemma 4, with the merges that it names, in the tokenizers package."""
    path = vocabulary_of_llama_cpp("gemma-4")
    fields = gguf.GGUFReader(path).fields
    tokens, kinds, merges = (fields["tokenizer.ggml." + key].contents() for key in ("tokens", "token_type", "merges"))
    merges = [tuple(merge.split(" ")) for merge in merges]
    peer = tokenizers.Tokenizer(tokenizers.models.BPE({token: i for i, token in enumerate(tokens)}, merges,
                                                      byte_fallback=True))
    peer.normalizer = tokenizers.normalizers.Replace(" ", "▁")
    plain = (gguf.TokenType.NORMAL, gguf.TokenType.BYTE)
    peer.add_special_tokens([t for t, kind in zip(tokens, kinds) if kind not in plain])
    check(capp, path, tmp_path / "in.jsonl", texts, peer)


def test_longest_matches(capp, tmp_path, texts):
    """RWKV's vocabularies: the rule in a few lines of Python, and what llama.cpp makes of the same file."""
    golden = json.loads(RWKV_TOKENS.read_text())
    for seed in range(3):
        tokens, path = rwkv.pieces(seed), tmp_path / f"{seed}.gguf"
        rwkv.write_vocabulary(path, tokens)
        samples = rwkv.texts_of_pieces(seed, 1000) + texts[seed::12]
        expected = [rwkv.cut(tokens, text) for text in samples]
        assert tokenize(capp, path, tmp_path / "in.jsonl", samples) == expected
        assert len({i for ids in expected for i in ids}) > 250
        assert golden["ids"][seed] == [rwkv.cut(tokens, text) for text in rwkv.texts_of_pieces(seed + 100, len(golden["ids"][seed]))]
    plain, special = (tokenize(capp, path, tmp_path / "in.jsonl", ["a<s>"], *options)[0] for options in ((), ("--parse-special",)))
    assert 0 not in plain and special[-1] == 0 and plain == rwkv.cut(tokens, "a<s>")
    unused = tokenize(capp, path, tmp_path / "in.jsonl", ["[PAD1]"])[0]
    assert unused == rwkv.cut(tokens, "[PAD1]")


def test_detached_spaces(capp, smollm2, tmp_path):
    """The condition behind CAPPr's rule: a prompt and a completion with its space, tokenized separately, give the
    text's own ids."""
    whole, prompt, completion = tokenize(capp, smollm2, tmp_path / "in.jsonl", ["a b", "a", " b"], "--no-bos")
    assert whole == prompt + completion


def unigram_gguf(path, rng):
    """A vocabulary like T5's: random pieces whose scores float32 holds exactly, with ties; and the same for the
    tokenizers package."""
    letters, pieces = "abcdeé漢 ▁.", {"<unk>": 0.0, "</s>": 0.0, "▁": -2.0}
    for c in letters.replace(" ", ""):
        pieces.setdefault(c, -rng.randint(4, 40) / 4)
    while len(pieces) < 500:
        piece = "".join(rng.choice(letters.replace(" ", "")) for _ in range(rng.randint(2, 7)))
        if "▁" not in piece[1:]:
            pieces.setdefault(piece, -rng.randint(1, 4 * 1024) / 1024 * rng.choice([1, 4, len(piece)]))
    chars = charsmap({"\t": " ", "\u3000": " ", "ﬁ": "fi", "½": "1/2", "É": "é", "Å": ""})
    writer = gguf.GGUFWriter(path, "t5")
    writer.add_tokenizer_model("t5")
    writer.add_token_list([text.encode() for text in pieces])
    writer.add_token_scores(list(pieces.values()))
    kinds = {"<unk>": gguf.TokenType.UNKNOWN, "</s>": gguf.TokenType.CONTROL}
    writer.add_token_types([kinds.get(text, gguf.TokenType.NORMAL) for text in pieces])
    writer.add_unk_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_add_space_prefix(True)
    writer.add_remove_extra_whitespaces(True)
    writer.add_precompiled_charsmap(chars)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.close):
        step()
    normal = tokenizers.normalizers
    peer = tokenizers.Tokenizer(tokenizers.models.Unigram(list(pieces.items()), 0, False))
    peer.normalizer = normal.Sequence([normal.Precompiled(chars), normal.Strip(),
                                       normal.Replace(tokenizers.Regex(" {2,}"), " ")])
    peer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace("▁", prepend_scheme="always", split=False)
    return peer


def test_unigram(capp, tmp_path):
    """sentencepiece's unigram model as in GGUF. The package maps characters by grapheme clusters, so the texts have no
    marks and no CR LF."""
    rng = random.Random(7)
    words = ["ab", "abcde", "漢", "é", "É", "ﬁx", "½", "Å", "e.", "🦙", "dab", "\t", "\u3000", "  ", " ", " a"]
    texts = ["".join(rng.choice(words) + rng.choice(["", " "]) for _ in range(rng.randint(1, 40))) for _ in range(2000)]
    texts = [text for text in texts if text.strip(" \t\u3000Å")]
    for seed in range(3):
        path = tmp_path / f"{seed}.gguf"
        peer = unigram_gguf(path, random.Random(seed))
        expected = [peer.encode(text, add_special_tokens=False).ids for text in texts]
        for text, mine, theirs in zip(texts, tokenize(capp, path, tmp_path / "in.jsonl", texts, "--no-bos"), expected):
            assert mine == theirs, ascii(text)


def test_invalid_utf8_is_an_error(capp, smollm2):
    rows = b'{"text": "a"}\n{"text": "ab\xff"}\n'
    run = subprocess.run([capp, "tokenize", "-q", "-m", str(smollm2)], input=rows, capture_output=True)
    assert run.returncode == 2 and run.stderr.count(b"\n") == 1
    assert b"stdin:2: invalid UTF-8 at byte 13" in run.stderr and b"iconv" in run.stderr

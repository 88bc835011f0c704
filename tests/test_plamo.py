"""The tokenizer of PLaMo 2, on a random vocabulary: against llama.cpp's ids (tools/make_llama_references.py) and against its
definition in plain Python (tests/plamo.py)."""
import json

import llama_models
import plamo
import pytest
from test_tokenizer import tokenize

TOKENS = json.loads((llama_models.FILES / "tokens.json").read_text())


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("plamo") / "vocabulary.gguf"
    plamo.write(path, 1)
    return path


def check(capp, model, folder, texts, expected):
    for text, got, ids in zip(texts, tokenize(capp, model, folder / "texts", texts, "--no-bos"), expected, strict=True):
        assert got == ids, ascii(text)


def test_ids_of_llama_cpp(capp, model, tmp_path):
    pairs = TOKENS["plamo2"]
    check(capp, model, tmp_path, [text for text, _ in pairs], [ids for _, ids in pairs])
    assert len(pairs) > 150


def test_the_definition_is_that_of_llama_cpp():
    encode = plamo.encode(1)
    for text, ids in TOKENS["plamo2"]:
        assert encode(text) == ids, ascii(text)


def test_two_thousand_texts(capp, model, tmp_path):
    texts = plamo.texts(2, 1000)
    encode = plamo.encode(1)
    check(capp, model, tmp_path, texts, [encode(text) for text in texts])
    assert len(texts) > 1990


def test_all_characters(capp, model, tmp_path):
    texts = ["".join(chr(c) for c in range(first, first + 4096) if not 0xd800 <= c < 0xe000 and c) for first in range(0, 0x34800, 4096)]
    texts = [text for text in texts if text]
    encode = plamo.encode(1)
    check(capp, model, tmp_path, texts, [encode(text) for text in texts])


def test_special_tokens(capp, model, tmp_path):
    """Control tokens are found only if the caller wants them, and fillers of the vocabulary never."""
    texts = ["a<|plamo:op|>b", "a[PAD1]b", "<|plamo:bos|>", "a<|plamo:unk|>"]
    op, pad = plamo.tokens(1)[0].index("<|plamo:op|>"), plamo.tokens(1)[0].index("[PAD1]")
    plain = tokenize(capp, model, tmp_path / "texts", texts, "--no-bos")
    encode = plamo.encode(1)
    assert plain == [encode(text) for text in texts] and all(op not in ids and pad not in ids for ids in plain)
    parsed = tokenize(capp, model, tmp_path / "texts", texts, "--no-bos", "--parse-special")
    assert parsed[0] == encode("a") + [op] + encode("b") and parsed[1] == plain[1]
    assert parsed[2] == [1] and parsed[3] == encode("a") + [0]


def test_files_do_not_ask_for_bos(capp, model, tmp_path):
    assert tokenize(capp, model, tmp_path / "texts", ["a"]) == [plamo.encode(1)("a")]

"""Folders with tokenizer.model and no tokenizer.json: the ids are those of the sentencepiece library and of transformers
(tools/make_sentencepiece_models.py)."""
import json
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest
import quantized
from test_tokenizer_json import run_capp, tokenize

FOLDER = quantized.TINY.parent / "sentencepiece"
NAMES = sorted(folder.name for folder in FOLDER.iterdir())


def reference(name):
    return json.loads((FOLDER / name / "reference.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_ids(capp, tmp_path, name):
    expected = reference(name)
    for kind, options in (("plain", []), ("special", ["--parse-special"])):
        texts = [text for text, _ in expected[kind]]
        for text, got, (_, ids) in zip(texts, tokenize(capp, FOLDER / name, tmp_path / "texts", texts, "--no-bos", *options),
                                       expected[kind], strict=True):  # fmt: skip
            assert got == ids, ascii(text)
    assert len(expected["plain"]) > 90


def test_first_token(capp, tmp_path):
    """BPE begins with BOS if tokenizer_config.json does not say otherwise, Unigram only if it says so."""
    for name, config, begins in [("bpe", {}, True), ("bpe", dict(add_bos_token=False), False), ("unigram", {}, False),
                                 ("unigram", dict(add_bos_token=True), True)]:  # fmt: skip
        folder = tmp_path / f"{name}{len(config)}{begins}"
        shutil.copytree(FOLDER / name, folder)
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        (ids,) = tokenize(capp, folder, tmp_path / "texts", ["the cat"])
        assert (ids[0] == 1) == begins


def test_a_model_runs(capp, tmp_path):
    """A folder without tokenizer.json scores as one with the GGUF file's kind of vocabulary does."""
    config, tensors = quantized.model("llama", False)
    folder = quantized.write_folder(tmp_path / "model", config, tensors)
    shutil.copy(FOLDER / "bpe" / "tokenizer.model", folder)
    done = subprocess.run([capp, "inspect", folder], capture_output=True, text=True)
    assert done.returncode == 0 and "llama" in done.stdout.split("tokenizer", 1)[1], done.stdout


def varint(number):
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def field(number, content):
    """A field of Protocol Buffers: a number, or bytes."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


PIECES = b"".join(field(1, field(1, text)) for text in (b"<unk>", b"<s>", b"</s>", b"a"))
IDENTITY = field(3, field(4, 0))
BROKEN = {
    "text": (b"not a model", "is not a model of the sentencepiece library"),
    "no pieces": (field(2, field(3, 2)), "is not a model of the sentencepiece library"),
    "a field of group": (PIECES + b"\x0b", "is not a model of the sentencepiece library"),
    "past the end": (PIECES + b"\x0a\xff\xff\xff\xff\x7f", "is not a model of the sentencepiece library"),
    "an endless number": (PIECES + b"\x08" + b"\xff" * 20, "is not a model of the sentencepiece library"),
    "a type": (PIECES + field(1, field(3, 9)), "is not a model of the sentencepiece library"),
    "words": (PIECES + field(2, field(3, 3)), "is a model of words or characters"),
    "suffixes": (PIECES + field(2, field(24, 1)) + IDENTITY, "does not mark the beginnings of words"),
    "a map": (PIECES + field(2, field(3, 2)) + field(3, field(2, b"map") + field(4, 0)), "precompiled_charsmap is not a valid"),
}  # fmt: skip


@pytest.mark.parametrize("way", BROKEN)
def test_broken(capp, tmp_path, way):
    content, message = BROKEN[way]
    (tmp_path / "tokenizer.model").write_bytes(content)
    done = run_capp(capp, tmp_path, tmp_path / "texts", ["a"])
    assert done.returncode == 2 and f"{tmp_path}/tokenizer.model: {message}" in done.stderr, done.stderr


def test_a_small_model(capp, tmp_path):
    """The pieces of the broken ones are a model when nothing is broken."""
    (tmp_path / "tokenizer.model").write_bytes(PIECES + field(2, field(3, 2)) + IDENTITY)
    assert tokenize(capp, tmp_path, tmp_path / "texts", ["a"], "--no-bos") == [[0, 3]]


@pytest.mark.parametrize("entry", ['"x": {"content": "a"}', '"99999999999999999999": {"content": "a"}', '"900": {}'])
def test_broken_added_tokens(capp, tmp_path, entry):
    shutil.copy(FOLDER / "bpe" / "tokenizer.model", tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(f'{{"added_tokens_decoder": {{{entry}}}}}')
    done = run_capp(capp, tmp_path, tmp_path / "texts", ["a"])
    assert done.returncode == 2 and "added_tokens_decoder has no content, or an id far above" in done.stderr, done.stderr


def test_spaces_and_not_legacy(capp, tmp_path):
    (tmp_path / "tokenizer.model").write_bytes(PIECES + field(2, field(3, 2)))
    (tmp_path / "tokenizer_config.json").write_text('{"legacy": false}')
    done = run_capp(capp, tmp_path, tmp_path / "texts", ["a"])
    assert done.returncode == 2 and 'merges spaces, and the tokenizer_config.json beside it has "legacy": false' in done.stderr, done.stderr


def test_no_space_in_front(capp, tmp_path):
    """add_prefix_space counts only without legacy, as in transformers."""
    (tmp_path / "tokenizer.model").write_bytes(PIECES + field(2, field(3, 2)) + IDENTITY)
    for legacy, ids in ((True, [[0, 3]]), (False, [[3]])):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"legacy": legacy, "add_prefix_space": False}))
        assert tokenize(capp, tmp_path, tmp_path / "texts", ["a"], "--no-bos") == ids


@pytest.mark.parametrize("added", ['{"x": 900000000}', '{"x": -1}', '{"x": 1.5}', '{"x": "4"}', "[]", "{"])
def test_broken_added_tokens_json(capp, tmp_path, added):
    (tmp_path / "tokenizer.model").write_bytes(PIECES + field(2, field(3, 2)) + IDENTITY)
    (tmp_path / "added_tokens.json").write_text(added)
    done = run_capp(capp, tmp_path, tmp_path / "texts", ["a"])
    assert done.returncode == 2 and "added_tokens.json" in done.stderr, done.stderr
    # tokenizer_config.json counts if it lists the added tokens
    (tmp_path / "tokenizer_config.json").write_text('{"added_tokens_decoder": {}}')
    assert (run_capp(capp, tmp_path, tmp_path / "texts", ["a"]).returncode == 0) == added.startswith('{"')


def test_added_tokens_without_a_configuration(capp, tmp_path):
    """A token of added_tokens.json is special if special_tokens_map.json names it."""
    (tmp_path / "tokenizer.model").write_bytes(PIECES + field(2, field(3, 2)) + IDENTITY)
    (tmp_path / "added_tokens.json").write_text('{"\\u003cx>": 4, "<y>": 6}')
    texts = ["a<x>a<y>a"]
    assert tokenize(capp, tmp_path, tmp_path / "texts", texts, "--no-bos") == [[0, 3, 4, 0, 3, 6, 0, 3]]
    (tmp_path / "special_tokens_map.json").write_text('{"additional_special_tokens": [{"content": "<x>"}]}')
    assert tokenize(capp, tmp_path, tmp_path / "texts", texts, "--no-bos", "--parse-special") == [[0, 3, 4, 0, 3, 6, 0, 3]]
    assert tokenize(capp, tmp_path, tmp_path / "texts", texts, "--no-bos") == [[0, 3, 0, 3, 6, 0, 3]]


def test_damaged(capp, tmp_path):
    """Random damage to a model gives ids or an error, and no sanitizer reports anything."""
    checked = Path(os.environ.get("CAPP_BUILD_ASAN", "")) / "capp"
    rng = random.Random(3)
    good = (FOLDER / "bpe-unknown" / "tokenizer.model").read_bytes()
    for _ in range(40):
        bad = bytearray(good)
        for _ in range(rng.randint(1, 8)):
            at = rng.randrange(len(bad)) if rng.random() < 0.5 else rng.randrange(200)
            bad[at] = rng.randrange(256)
        (tmp_path / "tokenizer.model").write_bytes(bad[: rng.choice([len(bad), rng.randrange(1, len(bad))])])
        done = run_capp(checked if checked.exists() else capp, tmp_path, tmp_path / "texts", ["the cat", "ab"])
        assert done.returncode in (0, 2) and "Sanitizer" not in done.stderr, done.stderr

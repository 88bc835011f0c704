"""Tokenizers from tokenizer.json against the tokenizers package, which the format comes from."""
import json
import lzma
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
import tokenizers
from corpus import everything, machine_lines, random_texts, training_texts
from random_tokenizers import make

FOUR = ["gpt2", "llama2", "llama3", "qwen3"]


def run_capp(capp, model, path, texts, *options):
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return subprocess.run([capp, "tokenize", "-m", str(model), *options, str(path)], capture_output=True, text=True)


def tokenize(capp, model, path, texts, *options):
    done = run_capp(capp, model, path, texts, *options)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line)["ids"] for line in done.stdout.splitlines()]
    assert len(rows) == len(texts)
    return rows


def check(capp, model, path, texts, peer, parse_special=True):
    peer.encode_special_tokens = not parse_special
    expected = [peer.encode(text, add_special_tokens=False).ids for text in texts]
    options = ["--parse-special"] if parse_special else []
    for text, mine, theirs in zip(texts, tokenize(capp, model, path, texts, "--no-bos", *options), expected):
        assert mine == theirs, ascii(text)


@pytest.fixture(scope="session")
def published(shared, tmp_path_factory):
    """Folders of the four tokenizers as they were published."""
    folders = {}
    for name in FOUR:
        folders[name] = tmp_path_factory.mktemp(name)
        packed = f"{shared}/data/tokenizers/{name}"
        (folders[name] / "tokenizer.json").write_bytes(lzma.open(f"{packed}.json.xz").read())
        if os.path.exists(f"{packed}.config.json"):
            (folders[name] / "tokenizer_config.json").write_bytes(open(f"{packed}.config.json", "rb").read())
    return folders


def peer_of(folder):
    return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))


@pytest.mark.parametrize("name", FOUR)
def test_published(capp, published, tmp_path, name):
    special = [t.content for t in peer_of(published[name]).get_added_tokens_decoder().values()]
    texts = random_texts(3, 1500) + random_texts(4, 300, special) + machine_lines(4000)
    texts += [everything()[i:i + 4096] for i in range(0, 0x34000, 4096)]
    check(capp, published[name], tmp_path / "in.jsonl", texts, peer_of(published[name]))
    check(capp, published[name] / "tokenizer.json", tmp_path / "in.jsonl", texts[1000:2500], peer_of(published[name]),
          parse_special=False)


@pytest.mark.long
@pytest.mark.parametrize("name", FOUR)
def test_published_on_100_000_lines(capp, published, tmp_path, name):
    texts = random_texts(5, 20_000) + machine_lines(100_000) + ["\n".join(machine_lines(20_000))]
    assert len(texts) > 100_000
    check(capp, published[name], tmp_path / "in.jsonl", texts, peer_of(published[name]))


def check_random(capp, folder, seed, corpus, texts):
    model = folder / f"{seed}.json"
    model.write_text(make(seed, corpus), encoding="utf-8")
    peer = tokenizers.Tokenizer.from_file(str(model))
    for parse_special in (True, False):
        check(capp, model, folder / f"{seed}.jsonl", texts, peer, parse_special)
    return seed


def check_seeds(capp, folder, seeds, n_texts):
    corpus = training_texts()
    without_peer = []  # seeds whose tokenizer the package itself refuses or panics on

    def one(seed):
        words = ["<|end|>", "[SEP]", "ab", " ab ", "a b", "▁", "<s>", "</s>", "don", "<tool>", "<unk>", "<0x41>", "abcde"]
        texts = random_texts(seed, n_texts) + random_texts(seed + 1, n_texts, words) + corpus[seed % 50::50]
        try:
            check_random(capp, folder, seed, corpus, texts)
        except AssertionError as error:
            return f"seed {seed}: {error}"
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) or type(error).__module__ not in ("builtins", "pyo3_runtime"):
                raise
            without_peer.append(seed)

    wrong = [failure for seed in seeds if (failure := one(seed))]
    assert not wrong, f"{len(wrong)} of {len(seeds)}: {wrong[:5]}"
    assert len(without_peer) <= len(seeds) // 3, without_peer


def test_random_tokenizers(capp, tmp_path):
    check_seeds(capp, tmp_path, range(60), 60)


@pytest.mark.long
def test_many_random_tokenizers(capp, tmp_path):
    check_seeds(capp, tmp_path, range(1000, 2500), 150)

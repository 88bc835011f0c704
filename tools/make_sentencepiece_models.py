#!/usr/bin/env python3
"""Makes tests/fixtures/sentencepiece: small models of the sentencepiece library, as in folders without tokenizer.json.

    python3 -m venv ENV && ENV/bin/pip install -r tools/sentencepiece_requirements.txt
    ENV/bin/python tools/make_sentencepiece_models.py

NAME/tokenizer.model, NAME/tokenizer_config.json   the tokenizer
NAME/reference.json    texts and their ids: "plain" by sentencepiece, "special" by transformers' LlamaTokenizer, which
                       finds the added tokens
"""
import json
import sys
from pathlib import Path

import sentencepiece
from transformers import LlamaTokenizer

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
import corpus  # noqa: E402

FOLDER = ROOT / "tests" / "fixtures" / "sentencepiece"
LLAMA = dict(normalization_rule_name="identity", remove_extra_whitespaces=False, byte_fallback=True)
TOKENS = {"1": ("<s>", True), "2": ("</s>", True)}
CHAT = {**TOKENS, "900": ("<|user|>", True), "901": ("<|end|>", True), "903": ("a b", False)}
CASES = {
    "bpe": (dict(LLAMA, model_type="bpe", vocab_size=900, split_digits=True), CHAT),
    "bpe-no-prefix": (dict(LLAMA, model_type="bpe", vocab_size=860, add_dummy_prefix=False, user_defined_symbols=["<x>", "\u2581\u2581"]), TOKENS),
    "bpe-unknown": (dict(LLAMA, model_type="bpe", vocab_size=600, byte_fallback=False, pad_id=3), TOKENS),
    "unigram": (dict(LLAMA, model_type="unigram", vocab_size=600), TOKENS),
    "unigram-nfkc": (dict(model_type="unigram", vocab_size=340), TOKENS),
}  # fmt: skip


def make(name):
    options, tokens = CASES[name]
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    texts = corpus.SENTENCES * 20
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(texts), model_prefix=str(folder / "tokenizer"),
                                             character_coverage=0.98, minloglevel=2, **options)  # fmt: skip
    (folder / "tokenizer.vocab").unlink()
    config = dict(tokenizer_class="LlamaTokenizer", add_bos_token=True, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
                  legacy=True, added_tokens_decoder={number: dict(content=text, special=special, lstrip=False, rstrip=False,
                                                                  normalized=False, single_word=False)
                                                     for number, (text, special) in tokens.items()})  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    plain = [text for text in corpus.random_texts(5, 120) if len(text) < 300 and "a b" not in text and "\0" not in text and "\u2581" not in text]
    reference = dict(plain=[[text, model.encode(text)] for text in plain], special=[])
    if tokens is CHAT:
        peer = LlamaTokenizer.from_pretrained(folder)
        special = [text for text in corpus.random_texts(6, 60) if "\u2581" not in text]
        special = [f"<|user|>{a}<|end|>{b}" for a, b in zip(special[::2], special[1::2])]
        reference["special"] = [[text, peer.encode(text, add_special_tokens=False)] for text in special]
    (folder / "reference.json").write_text(json.dumps(reference) + "\n")


if __name__ == "__main__":
    for case in CASES:
        make(case)

#!/usr/bin/env python3
"""Makes tests/fixtures/sentencepiece: small models of the sentencepiece library, as in folders without tokenizer.json.

    python3 -m venv ENV && ENV/bin/pip install -r tools/sentencepiece_requirements.txt
    ENV/bin/python tools/make_sentencepiece_models.py [NAME...]

NAME/tokenizer.model, NAME/tokenizer_config.json   the tokenizer; if it is of the older kind, also NAME/added_tokens.json and
                       NAME/special_tokens_map.json
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
NOT_LEGACY, OLDER = dict(legacy=False), dict(older=True)
CASES = {
    "bpe": (dict(LLAMA, model_type="bpe", vocab_size=900, split_digits=True), CHAT),
    "bpe-no-prefix": (dict(LLAMA, model_type="bpe", vocab_size=860, add_dummy_prefix=False, user_defined_symbols=["<x>", "\u2581\u2581"]), TOKENS),
    "bpe-unknown": (dict(LLAMA, model_type="bpe", vocab_size=600, byte_fallback=False, pad_id=3), TOKENS),
    "bpe-not-legacy": (dict(LLAMA, model_type="bpe", vocab_size=900), CHAT, NOT_LEGACY),
    "bpe-older": (dict(LLAMA, model_type="bpe", vocab_size=900), CHAT, OLDER),
    "bpe-spaces": (dict(model_type="bpe", vocab_size=620, byte_fallback=True, user_defined_symbols=["\u2581\u2581", "\u2581\u2581\u2581", "<x>"]), TOKENS),
    "bpe-spaces-alone": (dict(model_type="bpe", vocab_size=620, byte_fallback=True, normalization_rule_name="identity"), TOKENS),
    "bpe-characters": (dict(model_type="bpe", vocab_size=620, remove_extra_whitespaces=False, add_dummy_prefix=False), TOKENS),
    "unigram": (dict(LLAMA, model_type="unigram", vocab_size=600), TOKENS),
    "unigram-nfkc": (dict(model_type="unigram", vocab_size=340), TOKENS),
}  # fmt: skip


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n")


def make(name):
    options, tokens, *rest = CASES[name]
    kind = rest[0] if rest else {}
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    texts = corpus.SENTENCES * 20
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(texts), model_prefix=str(folder / "tokenizer"),
                                             character_coverage=0.98, minloglevel=2, **options)  # fmt: skip
    (folder / "tokenizer.vocab").unlink()
    config = dict(tokenizer_class="LlamaTokenizer", add_bos_token=True, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
                  legacy=kind.get("legacy", True), added_tokens_decoder={number: dict(content=text, special=special, lstrip=False, rstrip=False,
                                                                  normalized=False, single_word=False)
                                                     for number, (text, special) in tokens.items()})  # fmt: skip
    names = [text for number, (text, special) in tokens.items() if special and int(number) >= 900]
    if "legacy" in kind:  # else the class leaves a space in front of them
        config["additional_special_tokens"] = names
    if kind.get("older"):
        del config["added_tokens_decoder"]
        write_json(folder / "added_tokens.json", {text: int(number) for number, (text, _) in tokens.items() if int(number) >= 900})
        write_json(folder / "special_tokens_map.json", dict(bos_token="<s>", additional_special_tokens=names))
    write_json(folder / "tokenizer_config.json", config)
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    plain = [text for text in corpus.random_texts(5, 120) if len(text) < 300 and "a b" not in text and "\0" not in text and "\u2581" not in text]
    reference = dict(plain=[[text, model.encode(text)] for text in plain], special=[])
    if tokens is CHAT:
        peer = LlamaTokenizer.from_pretrained(folder)
        special = [text for text in corpus.random_texts(6, 60) if "\u2581" not in text]
        special = [f"<|user|>{a}<|end|>{b}" for a, b in zip(special[::2], special[1::2])]
        if kind:  # with added tokens that are not special, and texts that begin with text
            special += ["see a b now", "xa bx", "x a b<|end|> a b", "<|user|>a b<|end|>", " <|end|>x", "x<|user|><|end|> x"]
            special += [text.removeprefix("<|user|>") for text in special[:10] if not text.startswith("<|user|>a b")]
        reference["special"] = [[text, peer.encode(text, add_special_tokens=False)] for text in special]
    (folder / "reference.json").write_text(json.dumps(reference) + "\n")


if __name__ == "__main__":
    for case in sys.argv[1:] or CASES:
        make(case)

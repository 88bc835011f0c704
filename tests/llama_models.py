"""The models and vocabularies of which tests/fixtures/llama_cpp has llama.cpp's log-probabilities. tools/make_llama_references.py makes
these, tests/test_llama_cpp.py compares with them."""
import json
import os
from pathlib import Path

import convert
import numpy as np

TINY = Path(__file__).resolve().parent / "fixtures" / "tiny"
FILES = TINY.parent / "llama_cpp"
# Architectures that exist only as GGUF files, and a small model with the same arithmetic.
SAME = {"internlm2": "llama", "xverse": "llama", "qwen3vl": "qwen3", "qwen3vlmoe": "qwen3moe"}
OWN = ["smallthinker", "smallthinker-global", "chatglm", "refact", "codeshell", "deci", "orion", "deepseek", "bailingmoe2",
       "baichuan-7b", "baichuan-13b", "minicpm", "minicpm-older", "qwen2vl", "rwkv7", "arwkv7", "arwkv7-plain", "plamo", "plamo2",
       "plamo2-mamba", "plamo3", "plamo3-global"]
# Small models that transformers has, too.
BOTH = ["llama4-context", "dbrx", "minicpm3", "muse-glimmer", "afmoe", "deepseek3"]
NAMES = [*SAME, *OWN, *BOTH]

# The vocabularies without a model that llama.cpp brings for its own tests: with ids of texts; without (aquila and gpt-neox do not
# name a pre-tokenizer); the one that capp does not support.
PEERS = Path(os.environ.get("PEERS", Path.home() / ".cache" / "capp-peers"))
WITH_IDS = ["gemma-4", "qwen35", "command-r", "deepseek-llm", "deepseek-coder", "mpt", "refact", "starcoder", "falcon", "gpt-2",
            "llama-bpe", "llama-spm", "phi-3", "qwen2"]
WITHOUT_IDS = ["aquila", "baichuan", "gpt-neox", "nomic-bert-moe"]
WORDPIECE = "bert-bge"


def vocabulary(name):
    return PEERS / "llama" / "vendor" / "llama.cpp" / "models" / f"ggml-vocab-{name}.gguf"


def vocabulary_texts(name="gpt-2"):
    texts = Path(f"{vocabulary(name)}.inp").read_text(encoding="utf-8").split("\n__ggml_vocab_test__\n")
    return texts if texts[-1] else texts[:-1]


def file_of(name, folder):
    """The GGUF file, and its texts."""
    if name in OWN:
        random = np.random.default_rng(len(name))
        return FILES / f"{name}.gguf", [random.integers(3, 97, n).tolist() for n in (14, 25, 41)]
    source = SAME.get(name, name)
    path = folder / f"{name}.gguf"
    assert convert.convert(TINY / source, path, arch=name if name in SAME else None, vocabulary=True)
    return path, [run["ids"] for run in json.loads((TINY / source / "reference.json").read_text())["runs"]]

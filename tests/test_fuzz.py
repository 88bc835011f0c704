"""A part of the fuzzing of GGUF files, folders, adapters, tokenizers, chat templates and rows; `make fuzz` runs all of
it."""

import os
import pathlib
import subprocess

import pytest

import convert
import multimodal
import quantized

MUTATIONS, SEED = 100_000, 20_000_000  # other seeds than those of make fuzz, which begin at 1


TOKENIZERS = sorted((pathlib.Path(__file__).parent / "fixtures" / "tokenizers").glob("*.json"))
TEMPLATES = sorted((pathlib.Path(__file__).parent / "fixtures" / "chat").glob("*.jinja"))
TINY = pathlib.Path(__file__).resolve().parent / "fixtures" / "tiny"


def run(name, mutations, *files):
    build = os.environ.get("CAPP_BUILD_ASAN")
    if not build:
        pytest.skip("CAPP_BUILD_ASAN is not set")
    program = pathlib.Path(build) / "tests" / name
    done = subprocess.run([program, str(mutations), str(SEED), *files], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-5000:]
    assert f"{mutations} mutations" in done.stdout


def test_slice():
    run("fuzz_gguf", MUTATIONS)


def test_gguf_of_every_architecture(tmp_path):
    run("fuzz_gguf", MUTATIONS // 10, *convert.one_of_each(tmp_path))


def test_folders(tmp_path):
    folders = sorted(folder for folder in TINY.iterdir() if (folder / "model.safetensors").exists())
    folders += [multimodal.nested(name, tmp_path / name, "newer") for name in sorted(multimodal.AROUND)]
    run("fuzz_folder", MUTATIONS // 10, *folders)


def test_adapters():
    adapters = [("llama", "llama"), ("llama3", "llama-patterns"), ("qwen2", "qwen2-ends"), ("phi3", "phi3-fused"),
                ("gpt2", "gpt2-conv"), ("mixtral", "mixtral-experts"), ("gptoss", "gptoss-parameters")]
    run("fuzz_lora", MUTATIONS // 50, *(path for model, adapter in adapters for path in (TINY / model, TINY.parent / "lora" / adapter)))


def test_quantized_folders(tmp_path):
    run("fuzz_folder", MUTATIONS // 10, *quantized.make_small(tmp_path))


def test_tokenizers():
    run("fuzz_tokenizer", MUTATIONS // 5, *TOKENIZERS)


def test_chat_templates():
    run("fuzz_chat", MUTATIONS // 20, *TEMPLATES)


def test_rows():
    run("fuzz_reader", MUTATIONS // 10)


def test_requests_of_the_server():
    run("fuzz_server", MUTATIONS // 10)

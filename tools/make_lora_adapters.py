#!/usr/bin/env python3
"""Makes tests/fixtures/lora: random LoRA adapters as PEFT saves them for models of tests/fixtures/tiny, and the
log-probabilities that PEFT and transformers compute with them.

    python3 -m venv ENV && ENV/bin/pip install -r tools/tiny_requirements.txt
    LLAMA_CPP=FOLDER ENV/bin/python tools/make_lora_adapters.py [NAME...]

NAME/adapter_config.json, NAME/adapter_model.safetensors   the adapter, seeds fixed; NAME/second: another one
NAME/adapter.gguf      of some, what convert_lora_to_gguf.py makes of it; only where LLAMA_CPP has llama.cpp's sources
NAME/reference.json    the model's name; weights of the adapters; token ids, and their log-probabilities in float32
"""
import json
import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import peft
import torch
import transformers
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

FIXTURES = Path(__file__).resolve().parent.parent / "tests" / "fixtures"
VOCABULARY, LENGTHS, LEAST = 97, (14, 25), 0.1
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]

# name: (model, configuration of the adapter)
CASES = {
    "llama": ("llama", dict(r=4, lora_alpha=8, target_modules=[*ATTENTION, "gate_proj", "up_proj", "down_proj"])),
    "llama-patterns": ("llama3", dict(
        r=3, lora_alpha=6, target_modules=[*ATTENTION, "down_proj"], rank_pattern={"q_proj": 5, r"layers\.[01]\.mlp\.down_proj": 2},
        alpha_pattern={"model.layers.1.self_attn.v_proj": 12, "o_proj": 1})),
    "qwen2-ends": ("qwen2", dict(r=4, lora_alpha=4, use_rslora=True, target_modules=["v_proj", "embed_tokens", "lm_head"])),
    "gemma3-embedding": ("gemma3", dict(r=2, lora_alpha=8, target_modules=["q_proj", "embed_tokens"])),
    "phi3-fused": ("phi3", dict(r=4, lora_alpha=6, use_rslora=True, target_modules=["qkv_proj", "gate_up_proj", "down_proj"])),
    "gpt2-conv": ("gpt2", dict(r=3, lora_alpha=6, fan_in_fan_out=True, target_modules=["c_attn", "c_proj", "c_fc", "wte", "wpe"])),
    "falcon-40b": ("falcon-40b", dict(r=3, lora_alpha=6, target_modules=["query_key_value", "dense", "dense_4h_to_h"])),
    "mixtral-experts": ("mixtral", dict(r=2, lora_alpha=4, target_modules=["q_proj", "gate", "w1", "w2", "w3"])),
    "gptoss-parameters": ("gptoss", dict(r=2, lora_alpha=4, target_modules=["q_proj", "k_proj"],
                                         target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"])),
    "two": ("llama", dict(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"])),
}  # fmt: skip
# The conversion supports neither patterns nor rslora, and swaps inputs and outputs of GPT-2.
CONVERTED = ("llama", "phi3-fused", "falcon-40b", "mixtral-experts")
SECOND = ("two", (0.7, -0.4), dict(r=2, lora_alpha=8, target_modules=["q_proj", "v_proj"]))


def randomize(model, adapter):
    for name, p in model.named_parameters():
        if "lora_" in name and f".{adapter}" in name:
            inputs = p.shape[0] if "embedding_B" in name or "embedding_A" in name else p.shape[1]
            p.data = torch.randn(p.shape) * (0.6 / inputs**0.5 if "_A" in name else 1.0)


def logprobs(model, ids):
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].double()
    rows = torch.log_softmax(logits, dim=-1)
    return [round(rows[i, ids[i + 1]].item(), 7) for i in range(len(ids) - 1)]


def saved(model, folder, adapter):
    """Saves the adapter alone, without the card that PEFT writes beside it."""
    model.save_pretrained(folder, selected_adapters=[adapter])
    inner = folder / adapter
    for path in inner.iterdir() if inner.is_dir() else ():
        path.rename(folder / path.name)
    if inner.is_dir():
        inner.rmdir()
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = Path(config["base_model_name_or_path"]).name  # without the local path
    config["target_modules"] = sorted(config["target_modules"])
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def convert(name, base):
    script = Path(os.environ["LLAMA_CPP"]) / "convert_lora_to_gguf.py"
    folder = FIXTURES / "lora" / name
    command = [sys.executable, script, "--base", FIXTURES / "tiny" / base, "--outfile", folder / "adapter.gguf", folder]
    subprocess.run(command, check=True, capture_output=True)


def make(name):
    base, config = CASES[name]
    seed = zlib.crc32(name.encode())
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(FIXTURES / "tiny" / base, dtype=torch.float32, attn_implementation="eager")
    runs = [torch.randint(3, VOCABULARY, (n,)).tolist() for n in LENGTHS]
    before = [logprobs(model, ids) for ids in runs]
    folder, weights = FIXTURES / "lora" / name, [1.0]
    shutil.rmtree(folder, ignore_errors=True)
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **config)).eval()
    randomize(model, "default")
    saved(model, folder, "default")
    if name == SECOND[0]:
        _, weights, config = SECOND
        model.add_adapter("second", LoraConfig(task_type="CAUSAL_LM", **config))
        randomize(model, "second")
        saved(model, folder / "second", "second")
        model.add_weighted_adapter(["default", "second"], list(weights), "both", combination_type="cat")
        model.set_adapter("both")
    after = [logprobs(model, ids) for ids in runs]
    moved = max(abs(a - b) for x, y in zip(before, after) for a, b in zip(x, y))
    assert moved >= LEAST, (name, moved)
    made_by = f"peft {peft.__version__}, transformers {transformers.__version__}, torch {torch.__version__}, seed {seed}"
    reference = [{"ids": ids, "logprobs": numbers} for ids, numbers in zip(runs, after)]
    (folder / "reference.json").write_text(json.dumps({"made_by": made_by, "model": base, "weights": weights, "runs": reference}) + "\n")
    if name in CONVERTED and "LLAMA_CPP" in os.environ:
        convert(name, base)
    print(f"{name}: moves a log-probability by {moved:.2f}")


if __name__ == "__main__":
    for case in sys.argv[1:] or CASES:
        make(case)

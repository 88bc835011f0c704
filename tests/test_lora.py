"""LoRA adapters: log-probabilities with an adapter are those of the model into whose weights numpy merged it, from
folders and GGUF files of the model and of the adapter alike (tests/lora.py); what does not fit is named."""
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import convert  # noqa: E402
import lora  # noqa: E402

TINY = Path(__file__).resolve().parent / "fixtures" / "tiny"
NAMES = sorted(folder.name for folder in TINY.iterdir())
PEFT = TINY.parent / "lora"
IDS = json.loads((TINY / "llama" / "reference.json").read_text())["runs"][0]["ids"]
TOLERANCE, LEAST = 1e-4, 0.1


def ran(build, model, *adapters, isa="avx2", ids=IDS):
    """adapters: (path, weight)"""
    extra = [str(part) for adapter in adapters for part in adapter]
    return subprocess.run([build / "tests" / "model_tool", model, isa, *extra], input=" ".join(map(str, ids)) + "\n",
                          capture_output=True, text=True)


def scored(build, model, *adapters, **options):
    done = ran(build, model, *adapters, **options)
    assert done.returncode == 0, done.stderr
    return np.array(done.stdout.split(), float)


def refused(build, model, *adapters):
    done = ran(build, model, *adapters)
    assert done.returncode == 2 and done.stderr
    return done.stderr


def difference(a, b):
    assert len(a) == len(b) > 0
    return np.abs(a - b).max()


@pytest.mark.parametrize("name", NAMES)
def test_every_architecture(build, name, tmp_path):
    """Pairs for every product, the embedding and the head; both kinds of model, both kinds of adapter."""
    model = lora.Model(TINY / name)
    headless = name in ("cohere", "cohere2", "gemma", "gemma2")  # GGUF has no name for a head of their own
    pairs = model.adapter(1, [*model.products(), model.embedding] if headless else None)
    wanted = scored(build, model.merged(tmp_path / "merged", (pairs, 8 / 3)))
    assert difference(wanted, scored(build, model.path)) >= LEAST
    peft = model.peft(tmp_path / "peft", pairs)
    assert difference(wanted, scored(build, model.path, (peft, 1))) <= TOLERANCE
    if not convert.convert(model.path, tmp_path / "model.gguf"):
        return
    assert difference(wanted, scored(build, tmp_path / "model.gguf", (peft, 1))) <= TOLERANCE
    adapter = model.gguf(tmp_path / "adapter.gguf", pairs)
    for base in (tmp_path / "model.gguf", model.path):
        assert difference(wanted, scored(build, base, (adapter, 1))) <= TOLERANCE


# ---- Against PEFT ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(folder.name for folder in PEFT.iterdir()))
def test_peft_itself(build, name, tmp_path):
    """What PEFT made of its own adapters (tools/make_lora_adapters.py), from both kinds of model."""
    reference = json.loads((PEFT / name / "reference.json").read_text())
    base = TINY / reference["model"]
    adapters = list(zip([PEFT / name, PEFT / name / "second"], reference["weights"]))
    convert.convert(base, tmp_path / "model.gguf")
    for run in reference["runs"]:
        for model in (base, tmp_path / "model.gguf"):
            assert difference(np.array(run["logprobs"]), scored(build, model, *adapters, ids=run["ids"])) <= 1e-3
        assert difference(np.array(run["logprobs"]), scored(build, base, ids=run["ids"])) >= LEAST

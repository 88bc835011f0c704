"""LoRA adapters on models of integers: in precisions i16, mixed and i8 what they add is a product of its own, in float32. It
is compared with float32, where the weights are changed."""
import json
import shutil
import subprocess

import gguf
import numpy as np
import pytest

import convert
import lora
import quantized
import test_quantized
import test_tiny_models as tiny

MEAN, MOST = 1e-3, 5e-3  # of i16, as without an adapter
# Models in files of Q8_0: q, k and v apart and as one, gate and up apart and as one, biases, layers with a state, latent
# vectors, several streams.
FILES = ("llama", "phi3", "gpt2", "gemma3", "lfm2", "minicpm3", "gemma3n")
LATENT = {36: 96, 66: 126, 88: 168, 20: 32, 14: 32, 12: 32}


def widened(path, name, monkeypatch):
    """A folder of the tiny model with sizes that are mostly whole blocks of 32."""
    if name == "minicpm3":
        monkeypatch.setattr(quantized, "SIZES", LATENT)
        monkeypatch.setattr(quantized, "SIZE_KEYS", ("hidden_size", "intermediate_size", "q_lora_rank", "v_head_dim"))
    if name != "gemma3n":
        return quantized.write_folder(path, *quantized.model(name))
    monkeypatch.setattr(quantized, "SIZES", test_quantized.WIDE)
    monkeypatch.setattr(quantized, "SIZE_KEYS", ())
    config, tensors = quantized.model(name)
    return quantized.write_folder(path, test_quantized.widened(config), tensors)


def near(build, model, runs, context, adapters, **options):
    """i16 is near float32 and has the same bits on every instruction set. Returns both results."""
    exact = np.concatenate(tiny.scored(build, model, runs, context, adapters=adapters))
    got = tiny.scored_by_integers(build, model, runs, context, adapters=adapters)
    assert all(one == got[0] for one in got)
    errors = np.abs(np.concatenate(got[0]) - exact)
    assert 0 < errors.mean() < MEAN and errors.max() < MOST, (errors.mean(), errors.max())
    plain = np.concatenate(tiny.scored(build, model, runs, context))
    assert np.abs(exact - plain).mean() > 0.1
    return exact


@pytest.mark.parametrize("name", FILES)
def test_files(build, tmp_path, monkeypatch, name):
    """Pairs for every product, the embedding and the head."""
    model = lora.Model(widened(tmp_path / "plain", name, monkeypatch))
    convert.convert(model.path, tmp_path / "model.gguf", gguf.GGMLQuantizationType.Q8_0, left=test_quantized.LEFT)
    peft = model.peft(tmp_path / "peft", model.adapter(1, size=0.2))
    near(build, tmp_path / "model.gguf", tiny.reference(name)[:3], None, [(peft, 1)])


# Folders of integers: plain, with the inputs of groups in an order that down takes from up, with biases, and 8 bits
# with zeros; gate and up apart, rows of heads in groups.
FOLDERS = ("gptq", "gptq-shared-order", "gptq-grouped", "gptq-transposed", "awq-one-group", "awq-biases", "int4-shared-order", "int8")


def folder_of(tmp_path, case, seed=1, modules=None):
    """(folder, its adapter, rows)"""
    stored, plain = quantized.make(tmp_path / case, case)
    model = lora.Model(plain)
    peft = model.peft(tmp_path / f"peft{seed}", model.adapter(seed, modules and modules(model), size=0.2))
    return stored, peft, tiny.reference(quantized.CASES[case][0])[:3]


@pytest.mark.parametrize("case", FOLDERS)
def test_folders(build, capp, tmp_path, case):
    """Precision auto decides in i16, as without an adapter."""
    stored, peft, runs = folder_of(tmp_path, case)
    near(build, stored, runs, runs[0]["context"], [(peft, 1)])
    assert deciding(capp, stored, peft) == "i16"


def deciding(capp, folder, adapter):
    shutil.copy(quantized.TINY.parent / "tokenizers" / "unigram.json", folder / "tokenizer.json")
    done = subprocess.run([capp, "inspect", "--fingerprint", "--lora", adapter, folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["deciding"]


def test_several_adapters(build, tmp_path):
    """Two adapters of different rank, one of them on some of the modules, with weights."""
    stored, peft, runs = folder_of(tmp_path, "gptq-shared-order")
    other = lora.Model(tmp_path / "gptq-shared-order" / "plain")
    some = other.peft(tmp_path / "some", other.adapter(2, other.products()[::2], rank=20, size=0.2))
    context = runs[0]["context"]
    one = near(build, stored, runs, context, [(peft, 0.5)])
    both = near(build, stored, runs, context, [(peft, 0.5), (some, -1.5)])
    assert np.abs(one - both).mean() > 0.1
    zero = [(peft, 0), (some, 0)]
    assert tiny.scored(build, stored, runs, context, "avx2:i16", adapters=zero) == tiny.scored(build, stored, runs, context, "avx2:i16")


@pytest.mark.parametrize("precision, most", [("mixed", 0.6), ("i8", 0.8)])
def test_fewer_digits(build, tmp_path, precision, most):
    """The same bits on every instruction set; what the adapter adds has no fewer digits."""
    stored, peft, runs = folder_of(tmp_path, "gptq")
    context, adapters = runs[0]["context"], [(peft, 1)]
    got = tiny.scored_by_integers(build, stored, runs, context, precision, adapters)
    assert all(one == got[0] for one in got)
    exact = np.concatenate(tiny.scored(build, stored, runs, context, adapters=adapters))
    plain = np.concatenate(tiny.scored(build, stored, runs, context))
    assert 0 < np.abs(np.concatenate(got[0]) - exact).max() < most < np.abs(plain - exact).max()


def test_experts(build, capp, tmp_path):
    """Experts that an adapter changes run in float32, and the model is decided in it; other matrices stay integers."""
    def attention(model):
        return [name for name in model.products() if "self_attn" in name]

    stored, peft, runs = folder_of(tmp_path / "attention", "gptq-experts-order", modules=attention)
    near(build, stored, runs, runs[0]["context"], [(peft, 1)])
    assert deciding(capp, stored, peft) == "i16"
    stored, peft, runs = folder_of(tmp_path / "all", "gptq-experts-order", modules=lora.Model.products)
    near(build, stored, runs, runs[0]["context"], [(peft, 1)])
    assert deciding(capp, stored, peft) == "f32"


@pytest.mark.parametrize("way", ["change_scale", "change_inputs", "change_part"])
def test_sabotage_shows(build, tmp_path, way):
    """A scale that is 10 % too large, inputs of the neighbors, a column of B that is left out."""
    stored, peft, runs = folder_of(tmp_path, "gptq-shared-order")
    context, adapters = runs[0]["context"], [(peft, 1)]
    exact = np.concatenate(tiny.scored(build, stored, runs, context, adapters=adapters))
    errors = np.abs(exact - np.concatenate(tiny.scored(build, stored, runs, context, "avx2:i16", sabotage=way, adapters=adapters)))
    assert errors.mean() > 10 * MEAN and errors.max() > 10 * MOST

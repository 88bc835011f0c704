"""Text models inside multimodal folders score the bits that they score alone. Only tensors and fields that do not
belong to the text model are ignored."""
import json
import subprocess

import numpy as np
import pytest

import convert
import lora
import multimodal
import quantized
from multimodal import FILES, TINY, nested

IDS = json.loads((TINY / "gemma3" / "reference.json").read_text())["runs"][0]["ids"]
NAMES = sorted(multimodal.AROUND)


def run(build, folder, *adapters):
    """Log-probabilities of IDS, or the error message."""
    extra = [str(part) for adapter in adapters for part in (adapter, 1)]
    done = subprocess.run([build / "tests" / "model_tool", folder, "ref", *extra], input=" ".join(map(str, IDS)) + "\n",
                          capture_output=True, text=True)
    assert done.returncode in (0, 2), done.stderr
    return done.stdout or done.stderr


@pytest.fixture(scope="module")
def alone(build):
    scores = {name: run(build, TINY / name) for name in NAMES}
    assert all(len(text.split()) == len(IDS) - 1 for text in scores.values())
    return scores


@pytest.mark.parametrize("files", FILES)
@pytest.mark.parametrize("name", NAMES)
def test_the_same_bits_as_alone(build, alone, tmp_path, name, files):
    assert run(build, nested(name, tmp_path / "model", files)) == alone[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_text_model_need_not_be_named(build, alone, tmp_path, name):
    assert run(build, nested(name, tmp_path / "model", "older", text={"model_type": None})) == alone[name]


@pytest.mark.parametrize("kind", ["qwen2_vl", "qwen2_5_vl"])
def test_the_first_folders_of_qwen_vl(build, alone, tmp_path, kind):
    """They have the fields of the text model in config.json itself, and its tensors under their own names; later ones have a
    text_config."""
    own = json.loads((TINY / "qwen2" / "config.json").read_text())
    config = {**own, **multimodal.AROUND["qwen2"], **multimodal.INSIDE["qwen2"], "model_type": kind}
    tensors = {**convert.read_tensors(TINY / "qwen2"), "visual.blocks.0.attn.qkv.weight": np.ones((4, 6), np.float32)}
    older = quantized.write_folder(tmp_path / "older", config, tensors)
    text = {**own, **multimodal.INSIDE["qwen2"], "model_type": f"{kind}_text"}
    later = quantized.write_folder(tmp_path / "later", {**multimodal.AROUND["qwen2"], "model_type": kind, "text_config": text}, tensors)
    assert run(build, older) == run(build, later) == alone["qwen2"]
    for change, message in ((add("vision.weight", 4, 4), "unexpected tensor vision.weight"),
                            (lambda t: t.pop("lm_head.weight"), "lm_head.weight is missing")):
        different = dict(tensors)
        change(different)
        assert message in run(build, quantized.write_folder(tmp_path / message[:4], config, different))
    assert 'unknown field "stripes"' in run(build, quantized.write_folder(tmp_path / "odd", {**config, "stripes": 3}, tensors))


def add(name, *shape):
    return lambda tensors: tensors.update({name: np.ones(shape, np.float32)})


# name, arguments of nested, text that the message must contain
REFUSED = {
    "a tensor of the text model without a place":
        ("gemma3", dict(change=add("language_model.model.layers.0.self_attn.q_proj.bias", 40)),
         "unexpected tensor language_model.model.layers.0.self_attn.q_proj.bias"),
    "a tensor with a similar name":
        ("gemma3", dict(change=add("language_model.model.layers.1.mlp.up_prj.weight", 4, 4)),
         "the nearest name that capp knows is language_model.model.layers.1.mlp.up_proj.weight"),
    "a tensor under the name of a text model alone":
        ("gemma3", dict(change=add("model.layers.0.mlp.up_proj.weight", 44, 36)), "unexpected tensor model.layers.0.mlp.up_proj.weight"),
    "a part that is for no images": ("gemma3", dict(change=add("depth_tower.conv.weight", 4, 4)), "unexpected tensor depth_tower.conv.weight"),
    "a name that but begins like one": ("gemma3", dict(change=add("vision_towers.weight", 4, 4)), "unexpected tensor vision_towers.weight"),
    "one of five dimensions": ("gemma3", dict(change=add("language_model.model.layers.0.mlp.up_proj.weight", 2, 1, 1, 22, 36)),
                               "but the hyperparameters say"),
    "a missing tensor": ("mistral", dict(change=lambda tensors: tensors.pop("language_model.model.layers.1.mlp.up_proj.weight")),
                         "tensor model.layers.1.mlp.up_proj.weight is missing"),
    "a field around": ("gemma3", dict(around={"stripes": 3}), 'unknown field "stripes"'),
    "a field of the text model around": ("gemma3", dict(around={"use_bidirectional_attention": True}),
                                         'unknown field "use_bidirectional_attention"'),
    "a field with a similar name": ("gemma3", dict(text={"rope_thetas": 3}),
                                    'unknown field "rope_thetas"; the nearest name that capp knows is "rope_theta"'),
    "a field inside": ("gemma3", dict(text={"stripes": 3}), 'unknown field "stripes"'),
    "a text model that sees all": ("gemma3", dict(text={"use_bidirectional_attention": True}), '"use_bidirectional_attention" must be false'),
    "a cap that the multimodal class leaves out":
        ("gemma3", dict(text={"final_logit_softcapping": 30.0}), '"final_logit_softcapping" is 30, which'),
    "another multimodal model": ("mistral", dict(around={"model_type": "zebra"}), 'unknown multimodal architecture "zebra"'),
    "one with a similar name": ("mistral", dict(around={"model_type": "qwen3_vll"}), 'the nearest of which capp runs the text part is "qwen3_vl"'),
    "another text model": ("mistral", dict(text={"model_type": "zebra"}), 'unknown architecture "zebra"'),
    "no text_config": ("gemma3", dict(around={"text_config": None}), '"text_config" is missing'),
    "a head that is neither there nor shared":
        ("mistral", dict(around={"tie_word_embeddings": False}, change=lambda tensors: tensors.pop("language_model.lm_head.weight")),
         "lm_head.weight is missing"),
    "tied to what": ("mistral", dict(around={"tie_word_embeddings": "no"}), '"tie_word_embeddings" must be true or false'),
    "quantized around": ("gemma3", dict(around={"quantization_config": {"quant_method": "odd"}}),
                         '"quantization_config.quant_method" is "odd"'),
}  # fmt: skip


@pytest.mark.parametrize("way", REFUSED)
def test_refused(build, tmp_path, way):
    name, arguments, message = REFUSED[way]
    said = run(build, nested(name, tmp_path / "model", "older", **arguments))
    assert message in said and str(tmp_path / "model") in said


def test_a_text_model_alone_has_no_vision_tower(build, tmp_path):
    config = json.loads((TINY / "gemma3" / "config.json").read_text())
    tensors = {**lora.Model(TINY / "gemma3").folder.tensors, **multimodal.vision("older")}
    folder = quantized.write_folder(tmp_path / "model", config, tensors)
    assert "vision_tower" in run(build, folder) and "unexpected tensor" in run(build, folder)


@pytest.mark.parametrize("inside, around", [(None, None), (True, None), (False, True), (True, False), (False, False)])
def test_a_head_that_is_there_is_the_head(build, alone, tmp_path, inside, around):
    """transformers 4 uses the field inside text_config; transformers 5 uses the one around it, which is true where it
    is missing. A folder of a model with tied embeddings, saved by either version, has no head."""
    fields = dict(text={"tie_word_embeddings": inside}, around={"tie_word_embeddings": around})
    assert run(build, nested("mistral", tmp_path / "with", "newer", **fields)) == alone["mistral"]
    without = run(build, nested("mistral", tmp_path / "without", "newer", change=lambda t: t.pop("lm_head.weight"), **fields))
    if inside or around is not False:
        twice = lambda t: t.update({"lm_head.weight": t["model.language_model.embed_tokens.weight"]})  # noqa: E731
        assert without == run(build, nested("mistral", tmp_path / "twice", "newer", change=twice, **fields)) != alone["mistral"]
    else:
        assert "lm_head.weight is missing" in without


@pytest.mark.parametrize("where", ["around", "inside"])
@pytest.mark.parametrize("case", ["gptq-2", "gptq-dynamic", "fp8-static", "compressed-blocks"])
def test_quantized(build, tmp_path, case, where):
    """quantization_config is around text_config, where transformers requires it, or inside."""
    name, method, config, options = quantized.CASES[case]
    own, stored, _ = quantized.packed(name, method, **options)
    plain = quantized.write_folder(tmp_path / "plain", {**own, "quantization_config": config}, stored)
    tensors = {multimodal.renamed(tensor, "older"): values for tensor, values in stored.items()} | multimodal.vision("older")
    text, around = ({"quantization_config": config} if where == place else {} for place in ("inside", "around"))
    folder = quantized.write_folder(tmp_path / "model", {**multimodal.AROUND["gemma3" if name == "gemma3" else "mistral"], **around, "text_config": {**own, **text}},
                                    tensors)
    assert run(build, folder) == run(build, plain)


def test_inspect(capp, tmp_path):
    done = subprocess.run([capp, "inspect", nested("gemma3", tmp_path / "model", "newer")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for fact in ("gemma3_text", "the text part of a multimodal folder", "mm_tokens_per_image", "text_config.head_dim"):
        assert fact in done.stdout
    assert "runs" not in done.stdout.split("model\n")[1].split("tokenizer\n")[0]


# ---- Adapters --------------------------------------------------------------------------------------------------------


def adapter(folder, model, pairs, files, extra={}):
    """PEFT's folder for the multimodal class, which also has pairs of the vision tower."""
    named = {multimodal.renamed(module, files) if files else module: pair for module, pair in pairs.items()}
    return model.peft(folder, {**named, **extra})


def vision_pairs(files):
    module = next(iter(multimodal.vision(files))).removesuffix(".weight")
    return {module: lora.Pair(np.ones((3, 6), np.float32), np.ones((4, 3), np.float32))}


@pytest.mark.parametrize("files", ["older", "newer"])
@pytest.mark.parametrize("name", NAMES)
def test_adapters(build, alone, tmp_path, name, files):
    """An adapter for the multimodal class or for the text model alone gives the same bits on either model, or on its
    GGUF file."""
    model = lora.Model(TINY / name)
    pairs = model.adapter(1)
    own = adapter(tmp_path / "own", model, pairs, None)
    wanted = run(build, TINY / name, own)
    assert len(wanted.split()) == len(IDS) - 1 and wanted != alone[name]
    whole = adapter(tmp_path / "whole", model, pairs, files, vision_pairs(files))
    for folder in (TINY / name, nested(name, tmp_path / "model", files)):
        assert run(build, folder, own) == run(build, folder, whole) == wanted
    assert convert.convert(TINY / name, tmp_path / "model.gguf")
    on_gguf = run(build, tmp_path / "model.gguf", own)
    if name.startswith("qwen35"):
        assert "in another order than folders" in on_gguf
        return
    assert run(build, tmp_path / "model.gguf", whole) == on_gguf != run(build, tmp_path / "model.gguf")
    assert len(on_gguf.split()) == len(IDS) - 1


def test_adapters_that_do_not_fit(build, tmp_path):
    model, folder = lora.Model(TINY / "mistral"), nested("mistral", tmp_path / "model", "newer")
    pair = model.adapter(1, ["model.layers.0.mlp.up_proj"])["model.layers.0.mlp.up_proj"]
    only = model.peft(tmp_path / "only", vision_pairs("newer"))
    assert "only the image part" in run(build, folder, only)
    for module in ("model.language_model.layers.9.mlp.up_proj", "model.depth_tower.layers.0.mlp.up_proj"):
        other = model.peft(tmp_path / module, {module: pair})
        assert f"{module}.lora_A.weight in {folder}" in run(build, folder, other)

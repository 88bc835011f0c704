"""Model folders through the command: a model with its tokenizer, and folders that are each broken in one way."""
import json
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

import convert

TINY = Path(__file__).resolve().parent / "fixtures" / "tiny"
tokenizers = pytest.importorskip("tokenizers")


def write_tokenizer(folder):
    """97 tokens, as many as the tiny models have: special ones, letters, some pairs."""
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1) if chr(code) not in '"#$%&*+<=>@[]^_`{|}~'] + ["Ġ"]
    tokens = ["<unk>", "<s>", "</s>", *letters]
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("i", "n"), ("a", "n"), ("e", "r"), ("o", "n")]
    tokens += ["".join(pair) for pair in merges]
    tokens += [f"<extra{i}>" for i in range(97 - len(tokens))]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer


@pytest.fixture
def folder(tmp_path):
    """A copy of a tiny model, with a tokenizer."""
    copy = tmp_path / "model"
    shutil.copytree(TINY / "llama", copy)
    write_tokenizer(copy)
    return copy


def run(capp, *arguments, text=None):
    return subprocess.run([capp, *map(str, arguments)], input=text, capture_output=True, text=True)


def test_scores_through_the_command(capp, build, folder):
    """The command's log-probabilities equal those that the tool without a tokenizer computes for the same ids."""
    text = "the other one and the rain."
    done = run(capp, "logprobs", "-m", folder, "--precision", "f32", "--isa", "avx2", "-", text=text + "\n")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    ids = write_tokenizer(folder).encode(text, add_special_tokens=False).ids
    tool = subprocess.run([build / "tests" / "model_tool", folder, "avx2"], input=" ".join(map(str, ids)) + "\n",
                          capture_output=True, text=True, check=True)
    expected = [float(number) for number in tool.stdout.split()]
    got = next(value for value in result.values() if isinstance(value, list) and len(value) == len(ids)
               and not all(isinstance(item, str) for item in value) and value != ids)
    assert np.allclose([number for number in got if number is not None][-len(expected):], expected, atol=1e-5)


def test_inspect(capp, folder):
    done = run(capp, "inspect", folder)
    assert done.returncode == 0, done.stderr
    for fact in ("folder of safetensors", "llama", "model.layers.0.self_attn.q_proj.weight", "intermediate_size"):
        assert fact in done.stdout


def test_a_sharded_folder_names_what_is_missing(build, tmp_path):
    copy = tmp_path / "sharded"
    shutil.copytree(TINY / "qwen3", copy)
    parts = sorted(copy.glob("model-*.safetensors"))
    assert len(parts) > 1
    parts[1].unlink()
    done = subprocess.run([build / "tests" / "model_tool", copy, "ref"], input="", capture_output=True, text=True)
    assert done.returncode == 2 and parts[1].name in done.stderr


def rewritten(folder, change):
    """Saves the folder's tensors again, changed by change(tensors)."""
    tensors = {name: values for name, values in convert.read_tensors(folder).items()}
    change(tensors)
    header, data = {}, b""
    for name, values in tensors.items():
        raw = values.astype(np.float32).tobytes()
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


def reconfigured(folder, **fields):
    config = json.loads((folder / "config.json").read_text())
    config.update(fields)
    (folder / "config.json").write_text(json.dumps(config))


BROKEN = {
    "missing tensor": (lambda f: rewritten(f, lambda t: t.pop("model.layers.1.mlp.up_proj.weight")),
                       "model.layers.1.mlp.up_proj.weight is missing"),
    "extra tensor": (lambda f: rewritten(f, lambda t: t.update({"model.layers.0.self_attn.q_proj.bias": np.ones(36)})),
                     "unexpected tensor model.layers.0.self_attn.q_proj.bias in a model of architecture llama: the model has a part that "
                     "capp does not support\n"),
    "extra tensor with a similar name": (
        lambda f: rewritten(f, lambda t: t.update({"model.layers.2.mlp.up_prj.weight": np.ones(36)})),
        "the nearest name that capp knows is model.layers.2.mlp.up_proj.weight"),
    "fewer layers than tensors": (
        lambda f: reconfigured(f, num_hidden_layers=1),
        "tensor model.layers.1.input_layernorm.weight is of layer 1, but the model has 1 of them, from 0 on, according to config.json; "
        "download or convert the model again"),
    "wrong shape": (lambda f: reconfigured(f, intermediate_size=43), "the hyperparameters say 36 x 43"),
    "unknown architecture": (lambda f: reconfigured(f, model_type="zebra"), 'unknown architecture "zebra"'),
    "unknown field": (lambda f: reconfigured(f, stripes=3), 'unknown field "stripes"'),
    "foreign field": (lambda f: reconfigured(f, attn_logit_softcapping=30.0), '"attn_logit_softcapping" is 30'),
    "unknown activation": (lambda f: reconfigured(f, hidden_act="mish"), '"hidden_act" is "mish"'),
    "unknown scaling": (lambda f: reconfigured(f, rope_scaling={"rope_type": "spiral", "factor": 2.0}),
                        'rope scaling "spiral"'),
    "field of scaling": (lambda f: reconfigured(f, rope_scaling={"rope_type": "linear", "factor": 2.0, "bend": 1}),
                         'unknown field "rope_scaling.bend"'),
    "quantized": (lambda f: reconfigured(f, quantization_config={"quant_method": "odd"}),
                  '"quantization_config.quant_method" is "odd"'),
    "no config": (lambda f: (f / "config.json").unlink(), "no config.json in the folder"),
    "no tensors": (lambda f: (f / "model.safetensors").unlink(), "no model.safetensors or"),
    "cut short": (lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-4]),
                  "truncated or damaged"),
    "biases that are said but missing": (lambda f: reconfigured(f, attention_bias=True), "q_proj.bias is missing"),
}


@pytest.mark.parametrize("way", BROKEN)
def test_broken_folders(capp, folder, way):
    change, message = BROKEN[way]
    change(folder)
    done = run(capp, "logprobs", "-m", folder, "-", text="the end\n")
    assert done.returncode == 2 and message in done.stderr, done.stderr
    assert str(folder) in done.stderr


def test_the_file_of_a_folder_is_told_to_be_one(capp, folder):
    done = run(capp, "inspect", folder / "model.safetensors")
    assert done.returncode == 2 and "open the folder that contains it" in done.stderr, done.stderr


IDLE = {"_model_name_or_path": "a name", "activation_dropout": 0.1, "initializer_cutoff_factor": 2.0, "tokenizer_name": "gpt2",
        "image_token_id": 7, "unsloth_fixed": True, "some_version": "1.2"}


def test_fields_that_change_nothing(build, folder):
    def scores():
        return subprocess.run([build / "tests" / "model_tool", folder, "ref"], input="3 4 5 6\n", capture_output=True,
                              text=True, check=True).stdout

    before = scores()
    reconfigured(folder, **IDLE)
    assert scores() == before


def test_bloom_as_its_first_files_named_the_width(build, tmp_path):
    copy = tmp_path / "bloom"
    shutil.copytree(TINY / "bloom", copy)
    config = json.loads((copy / "config.json").read_text())
    reconfigured(copy, n_embed=config["hidden_size"], hidden_size=None)
    run = json.loads((TINY / "bloom" / "reference.json").read_text())["runs"][0]
    done = subprocess.run([build / "tests" / "model_tool", copy, "ref"], input=" ".join(map(str, run["ids"])) + "\n",
                          capture_output=True, text=True, check=True)
    assert np.allclose([float(number) for number in done.stdout.split()], run["logprobs"], atol=1e-3)


@pytest.mark.parametrize("key, value", [("swiglu_limit", 6.5), ("swiglu_alpha", 1.5)])
def test_gptoss_gates_are_those_that_capp_knows(build, tmp_path, key, value):
    copy = tmp_path / "gptoss"
    shutil.copytree(TINY / "gptoss", copy)
    tool = [build / "tests" / "model_tool", copy, "ref"]
    reconfigured(copy, swiglu_limit=7.0, swiglu_alpha=1.702)
    subprocess.run(tool, input="3 4 5\n", capture_output=True, text=True, check=True)
    reconfigured(copy, **{key: value})
    done = subprocess.run(tool, input="3 4 5\n", capture_output=True, text=True)
    assert done.returncode == 2 and f'"{key}" must be' in done.stderr, done.stderr


def test_the_tokenizer_alone(capp, folder):
    for name in ("config.json", "model.safetensors"):
        (folder / name).unlink()
    done = run(capp, "tokenize", "-m", folder, text="the end\n")
    assert done.returncode == 0, done.stderr

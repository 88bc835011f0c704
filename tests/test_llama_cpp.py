"""GGUF files against llama.cpp in float32 (tests/fixtures/llama_cpp, made by tools/make_llama_references.py), and
deliberate errors in the models that exist only there."""
import json
import subprocess

import gguf
import pytest

import convert
import llama_models
from test_tiny_models import LEAST, scored

REFERENCES = json.loads((llama_models.FILES / "references.json").read_text())["models"]
# llama.cpp takes GELU from a table of float16. Of Qwen2-VL's numbers in float64 it is 2e-4 away, capp 5e-6.
TOLERANCE = {"codeshell": 2e-3, "qwen2vl": 5e-4}
CONTEXT = {"minicpm3": 96}  # llama.cpp takes the rope factors of long contexts
SABOTAGE = {
    "smallthinker": "rope still experts_used router_norm router_sigmoid activation early_router",
    "smallthinker-global": "rope experts_used router_norm early_router",
    "chatglm": "rope rope_kind qkv_bias activation",
    "refact": "alibi score_scale",
    "codeshell": "rope qkv_bias out_bias up_bias down_bias norm_bias activation",
    "deci": "rope straight",
    "orion": "rope norm_bias",
    "plamo": "rope rope_kind parallel attention_norm",
    "plamo2": "tail decay step_bias skip step_norm b_norm c_norm rope rope_kind q_norm k_norm attention_norm feed_norm attention_post_norm "
              "feed_post_norm score_scale activation",
    "plamo2-mamba": "tail decay skip rope",
    "plamo3": "rope rope_kind window window_by_one scaling magnitude local_rope q_norm k_norm attention_norm attention_post_norm "
              "feed_post_norm",
    "plamo3-global": "rope q_norm k_norm feed_norm feed_post_norm",
    "baichuan-7b": "rope rope_kind",
    "baichuan-13b": "alibi",
    "minicpm": "embedding_scale residual_scale",
    "minicpm-older": "embedding_scale",
    "qwen2vl": "rope qkv_bias",
    "rwkv7": "wkv_shift wkv_feed_shift wkv_decay wkv_rate wkv_first_value wkv_removal wkv_renewal wkv_bonus wkv_gate mix_norm "
             "tokens_norm attention_norm feed_norm output_norm norm_bias activation",
    "arwkv7": "wkv_shift wkv_decay wkv_rate wkv_first_value wkv_removal wkv_renewal wkv_bonus wkv_gate mix_norm feed_norm activation",
    "arwkv7-plain": "wkv_shift wkv_decay wkv_rate wkv_first_value wkv_removal wkv_renewal wkv_bonus attention_norm",
    "deepseek": "experts_used router_norm router_scale shared rope_kind",
    "bailingmoe2": "experts_used router_norm router_sigmoid router_scale choice_bias expert_groups shared q_norm k_norm rope",
}


def largest_difference(build, name, folder, **options):
    path, texts = llama_models.file_of(name, folder)
    runs = REFERENCES[name]
    assert [run["ids"] for run in runs] == texts
    got = scored(build, path, runs, CONTEXT.get(name, 0), **options)
    return max(abs(a - b) for run, row in zip(runs, got, strict=True) for a, b in zip(run["logprobs"], row, strict=True))


@pytest.mark.parametrize("name", llama_models.NAMES)
def test_llama_cpp(build, name, tmp_path):
    assert largest_difference(build, name, tmp_path) <= TOLERANCE.get(name, 1e-4)
    assert largest_difference(build, name, tmp_path, isa="ref") <= TOLERANCE.get(name, 1e-4)


@pytest.mark.parametrize("name, way", [(name, way) for name in SABOTAGE for way in SABOTAGE[name].split()])
def test_every_sabotage_shows(build, name, way, tmp_path):
    assert largest_difference(build, name, tmp_path, sabotage=way) >= LEAST


@pytest.mark.parametrize("name", llama_models.OWN)
def test_paths_alone_and_in_a_tree(build, name, tmp_path):
    """Also where not every layer has attention, and where the router reads the layer's input."""
    path, texts = llama_models.file_of(name, tmp_path)
    long, other = texts[2], texts[1]
    paths = [{"ids": long[:n] + other[-m:]} for n, m in ((1, 1), (1, 20), (5, 9), (20, 3), (40, 1), (20, 12))]
    together = scored(build, path, [{"ids": long}, *paths], 0)
    assert together[1:] == [scored(build, path, [one], 0)[0] for one in paths]
    assert scored(build, path, [{"ids": long}], 0, unscored=30)[0] == together[0][29:]


@pytest.mark.parametrize("name, nearest", [("gemma5", "gemma"), ("qwen36", "qwen3"), ("gptos", "gptoss"), ("kimi-k3", "mimo"),
                                           ("clip", "image or sound part of a multimodal model")])
def test_unknown_architecture_of_a_file(build, name, nearest, tmp_path):
    """The message names it and the nearest known one."""
    writer = gguf.GGUFWriter(str(tmp_path / "model.gguf"), name)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.close):
        step()
    done = subprocess.run([build / "tests" / "model_tool", tmp_path / "model.gguf", "ref"], input="", capture_output=True, text=True)
    assert done.returncode == 2 and f'architecture "{name}"' in done.stderr
    assert nearest in done.stderr or name == "kimi-k3" and "the nearest name that capp knows is" in done.stderr


def test_a_file_without_a_pretokenizer(capp, tmp_path):
    """The command says what it takes instead, unless it is to be quiet."""
    model, rows = tmp_path / "model.gguf", tmp_path / "rows.txt"
    convert.convert(llama_models.TINY / "gpt2", model, pretokenizer=None)
    rows.write_text("a b\n")
    for options, told in (((), True), (("-q",), False)):
        done = subprocess.run([capp, "classify", "-m", model, "-c", "a,b", *options, rows], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert ("does not name its pre-tokenizer" in done.stderr) == told
    convert.convert(llama_models.TINY / "gpt2", model, pretokenizer="gpt-2")
    done = subprocess.run([capp, "classify", "-m", model, "-c", "a,b", rows], capture_output=True, text=True)
    assert done.returncode == 0 and "pre-tokenizer" not in done.stderr


@pytest.mark.parametrize("name, models", [("chatglm", "ChatGLM"), ("internlm2", "InternLM 2"), ("deci", "DeciLM"), ("rwkv7", "RWKV-7")])
def test_a_folder_of_an_architecture_of_gguf_files(build, name, models, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": name}))
    (tmp_path / "model.safetensors").write_bytes((llama_models.TINY / "llama" / "model.safetensors").read_bytes())
    done = subprocess.run([build / "tests" / "model_tool", tmp_path, "ref"], input="", capture_output=True, text=True)
    assert done.returncode == 2 and f'"{name}" ({models}' in done.stderr and "only from GGUF files" in done.stderr

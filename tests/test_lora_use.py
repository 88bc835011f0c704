"""LoRA adapters through the command and the Python package, on models with a tokenizer."""
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 120


def random_adapter(path, model, seed, rank=4, size=0.3, kinds=("attn_q", "attn_v", "ffn_down")):
    """Writes a GGUF adapter for the products of every layer of a GGUF model; returns the number of its elements."""
    reader, random, elements = gguf.GGUFReader(model), np.random.default_rng(seed), 0
    writer = gguf.GGUFWriter(str(path), str(reader.get_field("general.architecture").contents()))
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", rank)
    for tensor in reader.tensors:
        if tensor.name.split(".")[-2] in kinds:
            inputs, outputs = map(int, tensor.shape)
            for end, shape, scale in (("a", (rank, inputs), size / inputs**0.5), ("b", (outputs, rank), size)):
                writer.add_tensor(f"{tensor.name}.lora_{end}", (random.standard_normal(shape) * scale).astype(np.float32))
            elements += rank * (inputs + outputs)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return elements


@pytest.fixture(scope="module")
def adapters(tiny_model, tmp_path_factory):
    """Paths of two adapters for the tiny Llama."""
    folder = tmp_path_factory.mktemp("adapters")
    for seed in (1, 2):
        random_adapter(folder / f"{seed}.gguf", tiny_model, seed)
    return folder / "1.gguf", folder / "2.gguf"


def run(capp, *arguments, stdin='{"text": "the ode, a doe"}\n'):
    return subprocess.run([capp, *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=SECONDS)


def output(capp, *arguments, **options):
    done = run(capp, *arguments, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- The command -----------------------------------------------------------------------------------------------------


def logprobs(capp, model, *arguments):
    return output(capp, "logprobs", "-m", model, "--precision", "f32", *arguments)


def test_adapters_change_what_comes_out(capp, tiny_model, adapters):
    first, second = adapters
    plain = logprobs(capp, tiny_model)
    one = logprobs(capp, tiny_model, "--lora", first)
    assert one != plain
    assert logprobs(capp, tiny_model, "--lora", f"{first}=1") == one
    assert logprobs(capp, tiny_model, "--lora", f"{first}=0", "--lora", f"{second}=0.0") == plain
    half = logprobs(capp, tiny_model, "--lora", f"{first}=5e-1")
    assert half not in (one, plain)
    both = logprobs(capp, tiny_model, "--lora", first, "--lora", f"{second}=-2")
    assert both not in (one, logprobs(capp, tiny_model, "--lora", f"{second}=-2"))


def test_a_name_may_hold_an_equals_sign(capp, tiny_model, adapters, tmp_path):
    for name in ("rate=3e", "lr=1e-4"):
        named = tmp_path / name
        named.write_bytes(adapters[0].read_bytes())
        assert logprobs(capp, tiny_model, "--lora", named) == logprobs(capp, tiny_model, "--lora", adapters[0])


@pytest.mark.parametrize("isa", ["ref", "avx2"])
@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_no_bit(capp, tiny_model, adapters, isa, threads):
    text = "the ode\n" * 20
    one = output(capp, "logprobs", "-m", tiny_model, "--lora", adapters[0], "--isa", isa, "--threads", 1, stdin=text)
    assert output(capp, "logprobs", "-m", tiny_model, "--lora", adapters[0], "--isa", isa, "--threads", threads,
                  "--memory", "1M", stdin=text) == one


@pytest.mark.parametrize("precision", ["f32", "auto"])
def test_weights_that_are_not_cached_are_adapted_too(capp, tiny_model, adapters, precision):
    memory, rows = ("1M", 100) if precision == "f32" else ("4M", 400)  # tiles need more

    def adapted(cached, *lora):  # in so many waves that the cache has panels
        lines = "".join(f'{{"text": "the ode a doe {number}"}}\n' for number in range(rows))
        return output(capp, "logprobs", "-m", tiny_model, "--precision", precision, "--memory", memory, *lora,
                      "--weights-memory", cached, stdin=lines)

    whole = adapted("all", "--lora", adapters[0])
    assert adapted("0", "--lora", adapters[0]) == whole and adapted("20K", "--lora", adapters[0]) == whole
    assert adapted("all") != whole


@pytest.mark.parametrize("precision", ["i16", "auto"])
def test_on_top_of_integers(capp, smollm2, tmp_path, precision):
    """Matrices that an adapter changes stay integers: near float32, and the same bits in every arrangement and, in i16, with
    every instruction set. Under auto such a model is decided in i16, as without the adapter."""
    random_adapter(tmp_path / "adapter.gguf", smollm2, 1, size=0.25)
    text = "The man broke his toe because he dropped a hammer on it.\nIt rained.\n"

    def adapted(*options, lora=("--lora", tmp_path / "adapter.gguf")):
        return output(capp, "logprobs", "-m", smollm2, "--precision", precision, *lora, *options, stdin=text)

    expected = adapted("--threads", 1)
    assert adapted(lora=()) != expected
    assert adapted("--threads", 2, "--memory", "40M", "--weights-memory", 0) == expected
    if precision == "i16":
        assert adapted("--isa", "avx2") == adapted("--isa", "ref") == expected
        exact, near = numbers(adapted("--precision", "f32")), numbers(expected)
        assert 0 < np.abs(near - exact).mean() < 1e-3 and np.abs(near - exact).max() < 5e-3
        assert np.abs(numbers(adapted(lora=())) - exact).mean() > 0.1
    else:
        assert json.loads(output(capp, "inspect", "--fingerprint", "--lora", tmp_path / "adapter.gguf", smollm2))["deciding"] == "i16"


def numbers(printed):
    return np.array([x for line in printed.splitlines() for x in json.loads(line)["logprobs"] if x is not None])


@pytest.mark.parametrize("isa", ["avx2", "ref"])
def test_generation_with_integers(capp, smollm2, isa):
    """Generation in i16 gives the same text with every instruction set and any number of threads."""
    command = ["generate", "-m", smollm2, "-n", 6, "--precision", "i16"]
    expected = output(capp, *command, stdin="The capital of France is\nOnce upon a time\n")
    assert output(capp, *command, "--isa", isa, "--threads", 1, stdin="The capital of France is\nOnce upon a time\n") == expected


def test_every_command_takes_them(capp, tiny_model, adapters, tmp_path):
    lora = ["--lora", f"{adapters[0]}=0.5"]
    assert json.loads(output(capp, "classify", "-m", tiny_model, "-c", "a,be", *lora))["prediction"] in ("a", "be")
    assert output(capp, "tokenize", "-m", tiny_model, *lora) == output(capp, "tokenize", "-m", tiny_model)
    assert json.loads(output(capp, "generate", "-m", tiny_model, "-n", 2, *lora))["finish"]
    rows = '{"text": "the ode", "completions": ["a", "be"], "label": 1}\n'
    (tmp_path / "rows.jsonl").write_text(rows)
    report = json.loads(output(capp, "evaluate", "-m", tiny_model, "--label", "label", "--json", "-", *lora, tmp_path / "rows.jsonl"))
    assert report["adapters"] == f"{adapters[0]}=0.5"
    bench = json.loads(output(capp, "bench", "-m", tiny_model, "--prefill", 8, "--repeat", 1, "--json", "-", *lora))
    assert bench["adapters"] == f"{adapters[0]}=0.5"


def test_wrong_arguments(capp, tiny_model, tiny_gpt2, adapters):
    for text, message in [("", "does not name an adapter"), ("=2", "does not name an adapter"), (f"{adapters[0]}=inf", "not a finite number"),
                          (f"{adapters[0]}=1.x", "the weight '1.x' is not a number"), ("/none/such", "/none/such")]:
        done = run(capp, "logprobs", "-m", tiny_model, "--lora", text)
        assert done.returncode == 2 and message in done.stderr, done.stderr
    done = run(capp, "logprobs", "-m", tiny_gpt2, "--lora", adapters[0])
    assert done.returncode == 2 and 'for the architecture "llama"' in done.stderr and str(tiny_gpt2) in done.stderr
    done = run(capp, "logprobs", "-m", tiny_model, "--lora", adapters[0], "-o", adapters[0])
    assert done.returncode == 2 and str(adapters[0]) in done.stderr
    done = run(capp, "logprobs", "-m", adapters[0])
    assert done.returncode == 2 and "is a LoRA adapter, not a model" in done.stderr


def test_inspect(capp, tiny_model, tiny_gpt2, adapters):
    alone = json.loads(output(capp, "inspect", "--json", adapters[0]))
    assert alone["adapter"]["modules"] == "6: attn_q 2, attn_v 2, ffn_down 2"
    assert (alone["adapter"]["rank"], alone["adapter"]["alpha"], alone["adapter"]["architecture"]) == ("4", "4", "llama")
    assert alone["tensors"]["blk.0.attn_q.weight.lora_a"] == "32 x 4, F32"
    fits = json.loads(output(capp, "inspect", "--json", "--lora", f"{adapters[0]}=0.25", "--lora", "/none", tiny_model))
    assert fits["adapters"][str(adapters[0])].startswith("fits, weight 0.25, rank 4, modules 6: attn_q 2")
    assert fits["adapters"]["/none"].startswith("no: /none")
    wrong = json.loads(output(capp, "inspect", "--json", "--lora", adapters[1], adapters[0]))
    assert wrong["adapters"][str(adapters[1])].endswith("is a LoRA adapter, not a model; use the model for which it was trained")
    other = json.loads(output(capp, "inspect", "--json", "--lora", adapters[0], tiny_gpt2))
    assert 'no: ' in other["adapters"][str(adapters[0])] and '"llama"' in other["adapters"][str(adapters[0])]


def test_inspect_of_pefts_folder(capp):
    said = json.loads(output(capp, "inspect", "--json", ROOT / "tests" / "fixtures" / "lora" / "llama-patterns"))
    assert said["adapter"]["rank"] == "2 to 5" and said["adapter"]["base model"] == "llama3"
    assert said["adapter"]["modules"] == "15: down_proj 3, k_proj 3, o_proj 3, q_proj 3, v_proj 3"
    path = ROOT / "tests" / "fixtures" / "lora" / "llama-patterns" / "adapter_model.safetensors"
    assert json.loads(output(capp, "inspect", "--json", path)) == said
    fits = json.loads(output(capp, "inspect", "--json", "--lora", path, ROOT / "tests" / "fixtures" / "tiny" / "llama3"))
    assert fits["adapters"][str(path)].startswith("fits, weight 1, rank 2 to 5")


def test_memory(capp, smollm2, tmp_path):
    """An adapter costs the memory of float32 copies of its own tensors, not of the weights."""
    elements = random_adapter(tmp_path / "a.gguf", smollm2, 1, rank=8, kinds=("attn_q", "attn_k", "attn_v", "attn_output",
                                                                             "ffn_gate", "ffn_up", "ffn_down"))
    (tmp_path / "rows.jsonl").write_text('{"text": "One", "completions": ["two", "three"], "label": 0}\n')
    rest = ["--label", "label", "--memory", "64M", "--precision", "f32", "--json", "-", tmp_path / "rows.jsonl"]
    plain = json.loads(output(capp, "evaluate", "-m", smollm2, *rest))
    adapted = json.loads(output(capp, "evaluate", "-m", smollm2, "--lora", tmp_path / "a.gguf", *rest))
    own = adapted["weight_bytes"] - plain["weight_bytes"]
    assert 4 * elements <= own <= 4.1 * elements
    assert adapted["peak_memory_bytes"] - plain["peak_memory_bytes"] < 2 * own + (16 << 20) < plain["planned_weight_bytes"] // 4


# ---- Python ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def package(build):
    os.environ["CAPP_LIBRARY"] = str(build / "libcapp.so.0")
    sys.path.insert(0, str(ROOT / "python"))
    import capp

    return capp


def scores(package, model):
    from capp.classify import log_probs_conditional

    return np.concatenate(log_probs_conditional("the ode", ["a", "doe"], model))


def opened(package, path, **options):
    return package.Model(path, precision="f32", threads=1, **options)


def test_python(package, tiny_model, adapters):
    first, second = adapters
    with opened(package, tiny_model) as plain, opened(package, tiny_model, lora=first) as one:
        assert plain.info.adapters == "" and one.info.adapters == f"{first}=1"
        assert one.info.weight_bytes > plain.info.weight_bytes
        base, changed = scores(package, plain), scores(package, one)
    assert np.abs(base - changed).max() > 0.01
    for lora, same in [({first: 0}, base), ([], base), ({str(first): 1.0}, changed), ([first], changed), ([(first, 1)], changed)]:
        with opened(package, tiny_model, lora=lora) as model:
            assert (scores(package, model) == same).all()
    with opened(package, tiny_model, lora={first: 0.5, second: -1}) as model:
        assert model.info.adapters == f"{first}=0.5, {second}=-1"
        assert str(first) in repr(model)
        copy = pickle.loads(pickle.dumps(model))
        assert (scores(package, copy) == scores(package, model)).all()
        copy.close()


def test_a_job_takes_adapters(package, tiny_model, adapters):
    from capp._worker import Job

    options = {"precision": "f32", "lora": {adapters[0]: 0.5}}
    job = pickle.loads(pickle.dumps(Job("predict", tiny_model, ["a", "be"], {}, model_options=options)))
    assert job.open(1).info.adapters == f"{adapters[0]}=0.5"
    with pytest.raises(ValueError, match="precision"):
        Job("predict", tiny_model, ["a", "be"], {}, model_options={"precision": "f33"})


def test_a_model_sent_to_itself_is_told_apart_by_its_adapters(package, tiny_model, adapters):
    with opened(package, tiny_model) as plain, opened(package, tiny_model, lora=adapters[0]) as one:
        a, b = pickle.loads(pickle.dumps(plain)), pickle.loads(pickle.dumps(one))
        assert a is not b and (scores(package, a) != scores(package, b)).any()
        a.close(), b.close()


def test_python_errors(package, tiny_model, tiny_gpt2, adapters):
    with pytest.raises(Exception, match="none/such"):
        opened(package, tiny_model, lora="/none/such")
    with pytest.raises(ValueError, match="for the architecture"):
        opened(package, tiny_gpt2, lora=adapters[0])
    with pytest.raises(ValueError, match="finite"):
        opened(package, tiny_model, lora={adapters[0]: float("nan")})
    with pytest.raises(ValueError, match="lora must be"):
        opened(package, tiny_model, lora=[(adapters[0], 1, 2)])

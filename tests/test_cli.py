"""The command: help, arguments, models, limits, and the small commands."""
import json
import re
import string
import struct
from pathlib import Path

import integers
import pytest
from command import CLASSES, classify, fails, rows_of, run


# ---- Help and arguments ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["classify", "evaluate", "logprobs", "tokenize", "inspect", "generate", "bench", "models"])
def test_help(command):
    first, second = run("help", command), run(command, "--help")
    assert first.returncode == second.returncode == 0 and not first.stderr
    assert first.stdout == second.stdout and f"Usage: capp {command}" in first.stdout.decode()
    assert max(map(len, first.stdout.decode().splitlines())) <= 120
    assert f"  {command} " in run("help").stdout.decode()


def test_help_of_help():
    assert run("help", "help").stdout == run("help").stdout and run("help", "help").returncode == 0


def test_version():
    assert re.fullmatch(rb"capp \d+\.\d+\.\d+\n", run("--version").stdout)


def test_no_arguments():
    done = run()
    assert done.returncode == 2 and not done.stdout and b"Usage: capp COMMAND" in done.stderr


@pytest.mark.parametrize(
    "arguments, parts",
    [
        (["clasify"], ["unknown command 'clasify'", "classify"]),
        (["help", "clasify"], ["unknown command 'clasify'"]),
        (["classify", "--foo"], ["unknown option '--foo'", "capp help classify"]),
        (["classify", "-Z"], ["unknown option '-Z'"]),
        (["classify", "-m"], ["--model needs FILE"]),
        (["classify", "--quiet=1"], ["--quiet takes no argument"]),
        (["classify", "-c", "a,b"], ["no model", "-m FILE"]),
        (["classify", "-m", "x", "a", "b"], ["more than one INPUT: 'b'"]),
        (["classify", "-m", "x", "--threads", "two"], ["--threads 'two'", "whole number"]),
        (["classify", "-m", "x", "--memory", "1Q"], ["--memory '1Q'", "512M"]),
        (["classify", "-m", "x", "--precision", "f64"], ["--precision 'f64'", "bf16"]),
        (["classify", "-m", "x", "--aggregate", "max"], ["--aggregate 'max'", "mean, sum or bytes"]),
        (["classify", "-m", "x", "--window", "0"], ["--window '0'"]),
        (["classify", "-m", "x", "--end-of-prompt", ": "], ["--end-of-prompt ': '"]),
        (["classify", "-m", "x", "--format", "xml"], ["--format 'xml'", "jsonl"]),
        (["classify", "-m", "x", "-t", "{text"], ["-t", "'{' at byte 1", "{{"]),
        (["classify", "-m", "x", "-t", "a}"], ["-t", "'}' at byte 2", "}}"]),
        (["classify", "-m", "x", "-t", "{}"], ["-t", "does not name a column"]),
        (["classify", "-m", "x", "-t", ""], ["-t", "empty"]),
        (["classify", "-m", "x", "-c", "a,,b"], ["class 2 is empty"]),
        (["classify", "-m", "x", "-c", "a,"], ["class 2 is empty"]),
        (["classify", "-m", "x", "-c", ""], ["no classes"]),
        (["classify", "-m", "x", "-c", "@no-such-file"], ["no-such-file", "No such file"]),
        (["classify", "-m", "x", "-c", "a,b", "--prior", "1,x"], ["--prior '1,x'"]),
        (["classify", "-m", "x", "-c", "a,b", "--prior", "1"], ["--prior has 1", "2 classes"]),
        (["classify", "-m", "x", "-c", "a,b", "--prior", "0.5,0.6"], ["prior", "1"]),
        (["classify", "-m", "x", "-c", "a,b", "--prior", "-1,2"], ["the prior of class 1 is -1"]),
        (["evaluate", "-m", "x", "--label", "y", "-c", "a,b", "--prior", "0.5,2"], ["the prior of class 2 is 2"]),
        (["classify", "-m", "x", "-c", "a"], ["only one class", "--multi-label"]),
        (["evaluate", "-m", "x", "-c", "a,b"], ["--label"]),
        (["classify", "-m", "x", "-c", "a,b", "--prior", ""], ["--prior ''"]),
        (["classify", "-m", "x", "-c", "a,b", "--prior", "nan,1"], ["prior", "nan"]),
        (["classify", "-m", "x", "-c", "a,b", "--prior", "@/dev/null"], ["/dev/null", "empty"]),
        (["classify", "-m", "x", "-c", "a\nb", "--label", "x"], ["unknown option '--label'"]),
        (["classify", "-m", "x", "--memory", "5 "], ["--memory '5 '", "512M"]),
        (["classify", "-m", "x", "--memory", "8E"], ["--memory '8E'"]),
        (["classify", "-m", ""], ["-m is an empty name"]),
        (["classify", "-m", "x", "-o", ""], ["-o is an empty name"]),
        (["classify", "-m", "x", "-c", "a,b", ""], ["INPUT is an empty name"]),
        (["evaluate", "-m", "x", "--label", "x", "--json", ""], ["--json is an empty name"]),
        (["logprobs", "-m", "x", "-o", "x.csv"], [".csv"]),
        (["generate", "-m", "x", "-n", "0"], ["-n '0'"]),
        (["inspect"], ["capp inspect FILE"]),
        (["bench", "-m", "x", "rows"], ["'rows'"]),
    ],
)
def test_bad_arguments(arguments, parts):
    fails(run(*arguments), *parts)


@pytest.mark.parametrize("command", [["classify", *CLASSES], ["tokenize"], ["logprobs"], ["generate"]])
def test_missing_model(command, tmp_path):
    fails(run(*command, "-m", tmp_path / "none.gguf"), "none.gguf")


def test_not_a_model(write):
    fails(run("inspect", write("bad.gguf", "this is no model")), "bad.gguf")
    fails(run("inspect", write("empty.gguf", "")), "empty.gguf")


def test_a_split_model(model, tmp_path):
    import tiny

    tiny.make(tmp_path / "parts.gguf", "llama", split=6)
    parts = sorted(tmp_path.glob("parts-*.gguf"))
    assert len(parts) > 2 and parts[0].name == f"parts-00001-of-{len(parts):05}.gguf"
    assert run("logprobs", "-m", parts[0], *CLASSES, stdin="one\n").stdout == run(
        "logprobs", *model, *CLASSES, stdin="one\n").stdout
    fails(run("classify", "-m", parts[1], *CLASSES, stdin="one\n"), parts[1].name, "00001")
    parts[-1].unlink()
    fails(run("classify", "-m", parts[0], *CLASSES, stdin="one\n"), parts[-1].name)


def test_a_truncated_model(tiny_model, tmp_path):
    whole, path = Path(tiny_model).read_bytes(), tmp_path / "short.gguf"
    for eighth in range(8):
        path.write_bytes(whole[: len(whole) * eighth // 8])
        fails(run("classify", "-m", path, *CLASSES, stdin="one\n"), "short.gguf")


# ---- Limits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", ["1", "1K", "100K"])
def test_a_budget_far_too_small(model, write, memory):
    fails(classify(model, write("in.txt", "a\n"), "--memory", memory), "memory budget", "in.txt:1")


def test_a_context_of_exactly_the_tokens(model):
    ids = rows_of(run("logprobs", *model, *CLASSES, stdin="one two\n"))[0]
    need = len(ids["prompt_ids"]) + max(len(c["ids"]) for c in ids["completions"])
    assert rows_of(run("classify", *model, *CLASSES, "--context", need, stdin="one two\n"))
    fails(run("classify", *model, *CLASSES, "--context", need - 1, stdin="one two\n"), "stdin:1:", f"{need} tokens")


@pytest.mark.parametrize("command", [["classify", *CLASSES], ["generate", "-n", 8, "--ignore-eos"]])
def test_the_memory_that_is_asked_for_is_enough(model, write, command):
    """Results do not depend on the limit either."""
    path = write("many.txt", "".join(f"{'many words of ' * (i % 8)}row {i}\n" for i in range(100)))
    command = [*command, *model, "--threads", "1", path]
    plenty, memory = run(*command), "1K"
    for _ in range(20):  # each row may need more memory than the rows before it
        done = run(*command, "--memory", memory)
        if done.returncode == 0:
            break
        memory = re.search(r"need (\d+) MiB", done.stderr.decode())[1] + "M"
    assert done.returncode == 0 and done.stdout == plenty.stdout and len(plenty.stdout.splitlines()) == 100


# ---- logprobs, tokenize, generate, inspect, bench -------------------------------------------------------------------


def is_float32(value):
    return struct.unpack("f", struct.pack("f", value))[0] == pytest.approx(value, rel=1e-8) and value <= 0


def test_logprobs(model):
    rows = [
        {"id": 5, "prompt": "a b", "completions": ["c", "d e"], "label": 1},
        {"prompt": "a b", "completions": [{"text": "c"}, {"text": "d e"}], "label": "one"},
        {"text": "a b c"},
        {"prompt": "a b", "completions": ["c"]},
    ]
    done = rows_of(run("logprobs", *model, stdin="".join(json.dumps(row) + "\n" for row in rows)))
    first = done[0]
    assert list(first) == ["id", "prompt", "prompt_ids", "completions", "label"]
    assert first["id"] == 5 and first["label"] == 1 and done[1]["label"] == "one"
    assert first["completions"] == done[1]["completions"] and "label" not in done[2]
    for completion in first["completions"]:
        assert len(completion["ids"]) == len(completion["logprobs"]) > 0
        assert all(map(is_float32, completion["logprobs"]))
    assert list(done[2]) == ["id", "text", "ids", "logprobs"] and done[2]["id"] == 2
    assert len(done[2]["ids"]) == len(done[2]["logprobs"])
    assert done[2]["logprobs"][0] is None and all(map(is_float32, done[2]["logprobs"][1:]))
    assert done[3]["completions"] == [first["completions"][0]]


def test_logprobs_reads_its_own_output(model):
    first = run("logprobs", *model, *CLASSES, stdin='{"id": "q", "text": "a \\u0007\\"b\\\\", "label": 0}\n')
    assert rows_of(first) and run("logprobs", *model, stdin=first.stdout).stdout == first.stdout


def test_tokenize(model):
    texts = '{"id": "a", "text": "one two"}\n{"text": ""}\n{"text": "a\\u0000b"}\n'
    rows = rows_of(run("tokenize", *model, stdin=texts))
    assert list(rows[0]) == ["id", "ids"] and list(rows[1]) == ["ids"] and rows[0]["ids"] and rows[2]["ids"]
    bare = rows_of(run("tokenize", *model, "--no-bos", stdin="one two\n"))[0]["ids"]
    assert rows[0]["ids"][-len(bare) :] == bare
    fails(run("tokenize", *model, stdin='{"prompt": "a"}\n'), "stdin:1:", "'text'", "prompt")


def test_tokenize_agrees_with_logprobs(model):
    scored = rows_of(run("logprobs", *model, *CLASSES, stdin="one two\n"))[0]
    assert scored["prompt_ids"] == rows_of(run("tokenize", *model, stdin="one two\n"))[0]["ids"]


def test_generate(model):
    rows = rows_of(run("generate", *model, "-n", 5, "--ignore-eos", stdin="one\ntwo three\n"))
    assert [row["id"] for row in rows] == [0, 1]
    for row in rows:
        assert list(row) == ["id", "text", "ids", "finish"] and len(row["ids"]) == 5 and row["finish"] == "length"
    again = rows_of(run("generate", *model, "-n", 5, "--ignore-eos", "-t", "{text}", stdin="one\n"))
    assert again[0]["ids"] == rows[0]["ids"]


def test_generate_reports(model, tmp_path):
    report = tmp_path / "report.json"
    rows = rows_of(run("generate", *model, "-n", 5, "--ignore-eos", "--json", report, stdin="one\ntwo three\n"))
    facts = json.loads(report.read_text())
    assert facts["n"] == len(rows) == 2 and facts["seconds"] > 0 and facts["head_rows"] == 10
    assert facts["tokens_computed"] >= 8 and facts["peak_memory_bytes"] > facts["weight_bytes"] > 0
    fails(run("generate", *model, "--json", model[1], stdin="one\n"), "is also the input")


def test_generate_stops(model):
    prompts = "".join(f"{letter}\n" for letter in string.ascii_letters + string.digits + ".,;:!?")
    whole = rows_of(run("generate", *model, "-n", 8, "--ignore-eos", stdin=prompts))
    # A tiny random model generates parts of characters: take the text from the first whole character on.
    row = next(row for row in whole if len(row["text"]) > 1 and "\ufffd" not in row["text"][:2])
    stop = row["text"][1].replace("\\", "\\\\").replace("\n", "\\n")
    done = rows_of(run("generate", *model, "-n", 8, "--ignore-eos", "--stop", "no such", "--stop", stop, stdin=prompts))
    assert done[row["id"]]["finish"] == "stop"
    assert done[row["id"]]["text"] == row["text"][: row["text"].index(row["text"][1])]


def test_inspect(tiny_model):
    text = run("inspect", tiny_model)
    facts = run("inspect", "--json", tiny_model)
    assert text.returncode == facts.returncode == 0
    sections = json.loads(facts.stdout)
    assert {"file", "model", "tokenizer", "metadata", "tensors"} <= set(sections)
    for section in sections:
        assert f"\n{section}\n" in "\n" + text.stdout.decode()


def test_bench(model):
    report = json.loads(run("bench", *model, "--prefill", 24, "--repeat", 2, "--json", "-").stdout)
    assert report["prefill_tokens_per_second"] > 0 and report["score_rows_per_second"] > 0
    assert 16 <= report["prefill_tokens"] <= 26 and report["load_seconds"] >= 0 and report["peak_memory_bytes"] > 0
    assert b"tokens/s" in run("bench", *model, "--repeat", 1).stdout


@pytest.mark.parametrize("precision", ["mixed", "i8"])
def test_the_share_of_peak_is_that_of_the_digits(tmp_path, precision):
    """Where each of a number's digits takes an instruction, products of one digit have twice the peak of two digits."""
    file, peaks = integers.make(tmp_path, "Q4_0"), {}
    for name in ("i16", precision):
        done = run("bench", "-m", file, "--isa", "avx2", "--precision", name, "--prefill", 16, "--repeat", 1, "--json", "-")
        if b"instruction set" in done.stderr:
            pytest.skip("this machine has no AVX2")
        report = json.loads(done.stdout)
        assert report["precision"] == report["scoring"] == report["deciding"] == name and report["isa"] == "avx2"
        peaks[name] = report["peak_flops"]
    assert peaks[precision] > 1.4 * peaks["i16"]

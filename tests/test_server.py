"""capp serve: its interfaces, with the clients that people use, and the same bits as the command."""
import ctypes
import json
import re
import shlex
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np
import openai
import pytest
from command import rows_of, run
from serving import serving

TEXTS = ["the way in", "no one here", "yes, the other one", "déjà vu", "where is it?", "on a way"]
CLASSES = ["yes", "no", "the other", "in a way"]


@pytest.fixture(scope="module")
def served(tmp_path_factory, tiny_model, tiny_gemma3):
    options = ["--precision", "f32", "--threads", "2", "--memory", "256M"]
    with serving(tmp_path_factory.mktemp("server"), "-m", f"tiny={tiny_model}", "-m", f"gemma={tiny_gemma3}", *options) as server:
        yield server


@pytest.fixture(scope="module")
def smol(tmp_path_factory, smollm2):
    with serving(tmp_path_factory.mktemp("smol"), "-m", smollm2) as server:
        yield server


def client(server, **options):
    return openai.OpenAI(base_url=f"{server.base}/v1", api_key="none", max_retries=0, **options)


def logprobs_of(path, texts, tmp_path, *more):
    """Ids and log-probabilities of the tokens of each text, by the command."""
    rows = tmp_path / "texts.jsonl"
    rows.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return rows_of(run("logprobs", "-m", path, "--precision", "f32", *more, rows))


# ---- Completions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tiny", "gemma"])
def test_echo_has_the_bits_of_the_command(served, tiny_model, tiny_gemma3, tmp_path, name):
    path = {"tiny": tiny_model, "gemma": tiny_gemma3}[name]
    answer = client(served).completions.create(model=name, prompt=TEXTS, echo=True, logprobs=3, max_tokens=0)
    expected = logprobs_of(path, TEXTS, tmp_path)
    for text, choice, row in zip(TEXTS, answer.choices, expected, strict=True):
        skipped = 1 if name == "gemma" else 0  # BOS is not a part of the text
        assert choice.text == text and choice.finish_reason == "length"
        mine = choice.logprobs
        assert [None if x is None else np.float32(x) for x in mine.token_logprobs] == \
            [None if x is None else np.float32(x) for x in row["logprobs"][skipped:]]
        for token, offset, value, top in zip(mine.tokens, mine.text_offset, mine.token_logprobs, mine.top_logprobs, strict=True):
            if not token.startswith("bytes:"):
                assert text[offset:offset + len(token)] == token
            if value is None:
                assert top is None
            else:
                assert len(top) in (3, 4) and max(top.values()) == list(top.values())[0]
                assert top.get(token) == value
    assert answer.usage.completion_tokens == 0
    assert answer.usage.prompt_tokens == sum(len(row["ids"]) for row in expected)


@pytest.mark.parametrize("name", ["tiny", "gemma"])
def test_no_token_is_twice_among_the_most_probable(served, name):
    """Vocabularies have different tokens with the same bytes."""
    def unique(pairs):
        assert len({key for key, _ in pairs}) == len(pairs), pairs
        return dict(pairs)

    body = json.dumps({"model": name, "prompt": "the way", "echo": True, "logprobs": 100, "max_tokens": 4}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{served.base}/v1/completions", body, {"Content-Type": "application/json"})) as answer:
        json.loads(answer.read(), object_pairs_hook=unique)


def test_prompts_of_token_ids(served):
    ids = served.post("/tokenize", model="tiny", content=TEXTS[0])["tokens"]
    for prompt in (ids, [ids]):
        one = client(served).completions.create(model="tiny", prompt=prompt, echo=True, logprobs=1, max_tokens=0)
        two = client(served).completions.create(model="tiny", prompt=TEXTS[0], echo=True, logprobs=1, max_tokens=0)
        assert one.choices == two.choices
    assert served.post("/detokenize", model="tiny", tokens=ids)["content"] == TEXTS[0]
    assert served.post("/tokenize", model="gemma", content="in")["count"] + 1 == \
        served.post("/tokenize", model="gemma", content="in", add_special=True)["count"]


def test_tokens_for_clients_of_vllm(smol, served):
    assert smol.ask("/tokenizer_info")[2]["eos_token"] == "<|im_end|>"
    assert served.ask("/tokenizer_info?model=gemma")[0] == 200
    served.fails("/tokenizer_info", None, 400, "model")
    served.fails("/tokenizer_info?model=gpt", None, 404, "gpt")
    ids = smol.post("/tokenize", prompt="a<|im_end|>", add_special_tokens=False)
    assert ids["count"] == 2 and smol.post("/detokenize", tokens=ids["tokens"])["prompt"] == "a<|im_end|>"
    assert smol.post("/tokenize", content="a<|im_end|>")["count"] > 2
    served.fails("/tokenizer_info", None, 400, "model")  # it has two


def test_greedy_continuations_are_those_of_the_command(served, tiny_model, tmp_path):
    rows = tmp_path / "texts.jsonl"
    rows.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in TEXTS))
    expected = rows_of(run("generate", "-m", tiny_model, "--precision", "f32", "-n", 20, rows))
    answer = client(served).completions.create(model="tiny", prompt=TEXTS, max_tokens=20, temperature=0)
    reasons = {"eos": "stop", "stop": "stop", "length": "length"}
    for choice, row in zip(answer.choices, expected, strict=True):
        assert choice.text == row["text"]
        assert choice.finish_reason == reasons[row["finish"]]


def streamed(chunks):
    """Joins the pieces of an answer that streams: text, tokens and finish of each choice."""
    found = {}
    for chunk in chunks:
        for choice in chunk.choices:
            text, tokens, finish = found.setdefault(choice.index, ["", [], None])
            found[choice.index][0] = text + choice.text
            found[choice.index][1] = tokens + (choice.logprobs.tokens if choice.logprobs else [])
            found[choice.index][2] = finish or choice.finish_reason
    return found


@pytest.mark.parametrize("echo", [False, True])
def test_a_stream_has_the_same_text(served, echo):
    how = {"model": "tiny", "prompt": TEXTS[:2], "n": 2, "max_tokens": 30, "seed": 5, "logprobs": 0, "echo": echo}
    whole = client(served).completions.create(**how)
    pieces = streamed(client(served).completions.create(stream=True, **how))
    assert len(pieces) == len(whole.choices) == 4
    for choice in whole.choices:
        assert pieces[choice.index] == [choice.text, choice.logprobs.tokens, choice.finish_reason]
    *_, last = client(served).completions.create(stream=True, stream_options={"include_usage": True}, **how)
    assert last.usage == whole.usage and last.choices == []


def test_sampling_is_honored(served):
    def texts(**how):
        answer = client(served).completions.create(model="tiny", prompt="the", max_tokens=12, **how)
        return [choice.text for choice in answer.choices]

    assert texts(seed=1) == texts(seed=1) != texts(seed=2)
    assert len(set(texts(seed=1, n=8))) > 4
    assert len({texts()[0] for _ in range(4)}) > 1  # without a seed
    greedy = texts(temperature=0)
    assert texts(top_p=1e-9, seed=3) == texts(temperature=1e-6, seed=4) == texts(top_p=0) == greedy
    assert texts(temperature=0, n=3) == greedy * 3


def test_the_end_of_sequence_has_a_log_probability(smol):
    """As OpenAI and vLLM have it: clients count on a generated token."""
    answer = client(smol).completions.create(model="smollm2", prompt="It got dark outside, so the moon became visible in the sky.",
                                             max_tokens=1, logprobs=1, echo=True, temperature=0)
    choice = answer.choices[0]
    assert choice.logprobs.tokens[-2:] == [".", "<|im_end|>"] and choice.text.endswith(".") and choice.finish_reason == "stop"
    assert choice.logprobs.text_offset[-1] == len(choice.text)
    assert list(choice.logprobs.top_logprobs[-1].items()) == [("<|im_end|>", choice.logprobs.token_logprobs[-1])]


def test_stop_strings(served):
    text = client(served).completions.create(model="tiny", prompt="the", max_tokens=40, seed=11).choices[0].text
    stop = max(re.findall(r"[ -~]+", text[5:]), key=len)[:3]  # most tokens of the tiny model are parts of characters
    assert len(stop) > 1
    for how in ({}, {"logprobs": 2}, {"echo": True}):
        whole = client(served).completions.create(model="tiny", prompt="the", max_tokens=40, seed=11, stop=[stop, "never"], **how)
        assert whole.choices[0].text == "the" * ("echo" in how) + text[:text.index(stop)]
        assert whole.choices[0].finish_reason == "stop"
        pieces = streamed(client(served).completions.create(model="tiny", prompt="the", max_tokens=40, seed=11, stop=stop,
                                                            stream=True, **how))
        assert pieces[0][0] == whole.choices[0].text and pieces[0][2] == "stop"


def test_a_stop_string_that_ends_inside_a_token(smol):
    """The text ends before it, also if it began in an earlier token. Of the token that it cuts, the part before it is listed."""
    how = {"model": "smollm2", "prompt": "The moon is", "max_tokens": 8, "temperature": 0, "logprobs": 1}
    whole = client(smol).completions.create(**how).choices[0]
    one, two = next(pair for pair in zip(whole.logprobs.tokens[1:], whole.logprobs.tokens[2:]) if len(pair[1]) > 3)
    for stop in (one[-1] + two[:2], two[1:3], one[-2:] + two[:1]):
        cut = client(smol).completions.create(stop=stop, **how).choices[0]
        assert cut.text == whole.text[:whole.text.index(stop)] == "".join(cut.logprobs.tokens)
        assert cut.logprobs.token_logprobs == whole.logprobs.token_logprobs[:len(cut.logprobs.tokens)]
        assert cut.finish_reason == "stop"
        assert streamed(client(smol).completions.create(stop=stop, stream=True, **how)) == {0: [cut.text, cut.logprobs.tokens, "stop"]}


def test_texts_that_are_surely_too_long(served):
    """They are refused by their bytes, before they become tokens."""
    long = "a " * 200_000
    for path, body in (("/v1/completions", {"prompt": ["a", long]}), ("/v1/completions", {"prompt": long, "choice": ["a", "b"]}),
                       ("/v1/completions", {"prompt": "a", "choice": ["a", long]}),
                       ("/v1/chat/completions", {"messages": [{"role": "system", "content": long}, {"role": "user", "content": "a"}]}),
                       ("/v1/classify", {"texts": ["a", long], "classes": ["a", "b"]}),
                       ("/v1/classify", {"texts": ["a"], "classes": ["a", long]}),
                       ("/v1/systemone", {"state": long, "questions": {"q": {"type": "noul"}}})):
        served.fails(path, {"model": "gemma", **body}, 400, "bytes, but the context is", "shorten the text")
    assert served.post("/tokenize", model="gemma", content=long)["count"] > 100_000


def test_offsets_count_the_characters_of_the_answer(served):
    """Tokens of the tiny model are mostly parts of characters, which do not join to text: each such byte is a character."""
    broken = 0
    for seed in range(12):
        how = {"model": "tiny", "prompt": "the é", "max_tokens": 40, "seed": seed, "logprobs": 0, "echo": True, "ignore_eos": True}
        choice = served.post("/v1/completions", **how)["choices"][0]
        tokens, offsets = choice["logprobs"]["tokens"], choice["logprobs"]["text_offset"]
        assert offsets[0] == 0 and offsets == sorted(offsets) and offsets[-1] <= len(choice["text"])
        for token, offset in zip(tokens, offsets):
            if not token.startswith("bytes:"):
                assert choice["text"].startswith(token, offset)
        broken += choice["text"].count("\ufffd")
        events = served.ask("/v1/completions", {**how, "stream": True})[2]
        pieces = [json.loads(line[6:]) for line in events.splitlines() if line.startswith("data: {")]
        assert [n for piece in pieces for n in piece["choices"][0]["logprobs"]["text_offset"]] == offsets
    assert broken > 20


def test_choice_is_answered_by_scoring(served, tiny_model, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in TEXTS))
    expected = rows_of(run("classify", "-m", tiny_model, "--precision", "f32", "-c", json_list(tmp_path, CLASSES), rows))
    answer = served.post("/v1/completions", model="tiny", prompt=TEXTS, choice=CLASSES)
    for choice, row in zip(answer["choices"], expected, strict=True):
        assert choice["text"] == row["prediction"]
        assert {each["text"]: each["probability"] for each in choice["choice"]} == row["probabilities"]


def json_list(tmp_path, values):
    path = tmp_path / "classes.json"
    path.write_text(json.dumps(values))
    return f"@{path}"


# ---- Chats -----------------------------------------------------------------------------------------------------------


def test_chat(smol):
    messages = [{"role": "system", "content": "Answer with one word."}, {"role": "user", "content": "What is the capital of France?"}]
    how = {"model": "smollm2", "messages": messages, "max_tokens": 8, "temperature": 0}
    answer = client(smol).chat.completions.create(logprobs=True, top_logprobs=4, **how)
    choice = answer.choices[0]
    assert "Paris" in choice.message.content and choice.message.role == "assistant"
    assert answer.usage.completion_tokens == len(choice.logprobs.content) + (choice.finish_reason == "stop")
    for token in choice.logprobs.content:
        assert bytes(token.bytes).decode() == token.token and len(token.top_logprobs) == 4
        assert token.top_logprobs[0].logprob == token.logprob  # temperature 0
    pieces = list(client(smol).chat.completions.create(stream=True, **how))
    assert "".join(piece.choices[0].delta.content for piece in pieces) == choice.message.content
    assert pieces[0].choices[0].delta.role == "assistant" and pieces[-1].choices[0].finish_reason == choice.finish_reason
    chosen = client(smol).chat.completions.create(extra_body={"choice": ["Rome", "Paris"]}, **how)
    assert chosen.choices[0].message.content == "Paris"


def test_a_model_without_a_template_has_no_chat(served):
    served.fails("/v1/chat/completions", {"model": "tiny", "messages": [{"role": "user", "content": "a"}]}, 400, "template")


# ---- Classify --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how, options", [
    ({}, []), ({"aggregate": "sum"}, ["--aggregate", "sum"]), ({"aggregate": "bytes", "end_of_prompt": ""}, ["--aggregate", "bytes", "--end-of-prompt", ""]),
    ({"prior": [0.1, 0.2, 0.3, 0.4]}, ["--prior", "0.1,0.2,0.3,0.4"]), ({"multi_label": True}, ["--multi-label"]),
    ({"template": "{{{text}}} is"}, ["-t", "{{{text}}} is"])])
def test_classify_has_the_bits_of_the_command(served, tiny_model, tmp_path, how, options):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": text, "prompt": text}) + "\n" for text in TEXTS))
    expected = rows_of(run("classify", "-m", tiny_model, "--precision", "f32", "-c", json_list(tmp_path, CLASSES), *options, rows))
    answer = served.post("/v1/classify", model="tiny", texts=TEXTS, classes=CLASSES, **how)
    assert [(row["prediction"], dict(zip(CLASSES, row["probabilities"]))) for row in answer["results"]] == \
        [(row["prediction"], row["probabilities"]) for row in expected]
    status, headers, lines = served.ask("/v1/classify", {"model": "tiny", "texts": TEXTS, "classes": CLASSES, "stream": True, **how})
    assert status == 200 and headers["Content-Type"] == "application/jsonl"
    assert [json.loads(line) for line in lines.splitlines()] == answer["results"]


def test_classify_tells_tokens(served):
    answer = served.post("/v1/classify", model="tiny", texts="the", classes=CLASSES, logprobs=True, likelihoods=True, aggregate="sum")
    (row,) = answer["results"]
    for name, tokens, likelihood in zip(CLASSES, row["logprobs"], row["likelihoods"], strict=True):
        assert "".join(token["token"] for token in tokens) == f" {name}"
        assert np.isclose(np.exp(sum(token["logprob"] for token in tokens)), likelihood)


def test_texts_with_several_fields(served):
    one = served.post("/v1/classify", model="tiny", texts=[{"a": "x", "b": "y"}], classes=CLASSES, template="{b} {a}{b}")
    assert one["results"] == served.post("/v1/classify", model="tiny", texts=["y xy"], classes=CLASSES)["results"]
    for pattern, part in (("{c}", "{c}"), ("{a", "'{' at byte 1"), ("a}", "'}' at byte 2"), ("{}", "must name a field")):
        served.fails("/v1/classify", {"model": "tiny", "texts": [{"a": "x"}], "classes": CLASSES, "template": pattern}, 400,
                     part, "template")
    unused = served.post("/v1/classify", model="tiny", texts=[{"a": "x", "b": "y"}], classes=CLASSES, template="{b} {b}")
    assert unused["results"] == served.post("/v1/classify", model="tiny", texts=["y y"], classes=CLASSES)["results"]


@pytest.mark.parametrize("template", ["x", "", "{{text}}"])
@pytest.mark.parametrize("texts", [["a"], "a", ["a", {"text": "b"}]])
def test_a_template_without_fields(served, template, texts):
    """Every text would have the same prompt: the command refuses it, too."""
    served.fails("/v1/classify", {"model": "tiny", "texts": texts, "classes": CLASSES, "template": template}, 400,
                 "the template names no field", "write, for example, '{text}'", "template")


@pytest.mark.parametrize("texts, template, parts", [
    (["a", {"b": "c"}], "{text}", ["text 1: the template names {text}, but the text does not have this field", "template"]),
    (["a", {"text": None}], "{text}", ["text 1: the template names {text}"]),
    ([{"b": "c"}, "a"], "{b}", ["text 1: the template names {b}, but the text is a string", "send an object"]),
    (["a", {"b": "c"}], None, ["text 1 does not have the field 'text'", "name the fields in 'template'", "texts"]),
    (["a", 5], None, ["text 1 must be a string or an object", "texts"]), (["a", ["b"]], "{text}", ["text 1 must be"])])
def test_a_wrong_text_is_named(served, texts, template, parts):
    served.fails("/v1/classify", {"model": "tiny", "texts": texts, "classes": CLASSES, "template": template}, 400, *parts)


def test_a_long_text_is_named(served):
    """By its tokens, and before that by its bytes."""
    many, far = "a " * 400, "a " * 200_000
    state = {"model": "gemma", "state": "a", "questions": {"one": {"type": "noul"}, "two": {"type": "noul", "instructions": far}}}
    for path, body, part in (
            ("/v1/classify", {"texts": ["a", "b", many], "classes": CLASSES}, "text 2: prompt and completion have"),
            ("/v1/classify", {"texts": ["a", far], "classes": CLASSES}, "text 1 has 400000 bytes"),
            ("/v1/classify", {"texts": ["a"], "classes": ["a", far]}, "class 1 has 400000 bytes"),
            ("/v1/completions", {"prompt": ["a", many]}, "prompt 1: the text has"),
            ("/v1/completions", {"prompt": ["a", [5, 10**8]]}, "prompt 1: invalid token id 100000000"),
            ("/v1/completions", {"prompt": ["a", far]}, "prompt 1 has 400000 bytes"),
            ("/v1/completions", {"prompt": ["a", many], "choice": ["a", "b"]}, "prompt 1: prompt and completion have"),
            ("/v1/completions", {"prompt": ["a", far], "choice": ["a", "b"]}, "prompt 1 has 400000 bytes"),
            ("/v1/completions", {"prompt": "a", "choice": ["a", far]}, "choice 1 has 400000 bytes"),
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": far}]}, "message 0 has 400000 bytes"),
            ("/v1/systemone", state, "question 'two' with the state has")):
        served.fails(path, {**body, "model": "tiny"}, 400, part, "shorten the text" if "invalid" not in part else part)
    state["questions"]["two"]["instructions"] = many
    served.fails("/v1/systemone", {**state, "model": "tiny"}, 400, "question 'two': prompt and completion have")
    status, _, lines = served.ask("/v1/classify", {"model": "tiny", "texts": ["a", many], "classes": CLASSES, "stream": True})
    assert "text 1: prompt and completion have" in json.dumps(lines), (status, lines)


@pytest.mark.parametrize("value, text", [("5", "5"), ("-7", "-7"), ("1.50", "1.5"), ("0.1", "0.1"), ("2.0", "2"), ("20.0", "20"), ("1E+05", "100000"), ("1e-7", "1e-07"),
                                         ("0.30000000000000004", "0.30000000000000004"), ("9007199254740993", "9007199254740993"),
                                         ("true", "true"), ("false", "false"), ('"\\u00e9\\n"', "\u00e9\n")])
def test_fields_that_are_no_strings(served, value, text):
    """Numbers read back as the same numbers."""
    body = f'{{"classes": {json.dumps(CLASSES)}, "texts": [{{"x": {value}}}], "model": "tiny", "template": "{{x}}: {{x}}"}}'
    status, _, answer = served.ask("/v1/classify", body.encode())
    assert status == 200, answer
    assert answer["results"] == served.post("/v1/classify", model="tiny", texts=[f"{text}: {text}"], classes=CLASSES)["results"]


@pytest.mark.parametrize("value", [[1], [], {}, {"k": "v"}])
def test_fields_that_are_arrays_or_objects(served, value):
    served.fails("/v1/classify", {"model": "tiny", "texts": ["a", {"text": value}], "classes": CLASSES, "template": "{text}"}, 400,
                 "text 1: the field 'text' is an array or an object; send it as a string", "texts")


def test_many_fields_in_a_template(served):
    """Each is looked up in constant time."""
    start = time.monotonic()
    status, _, _ = served.ask("/v1/classify", {"model": "tiny", "texts": [{"a": "x" * 60_000, "z": 1}], "classes": CLASSES, "template": "{z}" * 20_000})
    assert status == 400 and time.monotonic() - start < 2  # too many tokens


def test_one_class_has_no_probability(served):
    """Its likelihood is no probability: the command refuses one class, too, unless it is scored by itself."""
    for body in ({}, {"multi_label": False}, {"likelihoods": True}, {"prior": [1]}):
        served.fails("/v1/classify", {"model": "tiny", "texts": ["the"], "classes": ["a"], **body}, 400, "only one class",
                     '"multi_label": true', "classes")
    answer = served.post("/v1/classify", model="tiny", texts=["the"], classes=["a"], multi_label=True, likelihoods=True)
    (row,) = answer["results"]
    assert row["probabilities"] == row["likelihoods"] and 0 < row["likelihoods"][0] < 1


@pytest.mark.slow
def test_bits_do_not_depend_on_load(smol, smollm2, tmp_path):
    """Under precision auto, while other clients ask: the numbers of the command."""
    texts = [f"{text} {i}" for i in range(4) for text in TEXTS]
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    expected = rows_of(run("classify", "-m", smollm2, "-c", json_list(tmp_path, CLASSES), rows))
    results, noise = {}, threading.Event()

    def ask(i):
        results[i] = smol.post("/v1/classify", texts=texts[i::4], classes=CLASSES)["results"]

    def disturb():
        while not noise.is_set():
            smol.post("/v1/completions", prompt="Once upon a time", max_tokens=20, n=3)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(4)]
    others = [threading.Thread(target=disturb) for _ in range(2)]
    for thread in (*others, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    noise.set()
    for thread in others:
        thread.join()
    for i in range(4):
        assert [dict(zip(CLASSES, row["probabilities"])) for row in results[i]] == [row["probabilities"] for row in expected[i::4]]


# ---- Other clients ---------------------------------------------------------------------------------------------------


def test_a_long_text_is_computed_once(tmp_path, smollm2):
    """The KV store has room for the whole text before it begins, so that steps do not empty it."""
    with serving(tmp_path, "-m", smollm2) as server:
        ids = [1000 + i for i in range(1000)]
        server.post("/v1/completions", prompt=ids, max_tokens=2, temperature=0, ignore_eos=True)
        server.wait_until_released()
        assert 1000 <= server.metric("tokens_total") <= 1001


def test_typesafe_sdk(served):
    from typesafe_sdk import Choice, Noul, Score, TypeSafeClient

    with TypeSafeClient(api_key="none", base_url=served.base, model="tiny") as sdk:
        answer = sdk.system_one(state={"text": "where is it?"}, questions={
            "kind": Choice(instructions="What is it?", criteria={"question": "it asks", "answer": None}),
            "urgent": Noul(instructions="Is it urgent?", criteria={"true": "now"}),
            "level": Score(criteria=["low", "middle", "high"])})
        assert answer.model == "tiny" and answer.usage.input_tokens > 0
        kind, level = answer.choices["kind"], answer.scores["level"]
        assert kind.choice == max(kind.probabilities, key=kind.probabilities.get)
        assert kind.confidence == max(kind.probabilities.values()) and np.isclose(sum(kind.probabilities.values()), 1)
        assert 0 <= answer.nouls["urgent"].noul <= 1
        assert np.isclose(level.score, sum(score * p for score, p in level.probabilities.items()))
        assert level.legend == {0: "low", 1: "middle", 2: "high"}
        assert {model.name for model in sdk.models.list().models} == {"tiny", "gemma"}


def test_typesafe_sdk_gets_errors(served):
    from typesafe_sdk import RetryPolicy, TypeSafeAPIError, TypeSafeClient

    with TypeSafeClient(api_key="none", base_url=served.base, model="tiny", retry=RetryPolicy(max_retries=0)) as sdk:
        with pytest.raises(TypeSafeAPIError, match="box"):
            sdk.system_one(state="a", questions={"where": {"type": "box"}})


def test_cappr_openai(served, tiny_model, build, monkeypatch):
    """CAPPr's own client gives what CAPPr's method gives in capp. It counts tokens with tiktoken, which has the
    vocabularies of OpenAI's models alone: here it gets the server's."""
    import sys
    import types

    class Encoding:
        def encode_batch(self, texts):
            return [served.post("/tokenize", model="tiny", content=text)["tokens"] for text in texts]

    tiktoken = types.ModuleType("tiktoken")
    tiktoken.encoding_for_model = lambda model: Encoding()
    monkeypatch.setitem(sys.modules, "tiktoken", tiktoken)
    monkeypatch.setattr(np, "VisibleDeprecationWarning", np.exceptions.VisibleDeprecationWarning, raising=False)  # of NumPy 1
    from cappr.openai import classify as theirs

    monkeypatch.setenv("CAPP_LIBRARY", str(build / "libcapp.so.0"))
    monkeypatch.syspath_prepend(str(build.parent / "python"))
    import capp
    from capp import classify as ours

    prompts, completions = ["the way", "in a house", "yes or no"], ["yes", "no", "on the way"]
    mine = theirs.predict_proba(prompts, completions, "tiny", client=client(served), show_progress_bar=False)
    with capp.Model(tiny_model, precision="f32", threads=1) as model:
        expected = ours.predict_proba(prompts, completions, model, show_progress_bar=False)
    assert np.allclose(mine, expected, atol=1e-6)


def test_capp_remote(served, tiny_gemma3, build, monkeypatch):
    """The Python package as a client: the same as in the process, with a tokenizer that begins with BOS."""
    monkeypatch.setenv("CAPP_LIBRARY", str(build / "libcapp.so.0"))
    monkeypatch.syspath_prepend(str(build.parent / "python"))
    import capp
    from capp import classify, remote

    prompts, completions = ["the way", "in a house", "yes or no"], ["yes", "no", "the other"]
    mine = remote.predict_proba(prompts, completions, remote.RemoteModel("gemma", client(served)), show_progress_bar=False)
    with capp.Model(tiny_gemma3, precision="f32", threads=1) as model:
        expected = classify.predict_proba(prompts, completions, model, show_progress_bar=False)
    assert np.allclose(mine, expected, atol=1e-6)


def test_models(served):
    assert {model.id for model in client(served).models.list()} == {"tiny", "gemma"}
    served.fails("/v1/completions", {"model": "gpt", "prompt": "a"}, 404, "gpt", "model")
    served.fails("/v1/completions", {"prompt": "a"}, 400, "model")
    with pytest.raises(openai.NotFoundError):
        client(served).completions.create(model="gpt", prompt="a")


def test_one_of_the_models(served, tmp_path, tiny_model):
    listed = {model.id: model for model in client(served).models.list()}
    for name in ("tiny", "gemma"):
        assert client(served).models.retrieve(name) == listed[name]
    with pytest.raises(openai.NotFoundError, match="there is no model 'gpt'"):
        client(served).models.retrieve("gpt")
    served.fails("/v1/models/tin", None, 404, "there is no model 'tin'; GET /v1/models lists the models", "model")
    served.fails("/v1/models/", None, 404, "nothing at /v1/models/")
    served.fails("/v1/models/tiny/x", None, 404, "'tiny/x'")
    assert served.fails("/v1/models/tiny", {}, 405, "/v1/models/tiny takes only GET")["Allow"] == "GET"
    name = "a b\u00e9?"
    with serving(tmp_path, "-m", f"{name}={tiny_model}", "-m", f"other={tiny_model}", "--api-key", "k") as server:
        served_by_key = {"Authorization": "Bearer k"}
        found = server.ask(f"/v1/models/{urllib.parse.quote(name)}", headers=served_by_key)
        assert found[0] == 200 and found[2]["id"] == name
        assert server.ask("/v1/models/other", headers=served_by_key)[2]["object"] == "model"
        server.fails("/v1/models/other", None, 401)
        assert '"opened"' not in server.log.read_text()


# ---- What is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path, good", [
    ("/v1/completions", {"prompt": "a"}), ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]}),
    ("/v1/classify", {"texts": ["a"], "classes": ["b", "c"]}), ("/tokenize", {"content": "a"}), ("/detokenize", {"tokens": [5]}),
    ("/v1/systemone", {"state": "a", "questions": {"b": {"type": "noul", "instructions": "c"}}})])
def test_an_unknown_field_is_named(served, path, good):
    served.fails(path, {"model": "tiny", **good, "bogus": 1}, 400, "'bogus' is not supported", "bogus")
    served.fails(path, {"model": "tiny", " ".join(["model", *good]): 1, **good}, 400, "is not supported")
    served.fails(path, {"model": "tiny", **good, "": 1}, 400, "is not supported")
    status, _, answer = served.ask(path, {"model": "tiny", **good, "bogus": None})  # null is the same as nothing
    assert status == 200 or "template" in answer["error"]["message"]


@pytest.mark.parametrize("body, parts", [
    ({"temperature": -1}, ["temperature"]), ({"temperature": "hot"}, ["temperature"]), ({"top_p": 2}, ["top_p"]),
    ({"n": 0}, ["n"]), ({"n": 128, "prompt": ["a"] * 129}, ["16384"]), ({"max_tokens": 1e9}, ["max_tokens"]), ({"max_tokens": 5000}, ["max_tokens", "4096"]),
    ({"logprobs": 101}, ["logprobs"]), ({"logprobs": True}, ["logprobs"]), ({"stop": [""]}, ["stop"]), ({"stop": 5}, ["stop"]),
    ({"stream": 1}, ["stream"]), ({"seed": "x"}, ["seed"]), ({"presence_penalty": 0.5}, ["presence_penalty"]),
    ({"logit_bias": {"5": 1}}, ["logit_bias"]), ({"best_of": 3}, ["'best_of' must be equal to 'n', which is 1", "best_of"]),
    ({"best_of": 3, "n": 2}, ["'best_of' must be equal to 'n', which is 2"]), ({"best_of": True}, ["must be equal to 'n'"]), ({"prompt": ""}, ["prompt"]), ({"prompt": []}, ["prompt"]),
    ({"prompt": [[]]}, ["prompt"]), ({"prompt": [1, "a"]}, ["prompt"]), ({"prompt": [99999]}, ["99999"]), ({"prompt": [-1]}, ["prompt"]),
    ({"prompt": {"a": 1}}, ["prompt"]), ({"prompt": "a" * 500}, ["context"]), ({"choice": ["a"]}, ["choice"]),
    *(({"choice": ["a", "b"], **beside}, [*beside, "'choice'"]) for beside in (
        {"n": 2}, {"stream": True}, {"stop": "x"}, {"echo": True}, {"logprobs": 1})),
    ({"stream_options": {"include_usage": True}}, ["stream_options"]), ({"suffix": "b"}, ["suffix"])])
def test_wrong_values_of_completions(served, body, parts):
    served.fails("/v1/completions", {"model": "tiny", "prompt": "the", **body}, 400, *parts)


@pytest.mark.parametrize("body, parts", [
    ({"classes": []}, ["classes"]), ({"classes": None}, ["classes"]), ({"classes": ["a", ""]}, ["classes"]), ({"texts": []}, ["texts"]),
    ({"texts": ["a", ""]}, ["text 1"]), ({"prior": [1]}, ["prior"]), ({"prior": [0.5, 0.6]}, ["prior"]), ({"prior": ["a", "b"]}, ["prior"]),
    ({"aggregate": "median"}, ["aggregate"]), ({"end_of_prompt": "x"}, ["end_of_prompt"]), ({"system": "a"}, ["chat"]),
    ({"texts": ["a" * 500]}, ["context"]), ({"classes": ["a"] * 1001}, ["1000"])])
def test_wrong_values_of_classify(served, body, parts):
    served.fails("/v1/classify", {"model": "tiny", "texts": ["the"], "classes": ["a", "b"], **body}, 400, *parts)


def test_prompts_much_larger_than_the_body(served):
    """A small request must not take all memory."""
    classes = {"model": "tiny", "classes": ["a", "b"]}
    served.fails("/v1/classify", {**classes, "texts": ["a" * 20000], "template": "{text}" * 20000}, 413, "template")
    served.fails("/v1/classify", {**classes, "texts": ["a"] * 10000, "template": "b" * 20000 + "{text}"}, 413, "template")
    questions = {f"q{i}": {"type": "noul"} for i in range(100)}
    served.fails("/v1/systemone", {"model": "tiny", "state": "a" * 1000000, "questions": questions}, 413, "questions")


@pytest.mark.parametrize("body, part", [
    (b"", "empty"), (b"{", "not valid JSON"), (b"[]", "not a JSON object"), (b'{"a": 1, "a": 2}', "duplicate"), (b'{"a": "\xff"}', "0xff"),
    (b'{"a": "\\ud800"}', "not valid JSON"), (b'{"a": ' + b"[" * 50 + b"]" * 50 + b"}", "levels"), (b'{"a": NaN}', "not valid JSON"),
    (b'{"a": 1} x', "not valid JSON"), (b'{"a": 1e999}', "not valid JSON")])
def test_wrong_json(served, body, part):
    served.fails("/v1/completions", body, 400, part)


def test_wrong_http(served):
    good = {"model": "tiny", "content": "a"}
    assert served.fails("/tokenize", None, 405, "POST", method="GET")["Allow"] == "POST"
    served.fails("/nothing", None, 404, "/nothing")
    served.fails("/tokenize", {**good, "prompt": "b"}, 400, "both")
    served.fails("/v1/chat/completions", {"model": "tiny", "messages": [{"role": "user", "content": "a"}], "max_tokens": 1,
                                          "max_completion_tokens": 2}, 400, "not both")
    served.fails("/tokenize", good, 415, "Content-Type", headers={"Content-Type": "text/plain"})
    served.fails("/tokenize", good, 415, "gzip", headers={"Content-Encoding": "gzip"})
    served.fails("/tokenize", good, 403, "origin", headers={"Origin": "https://example.org"})
    served.fails("/tokenize", good, 403, "evil.example", headers={"Host": f"evil.example:{served.port}"})
    assert served.ask("/tokenize", good, headers={"Origin": served.base})[0] == 200
    status, headers, _ = served.ask("/")
    assert status == 200 and "Access-Control-Allow-Origin" not in headers
    assert "script-src 'self'" in headers["Content-Security-Policy"] and headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("head, message", [
    (b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", b"two lengths"),
    (b"Content-Length: 5\r\nContent-Length: 50\r\n", b"two lengths"), (b"Content-Length: 5\r\nHost: localhost\r\n", b"two hosts")])
def test_a_request_ends_where_a_proxy_sees_its_end(served, head, message):
    """Otherwise the rest of a body could be taken for the next request, of another client of the proxy."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as each:
        each.sendall(b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + head +
                     b"\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b"".join(iter(lambda: each.recv(10_000), b""))
    assert answer.startswith(b"HTTP/1.1 400 ") and message in answer and answer.count(b"HTTP/1.1") == 1, answer


def test_key(tmp_path, tiny_model):
    (tmp_path / "key").write_text("secret\n")
    with serving(tmp_path, "-m", f"tiny={tiny_model}", "--api-key", f"@{tmp_path / 'key'}", "--max-body", "1K") as server:
        body = {"content": "a"}
        assert server.fails("/tokenize", body, 401, "key")["WWW-Authenticate"] == "Bearer"
        for wrong in ("secre", "secrets", "secretsecret", "", "Secret"):
            server.fails("/tokenize", body, 401, "key", headers={"Authorization": f"Bearer {wrong}"})
        assert server.ask("/tokenize", body, headers={"Authorization": "Bearer secret"})[0] == 200
        assert server.ask("/healthz")[0] == 200
        server.fails("/v1/models", None, 401)
        server.fails("/tokenize", {"content": "a" * 2000}, 413, "1024", headers={"Authorization": "Bearer secret"})
        log = server.log.read_text()
        assert "secret" not in log and "content" not in log
    with serving(tmp_path, "-m", f"tiny={tiny_model}", "--log-texts", CAPP_API_KEY="k2") as server:
        server.fails("/tokenize", body, 401, "key")
        assert server.ask("/tokenize", {"content": "marked"}, headers={"Authorization": "Bearer k2"})[0] == 200
        assert server.ask("/healthz")[0] == 200
        assert any("marked" in line.get("body", "") for line in server.lines())


def test_metrics(served):
    before = served.metric("answers_total")
    text = served.ask("/metrics")[2]
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert {"capp_tokens_total", "capp_wave_last_seconds", "capp_requests"} <= names
    assert served.metric("answers_total") > before
    served.wait_until_released()


def test_openapi_describes_every_path(served):
    document = served.ask("/openapi.json")[2]
    assert document["openapi"].startswith("3.")
    for path in ("/v1/completions", "/v1/chat/completions", "/v1/classify", "/v1/systemone", "/tokenize", "/detokenize"):
        schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        known = set(document["components"]["schemas"][schema["$ref"].split("/")[-1]]["properties"])
        message = served.ask(path, {"model": "tiny", "bogus": 1})[2]["error"]["message"]
        assert known == set(message.split("supported are: ")[1].split())
    for path in ("/v1/models", "/v1/models/{model}", "/healthz", "/metrics", "/openapi.json", "/"):
        assert "get" in document["paths"][path]


def test_the_example_of_the_help(tiny_model, tmp_path):
    if not shutil.which("curl"):
        pytest.skip("no curl")
    (line,) = re.findall(r"^  (curl .*)$", run("help", "serve").stdout.decode(), re.M)
    with serving(tmp_path, "-m", tiny_model) as server:
        done = subprocess.run(shlex.split(line.replace("http://127.0.0.1:8080", server.base)), capture_output=True, check=True)
    assert {row["prediction"] for row in json.loads(done.stdout)["results"]} <= {"delivery", "refund"}


def test_a_port_has_one_server(tiny_model, tmp_path):
    """A second one on the same port is refused; the next one may begin at once, though a connection has just ended there."""
    with serving(tmp_path, "-m", tiny_model) as server:
        done = run("serve", "-m", tiny_model, "--port", server.port)
        assert done.returncode == 2 and f"cannot listen on 127.0.0.1, port {server.port}; another program may use it" in done.stderr.decode()
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            connection.recv(1000)
            assert server.stop() == 0
    with serving(tmp_path, "-m", tiny_model, "--port", server.port) as again:
        assert again.port == server.port and again.ask("/healthz")[0] == 200


def test_an_address_that_is_not_here(tiny_model):
    done = run("serve", "-m", tiny_model, "--host", "192.0.2.1", "--port", "0")  # no machine has it: RFC 5737
    assert done.returncode == 2
    assert "cannot listen on 192.0.2.1, port 0; this machine does not have the address, choose another --host" in done.stderr.decode()


def test_a_port_for_root(build, tiny_model):
    """Without the capability for ports below 1024."""
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 1:
        pytest.skip("any program may use any port")

    def drop():
        ctypes.CDLL(None).prctl(24, 10, 0, 0, 0)  # PR_CAPBSET_DROP, CAP_NET_BIND_SERVICE: for root, others do not have it

    done = subprocess.run([build / "capp", "serve", "-m", tiny_model, "--port", "1"], preexec_fn=drop, capture_output=True, text=True)
    assert done.returncode == 2 and "port 1; the system reserves this port for root, choose a --port above 1023" in done.stderr


def test_command_line(tiny_model, tmp_path):
    def fails(*arguments, part):
        done = run("serve", *arguments)
        assert done.returncode == 2 and part in done.stderr.decode(), done.stderr

    fails(part="no model")
    fails("-m", tmp_path / "missing.gguf", part="missing.gguf")
    fails("-m", f"a={tiny_model}", "-m", f"a={tiny_model}", part="two models have the name 'a'")
    fails("-m", tiny_model, "--port", "70000", part="--port")
    fails("-m", tiny_model, "--host", "256.1.1.1", part="--host")
    fails("-m", tiny_model, "--max-body", "x", part="--max-body")
    fails("-m", tiny_model, "--api-key", "", part="--api-key")
    fails("-m", tiny_model, "input.csv", part="reads no INPUT")

"""capp.remote against a small server of /v1/completions that computes its answers with capp."""
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cappr_cases
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
PROMPTS, COMPLETIONS = ["the cat", "in a house", "yes or no", "he", "a b"], ["yes", "no", "on the way", "in"]


@pytest.fixture(scope="module")
def model(build, tiny_model):
    os.environ["CAPP_LIBRARY"] = str(build / "libcapp.so.0")
    sys.path.insert(0, str(ROOT / "python"))
    import capp

    with capp.Model(tiny_model, precision="f32", threads=1) as opened:
        yield opened


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        state = self.server.state
        state["requests"] += 1
        state["key"] = self.headers["Authorization"]
        if state["failures"]:
            state["failures"] -= 1
            return self.reply(503, {"error": {"message": "busy"}})
        if request["model"] != "tiny":
            return self.reply(404, {"error": {"message": "no such model"}})
        if state["kind"] == "html":
            return self.reply(200, "<html></html>", "text/html")
        if state["kind"] == "no choices":
            return self.reply(200, {"id": "1", "object": "text_completion"})
        self.reply(200, {"id": "1", "object": "text_completion", "created": 0, "model": "tiny",
                         "choices": [self.choice(i, text) for i, text in enumerate(request["prompt"])][::-1]})

    def choice(self, index, text):
        from capp.classify import token_logprobs

        model, kind = self.server.state["model"], self.server.state["kind"]
        pieces = [model.detokenize([i]) for i in model.tokenize(text)]
        offsets = np.cumsum([0, *map(len, pieces)])[:-1].tolist()
        logprobs = token_logprobs(text, model, end_of_prompt="", show_progress_bar=False)
        if kind == "generates":
            pieces, offsets, logprobs = [*pieces, "!"], [*offsets, len(text)], [*logprobs, -0.1]
        if kind == "short":
            logprobs = logprobs[:-1]
        if kind == "nan":
            logprobs = [*logprobs[:-1], float("nan")]
        if kind == "one index":
            index = 0
        echo = {"tokens": pieces, "token_logprobs": logprobs, "text_offset": offsets, "top_logprobs": None}
        return {"index": index, "text": text, "finish_reason": "length", "logprobs": None if kind == "mute" else echo}

    def reply(self, status, body, kind="application/json"):
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def served(model):
    """(the state of a server, a RemoteModel that uses it)"""
    from capp.remote import RemoteModel

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.state = {"requests": 0, "failures": 0, "model": model, "kind": "echoes"}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.state, RemoteModel("tiny", base_url=f"http://127.0.0.1:{server.server_port}/v1", retries=2)
    server.shutdown()
    server.server_close()


def same(name, served, model, *arguments, **keywords):
    from capp import classify, remote

    mine = getattr(remote, name)(*arguments, served[1], **keywords)
    local = getattr(classify, name)(*arguments, model, **keywords)
    wrong = cappr_cases.agree(cappr_cases.plain(mine), cappr_cases.plain(local), 1e-4)
    assert wrong is None, f"{name}: {wrong}"


@pytest.mark.parametrize("kind", ["echoes", "generates"])
def test_the_same_as_here(served, model, kind):
    from capp import Example

    served[0]["kind"] = kind
    examples = [Example("the cat", ["yes", "no"], prior=[0.3, 0.7]), Example("a", ["b", "in"], normalize=False)]
    ragged = [*examples, Example("he", ["a", "b", "c"])]
    for prompts in (PROMPTS, "the cat"):
        same("token_logprobs", served, model, prompts)
        same("log_probs_conditional", served, model, prompts, COMPLETIONS)
        same("predict_proba", served, model, prompts, COMPLETIONS, prior=[0.1, 0.2, 0.3, 0.4], batch_size=3)
        same("predict_proba", served, model, prompts, COMPLETIONS, normalize=False, discount_completions=0.5)
        same("predict", served, model, prompts, COMPLETIONS)
    for given in (ragged, examples[0]):
        for name in ("log_probs_conditional_examples", "predict_proba_examples", "predict_examples"):
            same(name, served, model, given)


def test_caches(served, model):
    from capp import CacheClearedError, classify, remote

    with remote.cache(served[1], "in the") as outer, remote.cache(outer, "house") as inner:
        mine = remote.predict_proba(PROMPTS, COMPLETIONS, inner)
    local = classify.predict_proba([f"in the house {p}" for p in PROMPTS], COMPLETIONS, model)
    assert np.allclose(mine, local, atol=1e-4)
    with pytest.raises(CacheClearedError):
        remote.predict(PROMPTS, COMPLETIONS, inner)


def test_prefixes_one_for_each_prompt(served, model):
    from capp import classify, remote

    prefixes = ["the way", "on a", "yes no", "he", "in the house"]
    for outer, inner in ((["in"], prefixes), (prefixes, ["in"]), (prefixes, prefixes[::-1])):
        mine = remote.cache_model(remote.cache_model(served[1], outer), inner)
        local = classify.cache_model(classify.cache_model(model, outer), inner)
        for name, options in (("predict_proba", {}), ("predict_proba", {"discount_completions": 0.5}),
                              ("predict_proba", {"discount_completions": -1, "domain_prompt": "so"}),
                              ("log_probs_conditional", {})):
            found = [getattr(module, name)(PROMPTS, COMPLETIONS, each, **options)
                     for module, each in ((remote, mine), (classify, local))]
            assert cappr_cases.agree(*map(cappr_cases.plain, found), 1e-4) is None, name
        with pytest.raises(ValueError, match="could not broadcast 5 cached prefixes with 2"):
            remote.predict(PROMPTS[:2], COMPLETIONS, mine)
    with pytest.raises(ValueError, match="could not broadcast 5 cached prefixes with 2"):
        remote.cache_model(mine, ["a", "b"])
    for wrong, kind in ((["a", 1], TypeError), ([], ValueError), ([""], ValueError), ({"a", "b"}, TypeError)):
        with pytest.raises(kind):
            remote.cache_model(served[1], wrong)


def test_ways_to_weigh(served, model):
    from capp import classify, remote
    from capp.classify import token_logprobs

    marginals = token_logprobs(COMPLETIONS, model)
    for options in ({"aggregate": "sum"}, {"aggregate": "bytes", "prior": [0.1, 0.2, 0.3, 0.4]},
                    {"aggregate": lambda x: np.exp(x.min())}, {"aggregate": "sum", "domain_prompt": "the way"},
                    {"log_marg_probs_completions": marginals}, {"class_of": [0, 1, 1, 0], "prior": [0.3, 0.7]},
                    {"class_of": [0, 0, 0, 0], "normalize": False, "aggregate": "sum"}):
        if "domain_prompt" in options or "log_marg_probs_completions" in options:
            options["discount_completions"] = -0.5
        for prompts in (PROMPTS, PROMPTS[0]):
            same("predict_proba", served, model, prompts, COMPLETIONS, batch_size_completions=2, **options)
        if not {"class_of", "normalize"} & set(options):
            same("predict", served, model, PROMPTS, COMPLETIONS, **options)
    same("predict_proba", served, model, PROMPTS, COMPLETIONS, normalize=[True, False, False, True, False])
    for module, opened in ((remote, served[1]), (classify, model)):
        with pytest.raises(ValueError, match="aggregate must return a likelihood"):
            module.predict_proba(PROMPTS, COMPLETIONS, opened, aggregate=np.mean)
    for wrong, kind in (({"aggregate": "median"}, ValueError), ({"normalize": [True]}, ValueError), ({"class_of": [0, 1]}, ValueError),
                        ({"domain_prompt": "a"}, ValueError), ({"discount_completions": "1"}, TypeError)):
        before = served[0]["requests"]
        with pytest.raises(kind):
            same("predict_proba", served, model, PROMPTS, COMPLETIONS, **wrong)
        assert served[0]["requests"] == before


FUNCTIONS = ["token_logprobs", "log_probs_conditional", "log_probs_conditional_examples", "predict_proba",
             "predict_proba_examples", "predict", "predict_examples"]


def test_every_keyword_is_honored_or_refused(served, model):
    import inspect

    from capp import Example, classify, remote

    for name in FUNCTIONS:
        known = {module: inspect.signature(getattr(module, name)).parameters for module in (classify, remote)}
        assert set(known[remote]) - set(known[classify]) == {"client", "ask_if_ok", "api_key"}
        assert set(known[classify]) - set(known[remote]) <= {"add_bos", "batch_size_completions"}
        of_examples, of_texts = name.endswith("examples"), name == "token_logprobs"
        given = [Example("a", ["b", "c"])] if of_examples else PROMPTS[:1]
        arguments = [given] if of_examples or of_texts else [given, COMPLETIONS]
        for module, opened in ((classify, model), (remote, served[1])):
            with pytest.raises(TypeError, match="batch_sise"):
                getattr(module, name)(*arguments, opened, batch_sise=3)
        if name in ("token_logprobs", "log_probs_conditional"):  # CAPPr's predict_proba hands its own on to these
            same(name, served, model, *arguments, prior=None, normalize=True, batch_size_completions=3)
            with pytest.raises(TypeError, match="aggregate"):
                same(name, served, model, *arguments, aggregate="sum")
        for wrong in ({"ask_if_ok": True}, {"api_key": "k"}, {"client": served[1].client}):
            with pytest.raises(ValueError, match=next(iter(wrong))):
                getattr(remote, name)(*arguments, served[1], **wrong)
    with pytest.raises(TypeError, match="add_bos"):
        remote.token_logprobs(PROMPTS, served[1], add_bos=True)


def test_keys(served, monkeypatch):
    from capp import remote

    monkeypatch.setenv("OPENAI_BASE_URL", str(served[1].client.base_url))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert remote.predict("the cat", COMPLETIONS, "tiny", api_key="k1") in COMPLETIONS
    assert served[0]["key"] == "Bearer k1"
    monkeypatch.setenv("OPENAI_API_KEY", "k2")
    remote.predict("the cat", COMPLETIONS, "tiny")
    assert served[0]["key"] == "Bearer k2"
    with pytest.raises(ValueError, match="own key"):
        remote.predict("the cat", COMPLETIONS, "tiny", served[1].client, api_key="k3")


def test_a_completion_that_begins_the_text(served):
    """A server that treats prompt and completion as one token does not know what precedes it."""
    from capp import remote

    with pytest.raises(remote.RemoteError, match="one token"):
        remote.predict_proba("i", ["n", "t"], served[1], end_of_prompt="")


def test_retries_and_errors(served, monkeypatch):
    import openai
    from capp import remote

    monkeypatch.setattr(openai._base_client, "INITIAL_RETRY_DELAY", 0.01)
    state, model = served
    state["failures"] = 2
    assert remote.predict("the cat", COMPLETIONS, model) in COMPLETIONS and state["requests"] == 3
    state["failures"] = 9
    with pytest.raises(remote.RemoteError, match="503"):
        remote.predict("the cat", COMPLETIONS, model)
    state["failures"], state["kind"] = 0, "mute"
    with pytest.raises(remote.RemoteError, match="echo and logprobs"):
        remote.predict("the cat", COMPLETIONS, model)
    with pytest.raises(remote.RemoteError, match="404"):
        remote.predict("the cat", COMPLETIONS, "other", client=model.client)
    with pytest.raises(remote.RemoteError, match="does not answer"):
        remote.predict("a", COMPLETIONS, remote.RemoteModel("tiny", base_url="http://127.0.0.1:9/v1", retries=0))
    with pytest.raises(TypeError, match="RemoteModel"):
        remote.predict("a", COMPLETIONS, 3)
    for arguments in ([], COMPLETIONS), (PROMPTS, ["a"]), (PROMPTS, ["a", ""]), ("", COMPLETIONS):
        with pytest.raises(ValueError):
            remote.predict(*arguments, model)


@pytest.mark.parametrize("kind, message", [("html", "ends in /v1"), ("no choices", "ends in /v1"), ("short", "do not match"),
                                           ("nan", "do not match"), ("one index", "unknown which answer")])
def test_answers_that_are_none(served, kind, message):
    from capp import remote

    state, model = served
    state["kind"] = kind
    with pytest.raises(remote.RemoteError, match=message):
        remote.predict_proba(PROMPTS, COMPLETIONS, model)

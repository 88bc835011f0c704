"""The functions of :mod:`capp.classify` for models on a server with OpenAI's endpoint /v1/completions. The server must be
able to echo prompts with their log-probabilities, as capp, vLLM, llama-cpp-python and others do.

The model is its name on the server, together with a client of the `openai` package, or a :class:`RemoteModel`. Prompt and
completion are sent as one text, which the server tokenizes as a whole. A token that contains the boundary between them counts
for the completion. A prefix is sent with each text; whether it is computed only once depends on the server.

Arguments, defaults and errors are those of :mod:`capp.classify`, with the additional arguments of CAPPr's functions for
OpenAI: `api_key` belongs to the name of a model, and `ask_if_ok` must be False, because capp does not know prices.
`batch_size` is the number of texts in a request.

>>> from capp.remote import RemoteModel, predict
>>> model = RemoteModel("gemma", base_url="http://localhost:8000/v1")  # doctest: +SKIP
>>> predict("The sky is", ["blue", "green"], model)  # doctest: +SKIP
'blue'
"""
from __future__ import annotations

import math
import os
from contextlib import contextmanager
from typing import Any, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import openai

from capp import _check
from capp._aggregate import agg_log_probs, posterior_prob
from capp._call import Callbacks, Progress
from capp._example import Example, is_example
from capp._weighing import Aggregate, Weighing, weighing
from capp.classify import _check_batch, _check_handed_on, _examples
from capp.errors import CacheClearedError, CappError

__all__ = ["RemoteError", "RemoteModel", "agg_log_probs", "cache", "cache_model", "log_probs_conditional",
           "log_probs_conditional_examples", "posterior_prob", "predict", "predict_examples", "predict_proba",
           "predict_proba_examples", "token_logprobs"]


class RemoteError(CappError):
    """The server cannot be reached, rejects the request, or returns no log-probabilities."""


class RemoteModel:
    """A model on a server.

    Parameters
    ----------
    name
        name of the model on the server
    client
        an openai.OpenAI; by default a new one with the arguments below
    base_url, api_key
        of the server; by default the environment variables OPENAI_BASE_URL and OPENAI_API_KEY
    retries
        maximum number of retries of a request after a temporary failure, each after a longer wait
    max_tokens
        sent with each request: 0, or 1 for servers that must generate something; the generated text is ignored
    """

    def __init__(self, name: str, client: openai.OpenAI | None = None, *, base_url: str | None = None,
                 api_key: str | None = None, retries: int = 5, max_tokens: int = 0) -> None:
        self.name, self.max_tokens = name, max_tokens
        self.prefixes: tuple[str, ...] = ()  # none, one, or one for each prompt
        self.cleared = False
        key = api_key or os.environ.get("OPENAI_API_KEY") or "none"  # a private server may need no key
        self.client = client or openai.OpenAI(base_url=base_url, api_key=key, max_retries=retries)

    def after(self, prefixes: str | Sequence[str]) -> RemoteModel:
        """Returns the same model with a prefix and a space before every text: one prefix, or one for each text of a call."""
        given = _check.texts(prefixes, "prefixes")
        before = self._open_prefixes() or ("",)
        n = max(len(before), len(given))
        if len(before) not in (1, n) or len(given) not in (1, n):
            raise ValueError(f"could not broadcast {len(before)} cached prefixes with {len(given)} new ones; use equal "
                             "numbers, or a single prefix")
        made = self.alone()
        made.prefixes = tuple(_after(before[i % len(before)], given[i % len(given)].removeprefix(" " * bool(before[0])))
                              for i in range(n))
        return made

    def alone(self) -> RemoteModel:
        """Returns the same model without a prefix."""
        return RemoteModel(self.name, self.client, max_tokens=self.max_tokens)

    def _open_prefixes(self) -> tuple[str, ...]:
        if self.cleared:
            raise CacheClearedError("the context of this cached model has ended; to keep the model, use "
                                    "clear_cache_on_exit=False or cache_model")
        return self.prefixes

    def prefixes_of(self, n: int) -> tuple[str, ...]:
        """Returns the prefix of each of n texts, "" if it has none."""
        found = self._open_prefixes() or ("",)
        if len(found) not in (1, n):
            raise ValueError(f"could not broadcast {len(found)} cached prefixes with {n} new inputs; use one prefix, or one "
                             "per input")
        return found * (n // len(found))

    def echo(self, texts: list[str]) -> list[tuple[list[int], list[float | None]]]:
        """Sends one request. Returns for each text the offsets of its tokens and their log-probabilities."""
        try:
            answer = self.client.completions.create(model=self.name, prompt=texts, echo=True, logprobs=1,
                                                    max_tokens=self.max_tokens, temperature=0)
        except openai.APIStatusError as error:
            raise RemoteError(f"{self.client.base_url} rejects the request for {self.name!r}: {error.status_code} "
                              f"{error.message}") from error
        except openai.APIError as error:
            raise RemoteError(f"{self.client.base_url} does not answer: {error}") from error
        choices = getattr(answer, "choices", None)
        if not isinstance(choices, list):
            raise RemoteError(f"{self.client.base_url} does not return completions; check base_url, which usually ends in "
                              "/v1")
        if len(choices) != len(texts):
            raise RemoteError(f"{self.client.base_url} returns {len(choices)} answers for {len(texts)} prompts")
        indexed = {choice.index: choice for choice in choices}
        if set(indexed) != set(range(len(texts))):
            raise RemoteError(f"{self.client.base_url} returns wrong indices: it is unknown which answer belongs to "
                              "which prompt")
        choices = [indexed[i] for i in range(len(texts))]
        return [self._tokens(choice.logprobs, text) for choice, text in zip(choices, texts)]

    def _tokens(self, logprobs: Any, text: str) -> tuple[list[int], list[float | None]]:
        if logprobs is None or not logprobs.token_logprobs or not logprobs.text_offset:
            raise RemoteError(f"{self.client.base_url} returns no log-probabilities of the prompt; use a server that "
                              "supports echo and logprobs together")
        offsets, values = logprobs.text_offset, logprobs.token_logprobs
        sound = all(value is None or (isinstance(value, (int, float)) and not math.isnan(value)) for value in values)
        if len(offsets) != len(values) or not sound:
            raise RemoteError(f"{self.client.base_url} returns log-probabilities that do not match the tokens of the "
                              "prompt")
        n = sum(offset < len(text) for offset in offsets)  # the rest was generated
        if not n:
            raise RemoteError(f"{self.client.base_url} does not echo the prompt; use a server that supports echo")
        return offsets[:n], values[:n]


AnyModel = Any


def _after(prefix: str, text: str) -> str:
    return f"{prefix} {text}" if prefix else text


def _remote(model: AnyModel, client: openai.OpenAI | None, ask_if_ok: bool, api_key: str | None) -> RemoteModel:
    if ask_if_ok:
        raise ValueError("ask_if_ok must be False, because capp does not know prices")
    if isinstance(model, RemoteModel):
        if client is not None or api_key is not None:
            raise ValueError("client and api_key are only for the name of a model; this RemoteModel has its own")
        return model
    if isinstance(model, str):
        if client is not None and api_key is not None:
            raise ValueError("client and api_key cannot be combined; a client has its own key")
        return RemoteModel(model, client, api_key=api_key)
    raise TypeError(f"the model must be a RemoteModel or the name of a model, not {type(model).__name__}")


def _ask(model: RemoteModel, texts: list[str], seams: list[int], batch_size: int, show: bool | None, rows: list[int],
         description: str) -> list[list[float | None]]:
    """Returns the log-probabilities of the tokens of each text that end after its boundary (seam). rows: the number of
    texts of each row."""
    out: list[list[float | None]] = []
    done = np.repeat(np.arange(1, len(rows) + 1), rows)
    with Progress(len(rows), show, description, Callbacks()) as progress:
        for i in range(0, len(texts), batch_size):
            part = texts[i:i + batch_size]
            for (offsets, logprobs), text, seam in zip(model.echo(part), part, seams[i:]):
                ends = [*offsets[1:], len(text)]
                out.append([logprob for end, logprob in zip(ends, logprobs) if end > seam])
            progress.update(int(done[min(i + batch_size, len(texts)) - 1]), len(rows))
    return out


def _conditional(model: RemoteModel, prompts: list[str], completions: Sequence[Sequence[str]], ends: list[str],
                 batch_size: int, show: bool | None) -> list[list[list[float]]]:
    texts, seams = [], []
    for prefix, prompt, row, end in zip(model.prefixes_of(len(prompts)), prompts, completions, ends):
        whole = _after(prefix, prompt)
        texts += [f"{whole}{end}{completion}" for completion in row]
        seams += [len(whole)] * len(row)
    sizes = [len(row) for row in completions]
    flat: list[Any] = _ask(model, texts, seams, batch_size, show, sizes, "conditional log-probs")
    for text, logprobs in zip(texts, flat):
        if None in logprobs:
            raise RemoteError(f"no log-probability for the start of {text[:60]!r}: {model.name!r} tokenizes the prompt and "
                              "the start of the completion as one token; use a longer prompt")
    ends_of_rows = np.cumsum([0, *sizes])
    return [flat[a:b] for a, b in zip(ends_of_rows, ends_of_rows[1:])]


def token_logprobs(texts: str | Sequence[str], model: AnyModel, client: openai.OpenAI | None = None,
                   end_of_prompt: str = " ", show_progress_bar: bool | None = None, ask_if_ok: bool = False,
                   api_key: str | None = None, batch_size: int = 16,
                   **kwargs: Any) -> list[float | None] | list[list[float | None]]:
    """See :func:`capp.classify.token_logprobs`. The server decides whether a text begins with BOS."""
    _check_handed_on("token_logprobs", kwargs)
    listed = _check.texts(texts, "texts")
    _check.end_of_prompt(end_of_prompt)
    _check_batch(batch_size)
    remote = _remote(model, client, ask_if_ok, api_key)
    before = remote.prefixes_of(len(listed))
    out = _ask(remote, [prefix + end_of_prompt + text for prefix, text in zip(before, listed)], [*map(len, before)],
               batch_size, show_progress_bar, [1] * len(listed), "log-probs")
    out = [[None, *logprobs[1:]] for logprobs in out]
    return out[0] if isinstance(texts, str) else out


def log_probs_conditional(prompts: str | Sequence[str], completions: Sequence[str], model: AnyModel,
                          client: openai.OpenAI | None = None, end_of_prompt: str = " ",
                          show_progress_bar: bool | None = None, ask_if_ok: bool = False, api_key: str | None = None,
                          batch_size: int = 16, **kwargs: Any) -> list[list[float]] | list[list[list[float]]]:
    """See :func:`capp.classify.log_probs_conditional`."""
    _check_handed_on("log_probs_conditional", kwargs)
    _check.nonempty_and_ordered(prompts, "prompts")
    choices = _check.completions(completions)
    _check.end_of_prompt(end_of_prompt)
    _check_batch(batch_size)
    listed = _check.texts(prompts, "prompts")
    out = _conditional(_remote(model, client, ask_if_ok, api_key), listed, [choices] * len(listed),
                       [end_of_prompt] * len(listed), batch_size, show_progress_bar)
    return out[0] if isinstance(prompts, str) else out


def log_probs_conditional_examples(examples: Example | Sequence[Example], model: AnyModel,
                                   client: openai.OpenAI | None = None, show_progress_bar: bool | None = None,
                                   ask_if_ok: bool = False, api_key: str | None = None, batch_size: int = 16,
                                   batch_size_completions: int | None = None
                                   ) -> list[list[float]] | list[list[list[float]]]:
    """See :func:`capp.classify.log_probs_conditional_examples`."""
    listed = _examples(examples)
    _check_batch(batch_size)
    out = _conditional(_remote(model, client, ask_if_ok, api_key), [e.prompt for e in listed],
                       [e.completions for e in listed], [e.end_of_prompt for e in listed], batch_size, show_progress_bar)
    return out[0] if is_example(examples) else out


def _marginals(model: RemoteModel, completions: list[str], end_of_prompt: str, batch_size: int,
               weighed: Weighing) -> list[npt.NDArray[np.float64]]:
    """Returns the marginal log-probabilities [completion][token] for the discount: those given, or else computed without
    the prefix of the model; 0 if there is none."""
    found: Any = weighed.marginals
    if found is None and weighed.domain_prompt is not None:
        found = _conditional(model.alone(), [weighed.domain_prompt], [completions], [end_of_prompt], batch_size, False)[0]
    elif found is None:
        found = token_logprobs(completions, model.alone(), None, end_of_prompt, False, batch_size=batch_size)
    return [np.nan_to_num(np.array(tokens, float)) for tokens in found]


def _discounted(rows: list[list[list[float]]], discount: float,
                marginals: list[npt.NDArray[np.float64]]) -> list[list[npt.NDArray[np.float64]]]:
    out = []
    for row in rows:
        for i, (tokens, by) in enumerate(zip(row, marginals)):
            if len(tokens) != len(by):
                raise ValueError(f"completion {i} has {len(by)} marginals, but {len(tokens)} tokens after a prompt on the "
                                 "server; give one marginal per token")
        out.append([np.array(tokens) + discount * by for tokens, by in zip(row, marginals)])
    return out


def predict_proba(prompts: str | Sequence[str], completions: Sequence[str], model: AnyModel,
                  client: openai.OpenAI | None = None, prior: Sequence[float] | None = None, end_of_prompt: str = " ",
                  normalize: bool | Sequence[bool] = True, discount_completions: float = 0.0,
                  log_marg_probs_completions: Sequence[Sequence[float | None]] | None = None,
                  show_progress_bar: bool | None = None, ask_if_ok: bool = False, api_key: str | None = None,
                  batch_size: int = 16, batch_size_completions: int | None = None, *, aggregate: Aggregate = "mean",
                  domain_prompt: str | None = None, class_of: Sequence[int] | None = None) -> npt.NDArray[np.float64]:
    """See :func:`capp.classify.predict_proba`."""
    weighed = weighing(completions, prior, normalize, discount_completions, log_marg_probs_completions, aggregate,
                       domain_prompt, class_of)
    remote = _remote(model, client, ask_if_ok, api_key)
    listed: Any = [prompts] if isinstance(prompts, str) and prompts else prompts
    weighed.check_rows(_check.length(listed, "prompts"))
    rows: Any = log_probs_conditional(listed, completions, remote, None, end_of_prompt, show_progress_bar,
                                      batch_size=batch_size)
    choices = list(completions)
    if weighed.discount:
        rows = _discounted(rows, weighed.discount, _marginals(remote, choices, end_of_prompt, batch_size, weighed))
    likelihoods = [weighed.likelihoods([np.array(tokens) for tokens in row], choices) for row in rows]
    checked: Any = {"prior": weighed.prior, "normalize": weighed.normalize}
    out: Any = posterior_prob(likelihoods, axis=1, check_prior=False, **checked)
    return out[0] if isinstance(prompts, str) else out


def predict(prompts: str | Sequence[str], completions: Sequence[str], model: AnyModel,
            client: openai.OpenAI | None = None, prior: Sequence[float] | None = None, end_of_prompt: str = " ",
            discount_completions: float = 0.0,
            log_marg_probs_completions: Sequence[Sequence[float | None]] | None = None,
            show_progress_bar: bool | None = None, ask_if_ok: bool = False, api_key: str | None = None,
            batch_size: int = 16, batch_size_completions: int | None = None, *, aggregate: Aggregate = "mean",
            domain_prompt: str | None = None) -> str | list[str]:
    """See :func:`capp.classify.predict`."""
    if _check.length(completions, "completions") == 1:
        raise ValueError("predict needs at least two completions; use predict_proba with normalize=False for one")
    probabilities = predict_proba(prompts, completions, model, client, prior, end_of_prompt, True, discount_completions,
                                  log_marg_probs_completions, show_progress_bar, ask_if_ok, api_key, batch_size,
                                  aggregate=aggregate, domain_prompt=domain_prompt)
    choices = list(completions)
    out = [choices[i] for i in np.atleast_2d(probabilities).argmax(axis=1)]
    return out[0] if isinstance(prompts, str) else out


def predict_proba_examples(examples: Example | Sequence[Example], model: AnyModel, client: openai.OpenAI | None = None,
                           show_progress_bar: bool | None = None, ask_if_ok: bool = False, api_key: str | None = None,
                           batch_size: int = 16, batch_size_completions: int | None = None
                           ) -> npt.NDArray[np.float64] | list[npt.NDArray[np.float64]]:
    """See :func:`capp.classify.predict_proba_examples`."""
    listed = _examples(examples)
    logprobs: Any = log_probs_conditional_examples(listed, model, client, show_progress_bar, ask_if_ok, api_key, batch_size)
    out: Any = [posterior_prob(agg_log_probs(row), axis=0, prior=e.prior, normalize=e.normalize, check_prior=False)
                for row, e in zip(logprobs, listed)]
    if is_example(examples):
        return out[0]
    return np.array(out) if len({len(row) for row in out}) == 1 else out


def predict_examples(examples: Example | Sequence[Example], model: AnyModel, client: openai.OpenAI | None = None,
                     show_progress_bar: bool | None = None, ask_if_ok: bool = False, api_key: str | None = None,
                     batch_size: int = 16, batch_size_completions: int | None = None) -> str | list[str]:
    """See :func:`capp.classify.predict_examples`."""
    listed = _examples(examples)
    probabilities = predict_proba_examples(listed, model, client, show_progress_bar, ask_if_ok, api_key, batch_size)
    out = [e.completions[int(row.argmax())] for e, row in zip(listed, probabilities)]
    return out[0] if is_example(examples) else out


def cache_model(model: AnyModel, prefixes: str | Sequence[str], logits_all: bool = True, *,
                client: openai.OpenAI | None = None) -> RemoteModel:
    """See :func:`capp.classify.cache_model`. Takes one prefix, or one for each prompt of later calls."""
    return _remote(model, client, False, None).after(prefixes)


@contextmanager
def cache(model: AnyModel, prefixes: str | Sequence[str], clear_cache_on_exit: bool = True, logits_all: bool = True, *,
          client: openai.OpenAI | None = None) -> Iterator[RemoteModel]:
    """Like :func:`cache_model`, as a context manager."""
    made = cache_model(model, prefixes, client=client)
    try:
        yield made
    finally:
        made.cleared = clear_cache_on_exit

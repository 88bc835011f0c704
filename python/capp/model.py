"""Models: an open file, and the sessions in which calls run."""
from __future__ import annotations

import ctypes
import json
import operator
import os
import threading
import time
import weakref
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Iterator, Mapping, Sequence, Union

import numpy as np
import numpy.typing as npt

from capp import _abi, _check
from capp._abi import Str, Strings, byref, c_string, lib
from capp._call import Callbacks, Progress, check, interruptible, raise_error
from capp._names import find_model
from capp.errors import CacheClearedError

PRECISIONS = ("auto", "f32", "bf16", "i16", "i8", "mixed")
KEPT_SESSIONS = 2  # idle sessions to keep, with the contents of their KV stores

_TOKENIZE_BOS, _TOKENIZE_SPECIAL = 1, 2


@dataclass(frozen=True)
class ModelInfo:
    """Facts about a model: see :attr:`Model.info`."""

    architecture: str
    name: str
    isa: str
    precision: str
    threads: int
    vocabulary: int
    context: int
    layers: int
    width: int
    parameters: int
    file_bytes: int
    weight_bytes: int
    whole_weight_bytes: int
    streamed_bytes: int
    bos: int
    eos: int
    add_bos: bool
    assumed_pretokenizer: bool
    load_seconds: float
    adapters: str
    margin: float
    deciding: str
    scoring: str
    planned_weight_bytes: int  # what weight_bytes may become


Lora = Union[str, "os.PathLike[str]", Mapping[Any, float], Sequence[Any], None]


def adapters_of(lora: Lora) -> tuple[tuple[str, float], ...]:
    """Returns (path, weight) of each adapter, for the argument `lora` of Model."""
    if lora is None:
        return ()
    if isinstance(lora, (str, os.PathLike)):
        return ((os.fspath(lora), 1.0),)
    wanted = "lora must be a path, a mapping from paths to weights, or a sequence of paths or pairs (path, weight)"
    try:
        items: list[Any] = list(lora.items()) if isinstance(lora, Mapping) else list(lora)
        pairs = [(item, 1.0) if isinstance(item, (str, os.PathLike)) else tuple(item) for item in items]
    except TypeError:
        raise TypeError(f"{wanted}, not {lora!r}") from None
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"{wanted}, not {lora!r}")
    return tuple((os.fspath(path), _check.number(weight, "the weight of an adapter")) for path, weight in pairs)


def _whole(value: Any, name: str, end: int) -> int:
    """Checks that value is an integer from 0 to end - 1."""
    try:
        found = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}") from None
    if not 0 <= found < end:
        raise ValueError(f"{name} must be an integer from 0 to {end - 1}, not {found}")
    return found


def _ids(ids: Any) -> npt.NDArray[np.int32]:
    array = np.asarray(ids)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise TypeError("ids must be a sequence of integers")
    wrong = (array < 0) | (array > 2**31 - 1)
    if wrong.any():
        raise ValueError(f"invalid token id {array[wrong][0]}: ids are integers from 0 to {2**31 - 1}")
    return array.astype(np.int32)


def guard_files() -> None:
    """Makes a failed read of a model file (because the file was truncated, or the disk fails) an :class:`OSError` of the call.
    Without this, the system ends the process with SIGBUS. Installs a handler of SIGBUS for the whole process. If no model
    file caused the signal, it calls the handler that was installed before."""
    check(lib.capp_guard_files)


class _Handle:
    """An open model of the library and its idle sessions. Freed after it is closed and the last call has returned."""

    def __init__(self, path: str, options: _abi.ModelOptions) -> None:
        self.lock, self.busy, self.closed, self.process = threading.Lock(), 0, False, os.getpid()
        self.idle: list[int] = []
        pointer, name, cancelled = ctypes.c_void_p(), c_string(path, "the path"), threading.Event()
        options.progress = _abi.ProgressFn(lambda *_: not cancelled.is_set())
        try:
            interruptible(cancelled.set, lambda: check(lib.capp_model_open, byref(pointer), name, byref(options)))
        except BaseException:
            lib.capp_model_free(pointer)  # if an interrupt came too late to cancel
            raise
        self.model: Any = pointer.value

    def close(self) -> None:
        with self.lock:
            if self.closed:
                return
            self.closed = True
            self._free_if_unused()

    def _free_if_unused(self) -> None:
        if not self.closed or self.busy or self.process != os.getpid():
            return  # after a fork, the threads of the sessions do not exist, and the memory is shared
        self._free_sessions(0)
        lib.capp_model_free(self.model)

    def _free_sessions(self, keep: int) -> None:
        while len(self.idle) > keep:
            lib.capp_session_free(self.idle.pop(0))

    @contextmanager
    def in_use(self) -> Iterator[Any]:
        """Gives the model of the library, which is not freed before the block ends."""
        with self.lock:
            if self.closed:
                raise ValueError("this model is closed; open it again")
            if self.process != os.getpid():  # after a fork: the threads of the sessions do not exist here, but the weights do
                self.idle, self.process = [], os.getpid()
            self.busy += 1
        try:
            yield self.model
        finally:
            with self.lock:
                self.busy -= 1
                self._free_sessions(KEPT_SESSIONS)
                self._free_if_unused()

    @contextmanager
    def session(self) -> Iterator[int]:
        """Gives a session for one call: an idle one, or a new one."""
        with self.in_use() as model:
            with self.lock:
                session: Any = self.idle.pop() if self.idle else None
            if session is None:
                pointer = ctypes.c_void_p()
                check(lib.capp_session_open, byref(pointer), model)
                session = pointer.value
            try:
                yield session
            finally:
                with self.lock:
                    self.idle.append(session)


def weights_memory_of(value: Any) -> int:
    """Converts weights_memory of Model to the number that the library expects."""
    if value is None:
        return 0
    if isinstance(value, str):
        if value != "all":
            raise ValueError(f"weights_memory must be a number of bytes, 'all' or None, not {value!r}")
        return 2**64 - 1
    return _whole(value, "weights_memory", 2**63) or 1


def precision_of(value: str | None) -> str:
    """Returns the precision for the argument `precision`: by default that of the environment."""
    given, name = (os.environ.get("CAPP_PRECISION") or "auto", "CAPP_PRECISION") if value is None else (value, "precision")
    if given not in PRECISIONS:
        raise ValueError(f"{name} must be one of {', '.join(PRECISIONS)}, not {given!r}")
    return given


def options_of(threads: int = 0, memory: int = 0, precision: str | None = None, isa: str | None = None, context: int = 0,
               weights_memory: int | str | None = None) -> _abi.ModelOptions:
    """Checks the options of a model."""
    if isa is not None and not isinstance(isa, str):
        raise TypeError(f"isa must be a string, not {type(isa).__name__}")
    options = _abi.ModelOptions()
    lib.capp_model_options_init(byref(options))
    options.threads = _whole(threads, "threads", 2**31)
    options.memory = _whole(memory, "memory", 2**64)
    options.weights_memory = weights_memory_of(weights_memory)
    options.context = _whole(context, "context", 2**32)
    options.precision, options.isa = PRECISIONS.index(precision_of(precision)), c_string(isa, "isa") if isa else None
    return options


class Model:
    """An open language model. Any number of threads may use it at the same time.

    Parameters
    ----------
    path
        a GGUF file, the first file of a split set, or a folder in which transformers saved a model and its tokenizer. Or a
        name, if there is no such path: ``"owner/name"``, ``"owner/name:Q4_K_M"`` or ``"owner/name:file.gguf"``, of a model
        in the cache of Hugging Face, llama.cpp, Ollama or LM Studio
    threads
        number of threads of a call; by default as many as the process may use CPUs
    memory
        memory budget of a call in bytes, without the weights; by default a share of the free memory
    weights_memory
        memory budget in bytes for a cache of unpacked weights: a number, which whole matrices fill as far as they fit; 0
        for no cache; or ``"all"``. The fourth use of weights unpacks them into the cache. Before, and
        if they have no place there, they are unpacked each time they are used. By default all weights are cached if they fit a
        quarter of the free memory, otherwise none. After a fork, processes share what the cache held before, and each unpacks
        the rest for itself: so score four different rows, each in a call, before you fork. No result depends on it
    precision
        ``"f32"``, float32 throughout; ``"bf16"``; ``"i16"``, which multiplies the integers of a quantized model, the same
        bits on every machine; ``"i8"``, faster and less accurate; ``"mixed"``, between these; or ``"auto"``, the fastest
        choice that keeps decisions: those of i16 if all matrices of its layers are stored as integers (except small ones
        that usually stay floats) and no adapter changes its experts, else those of f32.
        By default the environment variable CAPP_PRECISION, or ``"auto"``
    isa
        instruction set; by default the best that the machine supports
    context
        maximum number of tokens of a prompt and a completion together; by default the model's limit
    parse_special
        whether text such as ``<|im_start|>`` in prompts and completions becomes the special token, as with transformers.
        Turn this off for text from untrusted sources
    lora
        LoRA adapters: a path, a mapping from paths to weights, or a sequence of paths or pairs (path, weight)
    fetch
        whether to download a model that no cache has, with the package huggingface_hub. Without it nothing leaves this machine

    Examples
    --------
    >>> from capp import Model
    >>> with Model(model_path) as model:
    ...     model.info.architecture
    'llama'
    """

    def __init__(self, path: str | os.PathLike[str], *, threads: int = 0, memory: int = 0,
                 precision: str | None = None, isa: str | None = None, context: int = 0, parse_special: bool = True, lora: Lora = None,
                 weights_memory: int | str | None = None, fetch: bool = False) -> None:
        options = options_of(threads, memory, precision, isa, context, weights_memory)
        adapters = adapters_of(lora)
        options.lora = (_abi.Lora * len(adapters))(*(_abi.Lora(c_string(path, "the path of an adapter"), weight)
                                                     for path, weight in adapters))
        options.n_lora = len(adapters)
        self.path, self.parse_special = find_model(path, fetch), parse_special
        self._keywords = {"threads": options.threads, "memory": options.memory,
                          "precision": PRECISIONS[options.precision], "isa": isa,
                          "context": options.context, "parse_special": parse_special, "lora": adapters,
                          "weights_memory": weights_memory}
        self._handle = _Handle(self.path, options)
        self._finalizer = weakref.finalize(self, _Handle.close, self._handle)

    def close(self) -> None:
        """Closes the model. Calls that are running can finish. Afterwards the model cannot be used."""
        self._finalizer()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_error: Any) -> None:
        self.close()

    def __copy__(self) -> Model:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Model:
        """Returns the model itself, because it never changes."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles the path and the options. Another process opens the model once."""
        return _opened, (self.path, self._keywords)

    def __repr__(self) -> str:
        given: Any = self._keywords["lora"]
        adapters = f", lora={list(given)}" if given else ""
        return f"capp.Model({self.path!r}{adapters}{', closed' if self._handle.closed else ''})"

    @property
    def info(self) -> ModelInfo:
        """Architecture, size, context and other facts."""
        found = _abi.ModelInfo()
        with self._handle.in_use() as model:
            lib.capp_model_get_info(model, byref(found))
            values: dict[str, Any] = {field[0]: getattr(found, field[0]) for field in found._fields_}
            values["planned_weight_bytes"] = lib.capp_model_forecast_weights(model)
            values = {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}
        names = {name: PRECISIONS[values[name]] for name in ("precision", "deciding", "scoring")}
        return ModelInfo(**{**values, **names})

    def tokenize(self, text: str, *, bos: bool = False, special: bool | None = None) -> list[int]:
        """Converts text to token ids.

        Examples
        --------
        >>> model.detokenize(model.tokenize("the cat"))
        'the cat'
        """
        strings, ids, n = Strings([text]), ctypes.c_void_p(), ctypes.c_size_t()
        flags = _TOKENIZE_BOS * bool(bos) | _TOKENIZE_SPECIAL * bool(self.parse_special if special is None else special)
        with self._handle.in_use() as model:
            check(lib.capp_tokenize, model, strings.first(), flags, byref(ids), byref(n))
        try:
            return _abi.copy_of(ids.value, n.value, np.int32).tolist() if n.value else []
        finally:
            lib.capp_free(ids)

    def detokenize(self, ids: Sequence[int]) -> str:
        """Converts token ids to text. Bytes that are not valid UTF-8 become U+FFFD."""
        array, text, size = _ids(ids), ctypes.c_void_p(), ctypes.c_size_t()
        with self._handle.in_use() as model:
            check(lib.capp_detokenize, model, array.ctypes.data, len(array), byref(text), byref(size))
        try:
            return ctypes.string_at(text.value or 0, size.value).decode(errors="replace")
        finally:
            lib.capp_free(text)

    def generate(self, prompts: str | Sequence[str], max_tokens: int = 16, *, stop: Sequence[str] = (),
                 ignore_eos: bool = False, show_progress_bar: bool | None = None) -> str | list[str]:
        """Generates text after each prompt. Each step takes the most probable token.

        Examples
        --------
        >>> isinstance(model.generate("the cat", 3), str)
        True
        """
        return generate(self, None, self.parse_special, prompts, max_tokens, stop, ignore_eos, show_progress_bar)

    def chat(self, *, system: str | None = None, messages: Sequence[Mapping[str, str]] = (), template: str | None = None,
             template_name: str | None = None, parse_special: bool = False, **variables: Any) -> ChatModel:
        """Makes a model that uses the chat template of this model. It works with the functions of :mod:`capp.classify`: each
        prompt becomes a user message, and the completions are the assistant's words.

        Special tokens in prompts stay ordinary text, even if the model has ``parse_special``. So a prompt cannot end its
        message with ``<|im_end|>``. There is no text between prompt and completion: `end_of_prompt` is ignored.

        Parameters
        ----------
        system
            a system message before each prompt
        messages
            messages before each prompt, such as examples: ``[{"role": "user", "content": "2 + 2"}, ...]``
        template
            a Jinja template to use instead of the model's own
        template_name
            which template to use, if the model has several; by default ``"default"``
        parse_special
            whether text such as ``<|im_end|>`` in messages and completions becomes the special token
        variables
            more variables for the template, such as ``enable_thinking=False``

        If a template prints the date, it is that of this call. It does not change later, even in another process.

        Examples
        --------
        >>> from capp.classify import predict
        >>> chat = model.chat(template="{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}assistant:")
        >>> chat.render("the cat")
        'user: the cat assistant:'
        >>> predict("the cat", ["sat", "ran"], chat) in ("sat", "ran")
        True
        """
        return ChatModel(self, system=system, messages=messages, template=template, template_name=template_name,
                         parse_special=parse_special, variables=variables, now=int(time.time()))


_unpickled: weakref.WeakValueDictionary[tuple[Any, ...], Model] = weakref.WeakValueDictionary()


def _opened(path: str, keywords: dict[str, Any]) -> Model:
    key = (path, *keywords.values())
    model = _unpickled.get(key)
    if model is None or model._handle.closed:
        model = _unpickled[key] = Model(path, **keywords)
    return model


def run(model: Model, function: Any, arguments: list[Any], callbacks: Callbacks) -> None:
    """Calls a function of the library in a session of the model. arguments: those between the session and the error."""
    err = _abi.Error()
    with model._handle.session() as session:
        status = interruptible(lambda: lib.capp_session_cancel(session), lambda: function(session, *arguments, byref(err)))
    if callbacks.raised is not None:
        raise callbacks.raised
    if status:
        raise_error(err)


def generate(model: Model, chat: Any, parse_special: bool, prompts: str | Sequence[str], max_tokens: int,
             stop: Sequence[str], ignore_eos: bool, show_progress_bar: bool | None) -> str | list[str]:
    """Implements Model.generate and ChatModel.generate. chat: a capp_chat of the library, or None."""
    if isinstance(stop, str):
        raise TypeError(f"stop must be a sequence of strings, not one string; use [{stop!r}]")
    max_tokens = _whole(max_tokens, "max_tokens", 2**63)
    texts = Strings(_check.texts(prompts, "prompts"))
    ends, callbacks, out = Strings(stop), Callbacks(), []
    options = _abi.GenerateOptions()
    lib.capp_generate_options_init(byref(options))
    options.max_tokens, options.ignore_eos, options.parse_special = max_tokens, ignore_eos, parse_special
    options.chat = chat
    options.stop, options.n_stop = ends.address, len(ends.array)

    def take(result: Any) -> None:
        text = result.contents.text
        out.append(ctypes.string_at(text.data, text.size).decode(errors="replace") if text.size else "")

    with Progress(len(texts.array), show_progress_bar, "generate", callbacks) as progress:
        options.progress = progress.function
        run(model, lib.capp_generate, [texts.address, len(texts.array), byref(options),
                                      _abi.GenerationFn(callbacks.guard(take)), None], callbacks)
    return out[0] if isinstance(prompts, str) else out


class _Prefix:
    """A capp_prefix of the library, freed with this object."""

    def __init__(self, model: Model, parent: _Prefix | None, text: str) -> None:
        pointer, strings = ctypes.c_void_p(), Strings([text])
        with model._handle.in_use() as opened:
            check(lib.capp_prefix_open, byref(pointer), opened, parent.pointer if parent else None, strings.first(),
                  _TOKENIZE_SPECIAL if model.parse_special else 0)
        self.texts: tuple[str, ...] = (*(parent.texts if parent else ()), text)
        self.pointer: Any = pointer.value
        self.free = weakref.finalize(self, lib.capp_prefix_free, self.pointer)


class CachedModel:
    """A model that puts a prefix and a space before every prompt: the result of :func:`capp.classify.cache_model`."""

    def __init__(self, parent: Model | CachedModel, prefixes: list[str]) -> None:
        outer = [None] if isinstance(parent, Model) else parent._open_prefixes()
        self.model: Model = parent if isinstance(parent, Model) else parent.model
        n = max(len(outer), len(prefixes))
        if len(outer) not in (1, n) or len(prefixes) not in (1, n):
            raise ValueError(f"could not broadcast {len(outer)} cached prefixes with {len(prefixes)} new ones; use equal "
                             "numbers, or a single prefix")
        self._prefixes: list[_Prefix] | None = [_Prefix(self.model, outer[i % len(outer)], prefixes[i % len(prefixes)])
                                                for i in range(n)]

    def _open_prefixes(self) -> list[_Prefix]:
        if self._prefixes is None:
            raise CacheClearedError("the context of this cached model has ended; to keep the model, use "
                                    "clear_cache_on_exit=False or cache_model")
        return self._prefixes

    def clear(self) -> None:
        """Clears the cached model. Afterwards it cannot be used."""
        self._prefixes = None

    def generate(self, *_arguments: Any, **_keywords: Any) -> Any:
        raise TypeError("a cached model cannot generate; put the prefix into the prompts and use the original model")

    def chat(self, *_arguments: Any, **_keywords: Any) -> Any:
        raise TypeError("a chat cannot have a prefix; use the original model with the arguments system or messages of "
                        "Model.chat instead")

    def __copy__(self) -> CachedModel:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> CachedModel:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles the texts of the prefixes. Another process opens them again."""
        return _cached_of, (self.model, list(zip(*(prefix.texts for prefix in self._open_prefixes()))))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "model":  # the object is not fully constructed
            raise AttributeError(name)
        return getattr(self.model, name)

    def __repr__(self) -> str:
        n = "cleared" if self._prefixes is None else f"{len(self._prefixes)} prefix{'es' * (len(self._prefixes) > 1)}"
        return f"<{self.model!r} with {n}>"


def _cached_of(model: Model, levels: list[tuple[str, ...]]) -> Any:
    cached: Any = model
    for texts in levels:
        cached = CachedModel(cached, list(texts))
    return cached


Turns = Union[str, Sequence[Mapping[str, str]]]


def _checked_turns(turns: Any, name: str) -> list[dict[str, str]]:
    """Checks and copies the messages of a conversation."""
    if isinstance(turns, (str, bytes, Mapping)) or not hasattr(turns, "__iter__"):
        raise TypeError(f"{name} must be a sequence of messages, such as [{{'role': 'user', 'content': 'Hello'}}], not "
                        f"{type(turns).__name__}")
    out = []
    for i, turn in enumerate(turns):
        if not isinstance(turn, Mapping):
            raise TypeError(f"{name}[{i}] must be a mapping, such as {{'role': 'user', 'content': 'Hello'}}, not "
                            f"{type(turn).__name__}")
        if set(turn) != {"role", "content"}:
            raise ValueError(f"{name}[{i}] must have exactly the keys 'role' and 'content', not {', '.join(map(repr, turn))}")
        for key in ("role", "content"):
            if not isinstance(turn[key], str):
                raise TypeError(f"the {key} of {name}[{i}] must be a string, not {type(turn[key]).__name__}")
        out.append({"role": turn["role"], "content": turn["content"]})
    return out


def _conversation(turns: list[dict[str, str]]) -> tuple[Any, Strings]:
    """Makes an array of capp_message, and the strings it points to."""
    texts = Strings([turn[key] for turn in turns for key in ("role", "content")])
    messages = (_abi.Message * max(len(turns), 1))()
    for i, message in enumerate(messages[: len(turns)]):
        for name, k in (("role", 2 * i), ("content", 2 * i + 1)):
            setattr(message, name, Str(int(texts.array["data"][k]), int(texts.array["size"][k])))
    return messages, texts


def _json(variables: Mapping[str, Any]) -> str:
    try:
        return json.dumps(variables, allow_nan=False) if variables else ""
    except (TypeError, ValueError) as error:
        raise type(error)(f"variables of a chat template must be values that JSON can represent: {error}") from None


class ChatModel:
    """A model with its chat template: the result of :meth:`Model.chat`."""

    def __init__(self, model: Model, *, system: str | None, messages: Sequence[Mapping[str, str]], template: str | None,
                 template_name: str | None, parse_special: bool, variables: Mapping[str, Any], now: int) -> None:
        for name, text in {"system": system, "template": template, "template_name": template_name}.items():
            if text is not None and not isinstance(text, str):
                raise TypeError(f"{name} must be a string, not {type(text).__name__}")
        self.model, self.parse_special = model, parse_special
        turns = _checked_turns(messages, "messages")
        self._keywords: dict[str, Any] = {
            "system": system, "messages": turns, "template": template, "template_name": template_name,
            "parse_special": parse_special, "variables": json.loads(_json(variables) or "{}"), "now": now}
        turns = ([] if system is None else [{"role": "system", "content": system}]) + turns
        options, texts = _abi.ChatOptions(), Strings([template or "", _json(variables)])
        lib.capp_chat_options_init(byref(options))
        options.messages, kept = _conversation(turns)
        options.n_messages, options.now = len(turns), now
        options.template_name = None if template_name is None else c_string(template_name, "template_name")
        options.template_text = texts.first() if template is not None else Str(None, 0)
        options.variables = Str(int(texts.array["data"][1]), int(texts.array["size"][1]))
        pointer = ctypes.c_void_p()
        with model._handle.in_use() as opened:
            check(lib.capp_chat_open, byref(pointer), opened, byref(options))
        del kept
        self._pointer: Any = pointer.value
        self._finalizer = weakref.finalize(self, lib.capp_chat_free, self._pointer)

    def render(self, turns: Turns) -> str:
        """Returns the prompt for a user message (a string) or for several messages, as the template writes it: from the
        system message to the start of the assistant's answer."""
        listed = [{"role": "user", "content": turns}] if isinstance(turns, str) else _checked_turns(turns, "turns")
        (messages, _kept), text, size = _conversation(listed), ctypes.c_void_p(), ctypes.c_size_t()
        with self.model._handle.in_use():
            check(lib.capp_chat_render, self._pointer, messages, len(listed), byref(text), byref(size))
        try:
            return ctypes.string_at(text.value or 0, size.value).decode()
        finally:
            lib.capp_free(text)

    def tokenize(self, turns: Turns) -> list[int]:
        """Returns the token ids of the same prompt."""
        listed = [{"role": "user", "content": turns}] if isinstance(turns, str) else _checked_turns(turns, "turns")
        (messages, _kept), ids, n = _conversation(listed), ctypes.c_void_p(), ctypes.c_size_t()
        with self.model._handle.in_use():
            check(lib.capp_chat_tokenize, self._pointer, messages, len(listed), _TOKENIZE_SPECIAL * bool(self.parse_special),
                  byref(ids), byref(n))
        try:
            return _abi.copy_of(ids.value, n.value, np.int32).tolist()
        finally:
            lib.capp_free(ids)

    def generate(self, prompts: str | Sequence[str], max_tokens: int = 16, *, stop: Sequence[str] = (),
                 ignore_eos: bool = False, show_progress_bar: bool | None = None) -> str | list[str]:
        """Like :meth:`Model.generate`; each prompt becomes a user message."""
        return generate(self.model, self._pointer, self.parse_special, prompts, max_tokens, stop, ignore_eos,
                        show_progress_bar)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "model":  # the object is not fully constructed
            raise AttributeError(name)
        return getattr(self.model, name)

    def __reduce__(self) -> tuple[Any, ...]:
        return _chat_of, (self.model, self._keywords)

    def __repr__(self) -> str:
        return f"<{self.model!r} with its chat template>"


def _chat_of(model: Model, keywords: dict[str, Any]) -> ChatModel:
    return ChatModel(model, **keywords)

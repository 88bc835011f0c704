"""Converts the model argument to a model of capp: every kind of model that CAPPr accepts, each opened once."""
from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Iterator, Union

from capp import _transformers
from capp._names import find_model
from capp.errors import CappError
from capp.model import CachedModel, ChatModel, Model, adapters_of, precision_of

AnyModel = Union[Model, CachedModel, ChatModel, str, "os.PathLike[str]", "tuple[Any, Any]", Any]

KEPT_FILES = 2  # models opened by path

_lock = threading.Lock()
_files: OrderedDict[tuple[Any, ...], Model] = OrderedDict()
# For each model of transformers, its models of capp by precision and active adapters.
_taken_over: weakref.WeakKeyDictionary[Any, dict[Any, Model]] = weakref.WeakKeyDictionary()
# The current prefix of each llama_cpp.Llama. CAPPr stores it in the object itself.
_prefixed: weakref.WeakKeyDictionary[Any, CachedModel] = weakref.WeakKeyDictionary()
_told: ContextVar[str | None] = ContextVar("precision", default=None)


@contextmanager
def told_precision(precision: str | None) -> Iterator[None]:
    """In this context, models are opened in this precision. None: in that of the surrounding context."""
    token = _told.set(_told.get() if precision is None else precision_of(precision))
    try:
        yield
    finally:
        _told.reset(token)


def of_file(path: str | os.PathLike[str], **keywords: Any) -> Model:
    """Returns the model of a file, opened with these keywords of Model. Opens it unless it is already open."""
    path = find_model(path)
    found = os.stat(path)
    keywords["lora"] = adapters_of(keywords.get("lora"))
    keywords["precision"] = precision_of(keywords.get("precision") or _told.get())
    changed = [os.stat(adapter).st_mtime_ns for adapter, _ in keywords["lora"]]
    key = (os.path.realpath(path), found.st_mtime_ns, found.st_size, *sorted(keywords.items()), *changed)
    with _lock:
        model = _files.get(key)
        if model is None or model._handle.closed:
            model = _files[key] = Model(path, **keywords)
        _files.move_to_end(key)
        while len(_files) > KEPT_FILES:
            _files.popitem(last=False)
        return model


def _of_transformers(model: Any, tokenizer: Any) -> Model:
    import tempfile  # late: it loads the compressors

    adapters, precision = _transformers.active_adapters(model), precision_of(_told.get())
    with _lock:
        opened = _taken_over.setdefault(model, {})
        taken = opened.get((precision, adapters))
        if taken is None or taken._handle.closed:
            with tempfile.TemporaryDirectory(prefix="capp-") as folder:
                base, lora = _transformers.save(model, tokenizer, adapters, folder)
                try:
                    taken = Model(base, precision=precision, lora=lora)
                except CappError as error:
                    raise type(error)(f"cannot open this {type(model).__name__} of transformers: {error}. Convert it to a "
                                      "GGUF file and give its path") from error
            opened[precision, adapters] = taken
        return taken


def is_llama(model: Any) -> bool:
    """Whether model is a llama_cpp.Llama, or similar."""
    return isinstance(getattr(model, "model_path", None), str)


def prefix_of_llama(model: Any) -> CachedModel | None:
    return _prefixed.get(model) if is_llama(model) else None


def _watch_reset(model: Any) -> None:
    """Lets model.reset(), which empties the context of a llama_cpp.Llama, also end its prefix here. The method of this one
    object is replaced as long as it has a prefix; the reference is weak, because a cycle would keep the object's memory."""
    if "reset" in vars(model) or not hasattr(type(model), "reset"):
        return
    weak = weakref.ref(model)

    def reset(*arguments: Any, **keywords: Any) -> Any:
        llama: Any = weak()
        set_prefix_of_llama(llama, None)
        return type(llama).reset(llama, *arguments, **keywords)

    reset.ends_prefix = True  # type: ignore[attr-defined]
    model.reset = reset


def set_prefix_of_llama(model: Any, cached: CachedModel | None) -> None:
    """Does nothing for other kinds of model."""
    if not is_llama(model):
        return
    _prefixed.pop(model, None)
    if cached is not None:
        _prefixed[model] = cached
        _watch_reset(model)
    elif hasattr(vars(model).get("reset"), "ends_prefix"):
        del model.reset


def reset(model: AnyModel, wanted: bool) -> AnyModel:
    """Implements reset_model of CAPPr's functions for llama.cpp. True: the model without its prefix. False: with it."""
    if wanted:
        set_prefix_of_llama(model, None)
        return model.model if isinstance(model, CachedModel) else model
    return prefix_of_llama(model) or model


def _already_open(model: Model | CachedModel | ChatModel) -> Model | CachedModel | ChatModel:
    opened = model if isinstance(model, Model) else model.model
    told, precision = _told.get(), opened._keywords["precision"]
    if told is not None and told != precision:
        raise ValueError(f"precision={told!r} is given, but this model is already open with {precision!r}; open it by "
                         f"capp.Model(..., precision={told!r})")
    return model


def resolve(model: AnyModel) -> Model | CachedModel | ChatModel:
    """Returns the model of capp for a model argument: a Model, CachedModel or ChatModel; a path or a name; a pair (model,
    tokenizer) of transformers, saved to a temporary folder at the first call; a llama_cpp.Llama, opened by its path. For a
    pair whose first element is a model of capp, returns that element."""
    if isinstance(model, (tuple, list)) and len(model) == 2:
        first, second = model
        if hasattr(first, "save_pretrained"):
            return _of_transformers(first, second)
        model = first
    if isinstance(model, (Model, CachedModel, ChatModel)):
        return _already_open(model)
    if isinstance(model, (str, os.PathLike)):
        return of_file(model)
    path = getattr(model, "model_path", None)
    if isinstance(path, str):
        return of_file(path)
    raise TypeError("the model must be a capp.Model, a path, or a pair (model, tokenizer) of transformers, not "
                    f"{type(model).__name__}")

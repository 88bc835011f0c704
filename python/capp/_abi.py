"""include/capp.h, capp_arrays.h and capp_forecast.h for ctypes: finds and opens the library, and declares the structures and functions that the package uses."""
from __future__ import annotations

import ctypes
import os
from ctypes import (CFUNCTYPE, POINTER, Structure, byref, c_bool, c_char, c_char_p, c_double, c_float, c_int, c_int32,
                    c_int64, c_size_t, c_uint, c_uint32, c_uint64, c_void_p)
from pathlib import Path
from typing import Any, Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["lib", "byref"]

VERSION = (0, 1)  # of the library whose structures are declared below


def _open() -> ctypes.CDLL:
    """Opens the library that CAPP_LIBRARY names, that is part of the wheel, or that is installed on the system."""
    here = Path(__file__).resolve().parent.parent
    named = os.environ.get("CAPP_LIBRARY")
    beside = sorted((here / ".capp.mesonpy.libs").glob("libcapp.so.0*")) + sorted((here / "capp.libs").glob("libcapp*"))
    found = named or (str(beside[0]) if beside else "libcapp.so.0")
    try:
        library = ctypes.CDLL(found)
    except OSError as error:
        raise ImportError(f"cannot open the library {found}: {error}. Install the wheel, or set the environment variable "
                          "CAPP_LIBRARY to the path of libcapp.so") from None
    library.capp_version.restype = c_char_p
    version = library.capp_version().decode()
    if tuple(map(int, version.split(".")))[:2] != VERSION:
        raise ImportError(f"wrong version of {found}: it is capp {version}, but this package needs "
                          f"{'.'.join(map(str, VERSION))}; install the same version of both")
    return library


class Str(Structure):
    _fields_ = [("data", c_void_p), ("size", c_size_t)]


class Error(Structure):
    _fields_ = [("status", c_int), ("row", c_size_t), ("message", c_char * 1000)]


class Lora(Structure):
    _fields_ = [("path", c_char_p), ("weight", c_double)]


ProgressFn = CFUNCTYPE(c_bool, c_void_p, c_size_t, c_size_t)


class ModelOptions(Structure):
    _fields_ = [("threads", c_int), ("memory", c_uint64), ("weights_memory", c_uint64), ("precision", c_int),
                ("isa", c_char_p), ("context", c_uint32), ("vocab_only", c_bool), ("lora", POINTER(Lora)),
                ("n_lora", c_size_t), ("progress", ProgressFn), ("progress_user", c_void_p)]


class ModelInfo(Structure):
    _fields_ = [("architecture", c_char_p), ("name", c_char_p), ("isa", c_char_p), ("precision", c_int),
                ("threads", c_int), ("vocabulary", c_uint32), ("context", c_uint32), ("layers", c_uint32), ("width", c_uint32),
                ("parameters", c_uint64), ("file_bytes", c_uint64), ("weight_bytes", c_uint64),
                ("whole_weight_bytes", c_uint64), ("streamed_bytes", c_uint64), ("bos", c_int32), ("eos", c_int32),
                ("add_bos", c_bool), ("assumed_pretokenizer", c_bool), ("load_seconds", c_double), ("adapters", c_char_p), ("margin", c_double),
                ("deciding", c_int), ("scoring", c_int)]


class Stats(Structure):
    _fields_ = [("rows", c_uint64), ("rows_rescored", c_uint64), ("tokens_computed", c_uint64),
                ("tokens_saved", c_uint64), ("head_rows", c_uint64), ("experts_run", c_uint64),
                ("expert_layers_run", c_uint64), ("product_flops", c_double),
                ("planned_bytes", c_uint64), ("used_bytes", c_uint64), ("seconds", c_double)]


class Work(Structure):
    _fields_ = [("rows", c_uint64), ("tokens_computed", c_uint64), ("tokens_saved", c_uint64), ("windows", c_uint64),
                ("waves", c_uint64), ("planned_bytes", c_uint64), ("longest", c_uint64)]


class Result(Structure):
    _fields_ = [("row", c_size_t), ("n_completions", c_size_t), ("n_classes", c_size_t), ("prediction", c_size_t),
                ("likelihood", c_void_p), ("posterior", c_void_p), ("n_prompt_ids", c_size_t), ("prompt_ids", c_void_p),
                ("offset", c_void_p), ("ids", c_void_p), ("logprobs", c_void_p), ("rescored", c_void_p),
                ("first_logprobs", c_void_p), ("marginals", c_void_p)]


class TextResult(Structure):
    _fields_ = [("row", c_size_t), ("n", c_size_t), ("ids", c_void_p), ("logprobs", c_void_p)]


class Generation(Structure):
    _fields_ = [("row", c_size_t), ("n", c_size_t), ("ids", c_void_p), ("logprobs", c_void_p), ("text", Str),
                ("finish", c_char_p)]


ResultFn = CFUNCTYPE(c_bool, c_void_p, POINTER(Result))
TextResultFn = CFUNCTYPE(c_bool, c_void_p, POINTER(TextResult))
GenerationFn = CFUNCTYPE(c_bool, c_void_p, POINTER(Generation))
AggregateFn = CFUNCTYPE(c_double, c_void_p, POINTER(c_double), c_size_t, Str)


class Scoring(Structure):
    _fields_ = [("aggregate_fn", AggregateFn), ("aggregate_user", c_void_p), ("discount", c_double),
                ("marginals", c_void_p), ("marginal_offset", c_void_p), ("n_marginals", c_size_t), ("domain", Str),
                ("class_of", c_void_p), ("n_phrasings", c_size_t), ("n_classes", c_size_t)]


class RunOptions(Structure):
    _fields_ = [("parse_special", c_bool), ("aggregate", c_int), ("progress", ProgressFn), ("progress_user", c_void_p),
                ("prefixes", c_void_p), ("n_prefixes", c_size_t), ("scoring", POINTER(Scoring)), ("chat", c_void_p),
                ("window_seconds", c_double)]


class GenerateOptions(Structure):
    _fields_ = [("max_tokens", c_size_t), ("stop", c_void_p), ("n_stop", c_size_t), ("ignore_eos", c_bool),
                ("parse_special", c_bool), ("progress", ProgressFn), ("progress_user", c_void_p), ("chat", c_void_p)]


class Logprobs(Structure):
    _fields_ = [("n", c_size_t), ("offset", c_void_p), ("logprobs", c_void_p), ("exact", c_void_p), ("rescored", c_void_p),
                ("ids", c_void_p), ("margin", c_double)]


class Decided(Structure):
    _fields_ = [("score", c_void_p), ("posterior", c_void_p), ("prediction", c_void_p), ("undecided", c_void_p)]


BINS, POINTS = 15, 20


class Metrics(Structure):
    _fields_ = [("n", c_size_t), ("correct", c_size_t), ("accuracy", c_double), ("accuracy_low", c_double),
                ("accuracy_high", c_double), ("macro_f1", c_double), ("log_loss", c_double), ("brier", c_double),
                ("ece", c_double), ("bin_n", c_size_t * BINS), ("bin_confidence", c_double * BINS),
                ("bin_accuracy", c_double * BINS), ("risk", c_double * POINTS)]


class Message(Structure):
    _fields_ = [("role", Str), ("content", Str)]


class ChatOptions(Structure):
    _fields_ = [("template_name", c_char_p), ("template_text", Str), ("template_path", c_char_p),
                ("messages", POINTER(Message)), ("n_messages", c_size_t), ("variables", Str), ("now", c_int64)]


# Arrays of structures, which NumPy fills without a loop.
STR = np.dtype([("data", np.uintp), ("size", np.uintp)], align=True)
EXAMPLE = np.dtype([("prompt", STR), ("completions", np.uintp), ("n_completions", np.uintp), ("prior", np.uintp),
                    ("end_of_prompt", np.uintp), ("normalize", np.bool_)], align=True)

lib = _open()

_pointer, _error = c_void_p, POINTER(Error)
for _name, _result, *_arguments in [
    ("capp_status_name", c_char_p, c_int),
    ("capp_model_options_init", None, POINTER(ModelOptions)),
    ("capp_model_open", c_int, POINTER(_pointer), c_char_p, POINTER(ModelOptions), _error),
    ("capp_model_free", None, _pointer),
    ("capp_model_get_info", None, _pointer, POINTER(ModelInfo)),
    ("capp_model_measure_resident", c_uint64, _pointer),
    ("capp_model_forecast_weights", c_uint64, _pointer),
    ("capp_guard_files", c_int, _error),
    ("capp_tokenize", c_int, _pointer, Str, c_uint, POINTER(_pointer), POINTER(c_size_t), _error),
    ("capp_detokenize", c_int, _pointer, _pointer, c_size_t, POINTER(_pointer), POINTER(c_size_t), _error),
    ("capp_free", None, _pointer),
    ("capp_session_open", c_int, POINTER(_pointer), _pointer, _error),
    ("capp_session_free", None, _pointer),
    ("capp_session_cancel", None, _pointer),
    ("capp_session_get_stats", None, _pointer, POINTER(Stats)),
    ("capp_prefix_open", c_int, POINTER(_pointer), _pointer, _pointer, Str, c_uint, _error),
    ("capp_prefix_free", None, _pointer),
    ("capp_chat_options_init", None, POINTER(ChatOptions)),
    ("capp_chat_open", c_int, POINTER(_pointer), _pointer, POINTER(ChatOptions), _error),
    ("capp_chat_free", None, _pointer),
    ("capp_chat_render", c_int, _pointer, POINTER(Message), c_size_t, POINTER(_pointer), POINTER(c_size_t), _error),
    ("capp_chat_tokenize", c_int, _pointer, POINTER(Message), c_size_t, c_uint, POINTER(_pointer), POINTER(c_size_t),
     _error),
    ("capp_run_options_init", None, POINTER(RunOptions)),
    ("capp_scoring_init", None, POINTER(Scoring)),
    ("capp_generate_options_init", None, POINTER(GenerateOptions)),
    ("capp_score", c_int, _pointer, _pointer, c_size_t, POINTER(RunOptions), ResultFn, _pointer, _error),
    ("capp_forecast", c_int, _pointer, _pointer, c_size_t, POINTER(RunOptions), POINTER(Work), _error),
    ("capp_predict_proba", c_int, _pointer, _pointer, c_size_t, POINTER(RunOptions), _pointer, _error),
    ("capp_predict", c_int, _pointer, _pointer, c_size_t, POINTER(RunOptions), _pointer, _error),
    ("capp_token_logprobs", c_int, _pointer, _pointer, c_size_t, c_uint, POINTER(RunOptions), TextResultFn, _pointer,
     _error),
    ("capp_generate", c_int, _pointer, _pointer, c_size_t, POINTER(GenerateOptions), GenerationFn, _pointer, _error),
    ("capp_decide", c_int, POINTER(Logprobs), _pointer, POINTER(RunOptions), POINTER(Decided), _error),
    ("capp_calibrate_shift", c_int, _pointer, c_size_t, c_size_t, _pointer, _error),
    ("capp_calibrate_position", c_int, _pointer, c_size_t, c_size_t, _pointer, _error),
    ("capp_calibrate_prior", c_int, _pointer, c_size_t, c_size_t, _pointer, _pointer, _error),
    ("capp_calibrate_fit", c_int, _pointer, _pointer, c_size_t, c_size_t, c_double, _pointer, _pointer, _error),
    ("capp_calibrate_apply", c_int, _pointer, c_size_t, c_size_t, c_double, _pointer, _pointer, _error),
    ("capp_calibrate_cross", c_int, _pointer, _pointer, c_size_t, c_size_t, c_double, c_bool, c_size_t, _pointer, _error),
    ("capp_calibrate_sets", c_int, _pointer, _pointer, c_size_t, c_size_t, c_double, _pointer, _error),
    ("capp_measure_open", c_int, POINTER(_pointer), c_size_t, _error),
    ("capp_measure_free", None, _pointer),
    ("capp_measure_add", c_int, _pointer, _pointer, c_size_t, c_size_t, _pointer, _pointer, _error),
    ("capp_measure_get", c_int, _pointer, POINTER(Metrics), _error),
    ("capp_measure_coverage", c_int, _pointer, c_double, POINTER(c_double), _error),
    ("capp_measure_mcnemar", c_double, c_size_t, c_size_t),
    ("capp_measure_holm", None, _pointer, c_size_t),
]:
    _function = getattr(lib, str(_name))
    _function.restype, _function.argtypes = _result, _arguments


def c_string(value: str | bytes, name: str) -> bytes:
    """Encodes a path or a name for the library, which may not contain NUL."""
    encoded = os.fsencode(value)
    if b"\0" in encoded:
        raise ValueError(f"{name} must not contain NUL: {value!r}")
    return encoded


def copy_of(address: Any, n: int, dtype: Any) -> npt.NDArray[Any]:
    """Copies n elements from memory of the library, which may be freed after the callback."""
    return np.frombuffer(ctypes.string_at(address, n * np.dtype(dtype).itemsize), dtype)


def _utf8(text: Any) -> bytes:
    if not isinstance(text, str):
        raise TypeError(f"a text must be a string, not {type(text).__name__}")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        around = text[max(error.start - 20, 0):error.end + 20]
        raise ValueError(f"a text must not contain lone surrogates: {around!r} has one at character {error.start}; read the "
                         "text with the correct encoding, or replace them: text.encode(errors='replace').decode()") from None


class Strings:
    """An array of capp_str that points into one block of UTF-8."""

    def __init__(self, texts: Sequence[str]) -> None:
        encoded = [*map(_utf8, texts)]
        self.block = b"".join(encoded)
        self.array = np.empty(len(encoded), STR)
        self.array["size"] = sizes = np.fromiter(map(len, encoded), np.uintp, len(encoded))
        start = ctypes.cast(c_char_p(self.block), c_void_p).value or 0
        self.array["data"] = start + np.cumsum(sizes, dtype=np.uintp) - sizes

    @property
    def address(self) -> int:
        return self.array.ctypes.data

    def first(self) -> Str:
        return Str(int(self.array["data"][0]), int(self.array["size"][0]))

"""Small folders with quantised weights, and the same weights dequantised: float32 folders that score the same bits.

Weights become integers or float8 first; the packed tensors and the float32 ones are made from those, each by itself, so
that neither depends on unpacking.
"""
import json
import re
import shutil
import struct
from pathlib import Path

import numpy as np

import convert

TINY = Path(__file__).resolve().parent / "fixtures" / "tiny"

# Sizes of the tiny models, which fill no words, to such that do: heads, widths and their sums alike.
SIZES = {6: 16, 10: 16, 12: 32, 20: 32, 36: 96, 40: 64, 44: 128, 48: 128, 60: 160, 88: 256, 108: 288, 144: 384}
SIZE_KEYS = ("hidden_size", "intermediate_size", "moe_intermediate_size", "head_dim", "n_embd", "n_inner",
             "ffn_hidden_size")  # fmt: skip
DTYPES = {np.dtype(np.float32): "F32", np.dtype(np.float16): "F16", np.dtype(np.int32): "I32",
          np.dtype(np.uint8): "U8", np.dtype(np.int8): "I8"}  # fmt: skip


class Raw:
    """Bytes of a type that numpy has not."""

    def __init__(self, dtype, values):
        self.dtype, self.values = dtype, values


def bf16(values):
    """float32 to the nearest bfloat16, as Raw; and its value."""
    bits = np.asarray(values, np.float32).view(np.uint32).astype(np.uint64)
    bits = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    return Raw("BF16", bits), (bits.astype(np.uint32) << 16).view(np.float32)


def write_tensors(path, tensors):
    header, data = {}, b""
    for name, values in tensors.items():
        dtype = values.dtype if isinstance(values, Raw) else DTYPES[values.dtype]
        values = values.values if isinstance(values, Raw) else values
        raw = np.ascontiguousarray(values).tobytes()
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def write_folder(folder, config, tensors, shards=1):
    """shards > 1: tensors take turns, so that what belongs to one weight is in several files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    if shards == 1:
        write_tensors(folder / "model.safetensors", tensors)
        return folder
    where = {name: f"model-{i % shards + 1:05}-of-{shards:05}.safetensors" for i, name in enumerate(tensors)}
    for part in set(where.values()):
        write_tensors(folder / part, {name: tensors[name] for name in tensors if where[name] == part})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return folder


def model(name, resize=True, seed=3):
    """(config, float32 tensors) of a tiny model, of other sizes where its own fill no words."""
    config = json.loads((TINY / name / "config.json").read_text())
    tensors = convert.read_tensors(TINY / name)
    if not resize:
        return config, tensors
    random = np.random.default_rng(seed)
    for key in SIZE_KEYS:
        if config.get(key):
            config[key] = SIZES[config[key]]
    made = {}
    for tensor, values in tensors.items():
        shape = [SIZES.get(size, size) for size in values.shape]
        spread = values.std() if values.ndim == 1 else values.std() * np.sqrt(values.shape[-1] / shape[-1])
        made[tensor] = (random.standard_normal(shape) * spread + values.mean()).astype(np.float32)
    return config, made


def products(tensors, head=False):
    """Names of the weights that the methods quantise: products of layers; with head, that of the head too."""
    layer = re.compile(r"\.\d+\..*\.weight$")
    return [name for name, values in tensors.items() if values.ndim == 2
            and (layer.search(name) and not re.search(r"norm|ln_|layernorm|\.gate\.weight$|wpe", name)
                 or head and name == "lm_head.weight")]


def packed_bits(numbers, bits):
    """[count][m] numbers to [count * bits / 32][m] words: a stream of bits down each column, lowest first."""
    count, m = numbers.shape
    stream = (numbers.astype(np.uint32)[:, None, :] >> np.arange(bits, dtype=np.uint32)[None, :, None]) & 1
    stream = stream.reshape(count * bits, m)
    stream = np.pad(stream, ((0, -len(stream) % 32), (0, 0))).reshape(-1, 32, m)
    words = (stream.astype(np.uint64) << np.arange(32, dtype=np.uint64)[None, :, None]).sum(axis=1)
    return words.astype(np.uint32).view(np.int32)


def grid(weights, bits, groups, symmetric, random, scale_dtype):
    """weights [n][k] to integers [n][k], zeros [n][groups] and scales [n][groups] as they are stored, and as float32.
    groups [k]: the group of each input."""
    n, most = weights.shape[0], 2**bits - 1
    count = groups.max() + 1
    scales = np.ones((n, count), np.float32)
    zeros = np.full((n, count), 2 ** (bits - 1), np.int64)
    for g in range(count):
        part = weights[:, groups == g]
        low, high = np.minimum(part.min(axis=1), 0), np.maximum(part.max(axis=1), 0)
        if symmetric:
            scales[:, g] = 2 * np.maximum(-low, high) / most + 1e-6
        else:
            scales[:, g] = (high - low) / most + 1e-6
            zeros[:, g] = np.clip(np.round(-low / scales[:, g]), 0, most)
    if scale_dtype == "BF16":
        stored, exact = bf16(scales)
    else:
        stored = scales.astype(scale_dtype)
        exact = stored.astype(np.float32)
    numbers = np.round(weights / exact[:, groups]) + zeros[:, groups]
    numbers = np.clip(numbers + random.integers(-1, 2, weights.shape), 0, most).astype(np.int64)
    return numbers, zeros, stored, exact


def dequantised(numbers, zeros, scales, groups):
    return scales[:, groups] * (numbers - zeros[:, groups]).astype(np.float32)


def turned(stored):
    """[n][groups] to [groups][n]."""
    return Raw(stored.dtype, stored.values.T) if isinstance(stored, Raw) else np.ascontiguousarray(stored.T)


def gptq(weights, random, bits=4, group=32, act_order=False, symmetric=True, v2=False, index=True,
         scale_dtype=np.float16):
    """({suffix: tensor}, float32 [n][k])"""
    k = weights.shape[1]
    groups = np.arange(k) // (k if group == -1 else group)
    if act_order:
        groups = groups[random.permutation(k)]
    numbers, zeros, stored, exact = grid(weights, bits, groups, symmetric, random, scale_dtype)
    if not symmetric and not v2:
        zeros = np.maximum(zeros, 1)  # the first format has no place for a zero of 0
    kept = zeros.T if v2 else zeros.T - 1
    tensors = {"qweight": packed_bits(numbers.T, bits), "scales": turned(stored),
               "qzeros": np.ascontiguousarray(packed_bits(kept.T, bits).T)}
    if index:
        tensors["g_idx"] = groups.astype(np.int32)
    return tensors, dequantised(numbers, zeros, exact, groups)


def awq_words(numbers):
    """[m][n] to [m][n / 8] words, the even ones of eight first."""
    eights = numbers.reshape(numbers.shape[0], -1, 8)[:, :, [0, 2, 4, 6, 1, 3, 5, 7]].astype(np.uint64)
    return (eights << np.arange(0, 32, 4, dtype=np.uint64)).sum(axis=-1).astype(np.uint32).view(np.int32)


def awq(weights, random, group=32, symmetric=False, scale_dtype=np.float16):
    k = weights.shape[1]
    groups = np.arange(k) // (k if group == -1 else group)
    numbers, zeros, stored, exact = grid(weights, 4, groups, symmetric, random, scale_dtype)
    tensors = {"qweight": awq_words(numbers.T), "qzeros": awq_words(zeros.T), "scales": turned(stored)}
    return tensors, dequantised(numbers, zeros, exact, groups)


def float8_values(e5m2=False):
    """The 256 values, by the definition of the formats."""
    codes = np.arange(256)
    exponent_bits, bias = (5, 15) if e5m2 else (4, 7)
    fraction_bits = 7 - exponent_bits
    exponent, fraction = codes >> fraction_bits & 2**exponent_bits - 1, codes & 2**fraction_bits - 1
    size = np.where(exponent == 0, fraction / 2.0**fraction_bits * 2.0 ** (1 - bias),
                    (1 + fraction / 2.0**fraction_bits) * 2.0 ** (exponent.astype(float) - bias))
    if e5m2:
        size[exponent == 31] = np.where(fraction[exponent == 31] == 0, np.inf, np.nan)
    else:
        size[codes & 127 == 127] = np.nan
    return np.where(codes >> 7, -size, size).astype(np.float32)


def float8(weights, random, strategy="tensor", block=(16, 16), e5m2=False, scale_dtype=np.float32,
           scale="weight_scale"):
    """strategy: tensor, channel, flat (a channel's in one dimension), group (of block[1] inputs), block"""
    n, k = weights.shape
    shapes = {"tensor": (n, k), "channel": (1, k), "flat": (1, k), "group": (1, block[1]), "block": block}
    rows, columns = shapes[strategy]
    values = float8_values(e5m2)
    of_row, of_column = np.arange(n) // rows, np.arange(k) // columns
    most = np.zeros((of_row.max() + 1, of_column.max() + 1))
    np.maximum.at(most, (of_row[:, None], of_column[None, :]), np.abs(weights))
    scales = (most / np.nanmax(values[np.isfinite(values)])).astype(np.float32)
    if scale_dtype == "BF16":
        stored, exact = bf16(scales)
    else:
        stored = scales.astype(scale_dtype)
        exact = stored.astype(np.float32)
    full = exact[of_row[:, None], of_column[None, :]]
    order = np.argsort(np.where(np.isfinite(values), values, np.inf))[: np.isfinite(values).sum()]
    codes = order[np.clip(np.searchsorted(values[order], weights / full), 0, len(order) - 1)].astype(np.uint8)
    codes[0, :2] = (0x01, 0x83)  # subnormal ones
    if strategy == "tensor":
        stored = Raw(stored.dtype, stored.values.reshape(())) if isinstance(stored, Raw) else stored.reshape(())
    elif strategy == "flat":
        stored = Raw(stored.dtype, stored.values[:, 0]) if isinstance(stored, Raw) else stored[:, 0]
    return {"weight": Raw("F8_E5M2" if e5m2 else "F8_E4M3", codes), scale: stored}, values[codes] * full


def make(folder, name, method, config, resize=True, head=False, shards=1, extra=None, **options):
    """Writes folder/quantised and folder/plain: the model with its products quantised, and float32 ones of what they
    are then. options: of the method; a list of dicts gives product i the i-th, in turn. extra(stem) gives more tensors
    of a product."""
    random = np.random.default_rng(7)
    own, tensors = model(name, resize)
    transposed = own["model_type"] == "gpt2"
    chosen = products(tensors, head)
    assert len(chosen) >= 4 * 2
    stored, plain = {}, {}
    for tensor, values in tensors.items():
        if tensor not in chosen:
            stored[tensor] = plain[tensor] = values
            continue
        turns = options.get("each", [{}])
        own_options = {key: value for key, value in options.items() if key != "each"}
        weights = values.T if transposed else values
        made, exact = method(weights, random, **{**own_options, **turns[chosen.index(tensor) % len(turns)]})
        stem = tensor.removesuffix(".weight")
        stored.update({f"{stem}.{suffix}": part for suffix, part in made.items()})
        stored.update(extra(stem, values) if extra else {})
        plain[tensor] = np.ascontiguousarray(exact.T if transposed else exact)
    shutil.rmtree(folder, ignore_errors=True)
    return (write_folder(folder / "quantised", {**own, "quantization_config": config}, stored, shards),
            write_folder(folder / "plain", own, plain))

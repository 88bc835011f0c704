"""Small folders with quantized weights, and float32 folders of the same weights dequantized, which score the same bits.

Weights first become integers or float8. The packed tensors and the float32 ones are made from those separately, so that
neither depends on unpacking.
"""
import json
import re
import struct
import sys
from pathlib import Path

import numpy as np

import convert

TINY = Path(__file__).resolve().parent / "fixtures" / "tiny"

# Changes the sizes of the tiny models, which do not fill words, to sizes that do: heads, widths and their sums.
SIZES = {6: 16, 10: 16, 12: 32, 20: 32, 36: 96, 40: 64, 44: 128, 48: 128, 60: 160, 88: 256, 108: 288, 144: 384}
SIZE_KEYS = ("hidden_size", "intermediate_size", "moe_intermediate_size", "head_dim", "n_embd", "n_inner",
             "ffn_hidden_size")  # fmt: skip
DTYPES = {np.dtype(np.float32): "F32", np.dtype(np.float16): "F16", np.dtype(np.int32): "I32",
          np.dtype(np.uint8): "U8", np.dtype(np.int8): "I8", np.dtype(np.int64): "I64"}  # fmt: skip


class Raw:
    """Bytes of a type that numpy does not have."""

    def __init__(self, dtype, values):
        self.dtype, self.values = dtype, values


def bf16(values):
    """Rounds float32 to the nearest bfloat16; returns it as Raw, and its value."""
    bits = np.asarray(values, np.float32).view(np.uint32).astype(np.uint64)
    bits = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    return Raw("BF16", bits), (bits.astype(np.uint32) << 16).view(np.float32)


def write_tensors(path, tensors):
    header, data, size = {}, [], 0
    for name, values in tensors.items():
        dtype = values.dtype if isinstance(values, Raw) else DTYPES[values.dtype]
        values = values.values if isinstance(values, Raw) else values
        raw = np.ascontiguousarray(values).tobytes()
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [size, size + len(raw)]}
        data.append(raw)
        size += len(raw)
    text = json.dumps(header).encode()
    path.write_bytes(b"".join([struct.pack("<Q", len(text)), text, *data]))


def write_folder(folder, config, tensors, shards=1):
    """shards > 1: tensors are distributed in turn, so that the tensors of one weight are in several files."""
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


def first_layers(config, tensors, layers):
    """The config and tensors of a model cut off after so many layers."""
    counts = [key for key in ("num_hidden_layers", "n_layer") if key in config]
    config = {**config, **{key: layers for key in counts}}
    if config.get("layer_types"):
        config["layer_types"] = config["layer_types"][:layers]
    number = re.compile(r"\.(?:layers|h)\.(\d+)\.")
    return config, {name: values for name, values in tensors.items()
                    if not number.search(name) or int(number.search(name)[1]) < layers}


def model(name, resize=True, layers=None, seed=3):
    """(config, float32 tensors) of a tiny model, with other sizes where its own do not fill words."""
    config = json.loads((TINY / name / "config.json").read_text())
    tensors = convert.read_tensors(TINY / name)
    if layers:
        config, tensors = first_layers(config, tensors, layers)
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
    """Names of the weights that the methods quantize: the products of layers, and with head also that of the head."""
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
    """weights [n][k] to integers [n][k], zeros [n][groups] and scales [n][groups], both as stored and as float32.
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


def dequantized(numbers, zeros, scales, groups):
    return scales[:, groups] * (numbers - zeros[:, groups]).astype(np.float32)


def turned(stored):
    """[n][groups] to [groups][n]."""
    return Raw(stored.dtype, stored.values.T) if isinstance(stored, Raw) else np.ascontiguousarray(stored.T)


def groups_of(k, group, act_order, random):
    """[k] the group of each input; group: its size, -1: all inputs. act_order: "shared" is one order for all weights with
    as many inputs, as products of the same inputs have it; "shared 1" and so on are others."""
    groups = np.arange(k) // (k if group == -1 else group)
    if str(act_order).startswith("shared"):
        random = np.random.default_rng([k, *map(int, act_order.split()[1:])] if act_order != "shared" else k)
    return groups[random.permutation(k)] if act_order else groups


def gptq(weights, random, bits=4, group=32, act_order=False, symmetric=True, v2=False, index=True,
         scale_dtype=np.float16):
    """({suffix: tensor}, float32 [n][k])"""
    k = weights.shape[1]
    groups = groups_of(k, group, act_order, random)
    if not symmetric:  # zeros of 0
        weights = weights.copy()
        weights[2::5] = np.abs(weights[2::5])
    numbers, zeros, stored, exact = grid(weights, bits, groups, symmetric, random, scale_dtype)
    assert symmetric or (zeros == 0).any()
    if v2:
        kept = packed_bits(zeros, bits)
    elif bits == 3:
        kept = packed_bits((zeros - 1) & 7, bits)
    else:  # as GPTQModel writes the first format: each part of a word is 1 less, which may borrow from the next
        kept = (packed_bits(zeros, bits).view(np.uint32) - np.uint32(0xFFFFFFFF // (2**bits - 1))).view(np.int32)
    tensors = {"qweight": packed_bits(numbers.T, bits), "scales": turned(stored), "qzeros": np.ascontiguousarray(kept.T)}
    if index:
        tensors["g_idx"] = groups.astype(np.int32)
    return tensors, dequantized(numbers, zeros, exact, groups)


def awq_words(numbers):
    """[m][n] to [m][n / 8] words; of each eight, the even ones come first."""
    eights = numbers.reshape(numbers.shape[0], -1, 8)[:, :, [0, 2, 4, 6, 1, 3, 5, 7]].astype(np.uint64)
    return (eights << np.arange(0, 32, 4, dtype=np.uint64)).sum(axis=-1).astype(np.uint32).view(np.int32)


def awq(weights, random, group=32, symmetric=False, scale_dtype=np.float16):
    k = weights.shape[1]
    groups = np.arange(k) // (k if group == -1 else group)
    numbers, zeros, stored, exact = grid(weights, 4, groups, symmetric, random, scale_dtype)
    tensors = {"qweight": awq_words(numbers.T), "qzeros": awq_words(zeros.T), "scales": turned(stored)}
    return tensors, dequantized(numbers, zeros, exact, groups)


def float8_values(e5m2=False):
    """The 256 values by the definition of the formats."""
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
    """strategy: tensor, channel, flat (channel, in one dimension), group (of block[1] inputs), block"""
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


def packed(name, method, resize=True, head=False, extra=None, each=({},), layers=None, **options):
    """The model's config, its tensors with products quantized, and the float32 tensors of the same values. options:
    options of the method (act_order "experts": an order for each expert; "others": none for experts); each: further
    options, used product by product in turn; extra(stem, weights): further tensors of a product."""
    random = np.random.default_rng(7)
    own, tensors = model(name, resize, layers)
    transposed = own["model_type"] == "gpt2"
    chosen = products(tensors, head)
    assert len(chosen) >= 4
    stored, plain = {}, {}
    for tensor, values in tensors.items():
        if tensor not in chosen:
            stored[tensor] = plain[tensor] = values
            continue
        weights = values.T if transposed else values
        own_options = {**options, **each[chosen.index(tensor) % len(each)]}
        expert = re.search(r"\.experts\.(\d+)\.", tensor)
        if own_options.get("act_order") == "experts":
            own_options["act_order"] = f"shared {expert[1]}" if expert else "shared"
        elif own_options.get("act_order") == "others":
            own_options["act_order"] = not expert and "shared"
        made, exact = method(weights, random, **own_options)
        stem = tensor.removesuffix(".weight")
        stored.update({f"{stem}.{suffix}": part for suffix, part in made.items()})
        stored.update(extra(stem, values) if extra else {})
        plain[tensor] = np.ascontiguousarray(exact.T if transposed else exact)
    return own, stored, plain


def packed_rows(weights, random, bits=4, group=32, act_order=False, symmetric=True, scale_dtype=np.float16):
    """compressed-tensors, pack-quantized"""
    groups = groups_of(weights.shape[1], group, act_order, random)
    numbers, zeros, stored, exact = grid(weights, bits, groups, symmetric, random, scale_dtype)
    zeros = np.full_like(zeros, 2 ** (bits - 1)) if symmetric else zeros
    tensors = {"weight_packed": np.ascontiguousarray(packed_bits(numbers.T, bits).T), "weight_scale": stored,
               "weight_shape": np.array(weights.shape, np.int64)}
    if act_order:
        tensors["weight_g_idx"] = groups.astype(np.int32)
    elif group != -1 and symmetric:
        tensors["weight_g_idx"] = np.full(weights.shape[1], -1, np.int32)
    if not symmetric:
        tensors["weight_zero_point"] = packed_bits(zeros, bits)
    return tensors, dequantized(numbers, zeros, exact, groups)


def int8_rows(weights, random, group=-1, symmetric=True, scale_dtype="BF16"):
    """compressed-tensors, int-quantized"""
    groups = groups_of(weights.shape[1], group, False, random)
    numbers, zeros, stored, exact = grid(weights, 8, groups, symmetric, random, scale_dtype)
    tensors = {"weight": (numbers - 128).astype(np.int8), "weight_scale": stored}
    if not symmetric:
        tensors["weight_zero_point"] = (zeros - 128).astype(np.int8)
    return tensors, dequantized(numbers, zeros, exact, groups)


def float4(weights, random, kind="nvfp4"):
    """nvfp4 and mxfp4 of compressed-tensors; modelopt: the same as nvfp4 with another scale for the tensor"""
    n, k = weights.shape
    size = 32 if kind == "mxfp4" else 16
    most = np.abs(weights.reshape(n, k // size, size)).max(axis=-1)
    codes = random.integers(0, 16, (n, k)).astype(np.uint8)
    tensors = {"weight" if kind == "modelopt" else "weight_packed": codes[:, ::2] | codes[:, 1::2] << 4}
    if kind == "mxfp4":
        stored = np.clip(np.round(np.log2(most / 6)) + 127, 1, 254).astype(np.uint8)
        scales = np.exp2(stored.astype(np.float32) - 127)
    else:
        whole = np.float32(most.max() / 6 / 448)
        values = float8_values()[:127]
        stored = np.abs(values[None, None] - (most / 6 / whole)[..., None]).argmin(-1).astype(np.uint8)
        if kind == "modelopt":
            tensors["weight_scale_2"], tensors["input_scale"] = np.asarray(whole), np.ones((), np.float32)
            scales = values[stored] * whole
        else:
            tensors["weight_global_scale"] = np.asarray([1 / whole], np.float32)
            scales = values[stored] / tensors["weight_global_scale"][0]
    tensors["weight_scale"] = stored if kind == "mxfp4" else Raw("F8_E4M3", stored)
    return tensors, LEVELS4[codes] * np.repeat(scales, size, axis=1)


def levels(weights, random, block=64, nested=False, storage=np.uint8):
    """bitsandbytes, with levels of its own"""
    n, k = weights.shape
    codes = random.integers(0, 16, n * k).astype(np.uint8)
    count = -(-n * k // block)
    scales = (np.abs(weights).max() * random.uniform(0.5, 1, count)).astype(np.float32)
    table = np.sort(random.uniform(-1, 1, 16)).astype(np.float32)
    state = dict(quant_type="nf4", blocksize=block, dtype="float32", shape=[n, k])
    tensors = {"weight": (codes[::2] << 4 | codes[1::2]).view(storage).reshape(-1, 1), "weight.quant_map": table}
    if nested:
        state.update(nested_blocksize=16, nested_dtype="float32", nested_offset=float(scales.mean()))
        tensors["weight.nested_quant_map"] = code = np.sort(random.uniform(-1, 1, 256)).astype(np.float32)
        tensors["weight.nested_absmax"] = second = (scales[::16] * 0.1).astype(np.float32)
        tensors["weight.absmax"] = small = random.integers(0, 256, count).astype(np.uint8)
        scales = code[small] * np.repeat(second, 16)[:count] + np.float32(state["nested_offset"])
    else:
        tensors["weight.absmax"] = scales
    tensors["weight.quant_state.bitsandbytes__nf4"] = np.frombuffer(json.dumps(state).encode(), np.uint8)
    return tensors, (table[codes] * np.repeat(scales, block)[: n * k]).reshape(n, k)


def int8_127(weights, random):
    """bitsandbytes"""
    most = np.abs(weights).max(axis=1).astype(np.float32)
    numbers = np.round(weights / most[:, None] * 127).astype(np.int8)
    return ({"weight": numbers, "SCB": most, "weight_format": np.zeros((), np.uint8)},
            numbers.astype(np.float32) * most[:, None] * np.float32(1 / 127))


# ---- Folders that libraries wrote --------------------------------------------------------------------------------------

LIBRARY = Path(__file__).resolve().parent / "fixtures" / "quantized"
LEVELS4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)
STORED = {"F32": np.float32, "F16": np.float16, "I32": np.int32, "I64": np.int64, "U8": np.uint8, "I8": np.int8,
          "F8_E4M3": np.uint8}  # fmt: skip


def raw_tensors(folder):
    """{name: array as stored}"""
    data = (folder / "model.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    return {name: np.frombuffer(data, STORED[entry["dtype"]], offset=8 + size + entry["data_offsets"][0],
                                count=int(np.prod(entry["shape"]))).reshape(entry["shape"])
            for name, entry in header.items()}  # fmt: skip


def stream(words, bits, count):
    """The first `count` numbers of `bits` bits in each row of words."""
    each = (words.view(np.uint32)[..., None] >> np.arange(32, dtype=np.uint32)) & 1
    flat = each.reshape(*words.shape[:-1], -1)[..., : count * bits].reshape(*words.shape[:-1], count, bits)
    return (flat << np.arange(bits)).sum(-1)


def pairs(codes, high_first=False):
    both = [codes >> 4, codes & 15] if high_first else [codes & 15, codes >> 4]
    return np.stack(both, -1)


def library_weight(t, stem, shape):
    """A weight from its stored tensors: another program than capp's, one operation after the other in float32."""
    n, k = shape
    get = lambda part: t.get(stem + part)  # noqa: E731
    if get("weight.absmax") is not None:
        state = json.loads(next(bytes(value) for name, value in t.items() if name.startswith(stem + "weight.quant_state")))
        assert state["shape"] == [n, k]
        scales = get("weight.absmax")
        if get("weight.nested_absmax") is not None:
            second = np.repeat(get("weight.nested_absmax"), state["nested_blocksize"])[: len(scales)]
            scales = get("weight.nested_quant_map")[scales] * second + np.float32(state["nested_offset"])
        values = get("weight.quant_map")[pairs(get("weight").reshape(-1), True).reshape(-1)]
        return (values * np.repeat(scales, state["blocksize"])[: n * k]).reshape(n, k)
    if get("SCB") is not None:
        return get("weight").astype(np.float32) * get("SCB")[:, None] * np.float32(1 / 127)
    scale, packed = get("weight_scale"), get("weight_packed")
    if packed is not None and packed.dtype == np.uint8:
        if scale.dtype == np.uint8 and get("weight_global_scale") is None:  # MXFP4
            scales = np.exp2(scale.astype(np.float32) - 127)
        else:
            scales = float8_values()[scale] / get("weight_global_scale")[0]
        values = LEVELS4[pairs(packed).reshape(n, k)]
        return values * np.repeat(scales, k // scales.shape[1], axis=1)
    zeros = get("weight_zero_point")
    if packed is not None:
        bits = packed.shape[1] * 32 // k
        numbers, half = stream(packed, bits, k), 2 ** (bits - 1)
        zeros = half if zeros is None else stream(zeros.T, bits, n).T
    else:
        numbers, zeros = get("weight"), 0 if zeros is None else zeros.astype(np.int64)
    scale = np.asarray(scale, np.float32).reshape(-1, scale.size if scale.size == 1 else scale.size // n)
    spread = lambda x: np.repeat(x, k // x.shape[1], axis=1) if np.ndim(x) else x  # noqa: E731
    return (numbers - spread(zeros)).astype(np.float32) * spread(scale)


def library_case(folder, case):
    """Writes folder: the fixture with its weights dequantized. Returns (its weights, reference)."""
    source = LIBRARY / case
    config, reference = json.loads((source / "config.json").read_text()), json.loads((source / "reference.json").read_text())
    sizes = {"q_proj": 64, "k_proj": 32, "v_proj": 32, "o_proj": 64, "gate_proj": 96, "up_proj": 96, "down_proj": 64}
    stored, plain = raw_tensors(source), {}
    for name in reference["weights"]:
        stem = name.removesuffix("weight")
        rows = sizes[stem.split(".")[-2]]
        plain[name] = library_weight(stored, stem, (rows, 96 if "down" in stem else 64))
    weights = dict(plain)
    plain.update({name: values for name, values in stored.items()
                  if not any(name.startswith(weight.removesuffix("weight")) for weight in weights)})
    write_folder(folder, {key: value for key, value in config.items() if key != "quantization_config"}, plain)
    return weights, reference


# ---- Cases -----------------------------------------------------------------------------------------------------------

GPTQ = dict(quant_method="gptq", bits=4, group_size=32, desc_act=False, sym=True, damp_percent=0.01,
            true_sequential=True, static_groups=False, checkpoint_format="gptq")  # fmt: skip

AWQ = dict(quant_method="awq", bits=4, group_size=32, zero_point=True, version="gemm")
FP8 = dict(quant_method="fp8", activation_scheme="dynamic", fmt="e4m3")
BLOCKS = dict(strategy="block", scale="weight_scale_inv")


def zero_bias(stem, values):
    return {f"{stem}.bias": np.zeros(values.shape[0], np.float16)}


def activation_scales(stem, values):
    """The fields that compressed-tensors has for activations, and for keys and values."""
    names = [f"{stem}.input_scale"] + ([stem.replace("k_proj", "k_scale")] if stem.endswith("k_proj") else [])
    return {name: np.ones(1, np.float32) for name in names}


def static_scales(stem, values):
    """The fields that fp8 has for activations."""
    return {f"{stem}.activation_scale": np.ones((), np.float32)}


def compressed(strategy, **options):
    weights = dict(num_bits=8, type="float", symmetric=True, strategy=strategy, dynamic=False, **options)
    activations = dict(num_bits=8, type="float", strategy="token", dynamic=True)
    group = dict(weights=weights, input_activations=activations, output_activations=None, targets=["Linear"])
    return dict(quant_method="compressed-tensors", format="float-quantized", quantization_status="compressed",
                config_groups=dict(group_0=group), ignore=["lm_head"], kv_cache_scheme=None, sparsity_config={})


INTEGERS = dict(quant_method="compressed-tensors", format="pack-quantized", ignore=["lm_head"],
                config_groups=dict(group_0=dict(targets=["Linear"], weights=dict(num_bits=4, type="int"))))  # fmt: skip
MODELOPT = dict(quant_method="modelopt", quant_algo="NVFP4", ignore=["lm_head"], producer=dict(name="modelopt"))
BNB4 = dict(quant_method="bitsandbytes", load_in_4bit=True, load_in_8bit=False, bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=False, bnb_4bit_quant_storage="uint8", llm_int8_threshold=6.0)  # fmt: skip
BNB8 = dict(quant_method="bitsandbytes", _load_in_8bit=True, load_in_8bit=True, llm_int8_skip_modules=None)

# name: model, method, quantization_config, options of make
CASES = {
    "gptq": ("llama", gptq, GPTQ, {}),
    "gptq-act-order": ("llama", gptq, dict(GPTQ, desc_act=True), dict(act_order=True, symmetric=False)),
    "gptq-shared-order": ("llama", gptq, dict(GPTQ, desc_act=True), dict(act_order="shared", symmetric=False)),
    "gptq-8-64": ("llama", gptq, dict(GPTQ, bits=8, group_size=64), dict(bits=8, group=64, symmetric=False)),
    "gptq-v2": ("qwen2", gptq, dict(GPTQ, checkpoint_format="gptq_v2", sym=False, pack_dtype="int32"),
                dict(v2=True, symmetric=False, scale_dtype="BF16")),
    "gptq-one-group": ("llama-biases", gptq, dict(GPTQ, group_size=-1), dict(group=-1, index=False)),
    "gptq-no-index": ("qwen3", gptq, dict(GPTQ, group_size=64), dict(group=64, index=False, shards=3)),
    "gptq-2": ("mistral", gptq, dict(GPTQ, bits=2), dict(bits=2, symmetric=False)),
    "gptq-3": ("gptneox", gptq, dict(GPTQ, bits=3), dict(bits=3, symmetric=False)),
    "gptq-8": ("phi3", gptq, dict(GPTQ, bits=8), dict(bits=8, act_order=True, symmetric=False, scale_dtype=np.float32)),
    "gptq-transposed": ("gpt2", gptq, GPTQ, {}),
    "gptq-grouped": ("bloom", gptq, GPTQ, dict(act_order=True)),
    "gptq-experts": ("qwen3moe", gptq, GPTQ, {}),
    "gptq-experts-order": ("mixtral", gptq, dict(GPTQ, desc_act=True), dict(act_order="experts")),
    "gptq-experts-mixtral": ("mixtral", gptq, dict(GPTQ, group_size=16), dict(group=16)),
    "gptq-dynamic": ("ministral", gptq, dict(GPTQ, lm_head=True, dynamic={"+:.*down.*": {"bits": 8}}),
                     dict(head=True, each=[dict(bits=8), dict(), dict(bits=2, group=16)])),
    "gptq-zero-biases": ("llama3", gptq, GPTQ, dict(extra=zero_bias)),
    "awq": ("llama", awq, AWQ, {}),
    "awq-one-group": ("phi3", awq, dict(AWQ, group_size=-1, version="GEMM"), dict(group=-1)),
    "awq-experts": ("mixtral", awq, AWQ, dict(scale_dtype="BF16")),
    "awq-grouped": ("gptneox", awq, dict(AWQ, group_size=16), dict(group=16, shards=2)),
    "awq-biases": ("qwen2", awq, dict(AWQ, modules_to_not_convert=["lm_head"]), dict(symmetric=True)),
    "fp8": ("llama", float8, FP8, dict(resize=False)),
    "fp8-static": ("ministral", float8, dict(FP8, activation_scheme="static", dequantize=False, weight_block_size=None,
                                             modules_to_not_convert=["model.vision_tower", "lm_head"]),
                   dict(resize=False, scale="weight_scale_inv", scale_dtype="BF16", extra=static_scales)),
    "fp8-blocks": ("qwen3", float8, dict(FP8, weight_block_size=[16, 16]), dict(resize=False, **BLOCKS)),
    "fp8-large-blocks": ("phi3", float8, dict(FP8, weight_block_size=[128, 128], scale_fmt="ue8m0"),
                         dict(BLOCKS, block=(128, 128), scale_dtype="BF16")),
    "fp8-experts": ("qwen3moe", float8, dict(FP8, weight_block_size=[16, 16]), dict(resize=False, **BLOCKS)),
    "fp8-latent": ("deepseek3", float8, dict(FP8, weight_block_size=[16, 16]), dict(resize=False, **BLOCKS)),
    "fp8-e5m2": ("olmoe", float8, FP8, dict(resize=False, e5m2=True, scale_dtype=np.float16)),
    "fp8-fbgemm": ("llama3", float8, dict(quant_method="fbgemm_fp8", activation_scale_ub=1200.0),
                   dict(resize=False, strategy="channel", head=True)),
    "fp8-grouped": ("gptneox", float8, FP8, dict(resize=False, strategy="flat")),
    "fp8-grouped-blocks": ("falcon-40b", float8, dict(FP8, weight_block_size=[16, 16]),
                           dict(resize=False, **BLOCKS)),
    "compressed": ("qwen2", float8, compressed("channel"),
                   dict(resize=False, strategy="channel", scale_dtype="BF16", extra=activation_scales)),
    "compressed-tensor": ("mistral", float8, compressed("tensor"), dict(resize=False)),
    "compressed-blocks": ("gemma3", float8, compressed("block", block_structure=[16, 16]),
                          dict(resize=False, strategy="block")),
    "compressed-groups": ("granite", float8, compressed("group", group_size=4),
                          dict(resize=False, strategy="group", block=(1, 4))),
    "int4": ("llama", packed_rows, INTEGERS, {}),
    "int4-act-order": ("qwen2", packed_rows, INTEGERS, dict(act_order=True, symmetric=False, scale_dtype="BF16")),
    "int4-shared-order": ("qwen3", packed_rows, INTEGERS, dict(act_order="shared", scale_dtype="BF16")),
    "int4-channel": ("phi3", packed_rows, INTEGERS, dict(group=-1, symmetric=False)),
    "int4-grouped": ("gptneox", packed_rows, INTEGERS, dict(group=16, shards=2)),
    "int4-experts": ("qwen3moe", packed_rows, INTEGERS, {}),
    "int8": ("gemma3", packed_rows, INTEGERS, dict(bits=8, symmetric=False)),
    "int-mixed": ("mistral", packed_rows, dict(INTEGERS, format="mixed-precision"),
                  dict(each=[dict(bits=8), dict(), dict(bits=2, group=16, symmetric=False)])),
    "w8a8": ("llama3", int8_rows, dict(INTEGERS, format="int-quantized"), {}),
    "w8a8-groups": ("falcon-40b", int8_rows, dict(INTEGERS, format="int-quantized"),
                    dict(group=32, symmetric=False, scale_dtype=np.float32)),
    "nvfp4": ("llama", float4, dict(INTEGERS, format="nvfp4-pack-quantized"), {}),
    "nvfp4-grouped": ("gptneox", float4, dict(INTEGERS, format="nvfp4-pack-quantized"), {}),
    "nvfp4-modelopt": ("qwen3moe", float4, MODELOPT, dict(kind="modelopt")),
    "mxfp4-compressed": ("qwen3", float4, dict(INTEGERS, format="mxfp4-pack-quantized"), dict(kind="mxfp4")),
    "bnb-4": ("llama", levels, BNB4, {}),
    "bnb-4-nested": ("gptneox", levels, BNB4, dict(nested=True)),
    "bnb-4-words": ("qwen2", levels, BNB4, dict(block=128, storage=np.float32)),
    "bnb-8": ("falcon-40b", int8_127, BNB8, {}),
}  # fmt: skip


def make(folder, case):
    """Writes folder/quantized, and folder/plain with the dequantized products."""
    name, method, config, options = CASES[case]
    shards = options.get("shards", 1)
    own, stored, plain = packed(name, method, **{key: value for key, value in options.items() if key != "shards"})
    return (write_folder(folder / "quantized", {**own, "quantization_config": config}, stored, shards),
            write_folder(folder / "plain", own, plain))


FUZZED = ("gptq", "gptq-act-order", "gptq-3", "gptq-dynamic", "gptq-zero-biases", "awq", "awq-grouped", "fp8-blocks",
          "fp8-e5m2", "fp8-fbgemm", "compressed", "compressed-groups", "int4", "int4-act-order", "int-mixed", "w8a8-groups",
          "nvfp4", "nvfp4-modelopt", "mxfp4-compressed", "bnb-4", "bnb-4-nested", "bnb-8")  # fmt: skip


def make_small(folder):
    """Writes folders of one layer for fuzzing: FOLDER/CASE."""
    made = []
    for case in FUZZED:
        name, method, config, options = CASES[case]
        own, stored, _ = packed(name, method, layers=1, **{key: options[key] for key in options if key != "shards"})
        made.append(write_folder(Path(folder) / case, {**own, "quantization_config": config}, stored))
    return made


if __name__ == "__main__":
    print(*make_small(sys.argv[1]))

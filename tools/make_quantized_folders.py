#!/usr/bin/env python3
"""Makes tests/fixtures/quantized: a small random Llama, quantized by the libraries whose folders people download.

    python3 -m venv ENV && ENV/bin/pip install -r tools/quantized_requirements.txt
    ENV/bin/python tools/make_quantized_folders.py [NAME...]

NAME/config.json, NAME/model.safetensors   the folder as the library stores its tensors
NAME/reference.json    for each quantized weight a digest of what the library dequantizes it to, as float32; token ids,
                       and their log-probabilities by transformers in float32 with these weights
"""
import hashlib
import json
import sys
from pathlib import Path

import torch
from bitsandbytes.functional import dequantize_4bit, int8_vectorwise_dequant, int8_vectorwise_quant, quantize_4bit
from compressed_tensors.compressors.base import BaseCompressor
from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from compressed_tensors.quantization.lifecycle.forward import dequantize
from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "quantized"
CONFIG = dict(vocab_size=96, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
              num_key_value_heads=2, head_dim=16, max_position_embeddings=128, tie_word_embeddings=True)  # fmt: skip
IDS = [[1, 17, 40, 3, 88, 62, 9, 9, 71, 25, 50, 33], [1, 95, 2, 64, 13, 13, 77, 31]]


def compressed(format, **arguments):
    """compressed-tensors: its own choice of scales from the largest and smallest weights."""
    args = QuantizationArgs(dynamic=False, **arguments)
    scheme = QuantizationScheme(targets=["Linear"], weights=args,
                                input_activations=None if "pack" in format else QuantizationArgs(num_bits=8, dynamic=True, strategy="token"))  # fmt: skip

    def quantize(weight):
        n, k = weight.shape
        size = args.group_size or k
        groups = weight.reshape(n, k // size, size)
        if args.strategy == "tensor":
            groups = weight.reshape(1, 1, n * k)
        least, most = groups.amin(-1), groups.amax(-1)
        whole = None
        if args.strategy == "tensor_group":
            whole = generate_gparam(least.min(), most.max()).reshape(1)
        scale, zero = calculate_qparams(least, most, args, global_scale=whole)
        state = {"weight": weight, "weight_scale": scale, "weight_zero_point": zero}
        if whole is not None:
            state["weight_global_scale"] = whole
        compressor = BaseCompressor.get_value_from_registry(format)
        stored = compressor.compress(dict(state), scheme)
        exact = compressor.decompress(dict(stored), scheme)["weight"]
        if whole is not None:  # decompress rounds the weights to bfloat16
            codes = unpack_fp4_from_uint8(stored["weight_packed"], n, k, torch.float32)
            exact = dequantize(codes, stored["weight_scale"].float(), args=args, dtype=torch.float32, global_scale=whole)
        return {name: value for name, value in stored.items() if isinstance(value, torch.Tensor)}, exact

    weights = {key: value for key, value in json.loads(args.model_dump_json()).items() if value is not None}
    config = dict(quant_method="compressed-tensors", format=format, quantization_status="compressed", ignore=["lm_head"],
                  config_groups={"group_0": dict(targets=["Linear"], weights=weights, input_activations=None,
                                                 output_activations=None)}, kv_cache_scheme=None)  # fmt: skip
    return config, quantize


def bitsandbytes4(kind, nested):
    def quantize(weight):
        packed, state = quantize_4bit(weight, blocksize=64, quant_type=kind, compress_statistics=nested)
        stored = {"weight": packed}
        stored.update({f"weight.{name}": value for name, value in state.as_dict(packed=True).items()})
        state.shape = (weight.numel(),)  # its kernel for CPUs begins a block in each row, its quantization does not
        return stored, dequantize_4bit(packed, state).reshape(weight.shape)

    return dict(quant_method="bitsandbytes", load_in_4bit=True, load_in_8bit=False, bnb_4bit_quant_type=kind,
                bnb_4bit_use_double_quant=nested, bnb_4bit_compute_dtype="float32", bnb_4bit_quant_storage="uint8",
                llm_int8_skip_modules=["lm_head"], llm_int8_threshold=6.0), quantize  # fmt: skip


def bitsandbytes8():
    def quantize(weight):
        made, stats, _ = int8_vectorwise_quant(weight.half())
        return ({"weight": made, "SCB": stats, "weight_format": torch.tensor(0, dtype=torch.uint8)},
                int8_vectorwise_dequant(made, stats))  # fmt: skip

    return dict(quant_method="bitsandbytes", load_in_4bit=False, load_in_8bit=True, llm_int8_threshold=6.0,
                llm_int8_skip_modules=["lm_head"]), quantize  # fmt: skip


INTEGERS = dict(type="int", symmetric=True, strategy="group", group_size=32)
CASES = {
    "int4": compressed("pack-quantized", **{**INTEGERS, "num_bits": 4}),
    "int4-asymmetric": compressed("pack-quantized", **{**INTEGERS, "num_bits": 4, "symmetric": False}),
    "int4-channel": compressed("pack-quantized", num_bits=4, type="int", symmetric=True, strategy="channel"),
    "int8": compressed("pack-quantized", num_bits=8, type="int", symmetric=False, strategy="channel"),
    "w8a8": compressed("int-quantized", num_bits=8, type="int", symmetric=True, strategy="channel"),
    "w8a8-tensor": compressed("int-quantized", num_bits=8, type="int", symmetric=False, strategy="tensor"),
    "nvfp4": compressed("nvfp4-pack-quantized", num_bits=4, type="float", symmetric=True, strategy="tensor_group",
                        group_size=16, scale_dtype="torch.float8_e4m3fn", zp_dtype="torch.float8_e4m3fn"),
    "mxfp4": compressed("mxfp4-pack-quantized", num_bits=4, type="float", symmetric=True, strategy="group",
                        group_size=32, scale_dtype="torch.uint8", zp_dtype="torch.uint8"),
    "nf4": bitsandbytes4("nf4", False),
    "nf4-nested": bitsandbytes4("nf4", True),
    "fp4": bitsandbytes4("fp4", False),
    "bnb-int8": bitsandbytes8(),
}  # fmt: skip


def make_model():
    torch.manual_seed(7)
    model = LlamaForCausalLM(LlamaConfig(**CONFIG)).eval()
    for name, p in model.named_parameters():
        p.data = torch.randn(p.shape) * (0.15 if p.ndim == 2 else 0.1) + (0 if p.ndim == 2 else 1)
    return model


def logprobs(model, ids):
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].double()
    return torch.log_softmax(logits, -1)[torch.arange(len(ids) - 1), torch.tensor(ids[1:])].tolist()


def make(name):
    config, quantize = CASES[name]
    model = make_model()
    stored, digests = {}, {}
    state = model.state_dict()
    for tensor, values in state.items():
        if tensor == "lm_head.weight":
            continue
        if ".layers." not in tensor or values.ndim != 2:
            stored[tensor] = values.half()
            state[tensor] = values.half().float()
            continue
        parts, exact = quantize(values)
        exact = exact.float().contiguous()
        stored.update({tensor.removesuffix("weight") + part: value.contiguous() for part, value in parts.items()})
        digests[tensor] = hashlib.sha256(exact.numpy().tobytes()).hexdigest()
        state[tensor] = exact
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state)
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    own = {**model.config.to_dict(), "quantization_config": config}
    keep = [*CONFIG, "model_type", "architectures", "rms_norm_eps", "rope_theta", "hidden_act", "quantization_config"]
    own["architectures"] = ["LlamaForCausalLM"]
    (folder / "config.json").write_text(json.dumps({key: own[key] for key in keep if key in own}, indent=1) + "\n")
    save_file(stored, folder / "model.safetensors")
    reference = dict(weights=digests, rows=[dict(ids=ids, logprobs=logprobs(model, ids)) for ids in IDS])
    (folder / "reference.json").write_text(json.dumps(reference, indent=1) + "\n")


if __name__ == "__main__":
    for case in sys.argv[1:] or CASES:
        make(case)

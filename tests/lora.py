"""Random LoRA adapters for small models, in the formats of PEFT and llama.cpp, and the same models with the adapters
merged into their weights by numpy."""
import json
import re
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path

import convert
import gguf
import numpy as np

PREFIX = "base_model.model."
EMBEDDINGS = ("embed_tokens", "embeddings", "wte", "word_embeddings", "embed_in")
HEADS = ("lm_head", "embed_out")
TRANSPOSED = ("c_attn", "c_proj", "c_fc")  # of GPT-2: [inputs][outputs]


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, values in tensors.items():
        raw = np.ascontiguousarray(values, np.float32).tobytes()
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + data)


@dataclass
class Pair:
    """The matrix added to a module's weight [outputs][inputs] is b a; the weight of an embedding is [tokens][width]."""

    a: np.ndarray  # [r][inputs]
    b: np.ndarray  # [outputs][r]


def is_embedding(module):
    return module.split(".")[-1] in EMBEDDINGS


class Model:
    """A folder of tests/fixtures/tiny with head and embedding separated, and the kinds of its modules."""

    def __init__(self, path):
        self.path = Path(path)
        self.folder = convert.Folder(path)
        self.tensors = dict(self.folder.tensors)
        self.embedding = next(name.removesuffix(".weight") for name in self.tensors if is_embedding(name.removesuffix(".weight")))
        self.head = next((name.removesuffix(".weight") for name in self.tensors
                          if name.split(".")[-2] in HEADS and name.endswith(".weight")), "lm_head")
        self.tied = f"{self.head}.weight" not in self.tensors
        if self.tied:
            self.tensors[f"{self.head}.weight"] = self.tensors[f"{self.embedding}.weight"]

    def transposed(self, module):
        return self.folder.type == "gpt2" and module.split(".")[-1] in TRANSPOSED

    def products(self):
        """Modules with a two-dimensional weight, except the embeddings of tokens and positions, the head, and what has
        parts for several layers."""
        names = [name.removesuffix(".weight") for name, values in self.tensors.items() if name.endswith(".weight") and values.ndim == 2]
        others = (*EMBEDDINGS, *HEADS, "wpe", "embed_positions", "embed_tokens_per_layer", "per_layer_model_projection", "kv_b_proj")
        # GGUF has one tensor for the projections of all streams, and adapters cannot change what stays float32.
        streams = ("altup_", "modality_router", "prediction_coefs", "correction_coefs")
        return [name for name in names if name.split(".")[-1] not in others and not any(word in name for word in ("norm", *streams))]

    def shape(self, module):
        """(outputs, inputs)"""
        shape = self.tensors[f"{module}.weight"].shape
        return shape[::-1] if self.transposed(module) else shape

    def adapter(self, seed, modules=None, rank=3, size=0.4):
        """{module: Pair} for every product, the embedding and the head, or only for the modules named. rank: a number,
        or a function of the module."""
        random, pairs = np.random.default_rng(seed), {}
        for module in [*self.products(), self.embedding, self.head] if modules is None else modules:
            outputs, inputs = self.shape(module)
            r = rank(module) if callable(rank) else rank
            a = random.standard_normal((r, inputs)) * size / np.sqrt(r if is_embedding(module) else inputs)
            pairs[module] = Pair(a.astype(np.float32), random.standard_normal((outputs, r)).astype(np.float32))
        return pairs

    def merged(self, path, *adapters):
        """The folder with (pairs, scale) merged into its weights, in float32. scale: a number, or a function of the
        module."""
        tensors = dict(self.tensors)
        for pairs, scale in adapters:
            for module, pair in pairs.items():
                s = scale(module) if callable(scale) else scale
                delta = s * (pair.b.astype(np.float64) @ pair.a.astype(np.float64))
                name = f"{module}.weight"
                tensors[name] = tensors[name] + (delta.T if self.transposed(module) else delta)
        path = Path(path)
        path.mkdir(parents=True)
        config = {**self.folder.config, "tie_word_embeddings": False}
        config.pop("quantization_config", None)
        (path / "config.json").write_text(json.dumps(config))
        write_safetensors(path / "model.safetensors", tensors)
        return path

    # ---- PEFT ----

    def peft(self, path, pairs, prefix=PREFIX, **config):
        """A folder as PEFT saves it: alpha 8; the rank is that of the first pair unless config says otherwise."""
        path = Path(path)
        path.mkdir(parents=True)
        tensors = {}
        for module, pair in pairs.items():
            if is_embedding(module):
                tensors[f"{prefix}{module}.lora_embedding_A"] = pair.b.T
                tensors[f"{prefix}{module}.lora_embedding_B"] = pair.a.T
            else:
                tensors[f"{prefix}{module}.lora_A.weight"] = pair.a
                tensors[f"{prefix}{module}.lora_B.weight"] = pair.b
        rank = next(iter(pairs.values())).a.shape[0]
        write_peft(path, tensors, **{"r": rank, **config})
        return path

    # ---- GGUF ----

    def gguf(self, path, pairs, alpha=8.0, architecture=None, kind=None):
        """A file as llama.cpp's conversion writes it: the rows of b in GGUF's order, experts stacked."""
        writer = gguf.GGUFWriter(str(path), architecture or self.folder.arch)
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string("adapter.type", "lora")
        if alpha is not None:
            writer.add_float32("adapter.lora.alpha", alpha)
        names = convert.name_map(self.folder)
        a = convert.experts_stacked({f"{module}.weight": pair.a for module, pair in pairs.items()})
        b = convert.experts_stacked({f"{module}.weight": self.rows(module, pair.b) for module, pair in pairs.items()})
        for name in a:
            base = convert.tensor_name(names, name)
            first, second = (b[name], a[name].T) if base == "token_embd.weight" else (a[name], b[name])
            for end, values in (("a", first), ("b", second)):
                stored, raw = np.ascontiguousarray(values, np.float32), None
                if kind is not None and stored.shape[-1] % gguf.GGML_QUANT_SIZES[kind][0] == 0:
                    stored, raw = gguf.quantize(stored, kind), kind
                writer.add_tensor(f"{base}.lora_{end}", stored, raw_dtype=raw)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    def rows(self, module, b):
        folder = self.folder
        if folder.arch in convert.PERMUTED and re.search(r"\.(q|k)_proj$", module):
            return convert.permuted(b, folder.heads if module.endswith(".q_proj") else folder.kv_heads)
        if folder.type in ("gpt_neox", "bloom", "falcon") and "query_key_value" in module:
            return convert.ungrouped(b, folder.heads, folder.kv_heads)
        return b


def write_peft(path, tensors, **config):
    write_safetensors(path / "adapter_model.safetensors", tensors)
    config = {"peft_type": "LORA", "lora_alpha": 8, "use_rslora": False, "bias": "none", "task_type": "CAUSAL_LM",
              "fan_in_fan_out": False, "modules_to_save": None, "use_dora": False, "rank_pattern": {},
              "alpha_pattern": {}, "target_modules": ["q_proj"], "inference_mode": True, **config}  # fmt: skip
    (path / "adapter_config.json").write_text(json.dumps(config))


def copied(path, to):
    shutil.copytree(path, to)
    return Path(to)

"""A tiny text model as a folder of a multimodal model has it: its config inside, its names behind a prefix, what images go
through beside it."""
import json
from pathlib import Path

import convert
import lora
import numpy as np

TINY = Path(__file__).resolve().parent / "fixtures" / "tiny"
# The fields around text_config as published folders have them.
AROUND = {
    "gemma3": {"architectures": ["Gemma3ForConditionalGeneration"], "boi_token_index": 255999, "eoi_token_index": 256000,
               "eos_token_id": [1, 106], "image_token_index": 262144, "initializer_range": 0.02, "mm_tokens_per_image": 256,
               "model_type": "gemma3", "torch_dtype": "bfloat16", "vision_config": {"hidden_size": 4}},
    "mistral": {"architectures": ["Mistral3ForConditionalGeneration"], "image_token_index": 10, "model_type": "mistral3",
                "multimodal_projector_bias": False, "projector_hidden_act": "gelu", "spatial_merge_size": 2,
                "vision_config": {"hidden_size": 4}, "vision_feature_layer": -1},
}  # fmt: skip
FILES = ("older", "newer", "base")  # "base": without the class that has the head


def renamed(name, files):
    """What a tensor or module of the text model is called there."""
    if files == "older":
        return f"language_model.{name}"
    if files == "newer" and not name.startswith("model."):
        return name
    return ("model." if files == "newer" else "") + "language_model." + name.removeprefix("model.")


def vision(files):
    before = "model." if files == "newer" else ""
    random = np.random.default_rng(1)
    names = ("vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight", "multi_modal_projector.linear_1.weight")
    return {before + name: random.standard_normal((4, 6)).astype(np.float32) for name in names}


def nested(name, folder, files, text={}, around={}, change=lambda tensors: None):
    """The tiny model of that name as a folder. text and around: fields that differ; None: left out. change(tensors) is
    applied to all tensors."""
    folder.mkdir(parents=True)
    config = {**json.loads((TINY / name / "config.json").read_text()), **text}
    config = {**AROUND[name], "text_config": {key: value for key, value in config.items() if value is not None}, **around}
    (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    tensors = {renamed(tensor, files): values for tensor, values in convert.read_tensors(TINY / name).items()}
    tensors.update(vision(files))
    change(tensors)
    lora.write_safetensors(folder / "model.safetensors", tensors)
    return folder

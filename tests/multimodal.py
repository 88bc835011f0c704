"""Writes a tiny text model as the folder of a multimodal model: its config nested inside, its tensor names behind a
prefix, and tensors for images beside it."""
import json
from pathlib import Path

import convert
import lora
import numpy as np

TINY = Path(__file__).resolve().parent / "fixtures" / "tiny"
# The fields around text_config, as in published folders.
AROUND = {
    "gemma3": {"architectures": ["Gemma3ForConditionalGeneration"], "boi_token_index": 255999, "eoi_token_index": 256000,
               "eos_token_id": [1, 106], "image_token_index": 262144, "initializer_range": 0.02, "mm_tokens_per_image": 256,
               "model_type": "gemma3", "torch_dtype": "bfloat16", "vision_config": {"hidden_size": 4}},
    "mistral": {"architectures": ["Mistral3ForConditionalGeneration"], "image_token_index": 10, "model_type": "mistral3",
                "multimodal_projector_bias": False, "projector_hidden_act": "gelu", "spatial_merge_size": 2,
                "vision_config": {"hidden_size": 4}, "vision_feature_layer": -1},
}  # fmt: skip
AROUND["qwen3"] = {"architectures": ["Qwen3VLForConditionalGeneration"], "image_token_id": 151655, "model_type": "qwen3_vl",
                   "video_token_id": 151656, "vision_start_token_id": 151652, "vision_config": {"hidden_size": 4}}
AROUND["qwen3vlmoe"] = {**AROUND["qwen3"], "architectures": ["Qwen3VLMoeForConditionalGeneration"], "model_type": "qwen3_vl_moe",
                        "tie_word_embeddings": False}
AROUND["qwen2"] = {"architectures": ["Qwen2VLForConditionalGeneration"], "image_token_id": 151655, "model_type": "qwen2_vl",
                   "tie_word_embeddings": False, "video_token_id": 151656, "vision_start_token_id": 151652, "vision_config": {"hidden_size": 4}}
AROUND["gemma4-layers"] = {
    "architectures": ["Gemma4ForConditionalGeneration"], "audio_config": {"hidden_size": 4}, "audio_token_id": 258881,
    "boa_token_id": 256000, "boi_token_id": 255999, "eoa_token_index": 258883, "eoi_token_id": 258882,
    "image_token_id": 258880, "initializer_range": 0.02, "model_type": "gemma4", "tie_word_embeddings": True,
    "video_token_id": 258884, "vision_config": {"hidden_size": 4}, "vision_soft_tokens_per_image": 280}
AROUND["gemma3n"] = {
    "architectures": ["Gemma3nForConditionalGeneration"], "audio_config": {"hidden_size": 4}, "audio_soft_tokens_per_image": 188,
    "audio_token_id": 262273, "boa_token_id": 256000, "boi_token_id": 255999, "eoa_token_id": 262272, "eoi_token_id": 262144,
    "image_token_id": 262145, "initializer_range": 0.02, "model_type": "gemma3n", "vision_config": {"hidden_size": 4},
    "vision_soft_tokens_per_image": 256}
AROUND["llama4"] = {"architectures": ["Llama4ForConditionalGeneration"], "boi_token_index": 200080, "eoi_token_index": 200081,
                    "image_token_index": 200092, "model_type": "llama4", "vision_config": {"hidden_size": 4}}
AROUND["muse-glimmer"] = {"architectures": ["MuseGlimmerForConditionalGeneration"], "image_token_id": 200092, "model_type": "muse_glimmer",
                         "out_hidden_size": 8, "projector_hidden_size": 8, "vision_config": {"hidden_size": 4}}
QWEN35 = {"image_token_id": 248056, "video_token_id": 248057, "vision_start_token_id": 248053, "vision_end_token_id": 248054,
          "vision_config": {"hidden_size": 4}}
AROUND["qwen35"] = {"architectures": ["Qwen3_5ForConditionalGeneration"], "model_type": "qwen3_5", "tie_word_embeddings": False, **QWEN35}
AROUND["qwen35moe"] = {"architectures": ["Qwen3_5MoeForConditionalGeneration"], "model_type": "qwen3_5_moe", "tie_word_embeddings": True, **QWEN35}
# Fields of text_config that differ from the config of the text model alone.
INSIDE = {"qwen3": {"model_type": "qwen3_vl_text", "use_sliding_window": None, "max_window_layers": None, "rope_scaling": {
    "mrope_interleaved": True, "mrope_section": [2, 2, 1], "rope_type": "default"}}}
INSIDE["qwen2"] = {"model_type": "qwen2_vl_text", "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 1]}}
# The sections of published folders are those of larger heads.
INSIDE.update({name: {"rope_parameters": {"mrope_interleaved": True, "mrope_section": [1, 1, 0], "rope_theta": 3000.0,
                                          "rope_type": "default", "partial_rotary_factor": 0.25}, "mtp_num_hidden_layers": 1}
               for name in ("qwen35", "qwen35moe")})
FILES = ("older", "newer", "base")  # "base": written by the class without the head


def renamed(name, files):
    """The name of a tensor or module of the text model in such a folder."""
    if files == "older":
        return f"language_model.{name}"
    if files == "newer" and not name.startswith("model."):
        return name
    return ("model." if files == "newer" else "") + "language_model." + name.removeprefix("model.")


def vision(files):
    before = "model." if files == "newer" else ""
    random = np.random.default_rng(1)
    names = ("vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight", "multi_modal_projector.linear_1.weight")
    names += ("visual.blocks.0.attn.qkv.weight",) if files == "newer" else ()
    names += ("vision_adapter.fc1.weight", "vision_projection.weight") if files == "newer" else ()
    names += ("vision_model.class_embedding",) if files == "older" else ()
    names += ("audio_tower.layers.0.attn.weight", "embed_audio.weight", "embed_vision.embedding_projection.weight")
    tensors = {before + name: random.standard_normal((4, 6)).astype(np.float32) for name in names}
    return {**tensors, f"{before}vision_tower.patch_embed.proj.weight": np.ones((4, 3, 2, 2, 5), np.float32)}  # images in time


def nested(name, folder, files, text={}, around={}, change=lambda tensors: None):
    """Writes the tiny model of that name as a folder. text and around: fields that differ; None removes a field.
    change(tensors) is applied to all tensors."""
    folder.mkdir(parents=True)
    config = {**json.loads((TINY / name / "config.json").read_text()), **INSIDE.get(name, {}), **text}
    config = {**AROUND[name], "text_config": {key: value for key, value in config.items() if value is not None}, **around}
    (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    tensors = {renamed(tensor, files): values for tensor, values in convert.read_tensors(TINY / name).items()}
    tensors.update(vision(files))
    change(tensors)
    lora.write_safetensors(folder / "model.safetensors", tensors)
    return folder

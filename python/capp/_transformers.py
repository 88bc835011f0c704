"""Saves models of transformers and PEFT, so that capp can open them. Imports neither."""
from __future__ import annotations

import copy
import os
from typing import Any, NamedTuple


class Adapters(NamedTuple):
    """The adapters that take part in the results of a model."""

    added: tuple[str, ...]  # beside the weights
    merged: tuple[str, ...]  # the weights contain them: merge_adapter()


def active_adapters(model: Any) -> Adapters | None:
    """Returns the active adapters of model: a PeftModel, or a model of transformers with adapters of its own. None if it
    never had adapters."""
    if not getattr(model, "peft_config", None):
        return None
    layers = [module for module in model.modules() if hasattr(module, "merged_adapters")]
    merged = sum(bool(layer.merged_adapters) for layer in layers)
    if 0 < merged < len(layers):
        raise ValueError(f"adapters are merged into {merged} of {len(layers)} layers of this {type(model).__name__}; call "
                         "unmerge_adapter() or merge_adapter() first")
    if merged:
        return Adapters((), tuple(layers[0].merged_adapters))
    if any(layer.disable_adapters is True for layer in layers):
        return Adapters((), ())
    return Adapters(tuple(model.active_adapters() if callable(model.active_adapters) else model.active_adapters), ())


def _base_weights(base: Any) -> dict[str, Any]:
    """Returns the weights without adapters, under the names that they have without PEFT."""
    out = {}
    for name, tensor in base.state_dict().items():
        parts = name.split(".")
        if not any(part.startswith("lora_") or part == "modules_to_save" for part in parts):
            out[".".join(part for part in parts if part not in ("base_layer", "original_module"))] = tensor
    return out


def save(model: Any, tokenizer: Any, adapters: Adapters | None, folder: str) -> tuple[str, list[str]]:
    """Saves model and tokenizer in folder. Returns the folder of the base model, and those of the adapters."""
    if adapters is None:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder, []
    base_folder, adapter_folder = os.path.join(folder, "base"), os.path.join(folder, "adapters")
    wrapped = hasattr(model, "get_base_model")  # a PeftModel
    # The copy has the same weights. Its flag says that there are no adapters; otherwise only these are saved.
    base = copy.copy(model.get_base_model() if wrapped else model)
    base._hf_peft_config_loaded = False
    base.save_pretrained(base_folder, state_dict=_base_weights(base))
    tokenizer.save_pretrained(base_folder)
    if adapters.added and wrapped:
        # Embeddings are part of the base. PEFT would ask a server whether they have changed.
        model.save_pretrained(adapter_folder, selected_adapters=list(adapters.added), save_embedding_layers=False)
    elif adapters.added:
        model.save_pretrained(adapter_folder)
    # PEFT gives each adapter but "default" a folder of its own.
    return base_folder, [os.path.join(adapter_folder, name) if wrapped and name != "default" else adapter_folder
                         for name in adapters.added]

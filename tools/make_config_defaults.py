#!/usr/bin/env python3
"""Makes tests/fixtures/config_defaults.json: what transformers' configuration classes take for fields that config.json
does not mention, of the families that capp runs.

    python3 -m venv ENV && ENV/bin/pip install -r tools/tiny_requirements.txt
    ENV/bin/python tools/make_config_defaults.py
"""
import inspect
import json
from pathlib import Path

import transformers
from transformers import CONFIG_MAPPING

FIXTURES = Path(__file__).resolve().parent.parent / "tests" / "fixtures"
IDS = ("bos_token_id", "eos_token_id", "pad_token_id", "vocab_size")


def defaults(model_type):
    parameters = inspect.signature(CONFIG_MAPPING[model_type].__init__).parameters.values()
    return {p.name: p.default for p in parameters
            if p.name not in IDS and isinstance(p.default, (bool, int, float, str, type(None)))}


if __name__ == "__main__":
    types = {json.loads(path.read_text())["model_type"] for path in (FIXTURES / "tiny").glob("*/config.json")}
    classes = {model_type: defaults(model_type) for model_type in sorted(types)}
    made = {"made_by": f"transformers {transformers.__version__}", "classes": classes}
    (FIXTURES / "config_defaults.json").write_text(json.dumps(made, indent=1) + "\n")

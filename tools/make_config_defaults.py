#!/usr/bin/env python3
"""Makes tests/fixtures/config_defaults.json: the values that transformers' configuration classes use for fields that
config.json does not have, for the families that capp runs.

    python3 -m venv ENV && ENV/bin/pip install -r tools/tiny_requirements.txt
    ENV/bin/python tools/make_config_defaults.py

With transformers 5 (tools/tiny_requirements_5.txt) it adds the classes of the models that transformers 5 made.
"""
import inspect
import json
from pathlib import Path

import transformers
from transformers import CONFIG_MAPPING

FIXTURES = Path(__file__).resolve().parent.parent / "tests" / "fixtures"
IDS = ("bos_token_id", "eos_token_id", "pad_token_id", "vocab_size")


def defaults(model_type):
    """By the names that the class writes: some parameters have another."""
    of = CONFIG_MAPPING[model_type]
    parameters = inspect.signature(of.__init__).parameters.values()
    return {of.attribute_map.get(p.name, p.name): p.default for p in parameters
            if p.name not in IDS and isinstance(p.default, (bool, int, float, str, type(None)))}


if __name__ == "__main__":
    major = transformers.__version__.partition(".")[0]
    types = {json.loads((path.parent / "config.json").read_text())["model_type"]
             for path in (FIXTURES / "tiny").glob("*/reference.json") if f"transformers {major}." in path.read_text()}
    known = json.loads((FIXTURES / "config_defaults.json").read_text())
    classes = {**known["classes"], **{model_type: defaults(model_type) for model_type in types}}
    by = {**known["made_by"], major: f"transformers {transformers.__version__}"}
    made = {"made_by": by, "classes": dict(sorted(classes.items()))}
    (FIXTURES / "config_defaults.json").write_text(json.dumps(made, indent=1) + "\n")

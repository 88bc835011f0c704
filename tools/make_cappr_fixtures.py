"""make_cappr_fixtures.py MODEL_FOLDER OUT [SEED N]: writes the results of CAPPr for the cases of tests/cappr_cases.py as JSON.

MODEL_FOLDER: a model and its tokenizer in float32, as transformers saves them. Needs cappr 0.9.6 with transformers,
torch and numpy below 2.
"""
import json
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
warnings.filterwarnings("ignore")
sys.modules["llama_cpp"] = sys.modules["openai"] = None  # CAPPr imports every backend that it finds
import cappr  # noqa: E402
import torch  # noqa: E402
from cappr.huggingface import classify  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

import cappr_cases  # noqa: E402


def rounded(value):
    """A thousandth of the tests' tolerance is enough."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return {key: rounded(each) for key, each in value.items()} if isinstance(value, dict) else value


def main(folder, out, seed="1", n="60"):
    model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32).eval()
    pair = model, AutoTokenizer.from_pretrained(folder)
    torch.set_num_threads(2)
    with open(out, "w", encoding="utf-8") as file:
        for case in cappr_cases.cases(int(seed), int(n)):
            row = {**case, "outcome": rounded(cappr_cases.outcome(case, classify, cappr.Example, pair))}
            print(json.dumps(row, ensure_ascii=False), file=file, flush=True)


main(*sys.argv[1:])

"""Makes tests/fixtures/float64.{smollm2,gemma3}.jsonl: log-probabilities of transformers in double precision.

usage: PEERS/venv/bin/python tools/make_float64_golden.py SHARED FOLDER
Uses the environment of ../shared/peers/setup.sh. Ten rows of ../shared/golden, in the same format: one sequence at a
time, no cache, weights dequantized from the GGUF file, all computations in float64.
"""
import json
import sys

shared, folder = sys.argv[1:]
sys.path.insert(0, f"{shared}/peers")
import common  # noqa: E402
import torch  # noqa: E402


def logprobs(model, prompt, completion):
    ids = torch.tensor([prompt + completion])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0].double()
    logprob = torch.log_softmax(logits, dim=-1)
    return [float(logprob[len(prompt) - 1 + i, token]) for i, token in enumerate(completion)]


for name in ("smollm2", "gemma3"):
    model, _ = common.load(name, torch.float64)
    model = model.double()
    rows = [json.loads(line) for line in open(f"{shared}/golden/copa-dev.{name}.jsonl")][:8]
    rows += [json.loads(line) for line in open(f"{shared}/golden/banking77.{name}.jsonl")][:2]
    with open(f"{folder}/float64.{name}.jsonl", "w") as out:
        for number, row in enumerate(rows):
            row["id"] = number
            row["completions"] = row["completions"][:12]
            for completion in row["completions"]:
                values = logprobs(model, row["prompt_ids"], completion["ids"])
                completion["logprobs"] = [round(value, 8) for value in values]
            out.write(json.dumps(row) + "\n")

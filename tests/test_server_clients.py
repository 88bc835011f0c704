"""capp serve with clients that need environments of their own: lm-evaluation-harness, schemathesis."""
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from command import rows_of, run
from serving import serving

ROOT = Path(__file__).resolve().parent.parent
COPA = ROOT / "examples" / "data" / "copa.jsonl"
TASK = """\
task: local_copa
dataset_path: json
dataset_kwargs:
  data_files:
    validation: {copa}
validation_split: validation
output_type: multiple_choice
doc_to_text: "{{{{prompt}}}}"
doc_to_choice: completions
doc_to_target: label
target_delimiter: " "
metric_list:
  - metric: acc
  - metric: acc_norm
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def environment(requirements):
    """Python of an environment with these packages; make test has made it before."""
    made = subprocess.run([str(ROOT / "tools" / "venv.sh"), str(ROOT / "tests" / requirements)], stdout=subprocess.PIPE, text=True)
    if made.returncode:
        pytest.skip(f"the packages of {requirements} cannot be installed")
    return Path(made.stdout.strip())


def test_lm_evaluation_harness(tmp_path, smollm2):
    """acc is what capp evaluate gives for the sum, acc_norm what it gives for sum / bytes; and the log-probabilities of every
    row are those of the command, but for rows whose prompt and completion have other tokens when they are joined."""
    python = environment("lm_eval_requirements.txt")
    (tmp_path / "copa.yaml").write_text(TASK.format(copa=COPA))
    with serving(tmp_path, "-m", smollm2, "--precision", "f32") as server:
        command = [python.parent / "lm_eval", "run", "--model", "local-completions", "--tasks", "local_copa", "--include_path", tmp_path,
                   "--model_args", f"model=smollm2,base_url={server.base}/v1/completions,num_concurrent=4", "--log_samples",
                   "--output_path", tmp_path / "out"]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True,
                              env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")})
        assert done.returncode == 0, done.stderr[-3000:]
        rows = rows_of(run("logprobs", "-m", smollm2, "--precision", "f32", COPA))
        joined = [[server.post("/tokenize", content=f"{row['prompt']} {each['text']}")["tokens"] == row["prompt_ids"] + each["ids"]
                   for each in row["completions"]] for row in rows]
    (samples,) = (tmp_path / "out").rglob("samples_*.jsonl")
    found = sorted(map(json.loads, samples.read_text().splitlines()), key=lambda sample: sample["doc_id"])
    different = [row["id"] for row, same in zip(rows, joined) if not all(same)]
    print("rows with other tokens when joined:", different)
    assert len(different) < 4
    for sample, row, same in zip(found, rows, joined, strict=True):
        for response, each, equal in zip(sample["filtered_resps"], row["completions"], same, strict=True):
            assert not equal or np.isclose(float(response[0]), sum(each["logprobs"]), atol=1e-5)
    for metric, aggregate in (("acc", "sum"), ("acc_norm", "bytes")):
        report = tmp_path / f"{aggregate}.json"
        assert run("evaluate", "-m", smollm2, "--precision", "f32", "--label", "label", "--aggregate", aggregate, "--json", report,
                   COPA).returncode == 0
        wrong = abs(json.loads(report.read_text())["correct"] - sum(sample[metric] for sample in found))
        assert wrong <= len(different)


@pytest.mark.parametrize("examples, phases", [(10, "fuzzing"), pytest.param(300, "coverage,fuzzing", marks=pytest.mark.long)])
def test_schemathesis(tmp_path, tiny_model, examples, phases):
    python = environment("schemathesis_requirements.txt")
    with serving(tmp_path, "-m", f"tiny={tiny_model}", "--precision", "f32") as server:
        checks = ("not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
                  "negative_data_rejection,unsupported_method")
        done = subprocess.run([str(python.parent / "schemathesis"), "run", f"{server.base}/openapi.json", "--max-examples", str(examples),
                               "--checks", checks, "--phases", phases], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stdout[-3000:]

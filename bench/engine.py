"""capp in a comparison, through its command. Each run is a separate process that reports its scoring time."""
import json
import subprocess
import time

from base import Skip
from watch import Watch

OVERHEAD = 48 << 20  # of the process, besides weights and run: code, input rows, results
LEAST = 96 << 20     # the smallest useful budget

unsupported = set()  # precisions that this build of the command has refused


def call(bench, *arguments, stdin=None):
    return watched(bench, arguments, stdin)[0]


def watched(bench, arguments, stdin=None):
    """The output of the command, and its memory peaks."""
    command = [bench.capp, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        with Watch(process.pid) as watch:
            output, message = process.communicate(stdin)
    if process.returncode:
        raise Skip(f"capp {arguments[0]} ended with {process.returncode}: {message.strip()}")
    return output, watch.facts


def with_precision(bench, precision, run):
    """run(precision), or run("f32") where the command refuses this precision; it reports this once."""
    if precision in unsupported:
        return run("f32")
    try:
        return run(precision)
    except Skip as why:
        if precision == "f32" or "precision" not in str(why):
            raise
        unsupported.add(precision)
        bench.skip(f"precision {precision} (f32 in its place)", why)
        return run("f32")


def common(bench, model, precision, memory):
    return ["-m", bench.model(model), "--threads", bench.threads, "--precision", precision, "--quiet",
            *(["--memory", int(memory)] if memory else [])]


def read(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def read_rows(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def facts_of(report, precision):
    names = ("seconds", "load_seconds", "accuracy", "log_loss", "tokens_computed", "tokens_saved", "head_rows", "planned_bytes",
             "used_bytes", "weight_bytes", "file_resident_bytes", "scoring", "deciding", "rows_rescored", "completion_tokens",
             "completion_tokens_run", "experts_run", "expert_layers_run")
    facts = {"peak_bytes": report["peak_memory_bytes"], "precision": precision,
             **{name: report[name] for name in names if name in report}}
    facts["isa"] = f"{report['isa']} {report['scoring']}"  # the unit whose peak applies
    return facts


def evaluate(bench, model, path, precision=None, memory=None, options=(), keep_rows=False):
    """Scores the rows of a file. Returns the facts of the run and its predictions (and the rows written, where
    kept)."""
    def run(precision):
        out, report = f"{bench.folder}/out.jsonl", f"{bench.folder}/report.json"
        _, held = watched(bench, ["evaluate", *common(bench, model, precision, memory), "--label", "label", "--overwrite", "-o", out,
                                  "--json", report, *options, path])
        rows = read_rows(out)
        return {**facts_of(read(report), precision), **held, "predictions": [row["index"] for row in rows],
                **({"rows": rows} if keep_rows else {})}

    return with_precision(bench, precision or bench.precision, run)


def generate(bench, model, path, tokens, memory=None, options=()):
    """Continues the prompts of a file by exactly this number of tokens."""
    def run(precision):
        out, report = f"{bench.folder}/text.jsonl", f"{bench.folder}/report.json"
        call(bench, "generate", *common(bench, model, precision, memory), "-n", tokens, "--ignore-eos", "--overwrite", "-o", out, "--json",
             report, *options, path)
        return {**facts_of(read(report), precision), "texts": [row["text"] for row in read_rows(out)]}

    return with_precision(bench, bench.precision, run)


def prefill(bench, model, tokens, precision=None, options=()):
    """One prefill by `capp bench`; returns seconds."""
    def run(precision):
        output, held = watched(bench, ["bench", *common(bench, model, precision, None), *options, "--prefill", tokens, "--repeat", 1,
                                       "--json", "-"])
        report = json.loads(output)
        speed, n = report["prefill_tokens_per_second"], report["prefill_tokens"]
        return {**facts_of({**report, "seconds": n / speed}, precision), **held, "tokens": n}

    return with_precision(bench, precision or bench.precision, run)


def first_decision(bench, model, options=()):
    """Seconds from the start of the process to the first decision on its standard output."""
    def run(precision):
        command = [bench.capp, "classify", *map(str, common(bench, model, precision, None)), *map(str, options),
                   "-c", "delivery,refund,lost card"]
        start = time.perf_counter()
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            process.stdin.write(b"My card has not come yet\n")
            process.stdin.close()
            line = process.stdout.readline()
            seconds = time.perf_counter() - start
            message = process.stderr.read().decode()
        if not line:
            raise Skip(f"capp classify: {message.strip()}")
        return {"seconds": seconds, "precision": precision}

    return with_precision(bench, bench.precision, run)


def token_ids(bench, model, path):
    """[(prompt's ids, [ids of a completion])] for each row, as the engine tokenizes it."""
    out = f"{bench.folder}/ids.jsonl"
    call(bench, "logprobs", *common(bench, model, "auto", None), "--overwrite", "-o", out, path)
    return [(row["prompt_ids"], [c["ids"] for c in row["completions"]]) for row in read_rows(out)]


def count_tokens(bench, model, texts):
    """The number of tokens of each text, with BOS where the model wants it."""
    path, out = bench.write([{"text": text} for text in texts]), f"{bench.folder}/tokens.jsonl"
    call(bench, "tokenize", "-m", bench.model(model), "--quiet", "--overwrite", "-o", out, path)
    return [len(row["ids"]) for row in read_rows(out)]


def inspect(bench, model):
    return json.loads(call(bench, "inspect", "--json", bench.model(model)))


def weights(bench, model):
    """Bytes of the packed weights at the precision of the comparison."""
    path = bench.write([{"prompt": "a", "completions": ["b", "c"]}])
    return evaluate(bench, model, path)["weight_bytes"]


def held_to(peak, weight_bytes):
    """The budget (--memory) that keeps capp's whole process within a peer's peak, but at least LEAST."""
    return max(peak - weight_bytes - OVERHEAD, LEAST)

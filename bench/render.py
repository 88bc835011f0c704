#!/usr/bin/env python3
"""Writes docs/performance.md and its figures from the results of bench/run.py. Measures nothing.

usage: render.py [--results FOLDER] [--out FOLDER] [--no-figures]
Figures need matplotlib (bench/requirements.txt; `make performance` brings it).
"""
import argparse
import os
import pathlib
import re

import classes
import results as stored
from results import KINDS, median

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = {"smollm2": "SmolLM2 Q4_1", "smollm2-Q8_0": "SmolLM2 Q8_0", "7b": "7B Q4_K_M",
         "30b-a3b": "30B-A3B Q4_K_M", "qwen35-4b": "Qwen3.5-4B Q4_K_M", "gemma4-e4b": "Gemma 4 E4B Q4_K_M", "gemma3": "Gemma 3 Q4_K_M",
         "gpt2-random-hf": "GPT-2, folder", "smollm2-hf": "SmolLM2, folder", "gemma3-hf": "Gemma 3, folder"}

HEAD = """# Performance

How fast is capp, how much memory does it use, and on which machine? This page compares it with CAPPr, transformers and llama.cpp.
All times are measured. `make bench` repeats the measurement; results on other machines differ. For ARM, instructions are counted.
[How it is measured](#how-it-is-measured) is at the end.
"""

DEFAULTS = """## Defaults

What `--precision auto` computes with. *Integers*: all matrices of the model's layers are stored as integers (Q4_0 to Q8_0, Q2_K to
Q6_K, IQ4_NL, IQ4_XS, MXFP4; in folders GPTQ with 2, 3, 4 or 8 bits, AWQ, and compressed-tensors with 2, 4 or 8 bits, in groups of a multiple
of 32 inputs, with scales of 16 bits), the head as integers or floats, and no adapter changes its experts; such a model is decided in i16, any other in f32.
Routers may be floats, too, and so may the matrices around side embeddings (Gemma 3n and 4). Where two precisions are
named, the first scores all rows and the second scores close rows again. With AVX2 alone a model most of whose weights are numbers
of more than 6 bits (Q8_0, IQ4_NL, IQ4_XS) runs in i16. So does a model of less than 1 billion parameters where the table says mixed.

| processors | `--isa` | integers | other models |
| --- | --- | --- | --- |
| without AVX2 | ref | f32, i16 | f32 |
| AVX2 | avx2 | mixed, i16 | f32 |
| AVX2 and AVX-VNNI | avxvnni | mixed, i16 | f32 |
| AVX-512 | avx512 | f32, i16 | f32 |
| AVX-512 VNNI | avx512vnni | mixed, i16 | f32 |
| AVX-512 BF16, AMD | avx512bf16 | bf16, i16 | bf16, f32 |
| AVX-512 BF16, others | avx512bf16 | mixed, i16 | f32 |
| AMX | amx | bf16, i16 | bf16, f32 |
| 64-bit ARM | neon | f32, i16 | f32 |
| ARM with the dot product | neondot | i16 | f32 |
| ARM with I8MM | neoni8mm | i16 | f32 |
| ARM with I8MM and BF16 | neonbf16 | bf16, i16 | bf16, f32 |

The choices follow measured rates of each precision (`make bench WORK=lanes`). AMD's VDPBF16PS does 2.0 times the operations of
float32. That of the Intel processor (family 6, model 207) does half of them, so capp multiplies bfloat16 with instructions of float32
there. AMX was not measured for this table; ARM was counted ([ARM](#arm)).

On that Intel processor, whose AMX is hidden, i16 (`--isa avx512vnni`) was compared with float32 on 6,660 rows of each model: the 500
of COPA, plain, and the 3,080 of Banking77, plain and with the classes listed. 2 decisions of SmolLM2 differ, with gaps of 0.0009
and less than 0.00001 in float32, and 1 of Gemma 3, with a gap of 0.0003. `auto` with its margin between mixed and i16 was not part
of that comparison; docs/design.md says how the margin was chosen. bench/check_decisions.py also compares COPA with the choices
listed, 7,160 rows of each model in all.
"""

# tests/test_aarch64.py counts them.
ARM = """## ARM

No ARM hardware was at hand: capp is tested for AArch64 under emulation and has not been timed there. Its kernels are counted
instead, in what GCC 12 makes of them (tools/count_instructions.py; a test fails if a count grows). A round is one pass of the
inner loop of a tile of full size. The last column is the best that the unit allows: products and nothing else. Products of
integers multiply each of an activation's two digits.

| precision | `--isa` | instruction that multiplies | multiply-adds of a round | instructions | of them multiply | for each multiply-add | at least |
| --- | --- | --- | --- | --- | --- | --- | --- |
| f32 | neon | FMLA | 96 | 38 | 24 | 0.396 | 0.250 |
| i16 | neon | SMULL | 2,048 | 1,672 | 512 | 0.816 | 0.250 |
| i16 | neondot | SDOT | 2,048 | 489 | 256 | 0.239 | 0.125 |
| i16 | neoni8mm | SMMLA | 2,048 | 440 | 128 | 0.215 | 0.062 |
| bf16 | neonbf16 | BFMMLA | 768 | 84 | 48 | 0.109 | 0.062 |

- The loop of float32 has 8 loads beside its 24 products, and 6 instructions that count and move pointers. A processor with two
  multiplying units needs 12 cycles for the products, and one that decodes 4 instructions a cycle delivers the 38 in 9.5.
  Neither this loop nor that of bfloat16 uses the stack.
- Integers are scaled after each block of 32 inputs, which takes 64 instructions of a round. Their sums and those in float32
  do not fit the registers together: 181 (SMULL), 66 (SDOT) and 101 (SMMLA) instructions use the stack.
- SUDOT, which the integer products of I8MM used before, took 593 instructions for the same round. SMMLA takes 440, so it
  replaced SUDOT. It multiplies the low digits also where they are 0: i8 is no faster than i16 there.
- SMULL needs a second instruction, SADALP, for each product. So with NEON alone i16 takes more than twice the instructions of
  float32.

These counts chose the lanes of `auto` above: i16 where there is SDOT or SMMLA, bfloat16 where there is BFMMLA, float32
elsewhere. Decisions are those of i16 or float32, as on every machine. On COPA (500 rows, SmolLM2 Q4_1), run on x86-64 with
instruction sets whose lanes have the same bits: with NEON alone, 2 rows were scored again in i16; with SDOT and SMMLA there
is one lane; no decision differed from float32's. BFMMLA has bits of its own, and its emulation is slow, so it has scored no
more than 3 rows: none was close, and no decision differed. The log-probabilities of their 33 tokens differ from float32's by
0.0111 on average and by at most 0.031; with VDPBF16PS it is 0.0109 and 0.030 (measured when attention was in float32). So `auto`
uses the same margin for both.
"""

METHOD = """## How it is measured

- In each comparison the programs take turns in one run of `make bench`. All use {threads} threads, the same rows and the same
  classes. `make performance` makes this page from the results; bench/results holds them.
- Seconds are the time for scoring with the model already loaded, the median of the runs. Slow programs run less often: three
  times above 40 s, once above 100 s. The column `runs` has the number of runs.
- *Times faster* is the time of the other program divided by the time of capp: the median over the repetitions if both have the
  same number of runs, otherwise the ratio of the medians.
- capp runs with `--precision auto`, its default, unless a column says otherwise. The time includes rescoring.
- *TFLOP needed* is the number of operations that the task requires, counted from the shape of the model and the token tree
  (bench/flops.py): each shared prefix once, the head only for contexts whose next token is scored, no padding. *The limit* is
  the time that these operations take at the measured peak speed of all cores, in the precision that scores all rows. For integers it
  counts one digit of each input in mixed and i8, two in i16. *Share of the limit* is this time divided by the
  time of capp.
- Peak memory is the resident memory of the whole process, with libraries and weights. For the figure of CAPPr, capp gets a
  memory budget (`--memory`) that limits it to the peak of CAPPr at the same point.
"""


CLASS = "*Class*: the instruction sets that both programs may use; *own*: all that the machine has."


def seconds(value):
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def times(value):
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def percent(value, digits=0):
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def gigabytes(value):
    return f"{value / 1e9:.2f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join(["---"] * len(head)) + " |"]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]) + "\n"


def shown(name, dtype=""):
    """A method's name for readers."""
    name = re.sub(r"^generate (\d) (\w+)$", r"transformers generates \1, \2", name)
    name = re.sub(r"^generate (\d)$", r"transformers generates \1", name)
    return re.sub(r"^capp generate (\d)$", r"capp generates \1", name)


def method_rows(point, keys=("same_as_capp", "accuracy")):
    """A row for each method of a point: seconds, runs, ratio to capp, memory, and other known facts."""
    ours = point["methods"].get("capp")
    for name, facts in point["methods"].items():
        flags = f" `{facts['flags']}`" if facts.get("flags") else f", {facts['slots']} slots" if facts.get("slots") else ""
        yield [shown(name) + flags, seconds(median(facts)), len(facts["seconds"]),
               times(stored.ratio(facts, ours)) if ours and name != "capp" else "",
               gigabytes(facts["peak_bytes"]) if "peak_bytes" in facts else "–",
               *[percent(facts[key], 1) if facts.get(key) is not None else "" for key in keys]]


def roofline(results, work, point):
    """One sentence: the number of operations that the task needs, and how close capp is to the limit of the machine."""
    ours, need = point["methods"].get("capp"), point["need"]
    if not ours:
        return ""
    text = f"Needed: {need['tokens']:,} tokens, {need['head_rows']:,} rows of the head, {need['flops'] / 1e12:.3f} TFLOP"
    if "tokens_computed" in ours:
        text += f" (capp ran {ours['tokens_computed']:,} tokens)"
    peak = results.peak(ours, work)
    if peak:
        best = need["flops"] / peak
        text += f"; {best:.3f} s at the peak speed of {ours['isa']}, so capp runs at {percent(best / median(ours))} of the limit"
    return text + ".\n"


# ---- Sections --------------------------------------------------------------------------------------------------------


def machine(results):
    facts = results.machine
    yield f"{facts['processor']} ({facts['model']}), {facts['cores']} cores used by {facts['threads']} threads, " \
          f"{facts['memory_bytes'] / 2**30:.0f} GiB, Linux {facts['kernel']}, {KINDS[results.kind]}.\n"
    if facts["peak_gflops"]:
        yield table(("instruction set, precision", "measured peak speed, all cores, GFLOP/s"),
                    [(name, f"{rate:.0f}") for name, rate in facts["peak_gflops"].items()])
    yield "Compared with: " + ", ".join(f"{name} {version}" for name, version in results.peers.items()) + ".\n" if results.peers \
        else "No other programs were installed.\n"
    yield table(("measurement", "date", "commit", "duration"),
                [(f"`{name}`" + (" (quick)" if work["quick"] else ""), work["date"], work["commit"], f"{work['took_seconds']} s")
                 for name, work in results.works.items()])
    older = [f"{' '.join(str(point[key]) for key in ('model', 'name', 'n', 'tokens', 'class', 'isa') if key in point)} "
             f"({point['commit']}{', ' + point['date'] if 'date' in point else ''})"
             for work in ("figure", "prefill", "lanes", "big") for point in results.points(work)
             if point.get("commit", results.works[work]["commit"]) != results.works[work]["commit"]]
    if older:
        yield "Points that were measured at another commit than the rest of their measurement: " + ", ".join(older) + ".\n"


def speed(results):
    """The answer first: the speed ratios, and what else users ask."""
    rows = list(stored.ratios(results))
    if rows:
        facts = results.machine
        yield f"On {facts['processor']}, {facts['threads']} threads:\n"
        yield table(("task: compared with", "other, s", "capp, s", "times faster", "TFLOP needed", "limit of the machine, times faster",
                     "share of the limit"),
                    [(row["label"], seconds(row["theirs"]), seconds(row["ours"]), f"**{times(row['ratio'])}**",
                      f"{row['flops'] / 1e12:.3f}", "–" if row["roof"] is None else times(row["roof"]),
                      percent(row["share"])) for row in rows])
    rows = list(stored.demands(results))
    if rows:
        yield table(("other facts", "measured"), [(what, measured) for what, measured, _target, _met in rows])


def memory(results):
    """Peak memory of capp and the other programs in the same tasks."""
    rows = []
    for work, title in (("copa", "COPA"), ("banking77", "Banking77")):
        for point in results.points(work):
            methods, ours = point["methods"], point["methods"].get("capp", {})
            task = f"{title}, {point['form']}, {point['texts']} texts" if "form" in point else f"{title}, {NAMES[point['name']]}"
            rows += [(task, shown(name), gigabytes(facts["peak_bytes"]),
                      gigabytes(ours["peak_bytes"])) for name, facts in methods.items()
                     if not name.startswith("capp") and "peak_bytes" in facts and "peak_bytes" in ours]
    if rows:
        yield "Peak memory of the whole process, including weights:\n"
        yield table(("task", "compared with", "other, GB", "capp, GB"), rows)


def figure(results):
    points = results.points("figure")
    if not points:
        return
    yield "CAPPr's documentation has a figure of its run time, with 48 COPA prompts and a model with the shape of GPT-2 small and " \
          "random weights. This is the same task. CAPPr uses batches of 16; capp has no batch size. *Distinct*: n different " \
          "choices, those of the item and of the next items. *Repeated*: the two choices of the item, n/2 times each, as in " \
          "CAPPr's figure. capp computes equal choices only once, so it has an advantage in this form. Generation uses the " \
          "prompt with a list of the choices.\n"
    for series in dict.fromkeys(point["name"] for point in points):
        each = [point for point in points if point["name"] == series]
        names = list(dict.fromkeys(name for point in each for name in point["methods"]))
        rows = []
        for point in each:
            methods, ours = point["methods"], point["methods"].get("capp")
            cached = next((facts for name, facts in methods.items() if name.startswith("CAPPr cached")), None)
            peak = results.peak(ours, "figure") if ours else None
            rows.append([point["n"], *[f"{seconds(median(methods[name]))} ({len(methods[name]['seconds'])})" if name in methods
                                       else "–" for name in names],
                         times(stored.ratio(cached, ours)) if cached and ours else "–",
                         f"{point['need']['flops'] / 1e12:.3f}",
                         percent(point["need"]["flops"] / peak / median(ours)) if peak else "–"])
        yield f"**{series.replace(' ', ', other programs in ')}**: seconds (runs).\n"
        yield table(("classes", *map(shown, names), "CAPPr cached / capp", "TFLOP needed", "share of the limit"), rows)
        yield "Peak memory, GB:\n"
        yield table(("classes", *map(shown, names)),
                    [[point["n"], *[gigabytes(point["methods"][name]["peak_bytes"]) if name in point["methods"] else "–"
                                    for name in names]] for point in each])
    same = [facts["same_as_capp"] for point in points for facts in point["methods"].values() if "same_as_capp" in facts]
    if same:
        yield f"At least {percent(min(same), 1)} of the decisions of CAPPr and capp are equal. (With random weights, scores are close " \
              "together.)\n"
    yield from accuracy(results)


def accuracy(results):
    found = results.works["figure"]["data"].get("accuracy", [])
    if not found:
        return
    names = list(dict.fromkeys(name for each in found for name in each["accuracy"]))
    yield f"The same task with SmolLM2 ({found[0]['rows']} items, distinct classes, other programs in {found[0]['dtype']}): the share " \
          "of correct answers and, in parentheses, the share of answers that could be read. The answer of a generated text is " \
          "its first number.\n"
    yield table(("classes", *map(shown, names)),
                [[each["n"], *[f"{percent(each['accuracy'][name], 1)} ({percent(each['named'][name])})"
                               if name in each["accuracy"] else "–" for name in names]] for each in found])


def tried(point):
    if point.get("tried"):
        return "Options tried first on a part of the rows: " + ", ".join(f"`{flags}` {s:.2f} s" for flags, s in point["tried"].items()) + ".\n"
    return ""


def comparisons(results, work, title):
    for point in results.points(work):
        yield f"**{title(point)}**\n"
        yield table(("program", "seconds", "runs", "times the time of capp", "peak memory, GB", "same decisions as capp", "accuracy"),
                    method_rows(point))
        yield roofline(results, work, point) + tried(point)


def banking77(results):
    if results.points("banking77"):
        yield "SmolLM2 Q4_1, 77 classes, prompt `Question: {text}\\nTopic:`. *Listed*: the classes are listed in a prefix that all " \
              "texts share and that the other program caches. *After*: the list comes after the text, so rows do not share it. " \
              "llama-perplexity reports only the rate of correct answers. llama-server generates up to 12 tokens; they are " \
              "correct if they are exactly the name of the class.\n"
    forms = {"plain": "plain", "listed": "classes listed in a prefix", "after": "classes listed after the text"}
    yield from comparisons(results, "banking77", lambda point: f"{forms[point['form']].capitalize()}, {point['texts']} "
                           f"text{'s' if point['texts'] > 1 else ''}: {point['name']}")


def copa(results):
    yield from comparisons(results, "copa", lambda point: f"{NAMES[point['name']]}, {point['rows']} rows of two choices")


def prefill(results):
    rows = []
    for point in results.points("prefill"):
        methods, ours = point["methods"], point["methods"]["capp"]
        peak = results.peak(ours, "prefill")
        rows += [[NAMES[point["name"]], f"{point['tokens']:,}", point["class"], shown(name), f"{facts['tokens'] / median(facts):,.0f}",
                  len(facts["seconds"]),
                  times(stored.ratio(facts, ours)) if name != "capp" else "",
                  gigabytes(facts["peak_bytes"]) if "peak_bytes" in facts else "",
                  percent(point["need"]["flops"] / peak / median(facts)) if peak and name == "capp" else ""]
                 for name, facts in methods.items()]
    if rows:
        yield f"One text: keys and values are stored, and the logits of one row computed. {CLASS}\n"
        yield table(("file", "tokens", "class", "program", "tokens per second", "runs", "capp is faster, times", "peak memory, GB",
                     "share of the limit"), rows)


def file_of(point):
    return NAMES[point["model"]] + (f", {point['layers']} layers" if "layers" in point else "")


def big(results):
    def held(facts, name):
        return gigabytes(facts[name]) if name in facts else ""

    def task(point):
        if point["name"] == "start":
            return "first decision"
        work = point["name"].split()[0]
        return f"{work}, {point['tokens']} tokens" if "tokens" in point else f"{work}, {point['rows']} rows"

    def share(point, facts):
        peak = results.peak(facts, "big") if "isa" in facts else None
        return f"{percent(point['need']['flops'] / peak / median(facts))} of {facts['isa'].split()[1]}" if peak else ""

    rows = [[file_of(point), task(point), point.get("class", ""), shown(name), seconds(median(facts)), len(facts["seconds"]),
             f"{stored.ratio(facts, point['methods']['capp']):.2f}" if name != "capp" and "capp" in point["methods"] else "",
             held(facts, "anonymous_bytes"), held(facts, "file_bytes"), share(point, facts)]
            for point in results.points("big") for name, facts in point["methods"].items()]
    if rows:
        yield f"Weights that stay in the file (`--weights-memory 0`), random ones with the shapes of these models. {CLASS}\n"
        yield table(("file", "task", "class", "program", "seconds", "runs", "capp is faster, times", "own memory, GB",
                     "pages of files, GB", "share of the limit"), rows)
    yield from experts(results)


def experts(results):
    """How many experts of a mixture ran: a file that leaves most of them out would be no measurement."""
    ran = [(file_of(point), facts["experts_fewest"]) for point in results.points("big")
           for facts in [point["methods"].get("capp", {})] if "experts_fewest" in facts]
    for name in dict.fromkeys(name for name, _ in ran):
        yield f"{name}: in each layer but the last, at least {min(n for who, n in ran if who == name)} of 128 experts ran. (In the last " \
              "layer only the row whose next token is scored goes on.) Qwen3-30B-A3B has 48 layers. llama.cpp copies the weights of all " \
              "experts into memory of its own.\n"


def lanes(results):
    """The rate of each precision by instruction set, and which ones `auto` uses."""
    def rate(point, name):
        if name not in point["methods"]:
            return "–"
        text = f"{point['tokens'] / median(point['methods'][name]):,.{0 if point['model'] != '7b' else 1}f}"
        return f"**{text}**" if name == point["auto"]["scoring"] else text

    rows = [[NAMES[point["model"]], classes.ISAS[point["isa"]], f"`{point['isa']}`", *[rate(point, name) for name in ("mixed", "i16", "f32", "bf16")],
             ", ".join(dict.fromkeys(point["auto"].values()))] for point in results.points("lanes")]
    if rows:
        yield "Tokens per second of each precision in the prefill of one text, by the instruction sets that capp may use (`--isa`). The " \
              "last column has what `auto` uses: the precision that scores all rows (bold), and the one that scores close rows again.\n"
        yield table(("file", "class", "`--isa`", "mixed", "i16", "f32", "bf16", "`auto`"), rows)


def start(results):
    def cell(point, method):
        return seconds(median(point["methods"][method])) if method in point["methods"] else ""

    rows = []
    for point in results.points("start"):
        size = point["methods"].get("reading", {}).get("bytes")
        rows.append((NAMES[point["name"]], f"{size / 1e6:,.0f} MB" if size else "",
                     *(cell(point, method) for method in ("capp", "capp, from the disk", "reading")),
                     len(point["methods"]["capp"]["seconds"])))
    if rows:
        yield ("Seconds from the start of the process to the first decision on standard output, with the model in the page "
               "cache and without. The last column is the time to only read the same files from the disk. Folders are "
               "float32 and are packed as bfloat16.\n")
        yield table(("model", "files", "cached", "from the disk", "reading alone", "runs"), rows)


def decisions(results):
    rows = [(point["name"], NAMES[point["model"]], point["rows"], name, percent(facts["kept"], 2), f"{facts['difference']:.5f}",
             f"{facts['largest_difference']:.4f}", percent(facts["rescored"], 1), percent(facts["accuracy"], 1), seconds(facts["seconds"]))
            for point in results.points("decisions") for name, facts in point["methods"].items()]
    if rows:
        yield "Each precision compared with float32 on the same rows. *Rescored*: the share of rows with scores so close that `auto` " \
              "computed them again. The seconds include this (one run).\n"
        yield table(("task", "model", "rows", "precision", "decisions kept", "mean difference of probability", "largest", "rescored",
                     "accuracy", "seconds"), rows)


def early(results):
    rows = [(f"{point['n']:,} {point['name']}", point["aggregate"], point["rows"], percent(point["saved"], 1),
             percent(point["same"], 1), *[seconds(median(point["methods"][name])) for name in ("full", "only prediction")])
            for point in results.points("early")]
    if rows:
        yield "With `--only-prediction`, capp does not finish classes that can no longer win. The lists are from tools/make_classes.py.\n"
        yield table(("classes", "score", "texts", "completion tokens saved", "same decisions", "full, s", "only prediction, s"), rows)


def scaling(results):
    for against in ("classes", "rows"):
        points = results.points("scaling", against=against)
        if points:
            budget = results.works["scaling"]["data"]["budget"]
            yield f"By number of {against}: SmolLM2, a memory budget of {budget >> 20} MiB without the weights" + (
                ", 16 texts:\n" if against == "classes" else ", 4 classes:\n")
            yield table((against, "seconds", "runs", "tokens run", "rows of the head", "ms per token", "peak memory, GB"),
                        [(f"{point['n']:,}", seconds(median(facts)), len(facts["seconds"]), f"{facts['tokens_computed']:,}",
                          f"{facts['head_rows']:,}", f"{1000 * median(facts) / facts['tokens_computed']:.3f}",
                          gigabytes(facts["peak_bytes"])) for point in points for facts in [point["methods"]["capp"]]])


def tokenizing(results):
    names = {"gpt2": "GPT-2", "llama2": "Llama 2", "llama3": "Llama 3", "qwen3": "Qwen 3"}
    points = results.points("tokenizing")
    rows = [(names[point["name"]], f"{point['count']:,} {point['texts']}", shown(name), f"{1000 * median(facts):.1f}",
             len(facts["seconds"]), f"{point['bytes'] / median(facts) / 1e6:.1f}",
             times(stored.ratio(facts, point["methods"]["capp"])) if name != "capp" else "")
            for point in points for name, facts in point["methods"].items()]
    if rows:
        yield "One thread each, with the published tokenizer.json. The ids are " + \
              ("the same" if all(point["same_ids"] for point in points) else "**not the same**") + \
              ". *Short*: texts of Banking77; *long*: texts made of 300 of these.\n"
        yield table(("tokenizer", "texts", "program", "milliseconds", "runs", "MB per second", "times the time of capp"), rows)
        yield table(("tokenizer", "time to open: capp, s", "tokenizers package, s"),
                    [(names[point["name"]], *[seconds(point["opening"][name]) for name in ("capp", "tokenizers")])
                     for point in points if point["texts"] == "short"])


def kernels(results):
    data = results.works.get("kernels", {}).get("data", {})
    rows = [(each["model"], each["isa"], seconds(each["processor_seconds"]), percent(each["share_of_time"]),
             percent(each["share_of_peak"])) for each in data.get("inside", [])]
    if rows:
        yield "Matrix products during a run: their processor time according to perf, and their speed.\n"
        yield table(("task", "instruction set", "processor seconds", "share of the run", "share of peak speed"), rows)
    rows = [(f"`{each['isa']}`", each["shape"].removesuffix(" 0"), f"{each['gflops']:.0f}", percent(each["share"]))
            for each in data.get("micro", []) if each["op"] == "matmul" and not each["isa"].startswith("ref")]
    if rows:
        yield "The kernels alone, on one core (rows, K, N), measured by `bench_kernels`.\n"
        yield table(("instruction set", "shape", "GFLOP/s", "share of peak speed"), rows)


SECTIONS = (("How much faster", speed, "ratios"), ("How much memory", memory, None), ("The machine", machine, None),
            ("CAPPr's figure", figure, "classes"), ("Banking77", banking77, None), ("COPA", copa, None), ("Prefill", prefill, None),
            ("Precisions", lanes, None), ("Large models", big, None), ("Start", start, None), ("Decisions kept", decisions, None),
            ("Deciding without finishing", early, None), ("Time by number of classes and rows", scaling, "scaling"),
            ("Tokenizing", tokenizing, None), ("Kernels", kernels, None))


def page(machines, drawn):
    """drawn: {(machine, figure): its file beside the page}."""
    parts = [HEAD]
    for results in machines:
        dates = sorted({work["date"] for work in results.works.values()})
        parts.append(f"## {results.machine['processor']} ({results.machine['model']}), {KINDS[results.kind]}\n")
        parts.append("Measured on " + (f"{dates[0]} to {dates[-1]}" if len(dates) > 1 else dates[0]) + ".\n")
        for title, section, picture in SECTIONS:
            text = list(section(results))
            if not text:
                continue
            parts.append(f"### {title}\n")
            if (results.name, picture) in drawn:
                parts.append(f"![{title}]({drawn[results.name, picture]})\n")
            parts += text
        skipped = [f"- {each}" for work in results.works.values() for each in work["skipped"]]
        if skipped:
            parts += ["### Not measured\n", "\n".join(dict.fromkeys(skipped)) + "\n"]
    parts.append(DEFAULTS)
    parts.append(ARM)
    parts.append(METHOD.format(threads=" or ".join(sorted({str(each.machine["threads"]) for each in machines}))))
    return "\n".join(part for part in parts if part)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", default=f"{HERE}/results")
    parser.add_argument("--out", default=f"{HERE}/../docs")
    parser.add_argument("--no-figures", action="store_true")
    o = parser.parse_args()
    machines = stored.load(o.results) if os.path.isdir(o.results) else []
    if not machines:
        raise SystemExit(f"render.py: no results in {o.results}; `make bench` makes them")
    drawn = {}
    if not o.no_figures:
        import plots
        drawn = {(each.name, what): name for each in machines for what, name in plots.draw(each, pathlib.Path(o.out))}
    path = pathlib.Path(o.out) / "performance.md"
    path.write_text(page(machines, drawn), encoding="utf-8")
    print("\n".join(map(str, [path, *drawn.values()])))


if __name__ == "__main__":
    main()

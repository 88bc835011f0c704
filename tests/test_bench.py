"""The benchmark's counts and claims (bench/): the token tree that it counts is the one that the engine runs, and bars
are compared as written."""
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))
import base  # noqa: E402
import calibration  # noqa: E402
import check_decisions  # noqa: E402
import classes  # noqa: E402
import engine  # noqa: E402
import flops  # noqa: E402
import machine  # noqa: E402
import peers  # noqa: E402
import results  # noqa: E402
from works import big, kernels, lanes, prefill  # noqa: E402

ROWS = [{"prompt": "one two three", "completions": ["a", "a b", "a b c", "d"]},
        {"prompt": "one two four", "completions": ["a b", "e"]}, {"prompt": "one two three", "completions": ["a b", "f g"]}]


@pytest.fixture
def bench(capp, tiny_model, tmp_path):
    folder = Path(tiny_model).parent
    return base.Bench(capp, "none", str(tmp_path / "none"), str(tmp_path), str(folder), str(tmp_path), 1, True, "f32", "float32", 1, str(tmp_path))


def test_the_tree_is_the_engines(bench, tiny_model, capp, tmp_path):
    path, report = bench.write(ROWS), tmp_path / "r.json"
    need = flops.needed(bench, Path(tiny_model).stem, path)
    subprocess.run([capp, "evaluate", "-q", "-m", tiny_model, "--label", "label", "--json", report, path], check=True)
    ran = json.loads(report.read_text())
    assert (need["tokens"], need["head_rows"]) == (ran["tokens_computed"], ran["head_rows"])
    assert need["flops"] > 0


def test_tree_by_hand():
    # 1-2 shared; below it 3 (scored, and computed because its child is scored) and 4 (only scored).
    assert flops.tree([([1, 2], [[3, 5], [4]])]) == {"tokens": 3, "head_rows": 2, "context": 6, "head_context": 5}
    assert flops.tree([([1], [[2]]), ([1], [[2]])]) == {"tokens": 1, "head_rows": 1, "context": 1, "head_context": 1}


def test_flops_of_a_layer():
    shape = flops.Shape(layers=2, width=4, attention=[4, 4], kv=4, vocabulary=10, layer_weights=200)
    whole = 2 * 200 * 3 + 4 * 4 * 2 * 6 + 2 * 10 * 4 * 3
    assert shape.flops(3, 3, 6, 6) == whole
    # For two tokens that only feed keys and values, the last layer computes only those: 100 - 2 * 4 * 4 weights less
    # each.
    assert shape.flops(3, 1, 6, 3) == whole - 2 * 2 * (100 - 32) - 4 * 4 * 3 - 2 * 10 * 4 * 2
    without = flops.Shape(layers=2, width=4, attention=[0, 4], kv=4, vocabulary=10, layer_weights=200)
    assert without.flops(3, 3, 6, 6) == whole - 4 * 4 * 6


def fake(kind, peak):
    facts = {"isa": "unit", "seconds": [1.0]}
    return (SimpleNamespace(kind=kind, dtype="float32", peak=lambda ours, work: peak),
            {"need": {"flops": 5e11}}, {"seconds": [8.0]}, facts)


def test_a_bar_above_three_quarters_of_the_roofline_gives_way():
    machine_, point, theirs, ours = fake("avx2", 1e12)  # the roofline: 0.5 s, 16 times; three quarters of that: 12
    for bar, counts, met in ((10, 10, False), (20, 12, False), (8, 8, True)):
        row = results.judge("x", machine_, "w", point, theirs, ours, bar, 1)
        assert (row["ratio"], row["roof"], row["counts"], row["met"], row["share"]) == (8, 16, counts, met, 0.5)
    row = results.judge("x", fake("avx2", None)[0], "w", point, theirs, ours, 8, 1)
    assert (row["counts"], row["roof"], row["met"]) == (8, None, True)
    assert results.judge("x", machine_, "w", point, theirs, ours, None, 1)["met"] is None


def test_methods_take_turns_and_slow_ones_run_less(bench):
    order, times = [], {"a": 1, "slow": 50, "slower": 120}

    def run(name):
        order.append(name)
        return {"seconds": times[name], "peak_bytes": len(order)}

    found = base.alternate(bench, {name: lambda name=name: run(name) for name in times}, 5)
    assert {name: len(facts["seconds"]) for name, facts in found.items()} == {"a": 5, "slow": 3, "slower": 1}
    assert order[:3] == ["a", "slow", "slower"] and order[3:5] == ["slow", "a"]


def test_a_method_that_cannot_run_is_named(bench):
    def missing():
        raise base.Skip("not here")

    found = base.alternate(bench, {"a": lambda: {"seconds": 1}, "b": missing}, 2)
    assert list(found) == ["a"] and bench.skipped == ["b: not here"]


def test_ratios_go_by_repetition():
    assert results.ratio({"seconds": [2, 8, 3]}, {"seconds": [1, 2, 1]}) == 3
    assert results.ratio({"seconds": [9]}, {"seconds": [1, 3, 4]}) == 3


def test_binary_tasks_of_llama_perplexity():
    data = peers.packed([{"prompt": "ab", "completions": ["c", "de"], "label": 1}])
    assert data == (b"\1\0\0\0" + b"\x08\0\0\0" + b"\2\0\0\0ab" + b"\2\0\0\0" + b"\1\0\0\0c" + b"\2\0\0\0de"
                    + b"\0\0\0\0" + b"\1\0\0\0" + b"\0\0\0\0")


@pytest.mark.parametrize("flags, kind", [({"amx_tile", "amx_bf16", "avx512_bf16"}, "amx"), ({"avx512_bf16"}, "avx512_bf16"),
                                         ({"avx512f", "avx2"}, "avx2")])
def test_column_of_a_machine(flags, kind):
    assert machine.kind(flags) == kind


def test_the_page_is_made_of_files(tmp_path):
    facts = {"seconds": [1.0, 1.2, 1.1], "isa": "avx2", "peak_bytes": 10**9, "tokens_computed": 5}
    need = {"tokens": 5, "head_rows": 2, "flops": 10**11}
    work = {"work": "copa", "date": "2026-01-01", "commit": "c", "peers": {}, "quick": False, "dtype": "float32", "took_seconds": 1,
            "skipped": ["x: no y"], "machine": {"processor": "P", "model": "m", "kind": "avx2", "cores": 2, "memory_bytes": 1 << 34,
                                                "kernel": "6", "threads": 2, "peak_gflops": {"avx2": 200.0}},
            "data": {"points": [{"name": "smollm2", "rows": 500, "need": need, "tried": {},
                                 "methods": {"llama-perplexity": {"seconds": [3.3, 3.6, 3.3]}, "capp": facts}}]}}
    folder = tmp_path / "results" / "p"
    folder.mkdir(parents=True)
    (folder / "copa.json").write_text(json.dumps(work))
    subprocess.run([sys.executable, ROOT / "bench" / "render.py", "--results", tmp_path / "results", "--out", tmp_path,
                    "--no-figures"], check=True)
    page = (tmp_path / "performance.md").read_text()
    assert "| COPA, 500 rows: llama-perplexity | 3.300 | 1.100 | **3.0** | 0.100 | 6.6 | 45 % |" in page
    assert "x: no y" in page


def test_the_page_is_the_committed_one(tmp_path):
    """docs/performance.md is what its source makes of bench/results, but for the figures."""
    subprocess.run([sys.executable, ROOT / "bench" / "render.py", "--out", tmp_path, "--no-figures"], check=True, capture_output=True)
    figure = re.compile(r"^!\[.*\n\n?", re.M)
    assert figure.sub("", (ROOT / "docs" / "performance.md").read_text()) == figure.sub("", (tmp_path / "performance.md").read_text())


def test_the_page_of_calibration_shows_the_numbers():
    """docs/calibration.md is what bench/calibration.py writes, and its numbers are those of bench/calibration.json."""
    points = json.loads(calibration.NUMBERS.read_text(encoding="utf-8"))
    page = calibration.PAGE.read_text(encoding="utf-8")
    assert page == calibration.page(points), "run python3 bench/calibration.py --only-page"
    assert {(point["task"], point["model"]) for point in points} == {(task, model) for task in calibration.TASKS for model in calibration.MODELS}
    assert all(f"{point['methods']['batch']['log_loss']:.3f}" in page for point in points)


def test_the_unit_is_that_of_the_precision_that_scores():
    report = {"peak_memory_bytes": 1, "isa": "avx512bf16", "precision": "auto", "scoring": "mixed", "deciding": "i16", "seconds": 2}
    facts = engine.facts_of(report, "auto")
    assert facts["isa"] == "avx512bf16 mixed" and facts["deciding"] == "i16" and facts["precision"] == "auto"


def test_experts_that_ran_in_every_layer(bench, monkeypatch):
    """Three layers of 8 experts, of which the last ran 2: all others ran 8 each if 18 ran; if 15 ran, one may have run only 5."""
    monkeypatch.setattr(big.engine, "inspect", lambda *_: {"model": {"experts": "8, 2 for a token"}})
    for ran, fewest in ((18, 8), (15, 5), (4, 0)):
        assert big.fewest_experts(bench, "m", {"experts_run": ran, "expert_layers_run": 3, "head_rows": 1}) == fewest


@pytest.mark.parametrize("unit, products", [("amx", {"accumulate_half_kept", "accumulate_kept", "accumulate_half", "accumulate_one", "accumulate_many",
                                                     "multiply_panel"}),
                                            ("avx512bf16", {"tile_1", "tile_12", "multiply_panel"}), ("avx2", {"packed_1_4", "spread_1_4", "narrow_1_4"})])
def test_perf_counts_the_products_of_each_unit(build, unit, products):
    """The names of the kernels' functions, as perf shows them: products count, and what prepares them does not."""
    library = build / f"libkernel_{unit}.a"
    if not library.exists():
        pytest.skip("not a build for x86-64")
    text = subprocess.run(["nm", library], capture_output=True, text=True, check=True).stdout
    names = set(re.findall(r" [tT] (\S+)$", text, re.M))
    assert products <= names
    counted = {name for name in names if re.search(kernels.PRODUCTS, name)}
    assert products <= counted
    assert not counted & {"narrow", "pack", "put_rows", "put_column", "scores", "values", "exps", "rest"}


def test_operations_of_attention_count(bench, tiny_model, capp, tmp_path):
    """Products and attention together are what the rows need, if nothing runs twice."""
    path, model = bench.write(ROWS), Path(tiny_model).stem
    need = flops.needed(bench, model, path)
    products, attention = kernels.operations(bench, model, path, {"tokens_computed": need["tokens"], "head_rows": need["head_rows"]})
    assert products + attention == need["flops"] and attention > 0


def test_attention_has_its_own_peak():
    peaks = {"amx bf16": 2000, "amx f32": 100, "amx i16": 400}
    assert kernels.least_seconds(4e12, 2e12, "amx bf16", peaks, 2) == pytest.approx(2 * 3)
    assert kernels.least_seconds(4e12, 2e12, "amx i16", peaks, 2) == pytest.approx(2 * (10 + 20))
    assert kernels.least_seconds(4e12, 2e12, "avx2 i8", peaks, 2) is None


def test_kernels_of_several_threads(build):
    """All threads run a case; one prints."""
    program = build / "tests/bench_kernels"
    text = subprocess.run([program, "ref", "scale", "2"], capture_output=True, text=True, check=True).stdout
    assert [float(rate) > 0 for rate in re.findall(r"^ref +f32 +(?:peak|scale) .* ([0-9.]+) GFLOP/s", text, re.M)] == [True, True]
    for threads in ("0", "65", "x"):
        assert subprocess.run([program, "ref", "scale", threads], capture_output=True).returncode == 2


def test_peaks_that_are_not_measured_are_reported(bench, monkeypatch, build):
    monkeypatch.setattr(bench, "kernels", build / "tests/bench_kernels")
    monkeypatch.setattr(bench, "threads", 65)
    assert machine.peaks(bench) == {} and "1 to 64 threads" in bench.skipped[-1]


def test_only_keeps_the_other_points(bench, monkeypatch, tmp_path):
    """bench.only measures one class and keeps what was measured of the others, in prefill, lanes and big."""
    monkeypatch.setattr(classes, "here", lambda: ["avx2", "avxvnni"])
    for work, key in ((prefill, "class"), (lanes, "isa")):
        name = work.__name__.rsplit(".", 1)[-1]
        old = [{"name": "smollm2", "model": "smollm2", "tokens": 512, key: value, "methods": {}} for value in ("AVX2", "avx2", "AVX-512 VNNI", "avxvnni")]
        (tmp_path / f"{name}.json").write_text(json.dumps({"data": {"points": old}}))
        monkeypatch.setattr(work, "point", lambda bench, model, *at: {"name": model, "model": model, "tokens": 512, key: at[-1], "new": True})
        monkeypatch.setattr(base.Bench, "model", lambda *_: "m.gguf")
        bench.only = "^smollm2 (512 AVX2|avx2)$"
        found = work.run(bench)["points"]
        assert [point[key] for point in found] == [x for x in ("AVX2", "avx2", "avxvnni", "AVX-512 VNNI") if (x in classes.CLASSES) == (key == "class")]
        assert [point.get("new", False) for point in found] == [True, False]


def test_the_page_has_classes_with_memory_and_precisions(tmp_path):
    machine_ = {"processor": "P", "model": "m", "kind": "avx2", "cores": 2, "memory_bytes": 1 << 34, "kernel": "6", "threads": 2,
                "peak_gflops": {"avxvnni mixed": 200.0}}
    about = {"date": "2026-01-02", "commit": "c", "peers": {}, "quick": False, "dtype": "float32", "took_seconds": 1, "skipped": [], "machine": machine_}
    ours = {"seconds": [2.0], "isa": "avxvnni mixed", "anonymous_bytes": 10**8, "file_bytes": 4 * 10**9, "experts_fewest": 125}
    theirs = {"seconds": [3.0], "anonymous_bytes": 4 * 10**9, "file_bytes": 10**9}
    works = {"big": [{"name": "prefill AVX2 and AVX-VNNI", "class": "AVX2 and AVX-VNNI", "model": "30b-a3b", "layers": 24, "tokens": 512,
                      "need": {"tokens": 1, "flops": 10**11}, "methods": {"llama-bench": theirs, "capp": ours}}],
             "lanes": [{"model": "7b", "isa": "avxvnni", "tokens": 128, "auto": {"scoring": "mixed", "deciding": "i16"},
                        "methods": {"mixed": {"seconds": [4.0]}, "i16": {"seconds": [8.0]}, "f32": {"seconds": [16.0]}}}]}
    for name in ("a", "b"):
        folder = tmp_path / "results" / name
        folder.mkdir(parents=True)
        for work, points in works.items():
            (folder / f"{work}.json").write_text(json.dumps({**about, "work": work, "data": {"points": points}}))
    subprocess.run([sys.executable, ROOT / "bench" / "render.py", "--results", tmp_path / "results", "--out", tmp_path,
                    "--no-figures"], check=True)
    page = (tmp_path / "performance.md").read_text()
    assert page.count("## P (m), AVX2\n\nMeasured on 2026-01-02.") == 2
    assert "| 30B-A3B Q4_K_M, 24 layers | prefill, 512 tokens | AVX2 and AVX-VNNI | capp | 2.000 | 1 |  | 0.10 | 4.00 | 25 % of mixed |" in page
    assert "| llama-bench | 3.000 | 1 | 1.50 | 4.00 | 1.00 |  |" in page and "at least 125 of 128 experts" in page
    assert "| 7B Q4_K_M | AVX2 and AVX-VNNI | `avxvnni` | **32.0** | 16.0 | 8.0 | – | mixed, i16 |" in page


# ---- bench/check_decisions.py ----------------------------------------------------------------------------------------

# Scores rows: float32 decides for the first completion everywhere, auto for the second one in so many rows.
DECIDES = """#!/usr/bin/env python3
import json, sys
out, others = sys.argv[sys.argv.index("-o") + 1], 0 if "f32" in sys.argv else %d
rows = open(sys.argv[-1]).readlines()
open(out, "w").writelines(json.dumps({"index": int(i < others), "probabilities": [0.6, 0.4]}) + "\\n" for i in range(len(rows)))
"""


def checked(*options):
    return subprocess.run([sys.executable, ROOT / "bench" / "check_decisions.py", *map(str, options)], capture_output=True, text=True)


@pytest.mark.parametrize("others, status", [(0, 0), (1, 0), (2, 1)])
def test_too_many_other_decisions_fail(shared, tmp_path, others, status):
    """One of 63 rows may differ."""
    fake = tmp_path / "capp"
    fake.write_text(DECIDES % others)
    fake.chmod(0o755)
    done = checked(tmp_path / "rows", "--capp", fake, "--model", "smollm2", "--task", "copa", "--every", 8)
    assert done.returncode == status, done.stderr
    assert f"smollm2, auto: {others} of 63 rows differ; at most 1 may" in done.stdout
    assert done.stdout.count(", gap 0.40547") == others


def test_how_many_decisions_may_differ():
    """In a sample, as few as a model with 6 other decisions in all rows shows in 19 of 20 samples."""
    assert [check_decisions.most_of(rows) for rows in (1, 63, 896, 3580, 7160)] == [0, 1, 2, 5, 6]


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("model", ["smollm2", "gemma3"])
def test_auto_decides_as_float32(capp, shared, request, tmp_path, model):
    """Of each eighth row. bench/check_decisions.py FOLDER compares all."""
    request.getfixturevalue(model)
    done = checked(tmp_path, "--capp", capp, "--model", model, "--every", 8, "--threads", os.cpu_count())
    assert done.returncode == 0, done.stdout + done.stderr

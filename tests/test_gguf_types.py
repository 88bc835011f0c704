"""A small model whose matrices have a quantized type of GGUF gives the same bits as with the float32 matrices that the
gguf package dequantizes from them, whether capp converts them to float32, bfloat16, or both."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import supports

np = pytest.importorskip("numpy")
gguf = pytest.importorskip("gguf")

sys.path.insert(0, str(Path(__file__).resolve().parent))
import blocks  # noqa: E402
import tiny  # noqa: E402

WIDTH, HEADS, KV_HEADS, EXPERTS = 256, 4, 1, 3  # each row of a matrix is one block of the K types
TYPES = list(blocks.SCALES)
BYTE_SCALES = {"MXFP4": 1, "MXFP4_PAIRS": 1, "NVFP4": 4}  # bytes
# Types in files that llama.cpp writes: tensors have different types, so that q, k and v differ.
MIXED = ["Q4_K", "IQ2_XXS", "IQ1_M", "Q6_K", "IQ3_S", "NVFP4", "IQ2_S", "Q2_0", "IQ1_S", "MXFP4", "IQ3_XXS", "IQ2_XS", "Q1_0"]
INTEGERS = ["Q4_K", "Q6_K", "Q5_0", "IQ4_XS", "Q2_K", "MXFP4", "Q3_K", "Q8_0", "Q4_1", "Q5_K", "IQ4_NL", "Q5_1", "Q4_0"]
IDS = np.random.default_rng(5).integers(3, 259, (3, 40)).tolist()  # bytes of the vocabulary


def usual(scale):
    """Float16 scales of either sign, of about that size."""
    return lambda n: (np.linspace(0.5, 1.5, n) * scale * (-1.0) ** np.arange(n)).astype(np.float16).view(np.uint16)


def with_byte_scales(made, kind, rng, deviation):
    """The blocks with other scales, which are the bytes at their beginning."""
    n = BYTE_SCALES[kind]
    each = np.full((127, made.shape[1]), 0x22, np.uint8)  # a block of ones for each scale
    each[:, :n] = np.arange(127)[:, None]
    nearest = np.abs(blocks.dequantize(kind, each)[:, 0] - deviation / 3).argmin()
    made[:, :n] = nearest + rng.integers(-1, 2, (len(made), n))
    return made


def random_blocks(kind, n, rng, deviation):
    """Blocks whose values have about that standard deviation."""
    if kind in BYTE_SCALES:
        return with_byte_scales(blocks.random(kind, n, rng, None), kind, rng, deviation)
    tried = blocks.dequantize(kind, blocks.random(kind, 64, rng, usual(1 / 64)))
    return blocks.random(kind, n, rng, usual(deviation / 64 / tried.std()))


class Weights(tiny.Weights):
    """Matrices of the types in turn, stored quantized or dequantized."""

    def __init__(self, writer, kinds, stored, scaled=False):
        super().__init__(writer, 7)
        self.kinds, self.stored, self.scaled, self.n = kinds, stored, scaled, 0

    def matrix(self, name, outputs, inputs, scale=1.0, experts=None):
        kind = self.kinds[self.n % len(self.kinds)]
        self.n += 1
        elements, size = blocks.SIZES[kind]
        rows = outputs * (experts or 1)
        data = random_blocks(kind, rows * inputs // elements, self.random, scale / np.sqrt(inputs))
        data = data.reshape(*([experts] if experts else []), outputs, inputs // elements * size)
        scales = self.scales(name, experts or 1) if self.scaled and kind == "NVFP4" and name != "token_embd" else None
        if self.stored:
            self.writer.add_tensor(name + ".weight", data, raw_dtype=blocks.NUMBERS[kind])
            return
        values = blocks.dequantize(kind, data)
        if scales is not None:
            values = values * (scales.reshape(-1, 1, 1) if experts else scales)
        self.writer.add_tensor(name + ".weight", values)

    def scales(self, name, n):
        """Factors of a tensor, or of each expert in it, as llama.cpp stores them beside NVFP4."""
        scales = np.random.default_rng(list(name.encode())).uniform(0.5, 1.5, n).astype(np.float32)
        if self.stored:
            self.writer.add_tensor(name + ".scale", scales)
            self.writer.add_tensor(name + ".input_scale", np.ones(n, np.float32))
        return scales


def add_layer(weights, prefix, experts):
    weights.norm(prefix + "attn_norm", WIDTH)
    weights.matrix(prefix + "attn_q", WIDTH, WIDTH, 1.5)
    weights.matrix(prefix + "attn_k", WIDTH // HEADS * KV_HEADS, WIDTH, 1.5)
    weights.matrix(prefix + "attn_v", WIDTH // HEADS * KV_HEADS, WIDTH)
    weights.matrix(prefix + "attn_output", WIDTH, WIDTH)
    weights.norm(prefix + "ffn_norm", WIDTH)
    if experts:
        weights.matrix(prefix + "ffn_gate_inp", experts, WIDTH)
    for name in ("gate", "up", "down"):
        weights.matrix(f"{prefix}ffn_{name}{'_exps' if experts else ''}", WIDTH, WIDTH, experts=experts)


def make(path, kinds, stored, experts=None, scaled=False, spoil=None):
    layers = min(2, len(kinds))
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(1e4)
    if experts:
        writer.add_expert_count(experts)
        writer.add_expert_used_count(2)
    tokens = tiny.add_byte_level(writer, "smollm")
    weights = Weights(writer, kinds, stored, scaled)
    weights.matrix("token_embd", tokens, WIDTH, 3.0)
    for i in range(layers):
        add_layer(weights, f"blk.{i}.", experts)
    weights.norm("output_norm", WIDTH)
    weights.matrix("output", tokens, WIDTH, 3.0)
    if spoil:
        spoil(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def pair(tmp_path, monkeypatch):
    """Calls make for the quantized model and for its twin in float32."""
    for kind, size in blocks.SIZES.items():
        monkeypatch.setitem(gguf.constants.GGML_QUANT_SIZES, blocks.NUMBERS[kind], size)

    def both(kinds, experts=None, scaled=False):
        return [make(tmp_path / f"{stored}.gguf", kinds, stored, experts, scaled) for stored in (True, False)]

    return both


def scored(build, model, isa):
    """The output of model_tool: log-probabilities with nine digits, which identify a float32."""
    lines = "".join(" ".join(map(str, ids)) + "\n" for ids in IDS)
    done = subprocess.run([build / "tests" / "model_tool", model, isa], input=lines, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def logprobs(capp, model, precision, *options):
    """The command's output for some rows, and its numbers."""
    rows = [{"prompt": "the one thing", "completions": ["a no", "yes, in the end"]}, {"text": "he was here in the end"}]
    done = subprocess.run([capp, "logprobs", "-q", "-m", model, "--precision", precision, *options],
                          input="".join(json.dumps(row) + "\n" for row in rows), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def check_spread(printed):
    """Checks that the model is not noise: a model of noise would seem equal to anything similar."""
    numbers = np.array(printed.split(), float)
    assert len(numbers) == sum(len(ids) - 1 for ids in IDS) and np.isfinite(numbers).all() and numbers.std() > 1


@pytest.mark.parametrize("kind", TYPES)
def test_each_type(build, pair, kind):
    quantized, plain = pair([kind])
    printed = scored(build, quantized, "avx2")
    check_spread(printed)
    assert printed == scored(build, plain, "avx2")


def check_cached_in_part(capp, model):
    """Weights that are unpacked when they are used, all or some of them, give the same bits."""
    whole = logprobs(capp, model, "auto", "--weights-memory", "all")
    for some in ("0", "600K", "1M"):
        assert logprobs(capp, model, "auto", "--weights-memory", some) == whole, some


@pytest.mark.parametrize("kind", TYPES)
def test_each_type_cached_in_part(capp, pair, kind):
    check_cached_in_part(capp, pair([kind])[0])


@pytest.mark.parametrize("experts", [None, EXPERTS])
def test_mixed_types_cached_in_part(capp, pair, experts):
    check_cached_in_part(capp, pair(MIXED, experts)[0])


@pytest.mark.parametrize("experts", [None, EXPERTS])
def test_mixed_types(build, capp, pair, experts):
    quantized, plain = pair(MIXED, experts)
    for isa in ("ref", "avx2"):
        printed = scored(build, quantized, isa)
        check_spread(printed)
        assert printed == scored(build, plain, isa)
    for precision in ("f32", "auto"):
        assert logprobs(capp, quantized, precision) == logprobs(capp, plain, precision)


@pytest.mark.parametrize("experts", [None, EXPERTS])
def test_scales_beside_nvfp4(build, pair, tmp_path, experts):
    quantized, plain = pair(["NVFP4", "Q8_0", "NVFP4", "NVFP4"], experts, scaled=True)
    printed = scored(build, quantized, "avx2")
    check_spread(printed)
    assert printed == scored(build, plain, "avx2")
    unscaled = make(tmp_path / "unscaled.gguf", ["NVFP4", "Q8_0", "NVFP4", "NVFP4"], True, experts)
    assert printed != scored(build, unscaled, "avx2")


@pytest.mark.parametrize("kind, name, n, message", [
    ("NVFP4", "blk.0.attn_q.scale", 2, "tensor blk.0.attn_q.scale must have 1 element(s)"),
    ("Q8_0", "blk.0.attn_q.scale", 1, "unexpected tensor blk.0.attn_q.scale"),
    ("NVFP4", "blk.0.attn_norm.scale", 1, "unexpected tensor blk.0.attn_norm.scale"),
])
def test_scales_that_have_no_place(build, tmp_path, kind, name, n, message):
    path = make(tmp_path / "model.gguf", [kind], True, spoil=lambda w: w.add_tensor(name, np.ones(n, np.float32)))
    done = subprocess.run([build / "tests" / "model_tool", path, "ref"], input="", capture_output=True, text=True)
    assert done.returncode == 2 and message in done.stderr, done.stderr


@pytest.mark.parametrize("name", ["blk.2.attn_norm.weight", "blk.10.attn_nrm.weight"])
def test_layers_beyond_the_block_count(build, tmp_path, name):
    path = make(tmp_path / "model.gguf", ["Q8_0", "Q8_0"], True, spoil=lambda w: w.add_tensor(name, np.ones(WIDTH, np.float32)))
    done = subprocess.run([build / "tests" / "model_tool", path, "ref"], input="", capture_output=True, text=True)
    layer = name.split(".")[1]
    assert done.returncode == 2 and (f"{path}: tensor {name} is of layer {layer}, but the model has 2 of them, from 0 on, according to "
                                     "block_count in the metadata; download or convert the model again") in done.stderr, done.stderr


def numbers_of(printed):
    def flat(value):
        if isinstance(value, float):
            yield value
        elif isinstance(value, (list, dict)):
            for each in value.values() if isinstance(value, dict) else value:
                yield from flat(each)

    return np.array([number for line in printed.splitlines() for number in flat(json.loads(line))])


def test_bf16(capp, pair):
    """The same bits again, and near float32: weights of few bits are whole numbers times a scale, so rounding them to
    bfloat16 costs little."""
    if "avx512_bf16" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("no unit for bfloat16")
    quantized, plain = pair(MIXED)
    printed = logprobs(capp, quantized, "bf16")
    assert printed == logprobs(capp, plain, "bf16")
    got, exact = numbers_of(printed), numbers_of(logprobs(capp, quantized, "f32"))
    assert 0 < np.abs(got - exact).max() < 0.5


@pytest.mark.parametrize("experts", [None, EXPERTS])
def test_integers(capp, pair, experts):
    """Precision i16 gives the same bits with every instruction set and whatever is cached, for mixtures of experts too."""
    model = pair(INTEGERS, experts)[0]
    plain = logprobs(capp, model, "i16", "--isa", "ref", "--weights-memory", "all")
    assert plain != logprobs(capp, model, "f32", "--isa", "ref")
    for isa in ("ref", "avx2", "avxvnni", "avx512vnni"):
        for some in ("0", "200K", "all") if supports(capp, model, isa) else ():
            assert logprobs(capp, model, "i16", "--isa", isa, "--weights-memory", some) == plain, (isa, some)


@pytest.mark.parametrize("kind", sorted(set(INTEGERS)))
def test_integers_are_near_float32(build, pair, kind):
    """In every type, by the tolerances of real models; i8, which leaves the low digits out, exceeds them."""
    model = pair([kind])[0]
    exact, near, rough = (np.array(scored(build, model, isa).split(), float) for isa in ("avx2", "avx2:i16", "avx2:i8"))
    assert 0 < np.abs(near - exact).max() <= 5e-3 and np.abs(near - exact).mean() <= 1e-3
    assert np.abs(rough - exact).max() > 5e-3 and np.abs(rough - exact).mean() > 1e-3


@pytest.mark.parametrize("experts", [None, EXPERTS])
def test_cached_integers_take_as_much_as_in_the_file(capp, pair, experts):
    """Also in matrices whose rows have several types, such as q, k and v. Panels have headers, and some are not full."""
    model = pair(INTEGERS, experts)[0]
    rows = json.dumps({"prompt": "a", "completions": ["b", "c"], "label": "b"}) + "\n"
    done = subprocess.run([capp, "evaluate", "-q", "-m", model, "--precision", "i16", "--weights-memory", "all", "--label", "label",
                           "--json", "-"], input=rows, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    cached, stored = json.loads(done.stdout)["planned_weight_bytes"], 0
    for tensor in gguf.GGUFReader(str(model)).tensors:
        stored += int(tensor.n_bytes) if len(tensor.shape) > 1 and not tensor.name.startswith("token_embd") else 0
    assert stored < cached < 1.1 * stored, (cached, stored)


def test_experts_are_counted(capp, pair, tmp_path):
    """capp evaluate counts the experts that ran: at least two in each layer, because each row chooses two."""
    model = pair(INTEGERS, EXPERTS)[0]
    rows = tmp_path / "in.jsonl"
    rows.write_text('{"prompt": "the one thing", "completions": ["a no", "yes, in the end"], "label": 0}\n')
    done = subprocess.run([capp, "evaluate", "-q", "-m", model, "--precision", "i16", "--label", "label", "--json", "-", rows],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    layers = report["expert_layers_run"]
    assert layers > 0 and layers % 2 == 0 and 2 * layers <= report["experts_run"] <= EXPERTS * layers

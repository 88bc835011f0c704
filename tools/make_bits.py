"""Writes tests/fixtures/bits.json, the bits that precisions f32, i16, mixed and i8 give on every machine:

    tools/make_bits.py build-test

Run it after an intended change of the arithmetic, and increase CAPP_ARITHMETIC in include/capp.h in the same commit.
"""
import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
import bits  # noqa: E402
import integers  # noqa: E402


def check(known, found, arithmetic):
    """Exits if bits of a model that is known change and the version does not."""
    changed = [name for kind in ("models", "files", "i16", "mixed", "i8") for name, value in found[kind].items()
               if known.get(kind, {}).get(name, value) != value]
    if changed and known["arithmetic"] == arithmetic:
        sys.exit(f"the bits of {', '.join(changed)} change; raise CAPP_ARITHMETIC in include/capp.h first")


def main():
    build = Path(sys.argv[1]).resolve()
    known = json.loads(bits.EXPECTED.read_text()) if bits.EXPECTED.exists() else {"arithmetic": 0}
    models, files = ({name: bits.bits_of(build, name, "portable") for name in names} for names in (bits.NAMES, bits.FILE_NAMES))
    quantized, mixed, i8 = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name in integers.NAMES:
            model = integers.make(Path(folder), name)
            quantized[name] = {"weights": integers.weights_of(model), "logprobs": integers.bits_of(build, model, "ref")}
            if name in integers.I8_NAMES:
                i8[name] = {"logprobs": integers.bits_of(build, model, "ref", precision="i8")}
            if name in integers.MIXED_NAMES:
                mixed[name] = {"logprobs": integers.bits_of(build, integers.with_outliers(model), "ref", precision="mixed")}
    found = {"models": models, "files": files, "i16": quantized, "mixed": mixed, "i8": i8}
    check(known, found, bits.arithmetic())
    bits.EXPECTED.write_text(json.dumps({"arithmetic": bits.arithmetic(), **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Writes tests/fixtures/bits.json, the bits that precision f32 gives on every machine:

    tools/make_bits.py build-test

Run it after an intended change of the arithmetic, and increase CAPP_ARITHMETIC in include/capp.h in the same commit.
"""
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
import bits  # noqa: E402


def main():
    build = Path(sys.argv[1]).resolve()
    known = json.loads(bits.EXPECTED.read_text()) if bits.EXPECTED.exists() else {"arithmetic": 0}
    models = {name: bits.bits_of(build, name, "portable") for name in bits.NAMES}
    changed = [name for name in bits.NAMES if known.get("models", {}).get(name, models[name]) != models[name]]
    if changed and known["arithmetic"] == bits.arithmetic():
        sys.exit(f"the bits of {', '.join(changed)} change; raise CAPP_ARITHMETIC in include/capp.h first")
    bits.EXPECTED.write_text(json.dumps({"arithmetic": bits.arithmetic(), "models": models}, indent=1) + "\n")


if __name__ == "__main__":
    main()

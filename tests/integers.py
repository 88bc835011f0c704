"""Models whose matrices all have one type with integers, the same on every machine, and their bits in precision i16.
tools/make_bits.py writes these into tests/fixtures/bits.json; tests/test_expected_bits.py compares with them."""
import json
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import test_gguf_types as types  # noqa: E402

NAMES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4"]
IDS = [[3 + (7 * i * i + 31 * row + 11 * i) % 256 for i in range(24)] for row in range(2)]

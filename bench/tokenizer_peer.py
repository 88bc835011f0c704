"""The tokenizers package in a comparison, run by bench/works/tokenizing.py.

usage: tokenizer_peer.py TOKENIZER.JSON TEXTS
Prints the time for opening. For each line of standard input, "encode" or "batch", it encodes all texts once and prints
"SECONDS IDS CHECKSUM", like tests/bench_tokenizer. TEXTS: each text is its size in bytes as a u32, then the bytes.
"""
import struct
import sys
import time

from tokenizers import Tokenizer


def texts_of(path):
    with open(path, "rb") as file:
        data = file.read()
    at = 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        yield data[at + 4:at + 4 + size].decode()
        at += 4 + size


def checksum(rows):
    total = 0
    for ids in rows:
        for id in ids:
            total = (total * 31 + id) % (1 << 64)
    return total


start = time.perf_counter()
tokenizer = Tokenizer.from_file(sys.argv[1])
print(f"{time.perf_counter() - start:.6f}", flush=True)
texts = list(texts_of(sys.argv[2]))
for line in sys.stdin:
    start = time.perf_counter()
    if line.strip() == "batch":
        found = tokenizer.encode_batch(texts, add_special_tokens=False)
    else:
        found = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    seconds = time.perf_counter() - start
    rows = [each.ids for each in found]
    print(f"{seconds:.6f} {sum(map(len, rows))} {checksum(rows):x}", flush=True)

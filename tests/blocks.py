"""Random blocks of GGUF's quantized types, and their values according to the gguf package. For types of which the
package knows only the sizes, the values follow the definition of the type."""
import gguf
import numpy as np

SIZES = {kind.name: size for kind, size in gguf.GGML_QUANT_SIZES.items()} | {"Q2_0": (64, 18), "MXFP4_PAIRS": (32, 17)}  # elements, bytes
NUMBERS = {kind.name: int(kind) for kind in gguf.GGMLQuantizationType} | {"Q2_0": 42, "MXFP4_PAIRS": 4}

# The byte offsets where a block's float16 scales begin. The scale of IQ1_M is scattered; MXFP4 and NVFP4 have scales of
# one byte.
SCALES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0], "TQ1_0": [52], "TQ2_0": [64],
    "IQ1_S": [0], "IQ1_M": [], "IQ2_XXS": [0], "IQ2_XS": [0], "IQ2_S": [0], "IQ3_XXS": [0], "IQ3_S": [0],
    "Q1_0": [0], "Q2_0": [0], "MXFP4": [], "MXFP4_PAIRS": [], "NVFP4": [],
}  # fmt: skip


def random(name, n, rng, halves):
    """[n][bytes of a block]; halves(n): the float16 scales of n blocks as uint16."""
    blocks = rng.integers(0, 256, (n, SIZES[name][1]), dtype=np.uint8)
    for at in SCALES[name]:
        blocks[:, at : at + 2] = halves(n).reshape(n, 1).view(np.uint8)
    if name == "IQ1_M":  # a nibble at the top of each of the last four words, the lowest first
        scale = halves(n)
        for i in range(4):
            blocks[:, 49 + 2 * i] = blocks[:, 49 + 2 * i] & 15 | (scale >> 4 * i & 15) << 4
    return blocks


def halves_of_pairs(blocks):
    """MXFP4_PAIRS as MXFP4: there a byte has elements 2i and 2i + 1, here i and i + 16."""
    each = blocks.reshape(-1, 17)
    elements = np.stack([each[:, 1:] & 15, each[:, 1:] >> 4], 2).reshape(-1, 32)
    return np.hstack([each[:, :1], elements[:, :16] | elements[:, 16:] << 4]).reshape(blocks.shape)


def pairs_of_halves(blocks):
    """The other way round."""
    each = blocks.reshape(-1, 17)
    elements = np.hstack([each[:, 1:] & 15, each[:, 1:] >> 4])
    return np.hstack([each[:, :1], elements[:, ::2] | elements[:, 1::2] << 4]).reshape(blocks.shape)


def dequantize(name, blocks):
    """[..., bytes of a row] to float32 [..., elements of a row]."""
    if name == "MXFP4_PAIRS":
        return gguf.dequantize(halves_of_pairs(blocks), gguf.GGMLQuantizationType.MXFP4)
    if name not in ("Q1_0", "Q2_0"):
        return gguf.dequantize(blocks, gguf.GGMLQuantizationType[name])
    # ggml-common.h: a half, then either one bit for each of 128 elements (1 or -1), or two bits for each of 64 (-1 to
    # 2).
    each = blocks.reshape(-1, 18)
    scale, bits = each[:, :2].copy().view(np.float16).astype(np.float32), np.unpackbits(each[:, 2:], 1, bitorder="little")
    levels = bits * np.float32(2) - 1 if name == "Q1_0" else bits[:, ::2] + bits[:, 1::2] * np.float32(2) - 1
    return (scale * levels).reshape(*blocks.shape[:-1], -1)

"""How the tokenizer.json of published models cuts texts into words, by the name that GGUF files have for it: steps of the tokenizers
package. One name for each list of patterns in src/token/pretokenizer.c."""
import json

import tokenizers

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
SPACES = r"\s+(?!\S)|\s+"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|" + SPACES
LETTERS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
QWEN2 = rf"{CONTRACTIONS}|{LETTERS}|\p{{N}}{REST}"
LLAMA3 = rf"{CONTRACTIONS}|{LETTERS}|\p{{N}}{{1,3}}{REST}"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"


def o200k(suffix, digits):
    before, rest = r"[^\r\n\p{L}\p{N}]?", r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|" + SPACES
    return f"{before}{UPPER}*{LOWER}+{suffix}|{before}{UPPER}+{LOWER}*{suffix}|{digits}{rest}"


O200K = o200k(f"{CONTRACTIONS}?", r"\p{N}{1,3}")
PUNCTUATION = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]"""
DEEPSEEK = PUNCTUATION + r"[A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|" + SPACES
HAN_AND_KANA = r"[一-龥぀-ゟ゠-ヿ]+"
# The letters with case that DeepSeek's first models list.
CASED = "".join("-".join(chr(int(end, 16)) for end in span.split("-")) for span in """
    41-5a 61-7a b5 c0-d6 d8-f6 f8-1ba 1bc-1bf 1c4-293 295-2af 370-373 376-377 37b-37d 37f 386 388-38a 38c 38e-3a1 3a3-3f5 3f7-481
    48a-52f 531-556 10a0-10c5 13a0-13f5 13f8-13fd 1c90-1cba 1cbd-1cbf 1d00-1d2b 1d6b-1d77 1d79-1d9a 1e00-1f15 1f18-1f1d 1f20-1f45
    1f48-1f4d 1f50-1f57 1f59 1f5b 1f5d 1f5f-1f7d 1f80-1fb4 1fb6-1fbc 1fbe 1fc2-1fc4 1fc6-1fcc 1fd0-1fd3 1fd6-1fdb 1fe0-1fec
    1ff2-1ff4 1ff6-1ffc 2102 2107 210a-2113 2115 2119-211d 2124 2126 2128 212a-212d 212f-2134 2139 213c-213f 2145-2149 214e
    2183-2184 2c00-2c7b 2c7e-2ce4 2ceb-2cee 2cf2-2cf3 a640-a66d a680-a69b a722-a76f a771-a787 a78b-a78e ab70-abbf fb00-fb06
    fb13-fb17 ff21-ff3a ff41-ff5a 10400-1044f 104b0-104d3 104d8-104fb 10c80-10cb2 10cc0-10cf2 118a0-118df 1e900-1e943
""".split())
BLOOM = " ?[^(\\s|[.,!?…。，、।۔،])]+"


def split(pattern):
    return tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated")


def digits(individual=True):
    return tokenizers.pre_tokenizers.Digits(individual_digits=individual)


def gpt2():
    return tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)


STEPS = {
    "gpt-2": [gpt2()],
    "starcoder": [digits(), gpt2()],
    # Falcon's own tokenizer.json has Punctuation, whose table of characters is older, and Digits: none of its merges joins a space
    # and a digit.
    "falcon": [split(r"[\p{P}$+<=>^~|`]+"), gpt2(), split("[0-9][0-9][0-9]")],
    "llama-bpe": [split(LLAMA3)],
    "jais-2": [split(f"{LLAMA3.removesuffix(SPACES)}" + "|".join(rf"\s{{{n}}}(?!\S)" for n in (512, 256, 128, 64, 32, 16, 8, 4))
                     + r"|\s{1,2}(?!\S)|\s{1}")],
    "qwen2": [split(QWEN2)],
    "ufakzeka": [split(QWEN2.removeprefix(f"{CONTRACTIONS}|"))],
    "qwen35": [split(CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|" + SPACES)],
    "minicpm5": [split(r"\p{N}{1,3}"), split(rf"{CONTRACTIONS}|{LETTERS}|\p{{N}}+{REST}")],
    "laguna": [split(r"[^\n]+|[\n]+"), split(QWEN2)],
    "deepseek-llm": [split(r"[\r\n]"), split(rf"\s?[{CASED}]+"), split(r"\s?[!-/:-~！-／：-～‘-‟　-。]+"), split(r"\s+$"),
                     split("[一-龥ࠀ-一가-\ud7ff]+"), digits(False)],
    "deepseek-coder": [split(r"[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split("[一-龥ࠀ-一가-\ud7ff]+"), digits()],
    "deepseek-v3": [split(r"\p{N}{1,3}"), split(HAN_AND_KANA), split(DEEPSEEK)],
    "spark2_5": [split(r"\p{N}{1,3}"), split(HAN_AND_KANA), split(DEEPSEEK.replace(r"+[\r\n]*|\s*[\r\n]+|", r"+|[\r\n]|")), digits()],
    "youtu": [split("[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+"), split(o200k(f"{CONTRACTIONS}?", r"\p{N}"))],
    "bloom": [split(BLOOM)],
    "viking": [split(BLOOM), digits()],
    "tekken": [split(o200k("", r"\p{N}"))],
    "gpt-4o": [split(O200K)],
    "tiny_aya": [split(r"\d{1,3}(?=(?:\d{3})*\b)"), split(O200K)],
    "kimi-k2": [split("|".join([
        r"[\p{Han}]+",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+" + f"{CONTRACTIONS}?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*" + f"{CONTRACTIONS}?",
        r"\p{N}{1,3}"]) + REST)],
    "chameleon": [split("<sentinel:[0-9]+>"), split("(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z"), split(r"([\t\n]|    |  )"), digits(),
                  split(r"[\p{P}!-/:-@\[-`{-~]"), gpt2()],
    "superbpe": [split(r"\p{N}+"), split(r"(?=(\d{3})+(?!\d))")],
    "bailingmoe": [split(r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|" + SPACES)],
    "seed-coder": [split(CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|" + SPACES)],
    "exaone-moe": [split(CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?"
                         r"|\s*[\r\n]|" + SPACES)],
}  # fmt: skip
WHOLE = ("llama-bpe", "minicpm5", "youtu", "tekken")  # a word that is a token is not cut, whatever the merges say


def vocabulary(texts):
    """A vocabulary whose merges cross every border of words, so that each cut shows: {token: id}, merges."""
    trained = tokenizers.Tokenizer(tokenizers.models.BPE())
    trained.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=6000, show_progress=False, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet())
    ends = [(mark + end) * 50 for mark in "!?.;)/-" for end in ("\n", "\n\n", "\r\n", " \n")]
    trained.train_from_iterator([*texts, *ends], trainer)
    state = json.loads(trained.to_str())["model"]
    return state["vocab"], [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in state["merges"]]


def peer(name, tokens, merges):
    made = tokenizers.Tokenizer(tokenizers.models.BPE(tokens, merges, ignore_merges=name in WHOLE))
    last = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    steps = [*STEPS[name], *([] if any("ByteLevel" in str(type(step)) for step in STEPS[name]) else [last])]
    made.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(steps)
    return made

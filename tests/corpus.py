"""Texts for tests of tokenizers: random ones, and files that exist on any Debian machine."""
import gzip
import random
import sysconfig
from pathlib import Path

# Random characters come from these scripts; ASCII is more frequent than the others.
BLOCKS = [(0x20, 0x7e)] * 6 + [
    (0, 0x2ff), (0x300, 0x36f), (0x370, 0x52f), (0x590, 0x6ff), (0x900, 0xdff), (0xe00, 0xfff), (0x1000, 0x18af),
    (0x1e00, 0x1fff), (0x2000, 0x2bff), (0x2c00, 0x2fff), (0x3000, 0x30ff), (0x4e00, 0x9fff), (0xac00, 0xd7a3),
    (0xf900, 0xfaff), (0xfb00, 0xffff), (0x10000, 0x12fff), (0x13000, 0x18fff), (0x1b000, 0x1b2ff), (0x1d000, 0x1e8ff),
    (0x1e900, 0x1ffff), (0x20000, 0x323af), (0xe0000, 0xe01ef), (0x10fff0, 0x10ffff)]
SPACES = [" ", "  ", "\n", "\n\n", "\r\n", "\t", " \n", "   ", "\u00a0", "\u2003", "\u3000", "\u180e", "\x0b", "\x0c",
          "\x85", "\u2028", "\u200b", "\ufeff"]
WORDS = ("the of because naïve Ωmega Straße COPA getHTTPResponse snake_case don't I'LL we'Ve he's x'ſ ’s "
         "http://a.b/c?d=e 1984 3.14159 1,000,000 ½ Ⅻ ٣٤٥ 漢字 ひらがな 한국어 हिन्दी ไทย עברית العربية 🦙 👩‍👩‍👧 é "
         "e\u0301 <|im_end|> </s> İstanbul ﬁne ㌔ Å ０１２ ①②").split()

# Tests train tokenizers on this text: it is the same on every machine and at every commit.
SENTENCES = """The committee said on Tuesday that it would publish its findings before the end of the year.
"I don't know," she answered, "whether they've heard about it; we'll see."
In 1984 about 3,500 people lived there; by 2021 it was 12,875 (see Table 4.2).
How do I change the PIN of my card? My transfer has been pending since Monday!
for (size_t i = 0; i < n; i++) sum += weights[i] * (double)values[i]; /* in order */
def area(self, width=1.0, height=None):  # returns NaN where unknown
<a href="https://example.org/path?query=1&amp;page=2">Read more…</a>
Der Fluß fließt über die Straße; größere Schiffe können hier nicht fahren.
L'été dernier, nous avons été à l'île de Ré où il faisait très chaud.
El niño comió una manzana en la montaña mientras su mamá cantaba.
В начале было слово, и слово это было у человека на устах.
Στην αρχή ήταν ο λόγος και ο λόγος ήταν φως για τους ανθρώπους.
今日は天気がいいので、公園で本を読みました。東京タワーも見えます。
我们明天去北京看望朋友，然后坐火车回上海。
한국어 문장은 띄어쓰기가 중요합니다. 오늘 날씨가 좋네요.
في البداية كانت الكلمة، وكانت الكلمة عند الناس نورا.
हिन्दी में लिखना आसान है, यदि आप रोज़ अभ्यास करें।
ฉันชอบอ่านหนังสือในสวนตอนเช้า
\tif test -n "$HOME"; then echo "${HOME%/}/bin" >> path.txt; fi
the cat sat on the mat and the other cat sat on the other mat that they had""".split("\n")


def training_texts():
    rng = random.Random(6)
    return random_texts(6, 2000) + [" ".join(rng.sample(SENTENCES, 3)) for _ in range(200)] + SENTENCES * 20


def everything():
    """Every character below U+34800 in order, some thousand per text. All characters above are unassigned or of one
    kind."""
    characters = "".join(chr(c) for c in range(0x34800) if not 0xd800 <= c < 0xe000)
    return [characters[i:i + 4096] for i in range(0, len(characters), 4096)]


def random_texts(seed, n, words=WORDS):
    rng = random.Random(seed)

    def character(block=None):
        while True:
            c = rng.randint(*(block or rng.choice(BLOCKS)))
            if not 0xd800 <= c < 0xe000:
                return chr(c)

    def piece():
        kind = rng.randrange(8)
        if kind < 2:
            return " " * kind + rng.choice(words)
        if kind == 2:
            return rng.choice(SPACES) * (1 if rng.random() < 0.7 else rng.randint(2, 40))
        if kind == 3:
            return str(rng.randrange(10 ** rng.randint(1, 12)))
        if kind == 4:
            return "".join(rng.choice("!\"#$%&'()*+,-./:;=?@[]^_`{|}~") for _ in range(rng.randint(1, 8)))
        if kind == 5:
            block = rng.choice(BLOCKS)
            return "".join(character(block) for _ in range(rng.randint(1, 12)))
        if kind == 6:
            return "".join(rng.choice("abcde \u0301\u0323\u093c") for _ in range(rng.randint(1, 12)))
        return rng.choice("aAbé漢😀ß\u0301") * rng.randint(1, 100)

    return ["".join(piece() for _ in range(rng.randint(1, 30))) for _ in range(n)]


def machine_lines(most):
    """At most so many lines of manual pages, locales, Unicode data, source code and licenses, in a fixed order. After
    `tools/setup.sh build corpus` there are 100,000, even on a system without manual pages."""
    root = Path(__file__).resolve().parent.parent
    places = [(root, "src/**/*.[ch]"), (root, "docs/*"), (Path("/usr/share/common-licenses"), "*"),
              (Path("/usr/share/i18n/locales"), "*"), (Path("/usr/share/man"), "**/*.gz"),
              (Path("/usr/share/unicode"), "**/*.txt"), (Path("/usr/share/perl"), "**/*.p[lm]"),
              (Path("/usr/include"), "**/*.h"), (Path(sysconfig.get_path("stdlib")), "**/*.py")]
    lines = []
    for folder, pattern in places:
        share = []
        for path in sorted(folder.glob(pattern)):
            if len(share) >= most // 4 or not path.is_file():
                continue
            data = gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes()
            share += [line for line in data.decode("utf-8", "ignore").split("\n") if line]
        lines += share[:most // 4]
    return lines[:most]

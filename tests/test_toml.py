"""The command's reader of TOML against Python's tomllib: random documents, and documents that are damaged."""
import random
import string
import subprocess
import tomllib

import pytest

# What the subset lacks, as messages name it.
LACKS = ("dates and times", "inf and nan", "hexadecimal, octal and binary", "underscores in numbers", "inline tables",
         "arrays in arrays", "dotted keys and tables in tables")


def text_of(kind, digits):
    text = bytes.fromhex(digits).decode()
    return {"s": str, "n": str, "i": int, "f": float, "b": lambda t: t == "true"}[kind](text)


def value_of(words):
    """The value that the words describe; they are consumed."""
    word = words.pop(0)
    if word != "[":
        return text_of(word[0], word[1:])
    items = []
    while words[0] != "]":
        items.append(value_of(words))
    words.pop(0)
    return items


def read_all(tool, paths):
    """For each file the document as tomllib would return it, or the message."""
    out = subprocess.run([tool, *map(str, paths)], capture_output=True, check=True).stdout.decode()
    documents, here, document = [], None, {}
    for line in out.splitlines():
        words = line.split(" ")
        if words[0] == "table":
            name = text_of("n", words[2][1:])
            if here is None:  # the entries before the first table
                here = document
                continue
            here = {}
            if words[1] == "1":
                document.setdefault(name, []).append(here)
            else:
                document[name] = here
        elif words[0] == "end":
            documents.append(document)
            document, here = {}, None
        elif words[0] == "failed":
            documents.append(bytes.fromhex(words[1][1:]).decode())
            document, here = {}, None
        else:
            here[text_of("n", words[1][1:])] = value_of(words[2:])
    return documents


@pytest.fixture(scope="module")
def tool(build):
    return build / "tests" / "toml_tool"


CHARACTERS = string.ascii_letters + "  \"\"'\\\\\t#[]{}=,.äß漢🙂"


def a_string(rng, lines=True):
    text = "".join(rng.choice(CHARACTERS) for _ in range(rng.randrange(12)))
    kind = rng.randrange(4 if lines else 2)
    basic = "".join(rng.choice([f"\\u{ord(c):04X}", f"\\U{ord(c):08X}"]) if rng.random() < 0.2 and ord(c) < 0x10000
                    else {"\\": "\\\\", '"': '\\"'}.get(c, c) for c in text)
    if kind == 0:
        return '"' + basic + rng.choice(["", "\\n", "\\t", "\\b\\f\\r"]) + '"'
    if kind == 1:
        return "'" + text.replace("'", "") + "'"
    ends = ["", "\n", "\r\n", " \\\n   ", "\\ \t\n\n  x"]
    if kind == 2:
        return '"""' + rng.choice(ends) + basic + rng.choice(ends) + basic + rng.choice(["", '"', '""', "\\\n"]) + '"""'
    plain = text.replace("'", "")
    return "'''" + rng.choice(ends[:3]) + plain + rng.choice(["", "'x", "''x"]) + rng.choice(["", "'", "''"]) + "'''"


def a_number(rng):
    return rng.choice(["0", "+0", "-0", str(rng.randrange(-999, 999)), "1.5", "-0.25", "6e3", "1E-2", "+3.0e+4", "12345678901"])


def a_scalar(rng):
    return rng.choice([a_string, a_string, a_number, lambda r: r.choice(["true", "false"])])(rng)


def a_value(rng):
    if rng.random() < 0.7:
        return a_scalar(rng)
    gap = lambda: rng.choice(["", " ", "\n", "\r\n  ", " # note\n"])
    items = [gap() + a_scalar(rng) + gap() for _ in range(rng.randrange(4))]
    return "[" + ",".join(items) + (rng.choice(["", ","]) if items else "") + gap() + "]"


def a_key(rng):
    return rng.choice([lambda: "".join(rng.choice("abc-_19") for _ in range(rng.randrange(1, 5))),
                       lambda: a_string(rng, lines=False)])()


def a_document(rng):
    lines = []
    for _ in range(rng.randrange(8)):
        kind, end = rng.random(), rng.choice(["\n", "\r\n", " # comment\n", "\t\n\n"])
        if kind < 0.7:
            lines.append(a_key(rng) + rng.choice(["=", " = "]) + a_value(rng) + end)
        elif kind < 0.8:
            lines.append(f"[ {a_key(rng)} ]" + end)
        elif kind < 0.95:
            lines.append(f"[[{rng.choice(['class', 'x'])}]]" + end)
        else:
            lines.append("# note" + end)
    return "".join(lines)


def damaged(rng, text):
    """A document with some changes, among them features that the subset lacks."""
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(text) + 1)
        piece = rng.choice([*"=[]\"'\\#.,\n\r{}", "1979-05-27", "07:32:00", "0x1F", "0o7", "1_000", "inf", "-nan", "a.b = 1\n",
                            "[a.b]\n", "{a = 1}", "[[1], [2]]", '"""', "'''", "\x01", "\x7f", "01", "1.", "\\x41", "\ufeff",
                            "a = {}\n", "b = 1e6_0\n", "k = 1979-05-27T07:32:00Z\n"])
        text = text[:at] + piece + text[at + rng.randrange(3):]
    return text


def expected(text):
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def check(tool, folder, texts):
    """Returns how many documents both accept, how many both refuse, and how many only tomllib accepts."""
    paths = []
    for i, text in enumerate(texts):
        paths.append(folder / f"{i}.toml")
        paths[-1].write_bytes(text.encode())
    both = neither = lacking = 0
    for text, found in zip(texts, read_all(tool, paths), strict=True):
        wanted = expected(text)
        if isinstance(found, str):
            assert found.startswith("F:") and int(found.split(":")[1]) >= 1, (text, found)
            named = [feature for feature in LACKS if feature in found]
            assert wanted is None or named, (text, found)
            neither += wanted is None
            lacking += wanted is not None
        else:
            assert wanted is not None and repr(found) == repr(wanted), (text, found, wanted)
            both += 1
    return both, neither, lacking


def test_random_documents(tool, tmp_path):
    rng = random.Random(18)
    texts = [a_document(rng) for _ in range(3000)]
    both, neither, lacking = check(tool, tmp_path, texts)
    assert both > 2500 and neither > 10 and lacking == 0  # keys that occur twice are refused by both


def test_damaged_documents(tool, tmp_path):
    rng = random.Random(81)
    texts = [damaged(rng, a_document(rng)) for _ in range(6000)]
    both, neither, lacking = check(tool, tmp_path, texts)
    assert both > 500 and neither > 2000 and lacking > 100


@pytest.mark.parametrize("line, feature", [
    ("a = 1979-05-27", "dates and times"), ("a = 07:32:00", "dates and times"), ("a = -inf", "inf and nan"), ("a = nan", "inf and nan"),
    ("a = 0xFF", "hexadecimal"), ("a = 0b1", "hexadecimal"), ("a = 1_000", "underscores"), ("a = {}", "inline tables"),
    ("a = [[1]]", "arrays in arrays"), ("a = [{}]", "inline tables"), ("a.b = 1", "dotted keys"), ('[a."b"]', "dotted keys"), ("[[a.b]]", "dotted keys")])
def test_what_the_subset_lacks_is_named(tool, tmp_path, line, feature):
    path = tmp_path / "p.toml"
    path.write_text(f"# project\nx = 1\n{line}\n")
    assert expected(path.read_text()) is not None
    (message,) = read_all(tool, [path])
    assert message.startswith("F:3: capp's subset of TOML lacks") and feature in message and "; " in message


@pytest.mark.parametrize("text, place", [("a = 'x\ny = 1\n", "F:1: "), ("a = [1,\n2\n", "F:3: "), ("a = 1\na = 2\n", "F:2: "),
                                         ("a = '''x\n\n", "F:3: "), ("\n\n= 1\n", "F:3: "), ("a = 1 b = 2\n", "F:1: "),
                                         ("a = \"\"\"\\\n\n \"\"\" x", "F:3: ")])
def test_errors_name_the_line(tool, tmp_path, text, place):
    path = tmp_path / "p.toml"
    path.write_text(text)
    assert expected(text) is None
    (message,) = read_all(tool, [path])
    assert message.startswith(place)

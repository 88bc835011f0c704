"""The command's reader alone: tables give the same rows in every format, quoting and line end, and the reader accepts
the JSON that Python's parser accepts."""
import gzip
import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest


def read(build, paths):
    """For each file: its format, its rows as (line, {name: text}), or (line, None) for a bad row, and how reading
    ended."""
    done = subprocess.run([build / "tests" / "reader_tool", *paths], capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    files, lines = [], iter(done.stdout.decode().splitlines())
    for line in lines:
        words = None if line.startswith(("failed", "end")) else line
        rows = []
        for line in [line] if words is None else lines:
            if line.startswith(("failed", "end")):
                break
            number, *cells = line.split(" ")
            pairs = [cell.split("=") for cell in cells]
            row = None if cells == ["bad"] else [(bytes.fromhex(a).decode(), bytes.fromhex(b).decode()) for a, b in pairs]
            rows.append((int(number), row))
        files.append((words, rows, line))
    assert len(files) == len(paths), done.stdout
    return files


# ---- Random tables --------------------------------------------------------------------------------------------------

PIECES = ["a", "Zug", " ", "  ", ",", ";", "\t", "|", '"', '""', "'", "\\", "\\n", "{", "}", "[", "]", ":", "é", "e\u0301", "日本",
          "😀", "\u00a0", "\u2028", "\x01", "0", "1.50", "-", "null", "\n", "\r\n", "\r", "# x"]


def random_text(draw, most=6):
    return "".join(draw.choice(PIECES) for _ in range(draw.randint(0, most)))


def random_table(draw):
    columns = ["text", "id", "b b", 'q"q', "c,d", "é", "x;y", "t\tt"]
    draw.shuffle(columns)
    columns = columns[: draw.randint(1, 5)]
    if not {"text", "id"} & set(columns) or len(columns) == 1:
        columns = [*columns, "text"] if "text" not in columns else [*columns, "id"]
    rows = [[random_text(draw) for _ in columns] for _ in range(draw.randint(1, 12))]
    return columns, rows


def as_table(draw, columns, rows, separator):
    """Python's own writer does not quote line ends other than its own."""
    end, quoted = draw.choice(["\n", "\r\n", "\r"]), draw.choice([0, 0.5, 1])

    def cell(text):
        needs = any(c in text for c in (separator, '"', "\r", "\n")) or draw.random() < quoted
        return '"' + text.replace('"', '""') + '"' if needs else text

    lines = [separator.join(map(cell, row)) for row in [columns, *rows]]
    return end.join(lines) + (end if not lines[-1] or draw.random() < 0.7 else "")


def as_json(draw, row, **how):
    return json.dumps(row, ensure_ascii=draw.random() < 0.5, **how)


def as_lines(draw, columns, rows):
    end = draw.choice(["\n", "\r\n", "\n\n", " \n", "\r"])
    text = end.join(as_json(draw, dict(zip(columns, row))) for row in rows)
    return text + (end if draw.random() < 0.7 else "")


def as_array(draw, columns, rows):
    how = {"indent": draw.choice([None, 0, 2, "\t"]), "separators": draw.choice([(",", ":"), (", ", ": "), (" ,\n", " : ")])}
    table = [dict(zip(columns, row)) for row in rows]
    if draw.random() < 0.3:  # objects without separators between them
        return "".join(as_json(draw, row, indent=1) + draw.choice(["", "\n", " \r\n"]) for row in table)
    return draw.choice(["", "\n", " "]) + as_json(draw, table, **how) + draw.choice(["", "\n"])


def packed(draw, data):
    """Writes the data plain, in gzip with one or two members, or in Zstandard."""
    kind = draw.choice(["", "", "gzip", "members", "zstd"])
    if kind == "gzip":
        return gzip.compress(data)
    if kind == "members":
        half = draw.randint(0, len(data))
        return gzip.compress(data[:half]) + gzip.compress(data[half:])
    if kind == "zstd" and shutil.which("zstd"):
        return subprocess.run(["zstd", "-q", "-c"], input=data, capture_output=True, check=True).stdout
    return data


WRITERS = {
    "CSV": lambda draw, *table: as_table(draw, *table, draw.choice(",;|")),
    "TSV": lambda draw, *table: as_table(draw, *table, "\t"),
    "JSON lines": as_lines,
    "JSON": as_array,
}


@pytest.mark.parametrize("seed", range(8))
def test_the_same_rows_in_every_format(build, tmp_path, seed):
    draw, paths, tables = random.Random(seed), [], []
    for i in range(40):
        columns, rows = random_table(draw)
        for words, write in WRITERS.items():
            text = draw.choice(["", "\ufeff"]) + write(draw, columns, rows)
            name = draw.choice(["rows", "rows.csv", "rows.tsv", "rows.jsonl", "rows.json", "rows.txt"])
            if columns[0] not in ("text", "id") and words in ("CSV", "TSV"):
                name = "rows"
            paths.append(tmp_path / f"{i}-{words}-{name}")
            paths[-1].write_bytes(packed(draw, text.encode()))
            tables.append((words, columns, rows))
    for path, (words, columns, rows), (found, read_rows, end) in zip(paths, tables, read(build, paths), strict=True):
        assert end == "end", (path, path.read_bytes(), end)
        expected = [list(zip(columns, row)) for row in rows]
        if len(columns) == 1:  # a line with only an empty cell is a blank line
            expected = [row for row in expected if row[0][1]]
        assert [row for _, row in read_rows] == expected, (path, path.read_bytes())
        assert found == words or {found, words} == {"JSON", "JSON lines"}, path


def test_line_numbers(build, tmp_path):
    for name, content, lines in [
        ("a.csv", 'text,id\r\n"a\r\nb",1\r\n\r\nc,2\r\n', [2, 5]),
        ("b.csv", 'text,id\r"a\rb",1\r\rc,2', [2, 5]),
        ("c.json", '[\n{"text": 1},\n\n {"text":\n2}\n]', [2, 4]),
        ("d.jsonl", '\n{"text": 1}\r\n\r\n{"text": 2}', [2, 4]),
        ("e.txt", "a\n\nb", [1, 2, 3]),
    ]:
        path = tmp_path / name
        path.write_bytes(content.encode())
        assert [line for line, _ in read(build, [path])[0][1]] == lines, name


# ---- JSON -----------------------------------------------------------------------------------------------------------

WORDS = ["{", "}", "[", "]", ",", ":", '"', '"a"', '"\\u00e9"', '"\\ud83d\\ude00"', '"\\ud83d"', '"\\udc00"', '"\\x"', "\\", "1", "-1", "01",
         "1.", ".5", "1.5e+10", "1e5", "-", "+1", "1e999", "true", "false", "null", "tru", "NaN", "Infinity", " ", "\t", "'a'",
         '"\x01"', '"\x7f"', "//x", '"\\/"', '"\\b\\f\\n\\r\\t\\"\\\\"', "12345678901234567890123456789"]


def refuse(word):
    raise ValueError(word)


def python_reads(text):
    """The fields that the command should see, or None where the text is not a JSON object."""
    try:
        value = json.loads(text, parse_constant=refuse, parse_int=lambda digits: Raw(digits), parse_float=lambda digits: Raw(digits),
                           object_pairs_hook=lambda pairs: Pairs(pairs))
        if not isinstance(value, Pairs):
            return None
        names = [name for name, _ in value.pairs]
        if any(names.count(name) > 1 for name in ("text", "id")):
            return None
        fields = [(name, field(item)) for name, item in value.pairs]
        json.dumps(fields).encode()
        "".join(a + b for a, b in fields).encode()  # a lone surrogate has no UTF-8
        deep(value)
        return fields
    except (ValueError, RecursionError):
        return None


class Raw(str):
    pass


class Pairs:
    def __init__(self, pairs):
        self.pairs = pairs


def deep(value):
    for item in value if isinstance(value, list) else [i for p in value.pairs for i in p] if isinstance(value, Pairs) else []:
        if isinstance(item, str):
            item.encode()
        deep(item)


def compact(value):
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, list):
        return "[" + ",".join(map(compact, value)) + "]"
    if isinstance(value, Pairs):
        return "{" + ",".join(compact(a) + ":" + compact(b) for a, b in value.pairs) + "}"
    return json.dumps(value, ensure_ascii=False)


def field(value):
    if isinstance(value, str) and not isinstance(value, Raw):
        return value
    return compact(value)


def same_value(a, b):
    """Equal texts, or JSON with the same meaning: a string may use any escapes."""
    try:
        return a == b or (json.loads(a, parse_int=Raw, parse_float=Raw) == json.loads(b, parse_int=Raw, parse_float=Raw))
    except ValueError:
        return False


@pytest.mark.parametrize("seed", range(4))
def test_json_is_what_python_takes_for_json(build, tmp_path, seed):
    draw, path, texts = random.Random(seed), tmp_path / "a.jsonl", []
    for _ in range(5000):
        value = {draw.choice(["text", "id", "a", "é"]): draw.choice([1, -0.5, "a\\é", [1, {"b": None}], {}, [], True, "", "\x00"])
                 for _ in range(draw.randint(0, 3))}
        text = json.dumps(value, ensure_ascii=draw.random() < 0.5)
        for _ in range(draw.choice([0, 0, 1, 1, 2, 3])):
            at = draw.randint(0, len(text))
            cut = draw.choice([0, 0, 1, 3])
            text = text[:at] + draw.choice(WORDS) + text[at + cut :]
        if text.strip(" \t"):
            texts.append(text)
    path.write_text("\n".join(['{"text": "first"}', *texts]))
    found, rows, end = read(build, [path])[0]
    assert (found, end) == ("JSON lines", "end") and len(rows) == len(texts) + 1
    good = 0
    for text, (_, row) in zip(texts, rows[1:]):
        expected = python_reads(text)
        assert (row is None) == (expected is None), text
        if row is not None:
            good += 1
            assert len(row) == len(expected), text
            for (name, value), (other_name, other_value) in zip(row, expected):
                assert name == other_name and same_value(value, other_value), text
    assert 1000 < good < len(texts) - 1000


def test_numbers_keep_their_digits(build, tmp_path):
    path = tmp_path / "a.jsonl"
    numbers = ["19.99", "1.50", "-0", "1E+2", "12345678901234567890", "0.1000000000000000055511151231257827", "1e400"]
    path.write_text("".join('{"text": %s}\n' % number for number in numbers))
    assert [row[0][1] for _, row in read(build, [path])[0][1]] == numbers


def test_the_fixtures_of_the_repository_are_read(build, fixtures):
    """Rows that other tests depend on: the count equals that of Python's reader."""
    paths = sorted(path for path in Path(fixtures).rglob("*.jsonl") if path.stat().st_size)
    assert paths
    for path, (found, rows, end) in zip(paths, read(build, paths), strict=True):
        lines = [line for line in path.read_text().splitlines() if line.strip()]
        assert found == "JSON lines" and end == "end" and len(rows) == len(lines), path

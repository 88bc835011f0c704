#!/usr/bin/env python3
"""Writes a realistic list of classes, one per line: make_classes.py KIND N [--wordnet FOLDER] [-o FILE].

KIND is one of
    occupations   what a person may be by trade (1,000 and some): "art teacher", "tax collector"
    nouns         things and notions, the most used first (10,000 and more): "school", "time machine"
    products      names as in a shop's catalogue, any number: "Folding Steel Camp Chair, Large"

A realistic list is hard to decide early: names have one to eight tokens and different lengths, many begin with the same
words ("coffee cup", "coffee maker"), many mean nearly the same, each occurs once, and there are both short common words
and long rare ones. Random strings have none of these properties. No list is random: the same arguments give the same
bytes.

The words are WordNet 3.0's (Princeton University, its license allows use, copies and changes), as Debian's package
wordnet-base has them in /usr/share/wordnet. Where that is not installed, apt-get downloads the package and its files
are unpacked into the user's cache folder.
"""
import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

INSTALLED = Path("/usr/share/wordnet")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "capp" / "wordnet"

# Synsets (by their first word and its sense) whose descendants are trades and shop goods.
TRADES = [("worker", 0), ("professional", 0), ("entertainer", 0), ("creator", 1), ("scientist", 0), ("artist", 0)]
GOODS = [("furniture", 0), ("tool", 0), ("clothing", 0), ("footwear", 1), ("home_appliance", 0), ("kitchen_utensil", 0),
         ("toy", 0), ("musical_instrument", 0), ("sports_equipment", 0), ("electronic_equipment", 0), ("lamp", 0),
         ("garden_tool", 0), ("bag", 0), ("box", 0), ("basket", 0), ("glass", 1), ("cup", 0), ("bottle", 0)]
MANNERS = ["", "Folding", "Compact", "Heavy Duty", "Portable", "Classic", "Professional", "Adjustable", "Vintage",
           "Lightweight"]
MATERIALS = ["", "Steel", "Oak", "Cotton", "Leather", "Plastic", "Bamboo", "Aluminium", "Glass", "Ceramic"]
ENDS = ["", ", Large", ", Small", ", Black", ", Blue", ", Set of 4", ", 2 Pack", ", White", ", Red", " with Case"]


def fetch():
    """Folder of WordNet's files from Debian's package."""
    if not (CACHE / "data.noun").exists():
        CACHE.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["apt-get", "-q", "download", "wordnet-base"], cwd=folder, check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            (package,) = Path(folder).glob("wordnet-base_*.deb")
            subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
            CACHE.mkdir(exist_ok=True)
            for name in ("index.noun", "data.noun", "cntlist.rev"):
                os.replace(Path(folder) / "usr/share/wordnet" / name, CACHE / name)
    return CACHE


class Nouns:
    """Synsets of nouns: their words, their children, and how often each word is used."""

    def __init__(self, folder):
        self.words, self.below, self.senses, self.uses = {}, {}, {}, {}
        for line in self.lines(folder / "data.noun"):
            parts = line.split(" | ")[0].split()
            n = int(parts[3], 16)
            self.words[parts[0]] = parts[4:4 + 2 * n:2]
            pointers = parts[5 + 2 * n:]
            self.below[parts[0]] = [pointers[i + 1] for i in range(0, len(pointers) - 3, 4) if pointers[i] in ("~", "~i")]
        for line in self.lines(folder / "index.noun"):
            parts = line.split()
            self.senses[parts[0]] = parts[-int(parts[2]):]
        for line in self.lines(folder / "cntlist.rev"):
            key, _, count = line.split()
            lemma, kind = key.split("%")
            if kind.startswith("1:"):
                self.uses[lemma] = self.uses.get(lemma, 0) + int(count)

    @staticmethod
    def lines(path):
        with open(path, encoding="utf-8") as file:
            return [line for line in file if not line.startswith("  ")]  # the license is indented

    def under(self, roots):
        """First words of the synsets below the roots, in the order of the file."""
        found, todo = set(), [self.senses[word][sense] for word, sense in roots]
        while todo:
            synset = todo.pop()
            if synset not in found:
                found.add(synset)
                todo += self.below[synset]
        return [self.words[synset][0] for synset in sorted(found)]


def plain(word):
    """Removes words that do not belong in a list of names: digits, names of persons and places, abbreviations."""
    return len(word) > 2 and word.islower() and word.replace("_", "").replace("-", "").isalpha()


def distinct(words):
    return [word.replace("_", " ") for word in dict.fromkeys(words) if plain(word)]


def products(nouns, n):
    """Things in rounds; the second round has other styles and materials, so that neighbors in the list differ."""
    things, names = sorted(word.title() for word in distinct(nouns.under(GOODS))), []
    kinds = len(MANNERS) * len(MATERIALS) * len(ENDS)
    for at in range(min(n, kinds * len(things))):
        kind = (at // len(things) + 7 * at) % kinds
        parts = [MANNERS[kind % 10], MATERIALS[kind // 10 % 10], things[at % len(things)]]
        names.append(" ".join(part for part in parts if part) + ENDS[kind // 100])
    return names


def make(kind, n, folder):
    nouns = Nouns(folder)
    if kind == "products":
        names = products(nouns, n)
    elif kind == "occupations":
        names = distinct(nouns.under(TRADES))
    else:
        words = [words[0] for words in nouns.words.values()]
        names = distinct(sorted(words, key=lambda word: -nouns.uses.get(word.lower(), 0)))
    if kind == "occupations":  # the best known, in alphabetical order, as usual in such lists
        known = sorted(names, key=lambda name: (-nouns.uses.get(name.replace(" ", "_"), 0), name))
        names = sorted(known[:n])
    if len(names) < n:
        raise SystemExit(f"make_classes.py: there are {len(names)} {kind} only")
    return names[:n]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["occupations", "nouns", "products"])
    parser.add_argument("n", type=int)
    parser.add_argument("--wordnet", type=Path, help="folder of WordNet's files")
    parser.add_argument("-o", "--out", type=Path)
    options = parser.parse_args()
    folder = options.wordnet or (INSTALLED if (INSTALLED / "data.noun").exists() else fetch())
    text = "\n".join(make(options.kind, options.n, folder)) + "\n"
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()

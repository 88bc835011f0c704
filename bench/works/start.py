"""The time from the start of the process to the first decision, with the model in the page cache; for folders of
safetensors also without it in the page cache, compared with the time for reading those files from the disk."""
import os
import pathlib

import base
import engine
from base import Skip

# The peers' float32 folders, and the tokenizer.json of each where it is not in the folder.
FOLDERS = {"gpt2-random-hf": None, "smollm2-hf": "smollm2.tokenizer.json", "gemma3-hf": "gemma3.tokenizer.json"}
PIECE = 1 << 22


def folder(bench, name, tokenizer):
    """A folder of links to the files of a peer's folder and to its tokenizer."""
    source = pathlib.Path(bench.peers, "models", name)
    if not (source / "model.safetensors").exists():
        raise Skip(f"no {source}; ../shared/peers/setup.sh brings it")
    made = pathlib.Path(bench.folder, name)
    made.mkdir()
    for file in source.iterdir():
        (made / file.name).symlink_to(file.resolve())
    if tokenizer:
        (made / "tokenizer.json").unlink(missing_ok=True)
        (made / "tokenizer.json").symlink_to((source.parent / tokenizer).resolve())
    return made


def forget(files):
    """Removes the files from the page cache."""
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def read(files):
    """Reads the files from the disk, one after another."""
    forget(files)

    def all_of_them():
        for path in files:
            with open(path, "rb", buffering=0) as file:
                while file.read(PIECE):
                    pass

    return {"seconds": base.timed(all_of_them)[0], "bytes": sum(path.stat().st_size for path in files)}


def cold(bench, path, files):
    forget(files)
    return engine.first_decision(bench, path)


def run(bench):
    found = []
    for model in ("smollm2", "gemma3"):
        engine.first_decision(bench, model)  # warms the page cache
        facts = base.alternate(bench, {"capp": lambda model=model: engine.first_decision(bench, model)}, bench.pick(11, 2))
        bench.say(f"first decision, {model}: {base.summary(facts)}")
        found.append({"name": model, "methods": facts})
    for name, tokenizer in FOLDERS.items():
        try:
            path = folder(bench, name, tokenizer)
        except Skip as why:
            bench.skip(name, why)
            continue
        files = sorted(path.glob("*.safetensors")) + [path / "tokenizer.json"]
        facts = base.alternate(bench, {
            "reading": lambda files=files: read(files),
            "capp, from the disk": lambda path=path, files=files: cold(bench, path, files),
            "capp": lambda path=path: engine.first_decision(bench, path),
        }, bench.pick(11, 2))
        bench.say(f"first decision, {name}: {base.summary(facts)}")
        found.append({"name": name, "methods": facts})
    return {"points": found}

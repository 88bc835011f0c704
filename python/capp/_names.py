"""Models by name: finds `owner/name` in the caches of other programs, and fetches it with huggingface_hub."""
from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Iterable, Iterator

from capp.errors import FileError, InvalidError

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(:[\w./-]+)?", re.ASCII)
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
# What capp reads of a folder that transformers saved.
_FOLDER_FILE = re.compile(r"(?!consolidated)[^/]*\.(json|safetensors|jinja|model|txt)|additional_chat_templates/[^/]*\.jinja")


def is_name(path: str) -> bool:
    """Whether path has the form owner/name or owner/name:QUANT, and is not a path of this machine."""
    return bool(_NAME.fullmatch(path)) and not os.path.exists(path) and not re.search(r"(?i)\.gguf$", path.split(":")[0])


def _home(*parts: str) -> Path:
    return Path.home().joinpath(*parts)


def _cache_home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or _home(".cache"))


def hub_cache() -> Path:
    """The folder of Hugging Face's cache, as huggingface_hub finds it."""
    given = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    home = Path(os.environ.get("HF_HOME") or _cache_home() / "huggingface")
    return Path(given).expanduser() if given else home.expanduser() / "hub"


def _is_weights(file: str) -> bool:
    """Whether the name is that of a GGUF file that can be a model, and the first one of a split set."""
    part = _PART.search(file)
    return (file.lower().endswith(".gguf") and "mmproj" not in file.lower() and (not part or int(part[1]) == 1))


def _has_quant(file: str, quant: str) -> bool:
    """Whether the name of the file contains the quantization as a whole: Q4_K is not part of Q4_K_M."""
    return re.search(rf"(?i)(?<![A-Za-z0-9_]){re.escape(quant)}(?![A-Za-z0-9_])", os.path.basename(file)) is not None


def choose(files: Iterable[str], wanted: str, name: str) -> str | None:
    """Returns the file of a repository that is wanted: a file's name, a quantization, or "" for the only one. None if there
    is none. Raises if there are several."""
    models = sorted(file for file in files if _is_weights(file))
    if wanted and not wanted.lower().endswith(".gguf"):
        models = [file for file in models if _has_quant(file, wanted)]
    elif wanted:
        models = [file for file in models if wanted in (file, os.path.basename(file))]
    if len(models) > 1:
        raise InvalidError(f"{name} has several files: {', '.join(models)}; name one, such as "
                           f"{name.split(':')[0]}:{models[0]}")
    return models[0] if models else None


def _is_whole(path: Path) -> bool:
    """Whether all parts of a split set are there."""
    part = _PART.search(path.name)
    if not part:
        return path.exists()
    return all((path.parent / _PART.sub(f"-{i + 1:05}-of-{part[2]}.gguf", path.name)).exists() for i in range(int(part[2])))


def _in_folder(folder: Path, wanted: str, name: str) -> Path | None:
    """Returns the model in a folder: a GGUF file, or the folder itself if transformers saved it."""
    files = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.exists() and not path.is_dir()]
    if not wanted and "config.json" in files and any(file.endswith(".safetensors") for file in files):
        return folder
    chosen = choose(files, wanted, name)
    return folder / chosen if chosen and _is_whole(folder / chosen) else None


def _in_hub(owner: str, name: str, wanted: str) -> Path | None:
    folder = hub_cache() / f"models--{owner}--{name}"
    main = folder / "refs" / "main"
    if not main.is_file():
        return None
    commit = re.match("[0-9a-z]*", main.read_text(encoding="utf-8", errors="replace"))
    if not commit or not commit[0]:
        return None
    snapshot = folder / "snapshots" / commit[0]
    return _in_folder(snapshot, wanted, f"{owner}/{name}") if snapshot.is_dir() else None


def _in_llama_cpp(owner: str, name: str, wanted: str) -> Path | None:
    """llama.cpp's cache holds owner_name_file.gguf."""
    folder = Path(os.environ.get("LLAMA_CACHE") or _cache_home() / "llama.cpp")
    start = f"{owner}_{name}_"
    files = [path.name[len(start):] for path in folder.glob("*.gguf") if path.name.startswith(start)]
    chosen = choose(files, wanted.replace("/", "_"), f"{owner}/{name}")
    found = folder / (start + chosen) if chosen else None
    return found if found and _is_whole(found) else None


def _model_digest(manifest: Path) -> str | None:
    """Returns the SHA-256 of the layer that is the model."""
    try:
        layers = json.loads(manifest.read_text(encoding="utf-8"))["layers"]
        digests = [layer["digest"] for layer in layers if layer["mediaType"] == "application/vnd.ollama.image.model"]
    except (ValueError, LookupError, TypeError):  # not a manifest
        return None
    found = re.fullmatch("sha256:([0-9a-f]{64})", str(digests[0])) if digests else None
    return found and found[1]


def _in_ollama(owner: str, name: str, wanted: str) -> Path | None:
    """Ollama has a manifest for each model: JSON that lists blobs by their SHA-256."""
    given = os.environ.get("OLLAMA_MODELS")
    for folder in [Path(given)] if given else [_home(".ollama", "models"), Path("/usr/share/ollama/.ollama/models")]:
        for host in ("registry.ollama.ai", "hf.co"):
            tags = folder / "manifests" / host / owner / name
            fits = [path for path in tags.glob("*") if path.name.lower() == (wanted or "latest").lower()]
            if not fits:
                continue
            manifest = fits[0]
            digest = _model_digest(manifest)
            blob = folder / "blobs" / f"sha256-{digest}"
            if digest and blob.is_file():
                return blob
    return None


def _in_lm_studio(owner: str, name: str, wanted: str) -> Path | None:
    for base in (_home(".lmstudio", "models"), _home(".cache", "lm-studio", "models")):
        folder = base / owner / name
        found = _in_folder(folder, wanted, f"{owner}/{name}") if folder.is_dir() else None
        if found:
            return found
    return None


def _split(text: str) -> tuple[str, str, str]:
    repository, _, wanted = text.partition(":")
    owner, name = repository.split("/")
    return owner, name, wanted


def find(text: str) -> str | None:
    """Returns the path of the model with this name in the caches of this machine."""
    for search in (_in_hub, _in_llama_cpp, _in_ollama, _in_lm_studio):
        found = search(*_split(text))
        if found:
            return str(found)
    return None


def find_model(path: str | os.PathLike[str], fetch: bool = False) -> str:
    """Returns the path for the argument `path` of Model. A path stays as it is; a name is looked up, and with fetch
    downloaded if it is missing."""
    text = os.fspath(path)
    if not isinstance(path, str) or not is_name(text):
        return text
    found = find(text)
    if found is None and fetch:
        found = download(text)
    if found is None:
        raise FileError(f"{text}: there is no such path, and no cache of this machine has a model of this name; to "
                        f"download it, use capp.Model({text!r}, fetch=True) or the command: capp models fetch {text}")
    return found


def _verify(path: Path) -> None:
    """Compares a large file with its SHA-256, which is the name of its blob in Hugging Face's cache."""
    blob = path.resolve()
    if not re.fullmatch("[0-9a-f]{64}", blob.name):
        return
    import hashlib  # late: it loads OpenSSL

    digest = hashlib.sha256()
    with open(blob, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    if digest.hexdigest() != blob.name:
        blob.unlink()
        raise FileError(f"{path}: the SHA-256 of the downloaded file is {digest.hexdigest()}, not {blob.name}; it is "
                        "deleted; download it again")


def _wanted_files(files: list[str], wanted: str, text: str) -> list[str]:
    """Returns the files to download."""
    if not wanted and "config.json" in files and any(file.endswith(".safetensors") for file in files):
        return [file for file in files if _FOLDER_FILE.fullmatch(file)]
    chosen = choose(files, wanted, text)
    if not chosen:
        has = ", ".join(sorted(file for file in files if file.endswith((".gguf", ".safetensors")))) or "no weights"
        raise InvalidError(f"{text}: the repository has no such file; it has {has}")
    part = _PART.search(chosen)
    return [file for file in files if file == chosen or part and _PART.sub("", file) == _PART.sub("", chosen)]


def download(text: str) -> str:
    """Downloads a model to Hugging Face's cache, with huggingface_hub: its settings, its progress. Returns the path."""
    try:
        from huggingface_hub import list_repo_files, snapshot_download
    except ImportError:
        raise ImportError(f"fetch=True needs the package huggingface_hub; install it, or run: capp models fetch {text}") from None
    owner, name, wanted = _split(text)
    files = _wanted_files(list(list_repo_files(f"{owner}/{name}")), wanted, text)
    folder = Path(snapshot_download(f"{owner}/{name}", allow_patterns=files, cache_dir=hub_cache()))
    for path in _weights(folder):
        _verify(path)
    found = _in_folder(folder, wanted, text)
    if not found:
        raise FileError(f"{text}: huggingface_hub has downloaded {folder}, but the model is not complete there")
    return str(found)


def _weights(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.suffix in (".gguf", ".safetensors"))

/* The layouts of the caches:
 *
 *   Hugging Face  hub/models--OWNER--NAME/refs/main holds the name of a folder in snapshots/ beside it
 *   llama.cpp     OWNER_NAME_FILE.gguf; a FILE in a folder has _ for its /
 *   Ollama        models/manifests/HOST/OWNER/NAME/TAG is JSON whose layers name models/blobs/sha256-DIGEST
 *   LM Studio     models/OWNER/NAME/FILE.gguf
 */
#include "caches.h"
#include "json_parser.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEEPEST = 5 }; /* folders inside a repository */

typedef struct walk {
    cache_kind kind;
    cached_model_fn fn;
    void *user;
    const char *repository;
    bool config, tensors; /* the folder has config.json, files of safetensors */
} walk;

const char *cache_name(cache_kind kind) {
    static const char *const names[] = {"Hugging Face", "llama.cpp", "Ollama", "LM Studio"};
    return names[kind];
}

/* ---- Folders ----------------------------------------------------------------------------------------------------- */

static int visible(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

/* Calls fn(user, folder, name) for each visible entry in the order of names. A missing folder has no entries. */
static bool each_entry(const char *folder, bool (*fn)(void *user, const char *folder, const char *name), void *user) {
    struct dirent **entries;
    int n = scandir(folder, &entries, visible, alphasort);
    bool on = true;
    for (int i = 0; i < n; i++) {
        if (on) on = fn(user, folder, entries[i]->d_name);
        free(entries[i]);
    }
    if (n >= 0) free(entries);
    return on;
}

static bool is_kind(const char *path, mode_t kind) {
    struct stat facts;
    return !stat(path, &facts) && (facts.st_mode & S_IFMT) == kind;
}

/* Whether all parts of a split set exist. */
static bool is_whole(const char *path) {
    size_t at = 0, parts = split_parts(path, &at);
    bool whole = is_kind(path, S_IFREG);
    for (size_t i = 1; parts > 1 && i <= parts && whole; i++) {
        char *part = text_of("%.*s-%05zu-of-%05zu.gguf", (int)at, path, i, parts);
        whole = is_kind(part, S_IFREG);
        free(part);
    }
    return whole;
}

static bool emit(walk *w, const char *file, const char *path) {
    cached_model model = {w->kind, w->repository, file, path};
    return w->fn(w->user, &model);
}

typedef struct level {
    walk *walk;
    const char *below; /* the folder's path in the repository followed by a /, or "" */
    int depth;
} level;

static bool on_file(void *user, const char *folder, const char *name) {
    level *l = user;
    char *path = text_of("%s/%s", folder, name), *file = text_of("%s%s", l->below, name);
    bool on = true;
    if (is_kind(path, S_IFDIR) && l->depth < DEEPEST) {
        char *below = text_of("%s/", file);
        level inner = {l->walk, below, l->depth + 1};
        on = each_entry(path, on_file, &inner);
        free(below);
    } else if (is_kind(path, S_IFREG)) {
        if (!l->depth && !strcmp(name, "config.json")) l->walk->config = true;
        if (!l->depth && ends_with(name, ".safetensors")) l->walk->tensors = true;
        if (names_weights(name) && is_whole(path)) on = emit(l->walk, file, path);
    }
    free(path);
    free(file);
    return on;
}

/* The GGUF files below folder, then the folder itself if transformers saved it. */
static bool walk_folder(walk *w, const char *folder) {
    level top = {w, "", 0};
    w->config = w->tensors = false;
    if (!each_entry(folder, on_file, &top)) return false;
    return !w->config || !w->tensors || emit(w, "", folder);
}

/* ---- Hugging Face ------------------------------------------------------------------------------------------------ */

static bool on_hub_folder(void *user, const char *hub, const char *name) {
    static const char start[] = "models--";
    walk *w = user;
    capp_error err;
    buffer commit = {0};
    bool on = true;
    if (strncmp(name, start, sizeof start - 1) != 0) return true;
    const char *owner = name + sizeof start - 1, *dashes = strstr(owner, "--");
    char *reference = text_of("%s/%s/refs/main", hub, name);
    if (read_file(reference, &commit, &err)) {
        size_t size = 0; /* a name that stays inside its folder */
        while (size < commit.size && is_one_of(commit.data[size], "0123456789abcdefghijklmnopqrstuvwxyz")) size++;
        char *repository = dashes ? text_of("%.*s/%s", (int)(dashes - owner), owner, dashes + 2) : text_of("%s", "");
        char *snapshot = text_of("%s/%s/snapshots/%.*s", hub, name, (int)size, commit.data);
        w->repository = repository;
        if (size) on = walk_folder(w, snapshot);
        free(repository);
        free(snapshot);
    }
    buffer_free(&commit);
    free(reference);
    return on;
}

static bool walk_hub(walk *w) {
    char *folder = hub_cache_path();
    bool on = each_entry(folder, on_hub_folder, w);
    free(folder);
    return on;
}

/* ---- llama.cpp --------------------------------------------------------------------------------------------------- */

static bool on_llama_cpp_file(void *user, const char *folder, const char *name) {
    walk *w = user;
    char *path = text_of("%s/%s", folder, name);
    w->repository = "";
    bool on = !names_weights(name) || !is_whole(path) || emit(w, name, path);
    free(path);
    return on;
}

static bool walk_llama_cpp(walk *w) {
    const char *given = environment("LLAMA_CACHE");
    char *caches = cache_home_path(), *folder = given ? text_of("%s", given) : text_of("%s/llama.cpp", caches);
    bool on = each_entry(folder, on_llama_cpp_file, w);
    free(caches);
    free(folder);
    return on;
}

/* ---- Ollama ------------------------------------------------------------------------------------------------------ */

/* The digest of the layer that is the model, or an empty string. */
static capp_str model_digest(arena *a, json_value manifest) {
    capp_str found = {0};
    for (json_walk w = json_begin(manifest); json_kind_of(manifest) == JSON_KIND_OBJECT && json_next(&w);) {
        if (!str_is(json_copy_string(a, w.name), "layers") || json_kind_of(w.item) != JSON_KIND_ARRAY) continue;
        for (json_walk layers = json_begin(w.item); json_next(&layers);) {
            bool is_model = false;
            capp_str digest = {0};
            if (json_kind_of(layers.item) != JSON_KIND_OBJECT) continue;
            for (json_walk layer = json_begin(layers.item); json_next(&layer);) {
                if (json_kind_of(layer.item) != JSON_KIND_STRING) continue;
                capp_str key = json_copy_string(a, layer.name), value = json_copy_string(a, layer.item);
                if (str_is(key, "mediaType")) is_model = str_is(value, "application/vnd.ollama.image.model");
                if (str_is(key, "digest")) digest = value;
            }
            if (is_model) found = digest;
        }
    }
    return found;
}

typedef struct ollama {
    walk *walk;
    const char *models;
    const char *below[4]; /* host, owner, name */
    int depth;
} ollama;

static bool emit_manifest(const ollama *o, const char *manifest, const char *tag) {
    static const char algorithm[] = "sha256:";
    buffer text = {0};
    arena memory = {0};
    json_value value;
    capp_error err;
    size_t at;
    const char *reason;
    bool on = true;
    if (read_file(manifest, &text, &err) && json_check(buffer_view(&text), &value, &at, &reason)) {
        capp_str digest = model_digest(&memory, value);
        if (digest.size > 7 && !strncmp(digest.data, algorithm, 7) && !memchr(digest.data, '/', digest.size)) {
            char *path = text_of("%s/blobs/sha256-%s", o->models, digest.data + 7);
            char *repository = text_of("%s/%s", o->below[1], o->below[2]);
            o->walk->repository = repository;
            if (is_kind(path, S_IFREG)) on = emit(o->walk, tag, path);
            free(path);
            free(repository);
        }
    }
    buffer_free(&text);
    arena_free(&memory);
    return on;
}

static bool on_manifest(void *user, const char *folder, const char *name) {
    ollama inner = *(ollama *)user;
    char *path = text_of("%s/%s", folder, name);
    bool on = true;
    if (inner.depth == 3) {
        on = !is_kind(path, S_IFREG) || emit_manifest(&inner, path, name);
    } else if (is_kind(path, S_IFDIR)) {
        inner.below[inner.depth++] = name;
        on = each_entry(path, on_manifest, &inner);
    }
    free(path);
    return on;
}

static bool walk_ollama_models(walk *w, const char *models) {
    ollama o = {.walk = w, .models = models};
    char *manifests = text_of("%s/manifests", models);
    bool on = each_entry(manifests, on_manifest, &o);
    free(manifests);
    return on;
}

static bool walk_ollama(walk *w) {
    const char *given = environment("OLLAMA_MODELS"), *home = environment("HOME");
    if (given) return walk_ollama_models(w, given);
    char *own = text_of("%s/.ollama/models", home ? home : "");
    bool on = walk_ollama_models(w, own) && walk_ollama_models(w, "/usr/share/ollama/.ollama/models"); /* the service */
    free(own);
    return on;
}

/* ---- LM Studio --------------------------------------------------------------------------------------------------- */

static bool on_studio_model(void *user, const char *folder, const char *name) {
    walk *w = user;
    char *path = text_of("%s/%s", folder, name), *repository = text_of("%s/%s", strrchr(folder, '/') + 1, name);
    w->repository = repository;
    bool on = walk_folder(w, path);
    free(path);
    free(repository);
    return on;
}

static bool on_studio_owner(void *user, const char *folder, const char *name) {
    char *path = text_of("%s/%s", folder, name);
    bool on = each_entry(path, on_studio_model, user);
    free(path);
    return on;
}

static bool walk_lm_studio(walk *w) {
    static const char *const folders[] = {".lmstudio/models", ".cache/lm-studio/models"};
    const char *home = environment("HOME");
    bool on = true;
    for (size_t i = 0; i < 2 && on; i++) {
        char *folder = text_of("%s/%s", home ? home : "", folders[i]);
        on = each_entry(folder, on_studio_owner, w);
        free(folder);
    }
    return on;
}

/* ---- Finding ----------------------------------------------------------------------------------------------------- */

bool cache_walk(cache_kind kind, cached_model_fn fn, void *user) {
    static bool (*const walks[])(walk *) = {walk_hub, walk_llama_cpp, walk_ollama, walk_lm_studio};
    walk w = {.kind = kind, .fn = fn, .user = user};
    return walks[kind](&w);
}

typedef struct finder {
    const model_name *name;
    char *folder, *file; /* paths that fit */
    buffer files;        /* their names for messages */
    size_t n_files;
} finder;

/* The file's name in the repository that the caller looks for, or NULL if the file belongs to another repository. */
static const char *own_file(const finder *f, const cached_model *m) {
    if (m->kind != CACHE_LLAMA_CPP) return str_is(f->name->repository, m->repository) ? m->file : NULL;
    size_t size = f->name->repository.size;
    for (size_t i = 0; i < size; i++) {
        char c = f->name->repository.data[i];
        if (m->file[i] != (c == '/' ? '_' : c)) return NULL;
    }
    return m->file[size] == '_' ? m->file + size + 1 : NULL;
}

static bool is_wanted(const finder *f, const cached_model *m, const char *file) {
    const char *wanted = f->name->wanted;
    if (m->kind == CACHE_OLLAMA) return !strcasecmp(file, *wanted ? wanted : "latest");
    if (m->kind != CACHE_LLAMA_CPP) return name_wants(wanted, file);
    char *flat = text_of("%s", wanted);
    for (char *c = flat; *c; c++)
        if (*c == '/') *c = '_';
    bool wants = name_wants(flat, file);
    free(flat);
    return wants;
}

static bool on_model(void *user, const cached_model *m) {
    finder *f = user;
    const char *file = own_file(f, m);
    if (!file) return true;
    if (!*file) {
        if (!*f->name->wanted && !f->folder) f->folder = text_of("%s", m->path);
        return true;
    }
    if (!is_wanted(f, m, file)) return true;
    buffer_printf(&f->files, "%s%s", f->n_files ? ", " : "", file);
    if (!f->n_files++) f->file = text_of("%s", m->path);
    return true;
}

/* Gives the caller what was found. */
static bool finish(finder *f, char **path, capp_error *err) {
    bool good = true;
    *path = NULL;
    if (f->folder)
        *path = text_of("%s", f->folder);
    else if (f->n_files == 1)
        *path = text_of("%s", f->file);
    else if (f->n_files)
        good = fail_at(err, 0, "%s has several files: %.*s; name one, or its quantization, behind a colon: %.*s:Q4_K_M",
                       f->name->text, f->files.size < 700 ? (int)f->files.size : 700, f->files.data,
                       (int)f->name->repository.size, f->name->repository.data);
    free(f->folder);
    free(f->file);
    buffer_free(&f->files);
    return good;
}

bool cache_find(const model_name *name, char **path, capp_error *err) {
    *path = NULL;
    for (cache_kind kind = 0; kind < N_CACHES && !*path; kind++) {
        finder f = {.name = name};
        cache_walk(kind, on_model, &f);
        if (!finish(&f, path, err)) return false;
    }
    return true;
}

bool folder_find(const char *folder, const model_name *name, char **path, capp_error *err) {
    finder f = {.name = name};
    char *repository = text_of("%.*s", (int)name->repository.size, name->repository.data);
    walk w = {.kind = CACHE_HUB, .fn = on_model, .user = &f, .repository = repository};
    walk_folder(&w, folder);
    free(repository);
    return finish(&f, path, err);
}

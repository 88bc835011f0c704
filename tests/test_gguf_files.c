/* GGUF files on disk: files that cannot be opened, models in parts, failing allocations, real files. */
#define _GNU_SOURCE
#include <sys/stat.h>
#include <unistd.h>

#include "file/gguf.h"
#include "gguf_writer.h"
#include "test.h"

/* ---- Helpers ------------------------------------------------------------------------------------------------- */

typedef struct file {
    unsigned char *data;
    size_t size;
} file;

/* One key "k" and one tensor "t" of 2 rows of 32 F32. The fields after the name of a tensor are n_dims (4 bytes), dims
 * (8 each), type (4), offset (8). */
static file small(void) {
    gguf_writer *w = gguf_writer_new();
    float data[64];
    for (int i = 0; i < 64; i++) data[i] = (float)i;
    gguf_writer_u32(w, "some.key", 7);
    gguf_writer_tensor(w, "some.tensor", CAPP_TYPE_F32, 2, (uint64_t[]){32, 2}, data, sizeof data);
    file f;
    f.data = gguf_writer_finish(w, &f.size);
    return f;
}

static void *read_back(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    CHECK(f);
    void *data = malloc(1 << 20);
    *size = fread(data, 1, 1 << 20, f);
    fclose(f);
    return data;
}

static void write_bytes(const char *path, const void *data, size_t size) {
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(data, 1, size, f) == size && !fclose(f));
}

/* A folder of this process's own. It and its contents stay behind only where a test fails. */
static const char *folder(void) {
    static char path[] = "/tmp/capp-test-XXXXXX";
    static bool made;
    if (!made) CHECK(mkdtemp(path));
    made = true;
    return path;
}

static const char *in_folder(const char *name) {
    static char paths[8][200];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder(), name);
    return path;
}

static void check_open_fails(const char *path, capp_status status, const char *named, const char *part) {
    capp_gguf *g;
    capp_error err;
    CHECK_INT(capp_gguf_open(&g, path, &err), status);
    CHECK(!g);
    CHECK(!strncmp(err.message, named, strlen(named)));
    CHECK_CONTAINS(err.message, part);
    CHECK_INT(capp_gguf_open(&g, path, NULL), status);
}

/* ---- Files and parts ----------------------------------------------------------------------------------------- */

TEST(files) {
    const char *path = in_folder("model.gguf");
    file f = small();
    write_bytes(path, f.data, f.size);
    capp_gguf *g;
    capp_error err;
    CHECK_OK(capp_gguf_open(&g, path, &err), err);
    CHECK_STR(capp_gguf_path(g), path);
    CHECK_INT(capp_gguf_file_bytes(g), f.size);
    float last;
    memcpy(&last, (const char *)capp_gguf_find_tensor(g, "some.tensor")->data + 63 * sizeof last, sizeof last);
    CHECK(last == 63);
    capp_gguf_free(g);
    unlink(path);
    check_open_fails(path, CAPP_EIO, path, "No such file or directory; check the path");
    check_open_fails(folder(), CAPP_EIO, folder(), "this is a folder");
    write_bytes(path, "", 0);
    check_open_fails(path, CAPP_EFORMAT, path, "empty file");
    write_bytes(path, "<!doctype html>", 15);
    check_open_fails(path, CAPP_EFORMAT, path, "not a GGUF file: it begins with \"<!do\"");
    unlink(path);
    CHECK(!mkfifo(path, 0600));
    check_open_fails(path, CAPP_EIO, path, "not a regular file");
    unlink(path);
    rmdir(folder());
    free(f.data);
}

/* Part no (from 0) of count: it has its own key, and a tensor "part.NO" that holds its number. */
static void save_part(const char *path, unsigned no, unsigned count, int32_t tensors) {
    gguf_writer *w = gguf_writer_new();
    char name[20];
    snprintf(name, sizeof name, "part.%u", no);
    gguf_writer_u16(w, "split.no", (uint16_t)no);
    gguf_writer_u16(w, "split.count", (uint16_t)count);
    gguf_writer_i32(w, "split.tensors.count", tensors);
    if (!no) gguf_writer_str(w, "general.name", "split");
    uint32_t value = no;
    gguf_writer_tensor(w, name, CAPP_TYPE_I32, 1, (uint64_t[]){1}, &value, sizeof value);
    CHECK(gguf_writer_save(w, path));
}

typedef struct parts {
    const char *path[3];
} parts;

static parts save_parts(int32_t tensors) {
    parts p = {
        {in_folder("m-00001-of-00003.gguf"), in_folder("m-00002-of-00003.gguf"), in_folder("m-00003-of-00003.gguf")}};
    for (unsigned i = 0; i < 3; i++) save_part(p.path[i], i, 3, tensors);
    return p;
}

static void remove_parts(parts p) {
    for (int i = 0; i < 3; i++) unlink(p.path[i]);
    rmdir(folder());
}

TEST(split_file) {
    parts p = save_parts(3);
    capp_gguf *g;
    capp_error err;
    CHECK_OK(capp_gguf_open(&g, p.path[0], &err), err);
    CHECK_INT(capp_gguf_parts(g), 3);
    CHECK_INT(capp_gguf_n_tensors(g), 3);
    CHECK(capp_gguf_find(g, "general.name"));
    for (uint32_t i = 0, value; i < 3; i++) {
        char name[20];
        snprintf(name, sizeof name, "part.%u", i);
        memcpy(&value, capp_gguf_find_tensor(g, name)->data, sizeof value);
        CHECK_INT(value, i);
    }
    capp_gguf_free(g);
    remove_parts(p);
}

TEST(split_file_opened_wrongly) {
    parts p = save_parts(3);
    check_open_fails(p.path[1], CAPP_EINVAL, p.path[1], p.path[0]);
    check_open_fails(p.path[2], CAPP_EINVAL, p.path[2], p.path[0]);
    const char *whole = in_folder("whole.gguf");
    CHECK(!rename(p.path[0], whole));
    check_open_fails(whole, CAPP_EINVAL, whole, "-00001-of-00003.gguf");
    CHECK(!rename(p.path[1], whole));
    check_open_fails(whole, CAPP_EINVAL, whole, "not the first file");
    size_t size;
    file f = {read_back(whole, &size), 0};
    f.size = size;
    capp_gguf *g;
    capp_error err;
    CHECK_INT(capp_gguf_parse(&g, f.data, f.size, "test.gguf", &err), CAPP_EINVAL);
    CHECK_CONTAINS(err.message, "not the first file");
    free(f.data);
    unlink(whole);
    remove_parts(p);
}

TEST(split_file_with_bad_parts) {
    parts p = save_parts(3);
    unlink(p.path[2]);
    check_open_fails(p.path[0], CAPP_EIO, p.path[2], "part 3 of 3");
    save_part(p.path[2], 1, 3, 3);
    check_open_fails(p.path[0], CAPP_EFORMAT, p.path[2], "the name says part 3, but the file says part 2");
    save_part(p.path[2], 2, 4, 3);
    check_open_fails(p.path[0], CAPP_EFORMAT, p.path[2], "the model has 4 parts");
    write_bytes(p.path[2], "garbage", 7);
    check_open_fails(p.path[0], CAPP_EFORMAT, p.path[2], "not a GGUF file");
    file f = small();
    write_bytes(p.path[2], f.data, f.size);
    check_open_fails(p.path[0], CAPP_EFORMAT, p.path[2], "no metadata key split.count");
    write_bytes(p.path[0], f.data, f.size);
    check_open_fails(p.path[0], CAPP_EFORMAT, p.path[0], "join the parts with cat");
    free(f.data);
    remove_parts(p);
}

TEST(split_file_with_missing_tensors) {
    parts p = save_parts(5);
    check_open_fails(p.path[0], CAPP_EFORMAT, p.path[0], "has 5 tensors, but its 3 parts have 3");
    remove_parts(p);
}

TEST(one_part_of_one) {
    const char *path = in_folder("m-00001-of-00001.gguf");
    file f = small();
    write_bytes(path, f.data, f.size); /* without split.* keys, like many files */
    capp_gguf *g;
    capp_error err;
    CHECK_OK(capp_gguf_open(&g, path, &err), err);
    CHECK_INT(capp_gguf_parts(g), 1);
    capp_gguf_free(g);
    unlink(path);
    rmdir(folder());
    free(f.data);
}

/* ---- Allocation ---------------------------------------------------------------------------------------------- */

static size_t allocations_left, live;

static void *failing_malloc(size_t n) {
    if (!allocations_left) return NULL;
    allocations_left--;
    live++;
    return malloc(n);
}

static void *failing_realloc(void *p, size_t n) {
    if (!allocations_left) return NULL;
    allocations_left--;
    live += !p;
    return realloc(p, n);
}

static void counting_free(void *p) {
    live -= p != NULL;
    free(p);
}

TEST(every_allocation_fails_once) {
    parts p = save_parts(3);
    gguf_writer *w = gguf_writer_new();
    gguf_writer_str_array(w, "words", (const char *const[]){"a", "bc"}, NULL, 2);
    gguf_writer_tensor(w, "part.0", CAPP_TYPE_I32, 1, (uint64_t[]){1}, NULL, 4);
    gguf_writer_u16(w, "split.no", 0);
    gguf_writer_u16(w, "split.count", 3);
    CHECK(gguf_writer_save(w, p.path[0]));
    CHECK_INT(capp_set_allocator(failing_malloc, failing_realloc, counting_free), CAPP_OK);
    capp_status st = CAPP_ENOMEM;
    size_t n;
    for (n = 0; st != CAPP_OK; n++) {
        capp_gguf *g;
        capp_error err = {0};
        allocations_left = n;
        st = capp_gguf_open(&g, p.path[0], &err);
        if (st != CAPP_OK) {
            CHECK_INT(st, CAPP_ENOMEM);
            CHECK_CONTAINS(err.message, "gguf: out of memory");
            CHECK(!g);
        }
        capp_gguf_free(g);
        CHECK_INT(live, 0);
    }
    CHECK(n > 10);
    capp_set_allocator(NULL, NULL, NULL);
    remove_parts(p);
}

/* ---- Real files ---------------------------------------------------------------------------------------------- */

static void check_model(const char *name, size_t n_tensors, uint64_t n_tokens) {
    const char *path = test_model(name);
    if (!path) SKIP("no model %s", name);
    capp_gguf *g;
    capp_error err;
    CHECK_OK(capp_gguf_open(&g, path, &err), err);
    CHECK_INT(capp_gguf_n_tensors(g), n_tensors);
    CHECK_INT(capp_gguf_find(g, "tokenizer.ggml.tokens")->count, n_tokens);
    CHECK(capp_gguf_find_tensor(g, "token_embd.weight")->dims[1] == n_tokens);
    capp_gguf_free(g);
}

TEST(smollm2) {
    check_model("smollm2", 272, 49152);
}
TEST(gemma3) {
    check_model("gemma3", 236, 262144);
}

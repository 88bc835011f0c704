/* GGUF files: what is read, and each way in which a file can be wrong. gguf_writer builds the files. */
#define _GNU_SOURCE
#include "file/gguf.h"

#include <sys/stat.h>
#include <unistd.h>

#include "gguf_writer.h"
#include "test.h"

/* ---- Helpers ------------------------------------------------------------------------------------------------- */

typedef struct file {
    unsigned char *data;
    size_t size;
} file;

static file finish(gguf_writer *w) {
    file f;
    f.data = gguf_writer_finish(w, &f.size);
    return f;
}

static capp_gguf *parse(file f) {
    capp_gguf *g;
    capp_error err;
    CHECK_OK(capp_gguf_parse(&g, f.data, f.size, "test.gguf", &err), err);
    return g;
}

/* The file must fail with that status and a message that begins with its name and contains part. Frees the file. */
static void check_bad(file f, capp_status status, const char *part) {
    capp_gguf *g = (capp_gguf *)&f;
    capp_error err;
    CHECK_INT(capp_gguf_parse(&g, f.data, f.size, "test.gguf", &err), status);
    CHECK(!g);
    CHECK_INT(err.status, status);
    CHECK(!strncmp(err.message, "test.gguf: ", 11));
    CHECK_CONTAINS(err.message, part);
    CHECK_INT(capp_gguf_parse(&g, f.data, f.size, "test.gguf", NULL), status);
    free(f.data);
}

/* The position just past the first occurrence of text. */
static unsigned char *past(file f, const char *text) {
    size_t n = strlen(text);
    for (size_t i = 0; i + n <= f.size; i++)
        if (!memcmp(f.data + i, text, n)) return f.data + i + n;
    FAIL("no \"%s\" in the file", text);
}

static void put_u32(unsigned char *at, uint32_t v) {
    memcpy(at, &v, sizeof v);
}
static void put_u64(unsigned char *at, uint64_t v) {
    memcpy(at, &v, sizeof v);
}

/* One key "k" and one tensor "t" of 2 rows of 32 F32. The fields after the name of a tensor are n_dims (4 bytes), dims
 * (8 each), type (4), offset (8). */
static file small(void) {
    gguf_writer *w = gguf_writer_new();
    float data[64];
    for (int i = 0; i < 64; i++) data[i] = (float)i;
    gguf_writer_u32(w, "some.key", 7);
    gguf_writer_tensor(w, "some.tensor", CAPP_TYPE_F32, 2, (uint64_t[]){32, 2}, data, sizeof data);
    return finish(w);
}

/* ---- What is read -------------------------------------------------------------------------------------------- */

static gguf_writer *every_kind(void) {
    gguf_writer *w = gguf_writer_new();
    gguf_writer_u8(w, "u8", 200);
    gguf_writer_i8(w, "i8", -100);
    gguf_writer_u16(w, "u16", 60000);
    gguf_writer_i16(w, "i16", -30000);
    gguf_writer_u32(w, "u32", 4000000000u);
    gguf_writer_i32(w, "i32", -2000000000);
    gguf_writer_u64(w, "u64", UINT64_MAX);
    gguf_writer_i64(w, "i64", INT64_MIN);
    gguf_writer_f32(w, "f32", 0.5f);
    gguf_writer_f64(w, "f64", 1e300);
    gguf_writer_bool(w, "yes", true);
    gguf_writer_bool(w, "no", false);
    gguf_writer_str(w, "str", "text");
    gguf_writer_str(w, "empty", "");
    return w;
}

TEST(every_kind_of_value) {
    file f = finish(every_kind());
    capp_gguf *g = parse(f);
    uint64_t u;
    uint32_t u32;
    double d;
    bool b;
    capp_str s;
    CHECK_INT(capp_gguf_n_values(g), 14);
    CHECK(capp_gguf_u64(g, "u8", &u) && u == 200);
    CHECK(capp_gguf_u64(g, "u16", &u) && u == 60000);
    CHECK(capp_gguf_u32(g, "u32", &u32) && u32 == 4000000000u);
    CHECK(capp_gguf_u64(g, "u64", &u) && u == UINT64_MAX);
    CHECK(capp_gguf_f64(g, "i8", &d) && d == -100);
    CHECK(capp_gguf_f64(g, "i16", &d) && d == -30000);
    CHECK(capp_gguf_f64(g, "i32", &d) && d == -2e9);
    CHECK(capp_gguf_f64(g, "f32", &d) && d == 0.5);
    CHECK(capp_gguf_f64(g, "f64", &d) && d == 1e300);
    CHECK(capp_gguf_bool(g, "yes", &b) && b);
    CHECK(capp_gguf_bool(g, "no", &b) && !b);
    CHECK(capp_gguf_str(g, "str", &s) && s.size == 4 && !memcmp(s.data, "text", 4));
    CHECK(capp_gguf_str(g, "empty", &s) && s.size == 0);
    for (size_t i = 0; i < 14; i++) CHECK(capp_gguf_value_at(g, i)->count == 1);
    CHECK(!capp_gguf_value_at(g, 14));
    capp_gguf_free(g);
    free(f.data);
}

TEST(conversions_that_lose_are_refused) {
    file f = finish(every_kind());
    capp_gguf *g = parse(f);
    uint64_t u = 1;
    uint32_t u32 = 1;
    double d = 1;
    bool b = true;
    capp_str s = {NULL, 1};
    static const char *not_unsigned[] = {"i8", "i64", "f32", "yes", "str", "absent"};
    for (size_t i = 0; i < 6; i++) CHECK(!capp_gguf_u64(g, not_unsigned[i], &u));
    CHECK(!capp_gguf_u32(g, "u64", &u32));
    CHECK(!capp_gguf_f64(g, "u64", &d)); /* 2^64 - 1 is not a double */
    CHECK(!capp_gguf_f64(g, "yes", &d));
    CHECK(!capp_gguf_f64(g, "str", &d));
    CHECK(!capp_gguf_bool(g, "u8", &b));
    CHECK(!capp_gguf_str(g, "u8", &s));
    CHECK(!capp_gguf_array_u64(capp_gguf_find(g, "u8"), 0, &u)); /* not an array */
    CHECK(u == 1 && u32 == 1 && d == 1 && b && s.size == 1);
    capp_gguf_free(g);
    free(f.data);
}

TEST(arrays) {
    gguf_writer *w = gguf_writer_new();
    const char *words[] = {"a", "", "\xff\0b"};
    size_t sizes[] = {1, 0, 3};
    gguf_writer_str_array(w, "words", words, sizes, 3);
    gguf_writer_str_array(w, "none", NULL, NULL, 0);
    gguf_writer_f32_array(w, "reals", (float[]){1.5f, -2}, 2);
    gguf_writer_i32_array(w, "integers", (int32_t[]){3, -4}, 2);
    file f = finish(w);
    capp_gguf *g = parse(f);
    uint64_t u;
    int64_t i;
    double d;
    const capp_gguf_value *v = capp_gguf_find(g, "words");
    CHECK(v && v->kind == CAPP_GGUF_ARRAY && v->element == CAPP_GGUF_STRING && v->count == 3);
    CHECK(v->strings[0].size == 1 && v->strings[0].data[0] == 'a');
    CHECK(v->strings[1].size == 0);
    CHECK(v->strings[2].size == 3 && !memcmp(v->strings[2].data, words[2], 3));
    CHECK(capp_gguf_find(g, "none")->count == 0);
    v = capp_gguf_find(g, "reals");
    CHECK(v && v->count == 2 && !v->strings);
    CHECK(capp_gguf_array_f64(v, 1, &d) && d == -2);
    CHECK(!capp_gguf_array_f64(v, 2, &d));
    CHECK(!capp_gguf_array_i64(v, 0, &i));
    v = capp_gguf_find(g, "integers");
    CHECK(capp_gguf_array_i64(v, 1, &i) && i == -4);
    CHECK(capp_gguf_array_u64(v, 0, &u) && u == 3);
    CHECK(!capp_gguf_array_u64(v, 1, &u));
    CHECK(capp_gguf_array_f64(v, 1, &d) && d == -4);
    capp_gguf_free(g);
    free(f.data);
}

TEST(tensors) {
    gguf_writer *w = gguf_writer_new();
    unsigned char q8[2 * 3 * 34];
    for (size_t i = 0; i < sizeof q8; i++) q8[i] = (unsigned char)i;
    gguf_writer_version(w, 2);
    gguf_writer_tensor(w, "q", CAPP_TYPE_Q8_0, 2, (uint64_t[]){64, 3}, q8, sizeof q8);
    gguf_writer_tensor(w, "f", CAPP_TYPE_F16, 4, (uint64_t[]){3, 1, 2, 1}, NULL, 12);
    file f = finish(w);
    capp_gguf *g = parse(f);
    CHECK_INT(capp_gguf_version(g), 2);
    CHECK_INT(capp_gguf_file_bytes(g), f.size);
    CHECK_INT(capp_gguf_parts(g), 1);
    CHECK_STR(capp_gguf_path(g), "test.gguf");
    CHECK_INT(capp_gguf_n_tensors(g), 2);
    const capp_gguf_tensor *t = capp_gguf_find_tensor(g, "q");
    CHECK(t && t == capp_gguf_tensor_at(g, 0) && !capp_gguf_tensor_at(g, 2));
    CHECK(t->n_dims == 2 && t->dims[0] == 64 && t->dims[1] == 3 && t->dims[2] == 1 && t->dims[3] == 1);
    CHECK(t->type == CAPP_TYPE_Q8_0 && t->elements == 192 && t->bytes == sizeof q8);
    CHECK(!memcmp(t->data, q8, sizeof q8));
    t = capp_gguf_find_tensor(g, "f");
    CHECK(t && t->n_dims == 4 && t->elements == 6 && t->bytes == 12);
    CHECK(!capp_gguf_find_tensor(g, "absent") && !capp_gguf_find(g, "absent"));
    capp_gguf_free(g);
    free(f.data);
}

TEST(lookup_among_many) {
    gguf_writer *w = gguf_writer_new();
    char name[20];
    for (uint32_t i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "name.%u", i);
        gguf_writer_u32(w, name, i);
        gguf_writer_tensor(w, name, CAPP_TYPE_I8, 1, (uint64_t[]){i + 1}, NULL, i + 1);
    }
    file f = finish(w);
    capp_gguf *g = parse(f);
    for (uint32_t i = 0, v; i < 5000; i++) {
        snprintf(name, sizeof name, "name.%u", i);
        CHECK(capp_gguf_u32(g, name, &v) && v == i);
        CHECK(capp_gguf_find_tensor(g, name)->elements == i + 1);
    }
    CHECK(!capp_gguf_find(g, "name.5000"));
    capp_gguf_free(g);
    free(f.data);
}

TEST(alignment) {
    gguf_writer *w = gguf_writer_new();
    gguf_writer_alignment(w, 256);
    gguf_writer_tensor(w, "a", CAPP_TYPE_I8, 1, (uint64_t[]){3}, "abc", 3);
    gguf_writer_tensor(w, "b", CAPP_TYPE_I8, 1, (uint64_t[]){3}, "def", 3);
    file f = finish(w);
    capp_gguf *g = parse(f);
    const capp_gguf_tensor *a = capp_gguf_find_tensor(g, "a"), *b = capp_gguf_find_tensor(g, "b");
    CHECK(!memcmp(a->data, "abc", 3) && !memcmp(b->data, "def", 3));
    CHECK_INT((const char *)b->data - (const char *)a->data, 256);
    CHECK_INT(((const unsigned char *)a->data - f.data) % 256, 0);
    capp_gguf_free(g);
    free(f.data);
}

/* ---- What is wrong ------------------------------------------------------------------------------------------- */

TEST(bad_header) {
    check_bad((file){calloc(1, 1), 0}, CAPP_EFORMAT, "empty file");
    file f = small();
    memcpy(f.data, "PK\3\4", 4);
    check_bad(f, CAPP_EFORMAT, "not a GGUF file: it begins with \"PK\\x03\\x04\"");
    f = small();
    f.size = 3;
    check_bad(f, CAPP_EFORMAT, "not a GGUF file: it begins with \"GGU\"");
    f = small();
    memcpy(f.data, "version https://git-lfs.github.com/spec/v1", 42);
    check_bad(f, CAPP_EFORMAT, "git lfs pull");
    f = small();
    put_u32(f.data + 4, 0x03000000);
    check_bad(f, CAPP_EUNSUPPORTED, "big-endian");
    for (uint32_t version = 0; version < 6; version++) {
        if (version == 2 || version == 3) continue;
        f = small();
        put_u32(f.data + 4, version);
        check_bad(f, CAPP_EUNSUPPORTED, "to version 2 or 3");
    }
    f = small();
    f.size = 20;
    check_bad(f, CAPP_EFORMAT, "the file ends inside its header");
}

TEST(bad_counts) {
    static const uint64_t counts[] = {UINT64_MAX, 1ull << 63, 1ull << 32, 1000};
    for (size_t i = 0; i < 4; i++) {
        file f = small();
        put_u64(f.data + 8, counts[i]);
        check_bad(f, CAPP_EFORMAT, "tensors, more than fit its");
        f = small();
        put_u64(f.data + 16, counts[i]);
        check_bad(f, CAPP_EFORMAT, "metadata keys, more than fit its");
    }
    file f = small();
    put_u64(f.data + 16, 3);
    check_bad(f, CAPP_EFORMAT, "");
    gguf_writer *w = gguf_writer_new();
    gguf_writer_tensor(w, "t", CAPP_TYPE_I8, 1, (uint64_t[]){4000000}, NULL, 4000000);
    f = finish(w);
    put_u64(f.data + 8, 70000);
    check_bad(f, CAPP_EUNSUPPORTED, "at most 65536");
}

TEST(every_truncation_fails) {
    gguf_writer *w = every_kind();
    gguf_writer_str_array(w, "words", (const char *const[]){"a", "bc"}, NULL, 2);
    gguf_writer_i32_array(w, "integers", (int32_t[]){3, -4}, 2);
    gguf_writer_tensor(w, "t", CAPP_TYPE_F32, 2, (uint64_t[]){32, 2}, NULL, 256);
    file f = finish(w);
    for (size_t size = 1; size < f.size; size++) {
        capp_gguf *g;
        capp_error err;
        unsigned char *copy = malloc(size); /* of this size, so that a sanitizer sees an over-read */
        memcpy(copy, f.data, size);
        CHECK_INT(capp_gguf_parse(&g, copy, size, "test.gguf", &err), CAPP_EFORMAT);
        free(copy);
    }
    capp_gguf_free(parse(f));
    free(f.data);
}

TEST(bad_names) {
    static const char *names[] = {"",        "a\nb", "a\x7f", "\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                  "\xe2\x82"};
    for (size_t i = 0; i < 8; i++) {
        gguf_writer *w = gguf_writer_new();
        gguf_writer_u32(w, names[i], 1);
        check_bad(finish(w), CAPP_EFORMAT, "name of metadata key 1 of 1");
        w = gguf_writer_new();
        gguf_writer_tensor(w, names[i], CAPP_TYPE_I8, 1, (uint64_t[]){1}, "", 1);
        check_bad(finish(w), CAPP_EFORMAT, "name of tensor 1 of 1");
    }
    char *name = calloc(1, 65537);
    memset(name, 'n', 65535);
    gguf_writer *w = gguf_writer_new();
    gguf_writer_u32(w, name, 1);
    file f = finish(w);
    capp_gguf_free(parse(f));
    free(f.data);
    name[65535] = 'n';
    w = gguf_writer_new();
    gguf_writer_u32(w, name, 1);
    check_bad(finish(w), CAPP_EFORMAT, "65536 bytes");
    free(name);
}

TEST(duplicates) {
    gguf_writer *w = gguf_writer_new();
    gguf_writer_u32(w, "twin", 1);
    gguf_writer_u32(w, "other", 1);
    gguf_writer_str(w, "twin", "");
    check_bad(finish(w), CAPP_EFORMAT, "metadata key twin occurs twice");
    w = gguf_writer_new();
    gguf_writer_tensor(w, "twin", CAPP_TYPE_I8, 1, (uint64_t[]){1}, "", 1);
    gguf_writer_tensor(w, "twin", CAPP_TYPE_I8, 1, (uint64_t[]){1}, "", 1);
    check_bad(finish(w), CAPP_EFORMAT, "tensor twin occurs twice");
}

/* An array of that element type, with count and bytes as given. */
static file bad_array(uint32_t element, uint64_t count, size_t bytes) {
    unsigned char value[64] = {0};
    put_u32(value, element);
    put_u64(value + 4, count);
    gguf_writer *w = gguf_writer_new();
    gguf_writer_raw(w, "key", CAPP_GGUF_ARRAY, value, 12 + bytes);
    return finish(w);
}

TEST(bad_values) {
    gguf_writer *w = gguf_writer_new();
    gguf_writer_raw(w, "key", 13, "1234", 4);
    check_bad(finish(w), CAPP_EUNSUPPORTED, "metadata key key has unknown value type 13");
    w = gguf_writer_new();
    gguf_writer_raw(w, "key", CAPP_GGUF_BOOL, "\2", 1);
    check_bad(finish(w), CAPP_EFORMAT, "metadata key key is 2, expected true or false");
    w = gguf_writer_new();
    gguf_writer_raw(w, "key", CAPP_GGUF_STRING, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    check_bad(finish(w), CAPP_EFORMAT, "metadata key key has a value that extends beyond the end");
    check_bad(bad_array(CAPP_GGUF_ARRAY, 1, 12), CAPP_EUNSUPPORTED, "array of arrays");
    check_bad(bad_array(99, 1, 12), CAPP_EUNSUPPORTED, "unknown value type 99");
    static const uint32_t elements[] = {CAPP_GGUF_U8, CAPP_GGUF_I32, CAPP_GGUF_F64, CAPP_GGUF_STRING};
    static const uint64_t counts[] = {UINT64_MAX, 1ull << 61, 1ull << 60, 50};
    for (size_t e = 0; e < 4; e++)
        for (size_t i = 0; i < 4; i++)
            check_bad(bad_array(elements[e], counts[i], 16), CAPP_EFORMAT, "extends beyond the end");
    static const uint32_t alignments[] = {0, 3, 48, 1u << 21, UINT32_MAX};
    for (size_t i = 0; i < 5; i++) {
        w = gguf_writer_new();
        gguf_writer_u32(w, "general.alignment", alignments[i]);
        check_bad(finish(w), CAPP_EFORMAT, "general.alignment is not a power of two");
    }
    w = gguf_writer_new();
    gguf_writer_str(w, "general.alignment", "32");
    check_bad(finish(w), CAPP_EFORMAT, "general.alignment is not a power of two");
}

TEST(bad_tensors) {
    static const uint32_t n_dims[] = {0, 5, UINT32_MAX};
    for (size_t i = 0; i < 3; i++) {
        file f = small();
        put_u32(past(f, "some.tensor"), n_dims[i]);
        check_bad(f, CAPP_EFORMAT, "tensor some.tensor has");
    }
    file f = small();
    put_u64(past(f, "some.tensor") + 12, 0);
    check_bad(f, CAPP_EFORMAT, "dimension of 0");
    f = small();
    put_u64(past(f, "some.tensor") + 12, 1ull << 59);
    check_bad(f, CAPP_EFORMAT, "2^63 elements");
    f = small();
    put_u64(past(f, "some.tensor") + 12, UINT64_MAX);
    check_bad(f, CAPP_EFORMAT, "2^63 elements");
    f = small();
    put_u64(past(f, "some.tensor") + 12, 1ull << 57); /* 2^62 elements, 2^64 bytes */
    check_bad(f, CAPP_EFORMAT, "2^64 bytes");
    static const uint32_t types[] = {5, 31, 36, 43, UINT32_MAX};
    for (size_t i = 0; i < 5; i++) {
        char part[60];
        f = small();
        put_u32(past(f, "some.tensor") + 20, types[i]);
        snprintf(part, sizeof part, "tensor some.tensor has unknown type %u", types[i]);
        check_bad(f, CAPP_EUNSUPPORTED, part);
    }
    f = small();
    put_u32(past(f, "some.tensor") + 20, CAPP_TYPE_Q4_K);
    check_bad(f, CAPP_EFORMAT, "rows of 32 elements, which is not a multiple of 256, the block size of Q4_K");
}

TEST(bad_offsets) {
    file f = small();
    put_u64(past(f, "some.tensor") + 24, 8);
    check_bad(f, CAPP_EFORMAT, "not a multiple of the file's alignment 32");
    static const uint64_t offsets[] = {32, 1ull << 32, UINT64_MAX - 31};
    for (size_t i = 0; i < 3; i++) {
        f = small();
        put_u64(past(f, "some.tensor") + 24, offsets[i]);
        check_bad(f, CAPP_EFORMAT, "tensor some.tensor has 256 bytes of data at");
    }
    f = small();
    put_u64(past(f, "some.tensor") + 12, 3); /* a third row */
    check_bad(f, CAPP_EFORMAT, "beyond the end of the file");
}

TEST(tensors_that_overlap) {
    static const uint64_t offsets[] = {0, 32};
    for (size_t i = 0; i < 2; i++) {
        gguf_writer *w = gguf_writer_new();
        gguf_writer_tensor(w, "first", CAPP_TYPE_F32, 1, (uint64_t[]){16}, NULL, 64);
        gguf_writer_tensor(w, "second", CAPP_TYPE_F32, 1, (uint64_t[]){8}, NULL, 32);
        file f = finish(w);
        put_u64(past(f, "second") + 16, offsets[i]);
        check_bad(f, CAPP_EFORMAT, i ? "tensor second begins inside tensor first of type F32" : "begins inside tensor");
    }
}

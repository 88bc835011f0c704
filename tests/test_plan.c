/* The token tree and the plan, without a model. */
#include "plan/plan.h"
#include "test.h"

typedef struct world {
    capp_tree tree;
    capp_slots slots;
    capp_plan plan;
    capp_error err;
} world;

static void begin(world *w, size_t slots) {
    memset(w, 0, sizeof *w);
    CHECK_OK(capp_tree_init(&w->tree, &w->err), w->err);
    CHECK_OK(capp_slots_init(&w->slots, slots, &w->err), w->err);
    CHECK_OK(capp_tree_next_window(&w->tree, &w->err), w->err);
}

static void end(world *w) {
    capp_tree_free(&w->tree);
    capp_slots_free(&w->slots);
    capp_plan_free(&w->plan);
}

static uint32_t insert(world *w, uint32_t from, const char *letters, bool scored) {
    int32_t ids[300];
    size_t n = strlen(letters);
    uint32_t last;
    for (size_t i = 0; i < n; i++) ids[i] = letters[i];
    CHECK_OK(capp_tree_insert(&w->tree, from, ids, n, scored, NULL, &last, &w->err), w->err);
    return last;
}

static void example(world *w, const char *prompt, const char *first, const char *second) {
    uint32_t node = insert(w, CAPP_ROOT, prompt, false);
    insert(w, node, first, true);
    insert(w, node, second, true);
}

static void plan(world *w, size_t rows) {
    CHECK_OK(capp_plan_make(&w->plan, &w->tree, &w->slots, rows, &w->err), w->err);
}

static void next(world *w) {
    capp_plan_done(&w->plan, &w->tree);
    CHECK_OK(capp_tree_next_window(&w->tree, &w->err), w->err);
}

/* The order, as letters. */
static const char *order(const world *w) {
    static char text[400];
    CHECK(w->plan.n < sizeof text);
    for (size_t i = 0; i < w->plan.n; i++) text[i] = (char)w->tree.nodes[w->plan.order[i]].token;
    text[w->plan.n] = 0;
    return text;
}

TEST(last_tokens_never_run) {
    world w;
    begin(&w, 64);
    example(&w, "abc", "x", "y");
    plan(&w, 16);
    CHECK_STR(order(&w), "abc");
    next(&w);
    end(&w);
}

TEST(common_beginnings_run_once_whatever_the_order) {
    world w;
    begin(&w, 64);
    example(&w, "abc", "xy", "xz");
    example(&w, "qq", "x", "y");
    example(&w, "abd", "x", "xyz");
    plan(&w, 16);
    CHECK_STR(order(&w), "abcxdxyqq");
    next(&w);
    end(&w);
}

TEST(a_completion_that_goes_on_from_another) {
    world w;
    begin(&w, 64);
    example(&w, "a", "xyz", "xy");
    plan(&w, 16);
    CHECK_STR(order(&w), "axy");
    next(&w);
    end(&w);
}

TEST(residents_are_found_again_and_heads_run_again) {
    world w;
    begin(&w, 64);
    example(&w, "abcd", "xx", "yy");
    plan(&w, 16);
    CHECK_STR(order(&w), "abcdxy");
    next(&w);
    example(&w, "abce", "xx", "yy");
    plan(&w, 16);
    CHECK_STR(order(&w), "exy");
    next(&w);
    example(&w, "abcd", "xx", "yz"); /* d, x and y are resident, but the head needs their hidden states */
    plan(&w, 16);
    CHECK_STR(order(&w), "dxy");
    next(&w);
    end(&w);
}

TEST(oldest_residents_make_room) {
    world w;
    begin(&w, 12);
    example(&w, "abcd", "x", "y");
    plan(&w, 4);
    next(&w);
    example(&w, "efgh", "x", "y");
    plan(&w, 4);
    next(&w);
    example(&w, "abcd", "x", "y"); /* used: now younger than e f g h */
    plan(&w, 4);
    CHECK_STR(order(&w), "d");
    next(&w);
    example(&w, "ijklmn", "x", "y");
    plan(&w, 4);
    next(&w);
    example(&w, "abcd", "x", "y");
    plan(&w, 4);
    CHECK_STR(order(&w), "d");
    next(&w);
    example(&w, "efgh", "x", "y");
    plan(&w, 4);
    CHECK(strlen(order(&w)) > 1);
    next(&w);
    end(&w);
}

TEST(a_store_too_small_is_an_error_and_the_tree_goes_on) {
    world w;
    begin(&w, 4);
    example(&w, "abcdefgh", "x", "y");
    CHECK_INT(capp_plan_make(&w.plan, &w.tree, &w.slots, 4, &w.err), CAPP_EBUDGET);
    CHECK_OK(capp_tree_next_window(&w.tree, &w.err), w.err);
    example(&w, "ab", "x", "y");
    plan(&w, 2);
    CHECK_STR(order(&w), "ab");
    next(&w);
    end(&w);
}

/* A key of a node's path (FNV-1a), because the numbers of nodes change from window to window. */
static uint64_t path_key(const capp_tree *tree, uint32_t node) {
    uint64_t key = 0xcbf29ce484222325u;
    for (; node != CAPP_ROOT; node = tree->nodes[node].parent)
        key = (key ^ (uint32_t)tree->nodes[node].token) * 0x100000001b3u;
    return key;
}

/* Simulates the plan: a slot holds the path that ran last. When a row's wave has been written, every ancestor of the
 * row must be in its slot. */
static void replay(const world *w, uint64_t *holder) {
    for (size_t i = 0; i < w->plan.n_waves; i++) {
        const capp_wave *wave = &w->plan.waves[i];
        for (size_t r = 0; r < wave->rows; r++) {
            uint32_t node = w->plan.order[wave->first + r];
            holder[w->tree.nodes[node].slot] = path_key(&w->tree, node);
        }
        for (size_t r = 0; r < wave->rows; r++)
            for (uint32_t at = w->plan.order[wave->first + r]; at != CAPP_ROOT; at = w->tree.nodes[at].parent)
                if (holder[w->tree.nodes[at].slot] != path_key(&w->tree, at))
                    FAIL("wave %zu: an ancestor is not in the store", i);
    }
}

/* Random prompts. Some repeat an earlier one, whole or in part, so that windows find long paths resident. */
static void random_prompt(test_random *r, char old[6][31], char *prompt) {
    char *again = old[test_random_below(r, 6)];
    size_t length = 1 + test_random_below(r, 30);
    for (size_t i = 0; i < length; i++) prompt[i] = (char)('a' + test_random_below(r, i < 9 ? 2 : 26));
    prompt[length] = 0;
    if (*again && test_random_below(r, 2))
        snprintf(prompt, 31, "%.*s", 1 + (int)test_random_below(r, 40), again);
    else
        strcpy(again, prompt);
}

/* Half of the stores have only the size that a plan is promised to need. */
TEST(random_windows_keep_every_past) {
    enum { LONGEST = 30 + 8 };
    test_random r = {5};
    for (int trial = 0; trial < 300; trial++) {
        world w;
        const size_t rows = 1 + test_random_below(&r, 8),
                     slots = LONGEST + rows + test_random_below(&r, 40) * (trial & 1);
        size_t most = 0; /* nodes touched in a window */
        uint64_t *holder = calloc(slots, sizeof *holder);
        char old[6][31] = {{0}};
        CHECK(holder);
        begin(&w, slots);
        for (int window = 0; window < 40; window++) {
            for (uint64_t n = test_random_below(&r, 12); n--;) {
                char prompt[31], first[10], second[10];
                random_prompt(&r, old, prompt);
                snprintf(first, sizeof first, "%.*s", 1 + (int)test_random_below(&r, 8), "xyzxyzxyz");
                snprintf(second, sizeof second, "%.*s", 1 + (int)test_random_below(&r, 8), "xzyxzyxzy");
                example(&w, prompt, first, second);
            }
            plan(&w, rows);
            replay(&w, holder);
            if (w.tree.touched > most) most = w.tree.touched;
            CHECK(3 * w.tree.n <= 4 * (most + 2 * slots) + 3 * 64); /* as tree.h promises; 64 for the smallest table */
            next(&w);
        }
        end(&w);
        free(holder);
    }
}

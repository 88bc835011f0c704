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

/* The same for states: when a row runs, its parent's state must be where the plan says. */
static void replay_states(const world *w, uint64_t *holder) {
    for (size_t i = 0; i < w->plan.n; i++) {
        uint32_t node = w->plan.order[i], parent = w->tree.nodes[node].parent;
        const capp_step *step = &w->plan.steps[i];
        CHECK(step->state < w->tree.states.n);
        CHECK((step->from == CAPP_NO_SLOT) == (parent == CAPP_ROOT));
        if (parent != CAPP_ROOT && holder[step->from] != path_key(&w->tree, parent))
            FAIL("row %zu: its parent's state is not in slot %u", i, step->from);
        holder[step->state] = path_key(&w->tree, node);
    }
    for (uint32_t i = 1; i < w->tree.n; i++) {
        const capp_node *x = &w->tree.nodes[i];
        if (x->state == CAPP_NO_SLOT) continue;
        CHECK(x->slot != CAPP_NO_SLOT && w->tree.states.owner[x->state] == i);
        CHECK(holder[x->state] == path_key(&w->tree, i));
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

/* Half of the stores have only the size that a plan is promised to need, and a third of the trees one to four states.
 */
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
        size_t states = trial % 3 ? 0 : 1 + (size_t)trial / 3 % 4;
        uint64_t state_holder[4] = {0};
        if (states) CHECK_OK(capp_states_init(&w.tree.states, states, &w.err), w.err);
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
            if (states) replay_states(&w, state_holder);
            if (w.tree.touched > most) most = w.tree.touched;
            CHECK(3 * w.tree.n <= 4 * (most + 2 * slots) + 3 * 64); /* as tree.h promises; 64 for the smallest table */
            next(&w);
        }
        end(&w);
        free(holder);
    }
}

/* ---- Recurrent states ----------------------------------------------------------------------------------------------
 */

static void begin_states(world *w, size_t slots, size_t states) {
    begin(w, slots);
    CHECK_OK(capp_states_init(&w->tree.states, states, &w->err), w->err);
}

static size_t rows_again(const world *w) {
    size_t n = 0;
    for (size_t i = 0; i < w->plan.n; i++) n += w->plan.steps[i].again;
    return n;
}

static size_t states_kept(const world *w) {
    size_t n = 0;
    for (size_t i = 0; i < w->tree.states.n; i++) n += w->tree.states.owner[i] != CAPP_NO_NODE;
    return n;
}

TEST(a_chain_needs_one_state_whatever_the_waves) {
    world w;
    begin_states(&w, 64, 4);
    example(&w, "abcdefgh", "x", "y");
    plan(&w, 3);
    CHECK_STR(order(&w), "abcdefgh");
    CHECK_INT(w.plan.n_waves, 3);
    CHECK_INT(states_kept(&w), 1);
    next(&w);
    end(&w);
}

TEST(a_prompt_with_many_completions_is_computed_once) {
    world w;
    begin_states(&w, 256, 2);
    uint32_t prompt = insert(&w, CAPP_ROOT, "abc", false);
    for (char c = 'A'; c <= 'Z'; c++) {
        char text[] = {c, c, c, 0};
        insert(&w, prompt, text, true);
    }
    plan(&w, 4); /* waves end among the completions and in the middle of one */
    CHECK_INT(rows_again(&w), 0);
    CHECK_INT(w.plan.n, 3 + 26 * 2);
    next(&w);
    end(&w);
}

/* Each level needs a state as long as completions continue from it. */
TEST(too_few_states_cost_rows) {
    for (size_t states = 1; states <= 4; states++) {
        static const size_t again[] = {0, 18, 6, 2, 0};
        world w;
        begin_states(&w, 64, states);
        uint32_t a = insert(&w, CAPP_ROOT, "abcd", false), b = insert(&w, a, "ef", false),
                 c = insert(&w, b, "gh", false);
        insert(&w, c, "xxx", true);
        insert(&w, c, "yyy", true);
        insert(&w, b, "xxx", true);
        insert(&w, a, "xxx", true);
        plan(&w, 16);
        CHECK_INT(rows_again(&w), again[states]);
        next(&w);
        end(&w);
    }
}

/* The first window does not know that others will share "abc"; the second sees that they do. */
TEST(a_shared_beginning_stays) {
    world w;
    begin_states(&w, 64, 4);
    example(&w, "abcd", "x", "y");
    plan(&w, 16);
    next(&w);
    example(&w, "abce", "x", "y");
    plan(&w, 16);
    CHECK_STR(order(&w), "abce");
    next(&w);
    example(&w, "abcf", "xx", "yy");
    plan(&w, 16);
    CHECK_STR(order(&w), "fxy");
    next(&w);
    end(&w);
}

TEST(a_path_that_goes_on_keeps_its_slot) {
    world w;
    char text[12] = "a";
    begin_states(&w, 64, 3);
    for (size_t n = 1; n < 10; n++, text[n - 1] = (char)('a' + n % 3)) {
        uint32_t first = insert(&w, CAPP_ROOT, text, false);
        text[0] = 'b';
        uint32_t second = insert(&w, CAPP_ROOT, text, false);
        text[0] = 'a';
        w.tree.nodes[first].asked = w.tree.nodes[second].asked = true;
        plan(&w, 16);
        CHECK_INT(w.plan.n, 2);
        next(&w);
    }
    end(&w);
}

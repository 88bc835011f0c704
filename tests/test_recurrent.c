/* Recurrent states: the engine with a plan that is broken on purpose, and the memory of a large model. */
#include <unistd.h>

#include "capp.h"
#include "engine/budget.h"
#include "engine/handles.h"
#include "test.h"
#include "tiny.h"
#include "units.h"

enum { CLASSES = 5, PROMPT = 7, CLASS = 4, NODES = PROMPT + CLASSES * CLASS };

/* A prompt whose completions branch after it, after their first token, and directly after BOS. */
static void insert_paths(capp_tree *tree, uint32_t *nodes) {
    capp_error err;
    const int32_t bos = TINY_VOCABULARY - 2;
    uint32_t start, prompt, last;
    CHECK_OK(capp_tree_next_window(tree, &err), err);
    CHECK_OK(capp_tree_insert(tree, CAPP_ROOT, &bos, 1, false, NULL, &start, &err), err);
    int32_t ids[PROMPT];
    for (int32_t i = 0; i < PROMPT; i++) ids[i] = 40 + 3 * i;
    CHECK_OK(capp_tree_insert(tree, start, ids, PROMPT, false, NULL, &prompt, &err), err);
    for (int32_t c = 0; c < CLASSES; c++) {
        const int32_t own[CLASS] = {60 + c / 2, 70 + c, 80, 90 + c};
        CHECK_OK(capp_tree_insert(tree, c == 3 ? start : prompt, own, CLASS, true, nodes + c * CLASS, &last, &err),
                 err);
    }
}

typedef enum fault_kind { NONE, NOT_COPIED, COPIED_FROM_NOTHING, OTHER_SLOT } fault_kind;

/* Breaks the first step of the plan that the fault applies to. */
static bool break_plan(capp_plan *plan, fault_kind fault) {
    for (size_t i = 0; i < plan->n; i++) {
        capp_step *step = &plan->steps[i];
        if (step->from == CAPP_NO_SLOT || step->from == step->state) continue;
        if (fault == NOT_COPIED) step->from = step->state;
        if (fault == COPIED_FROM_NOTHING) step->from = CAPP_NO_SLOT;
        if (fault == OTHER_SLOT) step->from = (step->from + 1) % 3;
        return true;
    }
    return false;
}

/* Log-probabilities of the classes' tokens, in waves of `rows` rows. */
static void run(capp_session *session, size_t rows, fault_kind fault, float *out) {
    capp_error err;
    uint32_t nodes[CLASSES * CLASS];
    capp_lane *lane = &session->fast;
    capp_plan_abandon(&lane->tree, &lane->slots);
    insert_paths(&lane->tree, nodes);
    CHECK_OK(capp_plan_make(&lane->plan, &lane->tree, &lane->slots, rows, &err), err);
    if (fault) CHECK(break_plan(&lane->plan, fault));
    for (size_t i = 0; i < lane->plan.n_waves; i++)
        CHECK_OK(
            capp_forward_wave(session->forward, lane->weights, 0, &lane->tree, &lane->plan, &lane->plan.waves[i], &err),
            err);
    capp_plan_done(&lane->plan, &lane->tree);
    for (size_t i = 0; i < CLASSES * CLASS; i++) out[i] = lane->tree.nodes[nodes[i]].logprob;
}

static void check_faults(const char *arch) {
    char path[64];
    capp_session *session;
    capp_error err;
    float right[CLASSES * CLASS], got[CLASSES * CLASS];
    uint32_t nodes[CLASSES * CLASS];
    tiny_model_file(arch, 5, path);
    capp_model *model = open_unit(path, NULL, 2, 0);
    CHECK_OK(capp_session_open(&session, model, &err), err);
    insert_paths(&session->fast.tree, nodes);
    CHECK_OK(capp_session_run(session, &session->fast, NULL, NULL, &err), err); /* makes the memory */
    run(session, 16, NONE, right);
    for (size_t rows = 1; rows <= 16; rows++) {
        run(session, rows, NONE, got);
        if (memcmp(got, right, sizeof got)) FAIL("%s: waves of %zu rows give other bits", arch, rows);
        for (fault_kind fault = NOT_COPIED; fault <= OTHER_SLOT; fault++) {
            double most = 0;
            run(session, rows, fault, got);
            for (size_t i = 0; i < CLASSES * CLASS; i++) most = fmax(most, fabs((double)got[i] - (double)right[i]));
            if (!(most > 0.05)) FAIL("%s: fault %d changes nothing in waves of %zu rows", arch, (int)fault, rows);
        }
    }
    capp_session_free(session);
    capp_model_free(model);
    unlink(path);
}

TEST(a_lost_convolution_is_seen) {
    check_faults("lfm2");
}

TEST(a_lost_matrix_is_seen) {
    check_faults("qwen35");
    check_faults("nemotron_h");
    check_faults("mamba2");
    check_faults("mamba");
    check_faults("falcon-h1");
    check_faults("rwkv7");
    check_faults("plamo2");
    check_faults("jamba");
    check_faults("kimi-linear");
}

/* Qwen3.5-4B: 32 layers, every fourth with attention. 77 classes of three tokens fit 1 GB beside the weights, and
 * nothing is computed twice. */
TEST(a_large_model_fits_a_gigabyte) {
    enum { LAYERS = 32, TEXT = 400, MANY = 77, WAVE = 50, STATE_MIB = 50 };
    static capp_weights weights;
    static capp_layer layers[LAYERS];
    static capp_matrix head;
    capp_hparams *h = &weights.hparams;
    capp_error err;
    capp_room room;
    weights.kernels = capp_kernels_named("ref");
    weights.products = weights.kernels->f32;
    weights.layers = layers;
    weights.resident_layers = SIZE_MAX;
    h->layers = LAYERS, h->width = 2560, h->vocabulary = 248320, h->feed = 9216, h->heads = 16, h->kv_heads = 4;
    h->head_dim = 256, h->rope_dims = 64, h->n_ropes = 1, h->attention_gate = true, h->context = 262144;
    h->mix = (capp_mix){.kind = CAPP_MIX_DELTA, .taps = 4, .heads = 32, .groups = 16, .keys = 128, .values = 128};
    for (size_t i = 0; i < LAYERS; i++) {
        h->shapes[i] = (capp_shape){.heads = 16, .kv_heads = 4, .key = 256, .value = 256, .feed = 9216};
        if ((i + 1) % 4) h->kinds[i] = CAPP_MIXES;
    }
    weights.key_elements = weights.value_elements = (size_t)LAYERS / 4 * 4 * 256;
    head.n = h->vocabulary, head.k = h->width;
    weights.head = head;
    size_t state = capp_forward_state_bytes(&weights);
    CHECK(state >> 20 == STATE_MIB);
    capp_model model = {.threads = 8, .memory = 1000000000, .context = h->context};
    capp_session session = {.model = &model, .fast.weights = &weights};
    CHECK_OK(capp_budget_choose(&session, TEXT + 3, TEXT + 3 * MANY, &room, &err), err);
    CHECK(capp_budget_bytes(&session, &room, TEXT + 3 * MANY) <= 1000000000);
    CHECK(room.rows >= 192 && room.states >= 4);
    /* The plan of such a row with as many states. */
    capp_tree tree;
    capp_slots slots;
    capp_plan plan = {0};
    uint32_t prompt, last;
    int32_t ids[TEXT];
    for (int32_t i = 0; i < TEXT; i++) ids[i] = i;
    CHECK_OK(capp_tree_init(&tree, &err), err);
    CHECK_OK(capp_states_init(&tree.states, room.states, &err), err);
    CHECK_OK(capp_slots_init(&slots, room.slots, &err), err);
    CHECK_OK(capp_tree_next_window(&tree, &err), err);
    CHECK_OK(capp_tree_insert(&tree, CAPP_ROOT, ids, TEXT, false, NULL, &prompt, &err), err);
    for (int32_t c = 0; c < MANY; c++) {
        const int32_t own[] = {c / 3, c, c};
        CHECK_OK(capp_tree_insert(&tree, prompt, own, 3, true, NULL, &last, &err), err);
    }
    CHECK_OK(capp_plan_make(&plan, &tree, &slots, WAVE, &err), err); /* waves end among the completions, too */
    CHECK_INT(plan.n, TEXT + (MANY + 2) / 3 + MANY);
    capp_plan_free(&plan);
    capp_slots_free(&slots);
    capp_tree_free(&tree);
}

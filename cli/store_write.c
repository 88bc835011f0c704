/* The rows of a run on their way into a store. */
#include "store.h"
#include "store_parts.h"

#include "values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* ---- Lists of completions -------------------------------------------------------------------------------------- */

static bool add_completion(store *s, const capp_model *model, size_t list, size_t place, capp_str text,
                           const int32_t *ids, size_t n) {
    buffer *b = &s->text;
    b->size = 0;
    put_ids(b, ids, n);
    size_t split = b->size;
    for (size_t i = 0; i < n; i++) {
        char *piece = NULL;
        size_t size = 0;
        capp_detokenize(model, &ids[i], 1, &piece, &size, NULL);
        buffer_text(b, i ? ", " : "[");
        put_string(b, (capp_str){piece, size});
        capp_free(piece);
    }
    buffer_char(b, ']');
    sqlite3_stmt *statement = store_query_of(s, QUERY_ADD_COMPLETION);
    if (!statement) return false;
    sqlite3_bind_int64(statement, 1, (int64_t)list);
    sqlite3_bind_int64(statement, 2, (int64_t)place);
    store_bind_text(statement, 3, text);
    store_bind_text(statement, 4, (capp_str){b->data, split});
    store_bind_text(statement, 5, (capp_str){b->data + split, b->size - split});
    return store_step(s, statement);
}

static bool add_list(store *s, const capp_model *model, size_t list, bool own, const capp_example *example,
                     const capp_result *result) {
    sqlite3_stmt *statement = store_query_of(s, QUERY_ADD_LIST);
    if (!statement) return false;
    sqlite3_clear_bindings(statement);
    sqlite3_bind_int64(statement, 1, (int64_t)list);
    sqlite3_bind_int64(statement, 2, own);
    if (example->end_of_prompt) store_bind_text(statement, 3, capp_str_of(example->end_of_prompt));
    if (!store_step(s, statement)) return false;
    for (size_t i = 0; i < example->n_completions; i++) {
        size_t from = result->offset[i];
        if (!add_completion(s, model, list, i, example->completions[i], result->ids + from,
                            result->offset[i + 1] - from))
            return false;
    }
    return true;
}

bool store_add_marginals(store *s, const char *domain, size_t list, const double *marginals, size_t n) {
    if (!store_begin(s)) return false;
    sqlite3_stmt *statement = store_query_of(s, QUERY_ADD_MARGINALS);
    if (!statement) return false;
    sqlite3_bind_int64(statement, 1, (int64_t)list);
    store_bind_text(statement, 2, capp_str_of(domain));
    store_bind_blob(statement, 3, marginals, n * sizeof *marginals);
    return store_step(s, statement);
}

static void hash_list(stored_list *found, bool own, const capp_example *example) {
    XXH3_state_t *state = XXH3_createState();
    if (!state) out_of_memory();
    const char *end = example->end_of_prompt ? example->end_of_prompt : "-";
    XXH3_128bits_reset(state);
    XXH3_128bits_update(state, &own, sizeof own);
    XXH3_128bits_update(state, end, strlen(end) + 1);
    for (size_t i = 0; i < example->n_completions; i++) {
        XXH3_128bits_update(state, &example->completions[i].size, sizeof(size_t));
        XXH3_128bits_update(state, example->completions[i].data, example->completions[i].size);
    }
    XXH128_hash_t hash = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    found->hash[0] = hash.low64;
    found->hash[1] = hash.high64;
}

/* The number of the row's list, which is written if it is new: 0 for the run's classes, otherwise the number of the
 * first row with it, from 1. A list that was written long ago is written again. */
static bool list_of(store *s, const options *settings, const row_rules *rules, const capp_model *model, size_t index,
                    const row *this_row, const capp_result *result, size_t *list) {
    const capp_example *e = &this_row->example;
    bool own = e->completions != rules->classes, classes = !own && e->end_of_prompt == rules->end_of_prompt;
    size_t n_tokens = result->offset[result->n_completions];
    const capp_example whole = rules_example(rules, e);
    stored_list wanted = {.list = classes ? 0 : index + 1, .n_tokens = n_tokens, .known = true};
    if (!classes) hash_list(&wanted, own, &whole);
    stored_list *place = classes ? &s->classes : &s->lists[wanted.hash[0] % STORE_LISTS];
    if (!place->known || memcmp(place->hash, wanted.hash, sizeof wanted.hash) != 0 || place->n_tokens != n_tokens) {
        if (!add_list(s, model, wanted.list, own, &whole, result)) return false;
        if (result->marginals &&
            !store_add_marginals(s, settings->domain ? settings->domain : "", wanted.list, result->marginals, n_tokens))
            return false;
        *place = wanted;
    }
    *list = place->list;
    return true;
}

/* ---- Rows ------------------------------------------------------------------------------------------------------ */

/* The fields of the input as a JSON object. */
static void put_fields(buffer *b, const row *this_row) {
    for (size_t i = 0; i < this_row->n_fields; i++) {
        const field *f = &this_row->fields[i];
        buffer_text(b, i ? ", " : "{");
        put_string(b, f->name);
        buffer_text(b, ": ");
        if (f->json)
            buffer_str(b, f->text);
        else
            put_string(b, f->text);
    }
    buffer_text(b, this_row->n_fields ? "}" : "{}");
}

/* A statement with what every row has. */
static sqlite3_stmt *begin_row_of(store *s, size_t index, const row *this_row) {
    if (!store_begin(s)) return NULL;
    sqlite3_stmt *statement = store_query_of(s, QUERY_ADD_ROW);
    if (!statement) return NULL;
    sqlite3_clear_bindings(statement);
    sqlite3_bind_int64(statement, 1, (int64_t)index);
    sqlite3_bind_int64(statement, 2, (int64_t)this_row->line);
    store_bind_text(statement, 3, this_row->id);
    sqlite3_bind_int64(statement, 4, !this_row->id_string);
    s->text.size = 0;
    put_fields(&s->text, this_row);
    return statement;
}

/* The posterior of the best of the other classes; NaN if there is none. */
static double second_of(const capp_result *result) {
    double best = NAN;
    for (size_t i = 0; i < result->n_classes; i++)
        if (i != result->prediction && !(result->posterior[i] <= best)) best = result->posterior[i];
    return best;
}

bool store_add(store *s, const options *settings, const row_rules *rules, const capp_model *model, size_t index,
               const row *this_row, const capp_result *result) {
    const capp_example *e = &this_row->example;
    size_t list, n = result->n_completions, tokens = result->offset[n];
    if (!store_begin(s) || !list_of(s, settings, rules, model, index, this_row, result, &list)) return false;
    sqlite3_stmt *statement = begin_row_of(s, index, this_row);
    if (!statement) return false;
    size_t fields = s->text.size;
    store_bind_text(statement, 6, e->prompt);
    sqlite3_bind_int64(statement, 7, (int64_t)list);
    if (e->prior && e->prior != rules->prior) put_doubles(&s->text, e->prior, e->n_completions);
    if (this_row->own_normalize) sqlite3_bind_int64(statement, 9, e->normalize);
    sqlite3_bind_int64(statement, 10, (int64_t)result->prediction);
    sqlite3_bind_double(statement, 11, result->posterior[result->prediction]);
    if (result->n_classes > 1)
        sqlite3_bind_double(statement, 12, result->posterior[result->prediction] - second_of(result));
    store_bind_blob(statement, 13, result->logprobs, tokens * sizeof *result->logprobs);
    if (result->rescored) {
        store_bind_blob(statement, 14, result->first_logprobs, tokens * sizeof *result->logprobs);
        store_bind_blob(statement, 15, result->rescored, n * sizeof *result->rescored);
    }
    store_bind_text(statement, 5, (capp_str){s->text.data, fields}); /* last: the text may have moved */
    if (s->text.size > fields) store_bind_text(statement, 8, (capp_str){s->text.data + fields, s->text.size - fields});
    return store_step(s, statement);
}

bool store_add_bad(store *s, size_t index, const row *this_row) {
    sqlite3_stmt *statement = begin_row_of(s, index, this_row);
    if (!statement) return false;
    store_bind_text(statement, 5, buffer_view(&s->text));
    store_bind_text(statement, 16, this_row->reason);
    return store_step(s, statement);
}

bool store_label(store *s, size_t index, capp_str label) {
    if (!store_begin(s)) return false;
    sqlite3_stmt *statement = store_query_of(s, label.size ? QUERY_ADD_LABEL : QUERY_REMOVE_LABEL);
    if (!statement) return false;
    sqlite3_bind_int64(statement, 1, (int64_t)index);
    if (label.size) store_bind_text(statement, 2, label);
    return store_step(s, statement) && store_commit(s);
}

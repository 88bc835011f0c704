/* Pre-tokenizers: each step cuts or rewrites its text and hands the result to the next; the last one hands words to the
 * model. */
#define _POSIX_C_SOURCE 200809L
#include <string.h>

#include "token/pipeline.h"

/* A piece that is being assembled from stretches of text, matches and others. */
typedef struct cutter {
    capp_pipeline_run *run;
    size_t step;
    capp_str text;
    size_t front;
    capp_error *err;
    size_t begin, end; /* the piece so far */
    bool held;         /* there is such a piece */
    bool was_match;
} cutter;

static capp_status pass_on(capp_pipeline_run *run, size_t step, capp_str text, size_t front, capp_error *err);

static capp_status hand_on(cutter *c, size_t begin, size_t end) {
    if (begin == end) return CAPP_OK;
    return pass_on(c->run, c->step + 1, (capp_str){c->text.data + begin, end - begin},
                   c->front > begin ? c->front - begin : 0, c->err);
}

static capp_status release(cutter *c) {
    bool held = c->held;
    c->held = false;
    return held ? hand_on(c, c->begin, c->end) : CAPP_OK;
}

/* Takes the next stretch of the text. */
static capp_status stretch(cutter *c, size_t begin, size_t end, bool match) {
    const capp_pretokenizer_step *step = &c->run->pipeline->steps[c->step];
    match = match != step->invert;
    bool was = c->was_match, join = false;
    c->was_match = match;
    switch (step->behavior) {
    case CAPP_ISOLATED: return hand_on(c, begin, end);
    case CAPP_REMOVED: return match ? CAPP_OK : hand_on(c, begin, end);
    case CAPP_CONTIGUOUS: join = match == was; break;
    case CAPP_MERGED_WITH_PREVIOUS: join = match && !was; break;
    case CAPP_MERGED_WITH_NEXT: join = !match && was; break;
    }
    if (join && c->held) {
        c->end = end;
        return CAPP_OK;
    }
    capp_status st = release(c);
    c->held = true;
    c->begin = begin;
    c->end = end;
    return st;
}

static capp_status cut_at_matches(cutter *c, const capp_pretokenizer_step *step) {
    capp_regex_walk walk = {0};
    size_t done = 0, at, end;
    bool found;
    for (;;) {
        capp_status st = capp_regex_next(step->regex, c->run->matcher, c->text, &walk, &at, &end, &found, c->err);
        if (st == CAPP_OK && !found) break;
        if (st == CAPP_OK && at > done) st = stretch(c, done, at, false);
        if (st == CAPP_OK) st = stretch(c, at, end, true);
        if (st != CAPP_OK) return st;
        done = end;
    }
    return done < c->text.size ? stretch(c, done, c->text.size, false) : CAPP_OK;
}

static capp_status cut_at_characters(cutter *c, const capp_pretokenizer_step *step) {
    size_t done = 0, size;
    capp_status st = CAPP_OK;
    for (size_t i = 0; st == CAPP_OK && i < c->text.size; i += size) {
        int32_t character = capp_utf8_character(c->text.data + i, &size);
        if (!(step->is_match ? step->is_match(character) : character == step->character)) continue;
        if (i > done) st = stretch(c, done, i, false);
        if (st == CAPP_OK) st = stretch(c, i, i + size, true);
        done = i + size;
    }
    if (st != CAPP_OK) return st;
    return done < c->text.size ? stretch(c, done, c->text.size, false) : CAPP_OK;
}

static bool put_rewritten(const capp_pretokenizer_step *step, capp_str text, capp_text *out) {
    if (step->kind == CAPP_CUT_SPACE) return capp_text_append(out, text.data, text.size);
    if (step->kind == CAPP_CUT_BYTES) {
        for (size_t i = 0; i < text.size; i++)
            if (!capp_text_append_character(out, (int32_t)capp_byte_level_character((unsigned char)text.data[i])))
                return false;
        return true;
    }
    for (size_t at = 0; at < text.size;) {
        const char *space = memchr(text.data + at, ' ', text.size - at);
        size_t n = space ? (size_t)(space - text.data) - at : text.size - at;
        if (!capp_text_append(out, text.data + at, n)) return false;
        if (space && !capp_text_append(out, step->mark.data, step->mark.size)) return false;
        at += n + (space != NULL);
    }
    return true;
}

/* The text that a step inserts in front. */
static capp_str prefix(const capp_pretokenizer_step *step, capp_str text, size_t front) {
    const capp_str nothing = {"", 0};
    if (step->kind == CAPP_CUT_BYTES) return nothing;
    capp_str mark = step->kind == CAPP_CUT_SPACE ? (capp_str){" ", 1} : step->mark;
    bool there = text.data[0] == ' ' || (text.size >= mark.size && !memcmp(text.data, mark.data, mark.size));
    bool wanted = step->kind == CAPP_CUT_SPACE || step->scheme == CAPP_PREPEND_ALWAYS ||
                  (step->scheme == CAPP_PREPEND_FIRST && front);
    return wanted && !there ? mark : nothing;
}

/* Runs a step that rewrites. What it inserts in front belongs to the text's beginning. False: out of memory. */
static bool rewrite(const capp_pretokenizer_step *step, capp_str text, size_t *front, capp_text *out) {
    capp_str before = prefix(step, text, *front);
    size_t kept = *front < text.size ? *front : text.size;
    out->size = 0;
    if (!capp_text_append(out, before.data, before.size)) return false;
    if (!put_rewritten(step, (capp_str){text.data, kept}, out)) return false;
    *front = kept ? out->size : 0;
    return put_rewritten(step, (capp_str){text.data + kept, text.size - kept}, out);
}

/* Depth: at most CAPP_PIPELINE_MAX_STEPS. */
static capp_status pass_on(capp_pipeline_run *run, size_t at, capp_str text, size_t front, capp_error *err) {
    if (!text.size) return CAPP_OK;
    if (at == run->pipeline->n_steps)
        return run->pipeline->bpe ? capp_pipeline_encode_bpe_word(run, text, err)
                                  : capp_pipeline_encode_unigram_word(run, text, err);
    const capp_pretokenizer_step *step = &run->pipeline->steps[at];
    if (step->kind == CAPP_CUT_REGEX || step->kind == CAPP_CUT_CHARACTERS) {
        cutter c = {.run = run, .step = at, .text = text, .front = front, .err = err};
        capp_status st = step->kind == CAPP_CUT_REGEX ? cut_at_matches(&c, step) : cut_at_characters(&c, step);
        return st == CAPP_OK ? release(&c) : st;
    }
    capp_text *out = &run->pre[at];
    if (!rewrite(step, text, &front, out)) return capp_fail_memory(err, "a word");
    return pass_on(run, at + 1, (capp_str){out->data, out->size}, front, err);
}

capp_status capp_pipeline_pretokenize(capp_pipeline_run *run, capp_str text, size_t front, capp_error *err) {
    return pass_on(run, 0, text, front, err);
}

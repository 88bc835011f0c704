/* The most probable tokens of a distribution, and a token drawn from it. */
#include "base/math.h"
#include "queue/job.h"

size_t capp_top_tokens(const float *logprobs, size_t n, size_t k, int32_t *ids, float *top) {
    size_t found = 0;
    for (size_t i = 0; i < n && k; i++) {
        if (found == k && !(logprobs[i] > top[k - 1])) continue;
        size_t at = found < k ? found++ : k - 1;
        for (; at && logprobs[i] > top[at - 1]; at--) {
            top[at] = top[at - 1];
            ids[at] = ids[at - 1];
        }
        top[at] = logprobs[i];
        ids[at] = (int32_t)i;
    }
    return found;
}

/* A number in [0, 1) that depends on the seed and the position alone (splitmix64). */
static double uniform(uint64_t seed, uint64_t position) {
    uint64_t z = seed + (position + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return (double)(z >> 11) * 0x1p-53;
}

/* Whether token a comes before token b: more probable, or equal with a lower id. */
static bool before(const double *weights, uint32_t a, uint32_t b) {
    return weights[a] > weights[b] || (a < b && weights[a] == weights[b]);
}

/* Restores the heap order of heap [n] below place i: a parent comes before its children. */
static void sink(const double *weights, uint32_t *heap, size_t n, size_t i) {
    uint32_t moved = heap[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(weights, heap[child + 1], heap[child])) child++;
        if (!before(weights, heap[child], moved)) break;
        heap[i] = heap[child];
    }
    heap[i] = moved;
}

/* Sorts the most probable tokens to the end of heap [n], the most probable one last, until their weights reach
 * `enough`. Returns their number, and their sum in *sum. */
static size_t take_most(const double *weights, uint32_t *heap, size_t n, double enough, double *sum) {
    size_t left = n;
    for (size_t i = 0; i < n; i++) heap[i] = (uint32_t)i;
    for (size_t i = n / 2; i-- > 0;) sink(weights, heap, n, i);
    *sum = 0;
    while (left && (left == n || *sum < enough)) {
        uint32_t first = heap[0];
        *sum += weights[first];
        heap[0] = heap[--left];
        if (left) sink(weights, heap, left, 0);
        heap[left] = first;
    }
    return n - left;
}

int32_t capp_draw_token(const float *logprobs, size_t n, const capp_continuation *how, size_t position, double *weights,
                        uint32_t *order) {
    size_t best = 0;
    double sum = 0;
    for (size_t i = 1; i < n; i++)
        if (logprobs[i] > logprobs[best]) best = i;
    if (!(how->temperature > 0)) return (int32_t)best;
    for (size_t i = 0; i < n; i++) {
        weights[i] = capp_exp(((double)logprobs[i] - (double)logprobs[best]) / how->temperature);
        sum += weights[i];
    }
    double u = uniform(how->seed, position);
    size_t last = n;
    if (how->top_p < 1) {
        size_t taken = take_most(weights, order, n, how->top_p * sum, &sum);
        double at = u * sum;
        for (last = n; last > n - taken; last--)
            if ((at -= weights[order[last - 1]]) < 0) return (int32_t)order[last - 1];
        return (int32_t)order[n - taken];
    }
    double at = u * sum;
    for (size_t i = 0; i < n; i++) {
        if (weights[i] > 0) last = i;
        if ((at -= weights[i]) < 0) return (int32_t)i;
    }
    return (int32_t)last; /* rounding left nothing: the last token that can be drawn */
}

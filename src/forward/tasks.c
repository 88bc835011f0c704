#include "forward/tasks.h"

#include <stdint.h>

size_t capp_task_rows(size_t rows, size_t groups, size_t threads, size_t most, size_t extra) {
    size_t best = most, least_cost = SIZE_MAX;
    for (size_t n = (rows + most - 1) / most; n && n <= rows; n++) {
        const size_t block = (rows + n - 1) / n, rounds = (groups * n + threads - 1) / threads;
        if (20 * rounds * block * threads <= 21 * groups * rows) return block;
        if (block < extra) break;
        if (rounds * (block + extra) < least_cost) least_cost = rounds * (block + extra), best = block;
    }
    return best;
}

/* Prints the topic of each text on the command line: classify_example MODEL.gguf TEXT...
 *
 *     cc classify.c $(pkg-config --cflags --libs capp) -o classify
 */
#include <capp.h>
#include <stdio.h>

static const char *const topics[] = {"sports", "cooking", "politics"};
enum { N_TOPICS = sizeof topics / sizeof *topics };

static bool print_result(void *texts, const capp_result *result) {
    size_t best = result->prediction;
    printf("%s: %s (%.0f %%)\n", ((char **)texts)[result->row], topics[best], 100 * result->posterior[best]);
    return true;
}

int main(int argc, char **argv) {
    capp_model *model = NULL;
    capp_session *session = NULL;
    capp_error err;
    capp_str completions[N_TOPICS];
    for (int i = 0; i < N_TOPICS; i++) completions[i] = capp_str_of(topics[i]);

    if (argc < 3) return fprintf(stderr, "usage: %s MODEL.gguf TEXT...\n", argv[0]), 2;
    capp_status status = capp_model_open(&model, argv[1], NULL, &err);
    if (status == CAPP_OK) status = capp_session_open(&session, model, &err);
    for (char **text = argv + 2; status == CAPP_OK && *text; text++) {
        char prompt[1000];
        snprintf(prompt, sizeof prompt, "Text: %s\nThe topic of this text is", *text);
        capp_example example = {capp_str_of(prompt), completions, N_TOPICS, NULL, NULL, true};
        status = capp_score(session, &example, 1, NULL, print_result, text, &err);
    }
    if (status != CAPP_OK) fprintf(stderr, "%s\n", err.message);
    capp_session_free(session);
    capp_model_free(model);
    return (int)status;
}

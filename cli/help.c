#include "options.h"

#include <stdio.h>
#include <string.h>

static const struct {
    unsigned bit;
    const char *text;
} stories[] = {
    {COMMAND_CLASSIFY,
     "Reads rows from INPUT, makes a prompt of each row, and writes which class follows it best: id, prediction,\n"
     "index, probability, the second best class, the margin between both, and the probabilities of all classes by\n"
     "name. INPUT is CSV or TSV with a header, JSON, JSON lines, or plain text with one text per line; it may be\n"
     "compressed with gzip or Zstandard. - or no INPUT: standard input. Without -t the prompt is the field `prompt`,\n"
     "or `text`. A JSON row may have its own `completions`, `prior`, `end_of_prompt`, `normalize` and `id`.\n"
     "--only-prediction finds the same class with a fraction of the work if there are many classes: it does not "
     "finish\n"
     "classes that cannot win. -o FILE.csv writes a table with a column for each class. The same command with "
     "--resume\n"
     "continues a run that was stopped.\n\n"
     "  capp classify -m model.gguf -t 'Question: {text}\\nTopic:' -c 'card arrival,age limit' questions.csv\n"},
    {COMMAND_EVALUATE,
     "Classifies rows whose right class is known and reports accuracy, log-loss, the pairs confused most, and speed.\n"
     "With -o the rows are written too, as classify writes them.\n\n"
     "  capp evaluate -m model.gguf --label label --json report.json copa.jsonl\n"},
    {COMMAND_LOGPROBS,
     "Writes ids and log-probabilities of the tokens of each row's completions given its prompt; for rows with a text\n"
     "and no completions, those of the text itself (null for the first token).\n\n"
     "  capp logprobs -m model.gguf --precision f32 rows.jsonl\n"},
    {COMMAND_TOKENIZE,
     "Writes the token ids of each row's `text`. A GGUF file or folder with a tokenizer and no tensors will do.\n\n"
     "  capp tokenize -m model.gguf texts.jsonl\n"},
    {COMMAND_INSPECT,
     "Says what a GGUF file, a folder or a LoRA adapter holds, also where capp cannot run it; with --lora, whether an\n"
     "adapter fits the model.\n\n"
     "  capp inspect model.gguf\n  capp inspect --lora adapter model.gguf\n"},
    {COMMAND_GENERATE,
     "Continues each prompt by the most probable token, again and again; writes id, text, ids and finish\n"
     "(length, eos or stop).\n\n"
     "  capp generate -m model.gguf -n 32 --stop '\\n' prompts.txt\n"},
    {COMMAND_BENCH, "Measures prefill (one long text with one scored token), scoring (many short prompts with four\n"
                    "completions each), start-up and memory.\n\n"
                    "  capp bench -m model.gguf --prefill 512 --json -\n"},
};

static void one_command(unsigned bit, buffer *text) {
#define X(NAME, name, number, arguments, summary)                                                                      \
    if (bit == (number))                                                                                               \
        buffer_printf(text, "capp %s: %s\n\nUsage: capp %s [options] %s\n\n", #name, summary, #name, arguments);
    COMMAND_MAP(X)
#undef X
    for (size_t i = 0; i < sizeof stories / sizeof *stories; i++)
        if (stories[i].bit == bit) buffer_printf(text, "%s\nOptions:\n", stories[i].text);
    for (size_t i = 0; i < n_option_rows; i++) {
        const option_row *row = &option_rows[i];
        if (!(row->commands & bit)) continue;
        char left[64], letter[8] = "    ";
        if (row->letter) snprintf(letter, sizeof letter, "-%c, ", row->letter);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, row->name, row->argument ? " " : "",
                 row->argument ? row->argument : "");
        buffer_printf(text, "  %-26s %s\n", left, row->help);
    }
}

void help_text(unsigned bit, buffer *text) {
    if (bit) {
        one_command(bit, text);
        return;
    }
    buffer_text(text,
                "capp lets a language model choose: it computes how probable each completion is after a prompt.\n\n"
                "Usage: capp COMMAND [options] [INPUT]\n\nCommands:\n");
#define X(NAME, name, number, arguments, summary) buffer_printf(text, "  %-10s %s\n", #name, summary);
    COMMAND_MAP(X)
#undef X
    buffer_text(text, "  help       usage of a command: capp help classify\n\n"
                      "capp --version prints the version. Try\n\n"
                      "  echo 'My card has not come' | capp classify -m model.gguf -c 'delivery,refund'\n");
}

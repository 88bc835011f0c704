#include "options.h"

#include <stdio.h>
#include <string.h>

static const struct {
    unsigned bit;
    const char *text;
} stories[] = {
    {COMMAND_CLASSIFY,
     "Makes a prompt of each row of INPUT and finds the class that continues it best. Writes for each row: "
     "id,\nprediction, index, probability, the second best class, the margin between the two, and the probabilities of "
     "all\nclasses by name. INPUT is CSV or TSV with a header, JSON, JSON lines, or plain text with one text per line. "
     "It may\nbe compressed with gzip or Zstandard. If INPUT is missing or -, rows come from standard input. Without "
     "-t, the\nprompt is the field `prompt` or `text`. A JSON row may have its own `completions`, `prior`, "
     "`end_of_prompt`,\n`normalize` and `id`. With many classes, --only-prediction finds the same class with less "
     "work. -o FILE.csv writes\na table with a column for each class. To continue a run that was stopped, add --resume "
     "to the same command.\n--project takes the question from a file, which capp init writes.\n\n"
     "  capp classify -m model.gguf -t 'Question: {text}\\nTopic:' -c 'card arrival,age limit' questions.csv\n"
     "  capp classify --project capp.toml -o topics.csv questions.csv\n"},
    {COMMAND_EVALUATE, "Classifies rows whose class is known. Reports accuracy, log-loss, the pairs of classes that "
                       "are confused most\noften, and speed. With -o it also writes the rows, as classify does.\n\n"
                       "  capp evaluate -m model.gguf --label label --json report.json copa.jsonl\n"},
    {COMMAND_LOGPROBS,
     "Writes the ids and log-probabilities of the tokens of each row's completions after its prompt. For a row with "
     "a\ntext and no completions, it writes those of the text (null for the first token).\n\n"
     "  capp logprobs -m model.gguf --precision f32 rows.jsonl\n"},
    {COMMAND_TOKENIZE,
     "Writes the token ids of each row's `text`. The model may be a GGUF file or a folder without tensors.\n\n"
     "  capp tokenize -m model.gguf texts.jsonl\n"},
    {COMMAND_INSPECT, "Describes a GGUF file, a folder or a LoRA adapter, even if capp cannot run it. With --lora, it "
                      "says whether an\nadapter fits the model.\n\n"
                      "  capp inspect model.gguf\n  capp inspect --lora adapter model.gguf\n"},
    {COMMAND_GENERATE, "Continues each prompt with the most probable token, repeatedly. Writes for each row: id, text, "
                       "ids and finish\n(length, eos or stop).\n\n"
                       "  capp generate -m model.gguf -n 32 --stop '\\n' prompts.txt\n"},
    {COMMAND_BENCH, "Measures prefill (one long text with one scored token), scoring (many short prompts with four\n"
                    "completions each), start-up and memory.\n\n"
                    "  capp bench -m model.gguf --prefill 512 --json -\n"},
    {COMMAND_SERVE,
     "Answers requests over HTTP until SIGTERM or Ctrl-C: those of OpenAI's clients, and /v1/classify for many texts. "
     "The page\nat http://127.0.0.1:8080/ classifies texts, and /openapi.json describes all requests.\n\n"
     "  capp serve -m model.gguf\n"
     "  curl http://127.0.0.1:8080/v1/classify --json '{\"texts\": [\"My card has not come\"], \"classes\": "
     "[\"delivery\", "
     "\"refund\"]}'\n"},
    {COMMAND_EXPORT,
     "Writes the rows of a store, which capp classify -o NAME.db has made, as classify would have written them: JSON "
     "lines,\nor CSV or TSV by the name after -o.\n\n"
     "  capp export run.db -o run.csv\n"},
    {COMMAND_DECIDE,
     "Takes the log-probabilities of a store to decisions, without the model: with another aggregate, prior or "
     "discount, or\namong some of the classes. What is not given is as in the run. If precision auto leaves a new "
     "decision open, the row is\nmarked undecided; --rescore -m MODEL then computes what is missing.\n\n"
     "  capp decide run.db --aggregate sum --prior 0.7,0.3\n"
     "  capp decide run.db --calibrate batch -o run.csv\n"
     "  capp decide run.db --calibrate contextual --rescore -m model.gguf\n"
     "  capp decide run.db --calibrate position --rescore -m model.gguf\n"},
    {COMMAND_LABEL,
     "Shows rows of a store in the terminal, takes a key for each, and keeps the labels in the store: first the rows "
     "whose\nlabel would teach most. capp evaluate, compare and decide --calibrate then use these labels. To measure "
     "how "
     "good a\nrun is, label rows in --order random.\n\n"
     "  capp label run.db -n 50\n  capp evaluate run.db\n"},
    {COMMAND_COMPLETION,
     "Prints a script that completes commands, options and their values in bash, zsh or fish. Packages install it; "
     "without\none, add the line for your shell to its start file:\n\n"
     "  source <(capp completion bash)      # ~/.bashrc\n"
     "  source <(capp completion zsh)       # ~/.zshrc, after compinit\n"
     "  capp completion fish | source       # ~/.config/fish/config.fish\n"},
    {COMMAND_COMPARE, "Compares the predictions of two stores of the same rows, such as two prompts or two models: "
                      "accuracy of both, the "
                      "rows\nwhere they differ, and McNemar's test of whether the difference can be chance.\n\n"
                      "  capp compare first.db second.db --label topic\n"},
    {COMMAND_SWEEP,
     "Runs several variants over the same labeled rows and says which is best, and whether that can be chance. A "
     "variant\n"
     "is a combination of the values of -p, -m, -t, -c, --instruction, --examples, --list and --system that are given\n"
     "several times. Variants of one model run together and share the beginnings of their prompts. -o keeps the "
     "results\n"
     "in stores, for decide, evaluate and compare.\n\n"
     "  capp sweep -m model.gguf -c yes,no --label answer -t '{text}' -t 'Question: {text}\\nAnswer:' -o sweep "
     "rows.csv\n"
     "  capp sweep -p short.toml -p long.toml --label topic questions.csv\n"},
    {COMMAND_PLAN,
     "Reads all rows, plans the run that the same options would make, and measures a sample: tokens, what sharing "
     "saves,\n"
     "waves, memory and time. Warns of classes with the same tokens, of spaces, of lengths and orders that decide "
     "more\n"
     "than the rows do, of classes that the model does not expect, and of rows that are too long or occur twice.\n\n"
     "  capp plan --project capp.toml questions.csv\n"
     "  capp plan -m model.gguf -t '{text}\\nTopic:' -c 'sports,politics' --json - questions.csv\n"},
    {COMMAND_INIT,
     "Writes a project file, capp.toml: model, prompt, classes and other options, for --project of the other "
     "commands.\n"
     "It asks on the terminal, and suggests what the columns of INPUT and the options say. With --defaults it asks\n"
     "nothing. A file that exists is replaced only with --overwrite.\n\n"
     "  capp init questions.csv\n"
     "  capp init --defaults -m smollm2.gguf --label topic -p topics.toml questions.csv\n"},
    {COMMAND_MODELS,
     "Lists the models in the caches of Hugging Face, llama.cpp, Ollama and LM Studio: the name that -m takes, size,\n"
     "architecture, and whether capp runs it. fetch downloads a model to Hugging Face's cache, checks it against the "
     "hash\n"
     "that the server gives, and prints its path. It continues a download that was interrupted. Only "
     "fetch and\n--fetch use the network. NAME is owner/name, owner/name:QUANT or owner/name:FILE.gguf.\n\n"
     "  capp models\n  capp models fetch unsloth/SmolLM2-135M-Instruct-GGUF:Q4_K_M\n"},
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
#define X(NAME, name, number, arguments, summary) buffer_printf(text, "  %-10s  %s\n", #name, summary);
    COMMAND_MAP(X)
#undef X
    buffer_text(text, "  help        usage of a command: capp help classify\n\n"
                      "capp --version prints the version. Try\n\n"
                      "  echo 'My card has not come' | capp classify -m model.gguf -c 'delivery,refund'\n");
}

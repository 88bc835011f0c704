/* capp completion: scripts that complete commands, options and their values in a shell, made from the tables. */
#include "options.h"
#include "output_file.h"

#include <stdio.h>
#include <string.h>

typedef struct command_row {
    unsigned bit;
    const char *name, *summary;
} command_row;

static const command_row commands[] = {
#define X(NAME, name, bit, arguments, summary) {bit, #name, summary},
    COMMAND_MAP(X)
#undef X
};
enum { COMMANDS = sizeof commands / sizeof *commands };

/* Options whose argument is one of some words. The argument of the others is a file, if its name says so. */
static const struct {
    int id;
    const char *words;
} values[] = {{OPT_AGGREGATE, "mean sum bytes"},
              {OPT_CALIBRATE, "batch contextual pmi position prior temperature affine none"},
              {OPT_FORMAT, "csv tsv jsonl json text"},
              {OPT_ORDER, "uncertain random"},
              {OPT_ON_ERROR, "stop skip null"},
              {OPT_PRECISION, "auto f32 bf16 i16 mixed i8"},
              {OPT_ISA, "ref avx2 avxvnni avx512 avx512vnni avx512bf16 amx neon neondot neoni8mm neonbf16"},
              {OPT_KEEP, "all none"},
              {OPT_SEPARATOR, "tab"},
              {OPT_WEIGHTS_MEMORY, "all 0"}};

static const char *words_of(const option_row *row) {
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (values[i].id == row->id) return values[i].words;
    return NULL;
}

static bool takes_file(const option_row *row) {
    return row->argument && (strstr(row->argument, "FILE") || strstr(row->argument, "PATH") || row->id == OPT_CLASSES ||
                             row->id == OPT_PRIOR);
}

/* Text in single quotes, with a backslash before characters that mean something to the shell's function. */
static void put_quoted(buffer *b, const char *text, const char *special, const char *quote) {
    for (; *text; text++) {
        if (*text == '\'')
            buffer_text(b, quote);
        else if (strchr(special, *text))
            buffer_printf(b, "\\%c", *text);
        else
            buffer_char(b, *text);
    }
}

/* ---- bash ------------------------------------------------------------------------------------------------------- */

static void put_bash_options(buffer *b, const command_row *command) {
    buffer_printf(b, "        %s) known='", command->name);
    for (size_t i = 0; i < n_option_rows; i++)
        if (option_has(&option_rows[i], command->bit)) buffer_printf(b, "--%s ", option_rows[i].name);
    buffer_text(b, "' ;;\n");
}

static void put_bash(buffer *b) {
    buffer_text(b, "# Completion of capp in bash: source <(capp completion bash)\n_capp() {\n"
                   "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} known=\n"
                   "    COMPREPLY=()\n    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        known='help --version");
    for (size_t i = 0; i < COMMANDS; i++) buffer_printf(b, " %s", commands[i].name);
    buffer_text(b, "'\n    elif [[ $word == -* ]]; then\n        case ${COMP_WORDS[1]} in\n");
    for (size_t i = 0; i < COMMANDS; i++) put_bash_options(b, &commands[i]);
    buffer_text(b, "        esac\n    else\n        case $before in\n");
    for (size_t i = 0; i < n_option_rows; i++)
        if (words_of(&option_rows[i]))
            buffer_printf(b, "        --%s) known='%s' ;;\n", option_rows[i].name, words_of(&option_rows[i]));
    buffer_text(b, "        completion) known='bash zsh fish' ;;\n        help) known='");
    for (size_t i = 0; i < COMMANDS; i++) buffer_printf(b, "%s ", commands[i].name);
    buffer_text(b, "' ;;\n        esac\n    fi\n    mapfile -t COMPREPLY < <(compgen -W \"$known\" -- \"$word\")\n}\n"
                   "complete -o default -F _capp capp\n");
}

/* ---- zsh -------------------------------------------------------------------------------------------------------- */

static void put_zsh_option(buffer *b, const option_row *row) {
    const char *words = words_of(row);
    buffer_text(b, " \\\n                ");
    if (row->letter) buffer_printf(b, "'(-%c --%s)'{-%c,--%s}", row->letter, row->name, row->letter, row->name);
    buffer_printf(b, row->letter ? "'[" : "'--%s[", row->name);
    put_quoted(b, row->help, "[]:\\", "'\\''");
    buffer_char(b, ']');
    if (row->argument) {
        buffer_char(b, ':');
        put_quoted(b, row->argument, "[]:\\", "'\\''");
        if (words)
            buffer_printf(b, ":(%s)", words);
        else
            buffer_text(b, takes_file(row) ? ":_files" : ": ");
    }
    buffer_char(b, '\'');
}

static void put_zsh(buffer *b) {
    buffer_text(b, "#compdef capp\n# Completion of capp in zsh: source <(capp completion zsh)\n_capp() {\n"
                   "    local -a commands\n    commands=(\n        'help:usage of a command'\n");
    for (size_t i = 0; i < COMMANDS; i++) {
        buffer_printf(b, "        '%s:", commands[i].name);
        put_quoted(b, commands[i].summary, ":\\", "'\\''");
        buffer_text(b, "'\n");
    }
    buffer_text(b,
                "    )\n    if (( CURRENT == 2 )); then\n        _describe command commands\n        return\n    fi\n"
                "    local command=$words[2]\n    shift words\n    (( CURRENT-- ))\n    case $command in\n"
                "        help) _describe command commands ;;\n        completion) compadd bash zsh fish ;;\n");
    for (size_t i = 0; i < COMMANDS; i++) {
        if (commands[i].bit == COMMAND_COMPLETION) continue;
        buffer_printf(b, "        %s)\n            _arguments", commands[i].name);
        for (size_t j = 0; j < n_option_rows; j++)
            if (option_has(&option_rows[j], commands[i].bit)) put_zsh_option(b, &option_rows[j]);
        buffer_text(b, " \\\n                '*:file:_files' ;;\n");
    }
    buffer_text(b, "    esac\n}\n(( $+functions[compdef] )) && compdef _capp capp\n");
}

/* ---- fish ------------------------------------------------------------------------------------------------------- */

static void put_fish_option(buffer *b, const command_row *command, const option_row *row) {
    const char *words = words_of(row);
    buffer_printf(b, "complete -c capp -n '__fish_seen_subcommand_from %s' -l %s", command->name, row->name);
    if (row->letter) buffer_printf(b, " -s %c", row->letter);
    if (words)
        buffer_printf(b, " -x -a '%s'", words);
    else if (row->argument)
        buffer_text(b, takes_file(row) ? " -r -F" : " -x");
    buffer_text(b, " -d '");
    put_quoted(b, row->help, "\\", "\\'");
    buffer_text(b, "'\n");
}

static void put_fish(buffer *b) {
    buffer_text(b, "# Completion of capp in fish: capp completion fish | source\n"
                   "complete -c capp -n __fish_use_subcommand -f -a help -d 'usage of a command'\n"
                   "complete -c capp -n '__fish_seen_subcommand_from completion' -f -a 'bash zsh fish'\n");
    for (size_t i = 0; i < COMMANDS; i++) {
        buffer_printf(b, "complete -c capp -n __fish_use_subcommand -f -a %s -d '", commands[i].name);
        put_quoted(b, commands[i].summary, "\\", "\\'");
        buffer_printf(b, "'\ncomplete -c capp -n '__fish_seen_subcommand_from help' -f -a %s\n", commands[i].name);
        for (size_t j = 0; j < n_option_rows; j++)
            if (option_has(&option_rows[j], commands[i].bit)) put_fish_option(b, &commands[i], &option_rows[j]);
    }
}

int completion_command(const options *o) {
    static const struct {
        const char *name;
        void (*put)(buffer *b);
    } shells[] = {{"bash", put_bash}, {"zsh", put_zsh}, {"fish", put_fish}};
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        if (strcmp(o->input ? o->input : "", shells[i].name) != 0) continue;
        buffer text = {0};
        shells[i].put(&text);
        int code = output_print(buffer_view(&text));
        buffer_free(&text);
        return code;
    }
    complain("completion needs the name of a shell: bash, zsh or fish");
    return EXIT_FAILED;
}

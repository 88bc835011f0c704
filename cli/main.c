/* The command capp. Each subcommand has its own file; this file selects it. */
#include "late.h"
#include "models.h"
#include "options.h"
#include "output_file.h"

#include <string.h>

static const struct {
    unsigned bit;
    int (*run)(const options *o);
} commands[] = {
#define X(NAME, name, number, arguments, summary) {COMMAND_##NAME, name##_command},
    COMMAND_MAP(X)
#undef X
};

static int print_text(buffer *text) {
    int code = output_print(buffer_view(text));
    buffer_free(text);
    return code;
}

static int print_help(unsigned bit) {
    buffer text = {0};
    help_text(bit, &text);
    return print_text(&text);
}

static int unknown_command(const char *name) {
    complain("unknown command '%s'; the commands are: "
#define X(NAME, word, number, arguments, summary) #word ", "
             COMMAND_MAP(X)
#undef X
                 "help",
             name);
    return EXIT_FAILED;
}

static int run_command(unsigned bit, int count, char **arguments) {
    options o;
    capp_error err;
    int code = EXIT_FAILED;
    if (!options_parse(&o, arguments[0], bit, count, arguments, &err))
        complain("%s; see capp help %s", err.message, arguments[0]);
    else if (o.help)
        code = print_help(bit);
    else if (bit != COMMAND_SERVE && bit != COMMAND_INIT && !models_locate(&o, &err)) /* several models; perhaps none */
        complain("%s", err.message);
    else
        for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
            if (commands[i].bit == bit) code = commands[i].run(&o);
    options_free(&o);
    return code;
}

int main(int count, char **arguments) {
    capp_error err;
    fill_standard_files();
    interrupt_watch();
    if (capp_guard_files(&err))
        complain("warning: %s; a failed read of a model file will end the program", err.message);
    const char *name = count > 1 ? arguments[1] : NULL;
    if (!name) {
        buffer text = {0};
        help_text(0, &text);
        fwrite(text.data, 1, text.size, stderr);
        buffer_free(&text);
        return EXIT_FAILED;
    }
    if (!strcmp(name, "--version") || !strcmp(name, "-V") || !strcmp(name, "version")) {
        buffer text = {0};
        buffer_printf(&text, "capp %s%s\n", capp_version(), late_without);
        return print_text(&text);
    }
    if (!strcmp(name, "--help") || !strcmp(name, "-h")) return print_help(0);
    if (!strcmp(name, "help")) {
        bool all = count < 3 || !strcmp(arguments[2], "help");
        unsigned bit = all ? 0 : command_bit(arguments[2]);
        return all || bit ? print_help(bit) : unknown_command(arguments[2]);
    }
    unsigned bit = command_bit(name);
    return bit ? run_command(bit, count - 1, arguments + 1) : unknown_command(name);
}

/* toml_tool FILE...: reads each file as the command reads a project file. Prints for each table "table ITEM NAME", for
 * each entry "LINE NAME VALUE", and at the end "end" or "failed MESSAGE". Texts are hexadecimal, with a letter for
 * their kind before them. */
#include <stdio.h>

#include "toml.h"

static void print_text(char kind, capp_str text) {
    printf(" %c", kind);
    for (size_t i = 0; i < text.size; i++) printf("%02x", (unsigned char)text.data[i]);
}

static void print_value(const toml_value *value) {
    if (value->kind != TOML_ARRAY) {
        print_text("sifb"[value->kind], value -> text);
        return;
    }
    printf(" [");
    for (size_t i = 0; i < value->n; i++) print_value(&value->items[i]);
    printf(" ]");
}

static void print_file(const char *path) {
    buffer content = {0};
    toml document = {0};
    capp_error err;
    bool good = read_file(path, &content, &err) && toml_parse(&document, buffer_view(&content), "F", &err);
    for (size_t i = 0; good && i < document.n; i++) {
        const toml_table *table = &document.tables[i];
        printf("table %d", table->item);
        print_text('n', table->name);
        printf("\n");
        for (size_t j = 0; j < table->n; j++) {
            printf("%zu", table->entries[j].line);
            print_text('n', table->entries[j].name);
            print_value(&table->entries[j].value);
            printf("\n");
        }
    }
    printf(good ? "end\n" : "failed");
    if (!good) {
        print_text('m', capp_str_of(err.message));
        printf("\n");
    }
    toml_free(&document);
    buffer_free(&content);
}

int main(int count, char **arguments) {
    for (int i = 1; i < count; i++) print_file(arguments[i]);
    return 0;
}

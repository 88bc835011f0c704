/* A project file: a question to a model in TOML. Each key is the name of an option of the command line, and its value
 * is the option's argument; [[class]] tables describe classes. docs/project.md describes the format. */
#ifndef CLI_PROJECT_H
#define CLI_PROJECT_H

#include "util.h"

/* The name of the file in a folder. */
#define PROJECT_NAME "capp.toml"

/* An option that the file gives. */
typedef struct project_value {
    const char *name;     /* of the long option; "classes" for [[class]] tables, too */
    const char *argument; /* NULL: the option takes none. Names of files are relative to the working folder. */
    bool is_json;         /* classes: argument is a JSON array of names or objects, see rules.c */
    size_t line;
} project_value;

typedef struct project {
    const char *path;
    project_value *values; /* [n] in the order of the file; an option may occur several times */
    size_t n, capacity;
    arena memory;
} project;

/* PATH, or the project file in the folder of this path, in memory of a. */
const char *project_path(const char *path, arena *a);

/* Whether a project file may have this key. */
bool project_has(const char *name);

/* The value that this key has in a project file at `path`, for the argument of the option: the name of a file that is
 * there is written as seen from the folder of the project. */
const char *project_argument(const char *path, const char *name, const char *argument, arena *a);

/* Reads a file, or PROJECT_NAME in the folder of this path. False: err says file, line and cure. Call project_free in
 * any case. */
bool project_read(project *p, const char *path, capp_error *err);
void project_free(project *p);

#endif

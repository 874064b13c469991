#define _GNU_SOURCE
#include "find.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "json.h"
#include "process.h"

enum { FILE_ROOM = 1 << 16 }; /* of engine.json, in bytes */

/* False where the file is missing; an error where it says no Python. */
static bool python_of_note(const char *note, char *python, char *error) {
    static const char *const names[] = {"python"};
    FILE *file = fopen(note, "re");
    if (file == NULL) return false;
    char *data = malloc(FILE_ROOM);
    size_t length = data == NULL ? 0 : fread(data, 1, FILE_ROOM, file);
    fclose(file);
    struct json_value value;
    bool good = data != NULL && json_members(data, length, names, &value, 1)
                && json_to_string(value, python, PATH_ROOM);
    free(data);
    if (!good)
        snprintf(error, ERROR_ROOM, "%s is damaged; run `python3 install/install.py env` again, or "
                 "`facegraft ofx install` where it lies in the bundle", note);
    return true;
}

/* engine.json of the bundle that this library lies in: Contents/Resources beside its folder. */
static bool bundle_note(char *note) {
    Dl_info here;
    if (dladdr((void *)(uintptr_t)find_python, &here) == 0 || here.dli_fname == NULL) return false;
    int length = snprintf(note, PATH_ROOM, "%s", here.dli_fname);
    for (int i = 0; i < 2; i++) {
        char *slash = strrchr(note, '/');
        if (length >= PATH_ROOM || slash == NULL) return false;
        *slash = 0;
    }
    size_t end = strlen(note);
    return snprintf(note + end, PATH_ROOM - end, "/Resources/engine.json") < (int)(PATH_ROOM - end);
}

static bool user_note(char *note) {
    const char *base = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (base != NULL && *base != 0)
        return snprintf(note, PATH_ROOM, "%s/facegraft/engine.json", base) < PATH_ROOM;
    return home != NULL
           && snprintf(note, PATH_ROOM, "%s/.local/share/facegraft/engine.json", home) < PATH_ROOM;
}

bool find_python(char *python, char *origin, char *error) {
    const char *set = getenv("FACEGRAFT_PYTHON");
    error[0] = 0;
    if (set != NULL && *set != 0) {
        snprintf(python, PATH_ROOM, "%s", set);
        snprintf(origin, PATH_ROOM, "FACEGRAFT_PYTHON");
    } else if (!(bundle_note(origin) && python_of_note(origin, python, error))
               && !(user_note(origin) && python_of_note(origin, python, error))) {
        snprintf(python, PATH_ROOM, "python3");
        origin[0] = 0;
        return true;
    }
    struct stat status;
    if (error[0] == 0 && (stat(python, &status) != 0 || !S_ISREG(status.st_mode)))
        snprintf(error, ERROR_ROOM, "%s names %s, which is no file; run `python3 install/install.py "
                 "env`, or set FACEGRAFT_PYTHON to the engine's Python", origin, python);
    return error[0] == 0;
}

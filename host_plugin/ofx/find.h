/* Which Python runs the engine. */
#ifndef FACEGRAFT_FIND_H
#define FACEGRAFT_FIND_H

#include <stdbool.h>

/* The engine's Python and who named it: FACEGRAFT_PYTHON, the bundle's note, or the installer's; an
 * empty `origin` for the one in PATH. Both have PATH_ROOM bytes, `error` has ERROR_ROOM. */
bool find_python(char *python, char *origin, char *error);

#endif

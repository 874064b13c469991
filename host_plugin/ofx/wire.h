/* The worker's messages on one connection: a request and its answer, as PROTOCOL.md says. */
#ifndef FACEGRAFT_WIRE_H
#define FACEGRAFT_WIRE_H

#include <stdint.h>

#include "json.h"
#include "process.h"

enum { MESSAGE_MS = 10000 }; /* a message once begun must arrive whole within this */

/* How a call went: answered, refused by the engine in its own words, or over with the connection. */
enum called { CALL_ANSWERED, CALL_REFUSED, CALL_STOPPED, CALL_LATE, CALL_BROKEN };

/* A request. The message is complete but for its id and closing brace. */
struct request {
    int file; /* of the connection */
    int64_t id;
    struct text *message;
    const char *expected; /* type of the answer */
};

/* Send one request and read its answer, whose members `names` are found in `*body`, which the
 * caller frees. `error` has ERROR_ROOM bytes. */
enum called wire_call(const struct request *request, const struct patience *patience,
                      const char *const *names, struct json_value *values, size_t count,
                      char **body, char *error);

/* The same of a request whose answer holds nothing of interest. */
enum called wire_call_plain(const struct request *request, const struct patience *patience,
                            char *error);

#endif

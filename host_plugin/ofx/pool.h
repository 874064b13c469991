/* The connections to the worker, one for each frame that is rendered at a time, and the worker's
 * life: started by the first frame that needs it, replaced when it dies. Called from any thread. */
#ifndef FACEGRAFT_POOL_H
#define FACEGRAFT_POOL_H

#include "engine.h"
#include "wire.h"

enum { START_MS = 60000 }; /* the worker's time to listen, and to greet */

struct connection {
    int file; /* -1 while closed */
    bool busy;
    unsigned generation; /* of the worker it leads to */
    int64_t next_id;
    unsigned char *memory;
    size_t size;
    int width, height;             /* of the frame in it */
    size_t matte_at;               /* 0 where the frame has none */
    int known_width, known_height; /* of the frame that the worker knows in it; 0 for none */
    bool knows_matte;
};

/* Take an open connection for one's own use. */
enum outcome pool_take(const struct patience *patience, struct connection **taken, char *error);

/* What a call means for its frame. One that did not end well ends the connection, and where the
 * worker is to blame, that too; `error` gets its last words. */
enum outcome pool_settle(struct connection *connection, enum called called, char *error);

/* The worker did what was asked: it is not about to die for the third time. */
void pool_note_success(void);

/* Give the connection back. */
void pool_give(struct connection *connection);

/* Undo the mapping of a connection. */
void pool_forget_memory(struct connection *connection);

#endif

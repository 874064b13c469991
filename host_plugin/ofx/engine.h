/* The FaceGraft engine as renders see it: one worker per host process, started by the first frame
 * that needs it, and a pool of connections to it, each with shared memory for one frame. Everything
 * here may be called from any thread. */
#ifndef FACEGRAFT_ENGINE_H
#define FACEGRAFT_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "json.h"
#include "process.h"

enum { NOTE_ROOM = 512 };

/* LOST: the worker ended while it worked, for the first time in a row; the frame is worth a second
 * try, which gets a fresh one. */
enum outcome { ENGINE_DONE, ENGINE_STOPPED, ENGINE_FAILED, ENGINE_LOST };

struct connection;

/* What one merge gave: the layer covers columns x0 to x1 and rows y0 to y1 from the top left. */
struct layer {
    int x0, y0, x1, y1;
    float *pixels; /* RGBA, packed rows, premultiplied; alpha is the matte */
};

/* Take a connection with room for a frame of this size and, if asked, a matte. `error` has
 * ERROR_ROOM bytes and says what to do, also below. */
enum outcome engine_take(int width, int height, bool matte, bool (*stopped)(void *), void *context,
                         struct connection **taken, char *error);

/* RGBA float of the frame, and its matte: packed rows, top row first. They keep what the last frame
 * of this connection left there. */
float *engine_frame(struct connection *connection);
float *engine_matte(struct connection *connection);

/* `note` has NOTE_ROOM bytes and gets what the user should know of a frame that went well: a row that
 * it could not follow. Empty for nothing.
 *
 * Swap the faces of the frame that lies in the connection. `fields` are the members of the message
 * beside its type, id, size and places, each beginning with a comma. `unchanged` (and
 * `matte_unchanged`) say that the frame's bytes are those that were there before. */
enum outcome engine_merge(struct connection *connection, const struct text *fields, bool unchanged,
                          bool matte_unchanged, bool (*stopped)(void *), void *context,
                          struct layer *layer, char *note, char *error);

/* Give the connection back, after its layer was read. */
void engine_give(struct connection *connection);

#endif

#define _GNU_SOURCE
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pool.h"
#include "rows.h"

enum {
    MAP_MS = 10000,
    MERGE_MS = 180000, /* the first frame may load the model and the detector as well */
    PIXEL = 16,
    ALIGNMENT = 64,
};

/* --- shared memory ---------------------------------------------------------------------------- */

static size_t aligned(size_t size) { return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

/* A private file of this size whose room is taken: a mapping without room behind it would end the
 * host by a signal. */
static int memory_file(size_t size, char *path, char *error) {
    const char *temporary = getenv("TMPDIR");
    const char *places[] = {"/dev/shm", temporary, "/tmp"};
    int problem = ENOSPC;
    for (size_t i = 0; i < 3; i++) {
        if (places[i] == NULL || *places[i] == 0) continue;
        if (snprintf(path, PATH_ROOM, "%s/facegraft-XXXXXX", places[i]) >= PATH_ROOM) continue;
        int file = mkostemp(path, O_CLOEXEC); /* of mode 0600 */
        if (file < 0) {
            problem = errno;
            continue;
        }
        do problem = posix_fallocate(file, 0, (off_t)size);
        while (problem == EINTR); /* a host's timer */
        if (problem == 0) return file;
        close(file);
        unlink(path);
    }
    errno = problem;
    snprintf(error, ERROR_ROOM, "no room for %zu MB of shared frames in /dev/shm or the temporary "
             "folder: %m; free some space", size >> 20);
    return -1;
}

static enum outcome make_room(struct connection *c, size_t size, const struct patience *patience,
                              char *error) {
    char path[PATH_ROOM];
    struct text message = {0};
    struct patience own = *patience;
    pool_forget_memory(c);
    int file = memory_file(size, path, error);
    if (file < 0) return ENGINE_FAILED;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (memory == MAP_FAILED) {
        snprintf(error, ERROR_ROOM, "cannot map %zu MB of shared frames: %m", size >> 20);
        unlink(path);
        return ENGINE_FAILED;
    }
    c->memory = memory;
    c->size = size;
    text_add(&message, "{\"type\":\"map\",\"path\":");
    json_add_string(&message, path);
    text_add(&message, ",\"size\":");
    json_add_number(&message, (double)size);
    own.deadline_ms = now_ms() + MAP_MS;
    struct request request = {c->file, c->next_id++, &message, "mapped"};
    enum called called = wire_call_plain(&request, &own, error);
    text_free(&message);
    unlink(path);
    /* what the worker does not share is of no use */
    if (called != CALL_ANSWERED) pool_forget_memory(c);
    return pool_settle(c, called, error);
}

/* --- what renders call ------------------------------------------------------------------------ */

enum outcome engine_take(int width, int height, bool matte, bool (*stopped)(void *), void *context,
                         struct connection **taken, char *error) {
    struct patience patience = {stopped, context, INT64_MAX};
    size_t pixels = (size_t)width * (size_t)height;
    size_t room = aligned(pixels * PIXEL);
    size_t size = 2 * room + (matte ? aligned(pixels * sizeof(float)) : 0);
    error[0] = 0;
    enum outcome outcome = pool_take(&patience, taken, error);
    if (outcome != ENGINE_DONE) return outcome;
    struct connection *c = *taken;
    bool fresh = c->next_id == 2; /* only the greeting was: what was mapped, another worker knew */
    if (fresh || c->size < size) outcome = make_room(c, size, &patience, error);
    c->width = width;
    c->height = height;
    c->matte_at = matte ? 2 * room : 0;
    if (outcome != ENGINE_DONE) engine_give(c);
    return outcome;
}

float *engine_frame(struct connection *c) { return (float *)(void *)c->memory; }

float *engine_matte(struct connection *c) { return (float *)(void *)(c->memory + c->matte_at); }

static void add_flag(struct text *message, const char *name, bool value) {
    text_add(message, name);
    text_add(message, value ? "true" : "false");
}

static void add_places(struct connection *c, struct text *message, size_t room) {
    char places[200];
    snprintf(places, sizeof places, "{\"type\":\"merge\",\"width\":%d,\"height\":%d,\"input\":0,"
             "\"output\":%zu", c->width, c->height, room);
    text_add(message, places);
    if (c->matte_at == 0) return;
    snprintf(places, sizeof places, ",\"matte\":%zu", c->matte_at);
    text_add(message, places);
}

static bool read_layer(struct connection *c, struct json_value roi, size_t room,
                       struct layer *layer) {
    int64_t at[4];
    if (!json_to_integers(roi, at, 4)) return false;
    bool inside = at[0] >= 0 && at[1] >= 0 && at[0] <= at[2] && at[1] <= at[3]
                  && at[2] <= c->width && at[3] <= c->height;
    *layer = (struct layer){(int)at[0], (int)at[1], (int)at[2], (int)at[3],
                            (float *)(void *)(c->memory + room)};
    return inside;
}

/* The protocol's time limit, or a shorter or longer one of the environment, in seconds. */
static int64_t merge_ms(void) {
    const char *set = getenv("FACEGRAFT_MERGE_TIMEOUT");
    long seconds = set == NULL ? 0 : strtol(set, NULL, 10);
    return seconds > 0 && seconds < 100000 ? (int64_t)seconds * 1000 : MERGE_MS;
}

enum outcome engine_merge(struct connection *c, const struct text *fields, bool unchanged,
                          bool matte_unchanged, bool (*stopped)(void *), void *context,
                          struct layer *layer, char *note, char *error) {
    static const char *const names[] = {"roi", "notes"};
    struct json_value values[2];
    struct patience patience = {stopped, context, now_ms() + merge_ms()};
    struct text message = {0};
    size_t room = aligned((size_t)c->width * (size_t)c->height * PIXEL);
    bool known = c->known_width == c->width && c->known_height == c->height;
    char *body;
    add_places(c, &message, room);
    add_flag(&message, ",\"input_unchanged\":", known && unchanged);
    add_flag(&message, ",\"matte_unchanged\":", known && c->knows_matte && matte_unchanged);
    if (fields->failed) message.failed = true;
    else text_add_bytes(&message, fields->data, fields->length);
    struct request request = {c->file, c->next_id++, &message, "merged"};
    enum called called = wire_call(&request, &patience, names, values, 2, &body, error);
    text_free(&message);
    if (called == CALL_ANSWERED && !read_layer(c, values[0], room, layer)) {
        snprintf(error, ERROR_ROOM, "the engine's answer names no part of the frame");
        called = CALL_BROKEN;
    }
    note[0] = 0;
    if (called == CALL_ANSWERED) json_first_string(values[1], note, NOTE_ROOM);
    free(body);
    if (called == CALL_ANSWERED) {
        c->known_width = c->width;
        c->known_height = c->height;
        c->knows_matte = c->matte_at != 0;
    }
    if (called == CALL_ANSWERED || called == CALL_REFUSED) pool_note_success();
    return pool_settle(c, called, error);
}

void engine_give(struct connection *c) { pool_give(c); }

#define _GNU_SOURCE
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "rows.h"

enum {
    START_MS = 60000,
    PING_MS = 10000,
    MESSAGE_MS = 10000,
    MERGE_MS = 180000,  /* the first frame may load the model and the detector as well */
    MOST_CONNECTIONS = 32,
    FREE_DEATHS = 3,    /* deaths in a row before a new start has to wait */
    MOST_PAUSE_MS = 30000,
    PIXEL = 16,
    ALIGNMENT = 64,
};

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

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
/* all of it under the lock */
static struct connection pool[MOST_CONNECTIONS];
static struct process worker;
static unsigned generation; /* of the worker that runs */
static bool starting;
static int deaths; /* in a row */
static int64_t next_start_ms;
static char last_death[ERROR_ROOM];

/* --- messages ------------------------------------------------------------------------------- */

static bool send_all(int file, const void *data, size_t length) {
    const char *at = data;
    while (length > 0) {
        ssize_t count = send(file, at, length, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return false;
        at += count;
        length -= (size_t)count;
    }
    return true;
}

static enum waited receive_all(int file, void *data, size_t length, const struct patience *patience,
                               bool *ended) {
    char *at = data;
    *ended = false;
    while (length > 0) {
        enum waited waited = wait_for(file, patience);
        if (waited != WAIT_READY) return waited;
        ssize_t count = recv(file, at, length, 0);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) {
            *ended = true;
            return WAIT_READY;
        }
        at += count;
        length -= (size_t)count;
    }
    return WAIT_READY;
}

/* How a call went: answered, refused by the engine in its own words, or over with the connection. */
enum called { CALL_ANSWERED, CALL_REFUSED, CALL_STOPPED, CALL_LATE, CALL_BROKEN };

/* Send one message and read its answer, whose members `names` are found in `*body`, which the
 * caller frees. The message is complete but for its closing brace and id. */
static enum called call(struct connection *c, struct text *message, const struct patience *patience,
                        const char *expected, const char *const *names, struct json_value *values,
                        size_t count, char **body, char *error) {
    static const char *const heads[] = {"type", "id", "text"};
    struct json_value head[3];
    char digits[40], type[32];
    int64_t id = c->next_id++, answered = 0;
    *body = NULL;
    snprintf(digits, sizeof digits, ",\"id\":%lld}", (long long)id);
    text_add(message, digits);
    snprintf(error, ERROR_ROOM, "the node has no memory left for its message");
    if (message->failed || message->length > FACEGRAFT_MAX_MESSAGE) return CALL_REFUSED;
    uint32_t length = (uint32_t)message->length;
    unsigned char prefix[4] = {length & 255, length >> 8 & 255, length >> 16 & 255, length >> 24};
    snprintf(error, ERROR_ROOM, "the engine died while it worked");
    if (!send_all(c->file, prefix, 4) || !send_all(c->file, message->data, length))
        return CALL_BROKEN;
    bool ended;
    enum waited waited = receive_all(c->file, prefix, 4, patience, &ended);
    if (waited == WAIT_READY && !ended) {
        length = prefix[0] | (uint32_t)prefix[1] << 8 | (uint32_t)prefix[2] << 16
                 | (uint32_t)prefix[3] << 24;
        if (length > FACEGRAFT_MAX_MESSAGE || (*body = malloc(length + 1)) == NULL)
            return CALL_BROKEN;
        (*body)[length] = 0;
        struct patience rest = *patience;
        rest.deadline_ms = now_ms() + MESSAGE_MS;
        waited = receive_all(c->file, *body, length, &rest, &ended);
    }
    if (waited == WAIT_STOPPED) return CALL_STOPPED;
    if (waited == WAIT_TIMEOUT) {
        snprintf(error, ERROR_ROOM, "the engine gave no answer in time; it is stopped");
        return CALL_LATE;
    }
    if (ended) return CALL_BROKEN;
    snprintf(error, ERROR_ROOM, "the engine's answer cannot be read");
    if (!json_members(*body, length, heads, head, 3)
        || !json_to_string(head[0], type, sizeof type))
        return CALL_BROKEN;
    if (strcmp(type, "error") == 0)
        return json_to_string(head[2], error, ERROR_ROOM) ? CALL_REFUSED : CALL_BROKEN;
    if (strcmp(type, expected) != 0 || !json_to_integers(head[1], &answered, 1) || answered != id)
        return CALL_BROKEN;
    return json_members(*body, length, names, values, count) ? CALL_ANSWERED : CALL_BROKEN;
}

/* The same of a message whose answer holds nothing of interest. */
static enum called call_plain(struct connection *c, struct text *message,
                              const struct patience *patience, const char *expected, char *error) {
    char *body;
    enum called called = call(c, message, patience, expected, NULL, NULL, 0, &body, error);
    free(body);
    return called;
}

/* --- the worker's life; with the lock held ---------------------------------------------------- */

static void close_connection(struct connection *c) {
    if (c->file >= 0) close(c->file);
    c->file = -1;
    c->known_width = c->known_height = 0;
}

static void note_death(const char *error) {
    snprintf(last_death, sizeof last_death, "%s", error);
    if (++deaths < FREE_DEATHS) return;
    int shift = deaths - FREE_DEATHS;
    int64_t pause = shift > 5 ? MOST_PAUSE_MS : (int64_t)1000 << shift;
    next_start_ms = now_ms() + (pause > MOST_PAUSE_MS ? MOST_PAUSE_MS : pause);
}

/* End the worker of this generation after it failed; `error` gets its last words. Whoever comes
 * second, from another connection to it, gets what the first one learned. */
static void give_up(unsigned of, char *error) {
    if (of != generation || worker.pid == 0) {
        if (last_death[0] != 0) snprintf(error, ERROR_ROOM, "%s", last_death);
        return;
    }
    process_end(&worker, error);
    note_death(error);
    pthread_cond_broadcast(&changed);
}

static void look_whether_it_lives(void) {
    int status;
    if (worker.pid == 0 || starting || !process_collect(&worker, &status)) return;
    /* it ends in order, with 0, when its last connection was closed for a while */
    char error[ERROR_ROOM];
    snprintf(error, sizeof error, "the engine died between two frames (exit status %d)", status);
    if (status != 0) note_death(error);
}

static void wait_for_change(void) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 50000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&changed, &lock, &until);
}

static enum outcome start_worker(const struct patience *patience, char *error) {
    int64_t left = next_start_ms - now_ms();
    if (deaths >= FREE_DEATHS && left > 0) {
        snprintf(error, ERROR_ROOM, "the engine failed %d times in a row; the next try is in %lld s. "
                 "The last time: %.3900s", deaths, (long long)(left + 999) / 1000, last_death);
        return ENGINE_FAILED;
    }
    struct process fresh = {0};
    struct patience own = *patience;
    own.deadline_ms = now_ms() + START_MS;
    starting = true;
    pthread_mutex_unlock(&lock);
    bool good = process_start(&fresh, &own, error);
    pthread_mutex_lock(&lock);
    starting = false;
    if (good) {
        worker = fresh;
        generation++;
    } else if (error[0] != 0) {
        note_death(error);
    }
    pthread_cond_broadcast(&changed);
    return good ? ENGINE_DONE : error[0] == 0 ? ENGINE_STOPPED : ENGINE_FAILED;
}

/* --- connections ------------------------------------------------------------------------------ */

static bool connect_to(struct connection *c, const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = MESSAGE_MS / 1000};
    if (strlen(path) >= sizeof address.sun_path) return false;
    strcpy(address.sun_path, path);
    c->file = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->file < 0) return false;
    setsockopt(c->file, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    return connect(c->file, (struct sockaddr *)&address, sizeof address) == 0;
}

static enum called greet(struct connection *c, const char *path, const char *token,
                         const struct patience *patience, char *error) {
    struct text hello = {0};
    struct patience own = *patience;
    own.deadline_ms = now_ms() + START_MS;
    snprintf(error, ERROR_ROOM, "cannot connect to the engine");
    if (!connect_to(c, path)) return CALL_BROKEN;
    text_add(&hello, "{\"type\":\"hello\",\"host\":\"OpenFX\",\"version\":\"" FACEGRAFT_VERSION
                     "\",\"table_digest\":\"" FACEGRAFT_TABLE_DIGEST "\",\"token\":");
    json_add_string(&hello, token);
    text_add(&hello, ",\"protocol\":");
    json_add_number(&hello, FACEGRAFT_PROTOCOL);
    enum called called = call_plain(c, &hello, &own, "greeting", error);
    text_free(&hello);
    return called;
}

/* A connection that nobody uses: an open one to this worker before a closed one; NULL where all are
 * in use. */
static struct connection *idle_connection(void) {
    struct connection *closed = NULL;
    for (int i = 0; i < MOST_CONNECTIONS; i++) {
        struct connection *c = &pool[i];
        if (c->busy) continue;
        if (c->generation != generation) close_connection(c);
        if (c->generation == generation && c->file >= 0) return c;
        if (closed == NULL) closed = c;
    }
    return closed;
}

/* Open a connection to the worker that runs now. With the lock held, which it lets go meanwhile.
 * ENGINE_DONE without an open connection means that the worker was about to leave: try again. */
static enum outcome open_connection(struct connection *c, const struct patience *patience,
                                    bool *may_retry, char *error) {
    char path[PATH_ROOM], token[sizeof worker.token];
    memcpy(path, worker.socket, sizeof path);
    memcpy(token, worker.token, sizeof token);
    c->generation = generation;
    c->next_id = 1;
    pthread_mutex_unlock(&lock);
    enum called called = greet(c, path, token, patience, error);
    pthread_mutex_lock(&lock);
    if (called == CALL_ANSWERED) return ENGINE_DONE;
    close_connection(c);
    if (called == CALL_STOPPED) return ENGINE_STOPPED;
    if (called == CALL_REFUSED) return ENGINE_FAILED; /* another version or table */
    if (called == CALL_BROKEN && *may_retry) {
        *may_retry = false;
        char quiet[ERROR_ROOM] = "";
        if (c->generation == generation && worker.pid != 0) process_end(&worker, quiet);
        return ENGINE_DONE;
    }
    give_up(c->generation, error);
    return ENGINE_FAILED;
}

static enum outcome take_open(const struct patience *patience, struct connection **taken,
                              char *error) {
    bool may_retry = true;
    for (;;) {
        if (patience->stopped != NULL && patience->stopped(patience->context)) return ENGINE_STOPPED;
        look_whether_it_lives();
        if (worker.pid == 0 && !starting) {
            enum outcome outcome = start_worker(patience, error);
            if (outcome != ENGINE_DONE) return outcome;
        }
        struct connection *c = starting || worker.pid == 0 ? NULL : idle_connection();
        if (c == NULL) {
            wait_for_change();
            continue;
        }
        c->busy = true;
        enum outcome outcome = c->file >= 0 ? ENGINE_DONE
                                            : open_connection(c, patience, &may_retry, error);
        if (outcome == ENGINE_DONE && c->file >= 0) {
            *taken = c;
            return ENGINE_DONE;
        }
        c->busy = false;
        pthread_cond_broadcast(&changed);
        if (outcome != ENGINE_DONE) return outcome;
    }
}

/* A call that did not end well ends the connection, and where the worker is to blame, that too. */
static enum outcome settle(struct connection *c, enum called called, char *error) {
    if (called == CALL_ANSWERED) return ENGINE_DONE;
    c->known_width = c->known_height = 0;
    if (called == CALL_REFUSED) return ENGINE_FAILED;
    pthread_mutex_lock(&lock);
    close_connection(c);
    if (called != CALL_STOPPED) give_up(c->generation, error);
    pthread_mutex_unlock(&lock);
    return called == CALL_STOPPED ? ENGINE_STOPPED : ENGINE_FAILED;
}

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
        problem = posix_fallocate(file, 0, (off_t)size);
        if (problem == 0) return file;
        close(file);
        unlink(path);
    }
    errno = problem;
    snprintf(error, ERROR_ROOM, "no room for %zu MB of shared frames in /dev/shm or the temporary "
             "folder: %m; free some space", size >> 20);
    return -1;
}

static void forget_memory(struct connection *c) {
    if (c->memory != NULL) munmap(c->memory, c->size);
    c->memory = NULL;
    c->size = 0;
    c->known_width = c->known_height = 0;
}

static enum outcome make_room(struct connection *c, size_t size, const struct patience *patience,
                              char *error) {
    char path[PATH_ROOM];
    struct text message = {0};
    struct patience own = *patience;
    forget_memory(c);
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
    own.deadline_ms = now_ms() + PING_MS;
    enum called called = call_plain(c, &message, &own, "mapped", error);
    text_free(&message);
    unlink(path);
    if (called != CALL_ANSWERED) forget_memory(c); /* what the worker does not share is of no use */
    return settle(c, called, error);
}

/* --- what renders call ------------------------------------------------------------------------ */

enum outcome engine_take(int width, int height, bool matte, bool (*stopped)(void *), void *context,
                         struct connection **taken, char *error) {
    static bool is_ready;
    struct patience patience = {stopped, context, INT64_MAX};
    size_t pixels = (size_t)width * (size_t)height;
    size_t room = aligned(pixels * PIXEL);
    size_t size = 2 * room + (matte ? aligned(pixels * sizeof(float)) : 0);
    error[0] = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; !is_ready && i < MOST_CONNECTIONS; i++) pool[i].file = -1;
    is_ready = true;
    enum outcome outcome = take_open(&patience, taken, error);
    pthread_mutex_unlock(&lock);
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
    enum called called = call(c, &message, &patience, "merged", names, values, 2, &body, error);
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
    if (called == CALL_ANSWERED || called == CALL_REFUSED) {
        pthread_mutex_lock(&lock);
        deaths = 0;
        pthread_mutex_unlock(&lock);
    }
    return settle(c, called, error);
}

void engine_give(struct connection *c) {
    pthread_mutex_lock(&lock);
    c->busy = false;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* When the host unloads the library or ends. Not in OpenFX's Unload, which some hosts send right
 * after they listed the plug-ins, and go on. */
__attribute__((destructor)) static void leave(void) {
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MOST_CONNECTIONS; i++) {
        if (pool[i].file > 0) close(pool[i].file);
        forget_memory(&pool[i]);
        pool[i].file = -1;
    }
    if (worker.pid != 0) process_end(&worker, NULL);
    pthread_mutex_unlock(&lock);
}

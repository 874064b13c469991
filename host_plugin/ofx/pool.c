#define _GNU_SOURCE
#include "pool.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "rows.h"

enum {
    MOST_CONNECTIONS = 32,
    FREE_DEATHS = 3, /* deaths in a row before a new start has to wait */
    MOST_PAUSE_MS = 30000,
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
    struct request request = {c->file, c->next_id++, &hello, "greeting"};
    enum called called = wire_call_plain(&request, &own, error);
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

/* --- what the engine's calls use -------------------------------------------------------------- */

enum outcome pool_take(const struct patience *patience, struct connection **taken, char *error) {
    static bool is_ready;
    pthread_mutex_lock(&lock);
    for (int i = 0; !is_ready && i < MOST_CONNECTIONS; i++) pool[i].file = -1;
    is_ready = true;
    enum outcome outcome = take_open(patience, taken, error);
    pthread_mutex_unlock(&lock);
    return outcome;
}

enum outcome pool_settle(struct connection *c, enum called called, char *error) {
    if (called == CALL_ANSWERED) return ENGINE_DONE;
    c->known_width = c->known_height = 0;
    if (called == CALL_REFUSED) return ENGINE_FAILED;
    pthread_mutex_lock(&lock);
    close_connection(c);
    if (called != CALL_STOPPED) give_up(c->generation, error);
    /* a worker that was killed from outside, say for memory, costs no frame; one that dies of its
     * work dies again, and is told */
    bool first = called == CALL_BROKEN && deaths <= 1;
    pthread_mutex_unlock(&lock);
    return called == CALL_STOPPED ? ENGINE_STOPPED : first ? ENGINE_LOST : ENGINE_FAILED;
}

void pool_note_success(void) {
    pthread_mutex_lock(&lock);
    deaths = 0;
    pthread_mutex_unlock(&lock);
}

void pool_give(struct connection *c) {
    pthread_mutex_lock(&lock);
    c->busy = false;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

void pool_forget_memory(struct connection *c) {
    if (c->memory != NULL) munmap(c->memory, c->size);
    c->memory = NULL;
    c->size = 0;
    c->known_width = c->known_height = 0;
}

/* When the host unloads the library or ends. Not in OpenFX's Unload, which some hosts send right
 * after they listed the plug-ins, and go on. */
__attribute__((destructor)) static void leave(void) {
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MOST_CONNECTIONS; i++) {
        if (pool[i].file > 0) close(pool[i].file);
        pool_forget_memory(&pool[i]);
        pool[i].file = -1;
    }
    if (worker.pid != 0) process_end(&worker, NULL);
    pthread_mutex_unlock(&lock);
}

/* Frames of many threads through the node's own engine.h, without a host and its locks, for a run
 * under the thread sanitizer: many_frames FIELDS. FIELDS: members of a merge message. Prints how
 * many frames went well, and on stderr the errors of the others. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "engine.h"

enum { THREADS = 8, ROUNDS = 40, WIDTH = 96, HEIGHT = 72 };

static const char *fields;
static atomic_int good;

static enum outcome one_frame(int number, int round, char *error) {
    char note[NOTE_ROOM];
    struct connection *connection;
    struct layer layer;
    struct text message = {0};
    int width = WIDTH + number, height = HEIGHT + round % 3; /* new mappings as well as old ones */
    size_t values = (size_t)width * (size_t)height * 4;
    enum outcome outcome = engine_take(width, height, round % 2, NULL, NULL, &connection, error);
    if (outcome != ENGINE_DONE) return outcome;
    float *frame = engine_frame(connection);
    for (size_t i = 0; i < values; i++) frame[i] = i % 4 == 3 ? 1 : (float)round / ROUNDS;
    if (round % 2) memset(engine_matte(connection), 0, values);
    text_add(&message, fields);
    outcome = engine_merge(connection, &message, false, false, NULL, NULL, &layer, note, error);
    text_free(&message);
    engine_give(connection);
    return outcome;
}

static void *work(void *number) {
    char error[ERROR_ROOM];
    for (int round = 0; round < ROUNDS; round++) {
        enum outcome outcome = one_frame((int)(intptr_t)number, round, error);
        if (outcome == ENGINE_LOST) outcome = one_frame((int)(intptr_t)number, round, error);
        if (outcome == ENGINE_DONE) good++;
        else fprintf(stderr, "outcome %d: %s\n", (int)outcome, error);
    }
    return NULL;
}

int main(int count, char **arguments) {
    pthread_t threads[THREADS];
    if (count != 2) return 2;
    fields = arguments[1];
    for (intptr_t i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, work, (void *)i);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    printf("%d of %d\n", good, THREADS * ROUNDS);
    return 0;
}

/* The worker process: found, started as a child that cannot outlive its host, watched, ended.
 * What PROTOCOL.md calls its lifetime. */
#ifndef FACEGRAFT_PROCESS_H
#define FACEGRAFT_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { ERROR_ROOM = 4096, PATH_ROOM = 1024 };

/* What a wait listens to besides its file. `stopped` may be NULL. */
struct patience {
    bool (*stopped)(void *context); /* asked every 50 ms: the host wants the frame no longer */
    void *context;
    int64_t deadline_ms; /* of now_ms() */
};

enum waited { WAIT_READY, WAIT_STOPPED, WAIT_TIMEOUT };

struct process {
    pid_t pid; /* 0 while none runs */
    int life;  /* its stdin: it ends when this closes */
    char folder[PATH_ROOM];
    char socket[PATH_ROOM];
    char token[128];
};

int64_t now_ms(void);

/* Wait until a file can be read, or has ended. */
enum waited wait_for(int file, const struct patience *patience);

/* Start the worker and wait until it listens; the error says what to do. False with an empty error
 * where the host stopped the wait. */
bool process_start(struct process *process, const struct patience *patience, char *error);

/* Collect a process that ended by itself, remove what it left and give its exit status, or minus
 * the signal's number; false while it runs. */
bool process_collect(struct process *process, int *status);

/* End it, by its life line and then by signal, and collect it; appends how it ended and the end of
 * its log to `error`, which may be NULL. */
void process_end(struct process *process, char *error);

#endif

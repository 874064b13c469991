#define _GNU_SOURCE
#include "process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "find.h"
#include "json.h"
#include "rows.h"

extern char **environ;

enum { TICK_MS = 50, LEAVE_MS = 3000, LOG_TAIL = 1500 };

static const char READY_START[] = "{\"facegraft_worker\"";

int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

enum waited wait_for(int file, const struct patience *patience) {
    for (;;) {
        struct pollfd watched = {.fd = file, .events = POLLIN};
        if (poll(&watched, 1, TICK_MS) > 0) return WAIT_READY;
        if (patience->stopped != NULL && patience->stopped(patience->context)) return WAIT_STOPPED;
        if (now_ms() >= patience->deadline_ms) return WAIT_TIMEOUT;
    }
}

/* --- starting ------------------------------------------------------------------------------- */

static bool make_folder(char *folder, char *error) {
    struct sockaddr_un address;
    const char *places[] = {getenv("TMPDIR"), "/tmp"};
    error[0] = 0;
    for (size_t i = 0; i < 2; i++) {
        if (places[i] == NULL || *places[i] == 0) continue;
        int length = snprintf(folder, PATH_ROOM, "%s/facegraft-XXXXXX", places[i]);
        if (length + 4 > (int)sizeof address.sun_path) continue; /* its socket would not fit */
        if (mkdtemp(folder) != NULL) return true; /* of mode 0700 */
        snprintf(error, ERROR_ROOM, "cannot make a folder in %s: %m; free some space", places[i]);
    }
    return false;
}

static void remove_folder(const char *folder) {
    static const char *const names[] = {"s", "log.txt"};
    char path[PATH_ROOM + 16];
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

/* The environment without what the host set for its own Python and libraries. */
static char **clean_environment(void) {
    static const char *const dropped[] = {"PYTHON", "LD_", "DYLD_", "OFX_"};
    size_t count = 0, kept = 0;
    while (environ[count] != NULL) count++;
    char **copy = calloc(count + 1, sizeof *copy);
    for (size_t i = 0; copy != NULL && i < count; i++) {
        bool keep = true;
        for (size_t k = 0; k < 4; k++)
            keep = keep && strncmp(environ[i], dropped[k], strlen(dropped[k])) != 0;
        if (keep) copy[kept++] = environ[i];
    }
    return copy;
}

/* Close what the host left open to its children: only files 0 to 2 are the worker's. */
static void close_others(posix_spawn_file_actions_t *actions) {
    DIR *files = opendir("/proc/self/fd");
    struct dirent *entry;
    if (files == NULL) return;
    while ((entry = readdir(files)) != NULL) {
        int file = atoi(entry->d_name);
        if (file > 2 && file != dirfd(files)) posix_spawn_file_actions_addclose(actions, file);
    }
    closedir(files);
}

static int spawn(struct process *process, char *python, int input, int output) {
    char log[PATH_ROOM + 16];
    snprintf(log, sizeof log, "%s/log.txt", process->folder);
    char *arguments[] = {python, "-P", "-m", "facegraft.worker", "--folder", process->folder,
                         "--transport", "unix", NULL};
    char **environment = clean_environment();
    if (environment == NULL) return ENOMEM;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&actions, input, 0);
    posix_spawn_file_actions_adddup2(&actions, output, 1);
    posix_spawn_file_actions_addopen(&actions, 2, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    close_others(&actions);
    /* a session of its own: Ctrl-C is the host's to handle; and none of its signal settings */
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK
                                              | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    int problem = posix_spawnp(&process->pid, python, &actions, &attributes, arguments, environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    free(environment);
    return problem;
}

static bool read_ready(struct process *process, const char *line, size_t length, char *error) {
    static const char *const names[] = {"facegraft_worker", "path", "token"};
    struct json_value values[3];
    int64_t protocol = 0;
    bool good = json_members(line, length, names, values, 3)
                && json_to_integers(values[0], &protocol, 1);
    if (good && protocol != FACEGRAFT_PROTOCOL) {
        snprintf(error, ERROR_ROOM, "the engine speaks protocol %lld, this node %d; update the %s",
                 (long long)protocol, FACEGRAFT_PROTOCOL,
                 protocol < FACEGRAFT_PROTOCOL ? "engine" : "node");
        return false;
    }
    good = good && json_to_string(values[1], process->socket, sizeof process->socket)
           && json_to_string(values[2], process->token, sizeof process->token);
    if (!good) snprintf(error, ERROR_ROOM, "the engine's first line cannot be read");
    return good;
}

/* Read the worker's stdout up to its ready line. */
static bool wait_ready(struct process *process, int output, const struct patience *patience,
                       char *error) {
    char line[4096];
    size_t length = 0;
    for (;;) {
        enum waited waited = wait_for(output, patience);
        if (waited == WAIT_STOPPED) return false;
        char byte;
        ssize_t count = waited == WAIT_READY ? read(output, &byte, 1) : 0;
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) {
            snprintf(error, ERROR_ROOM, "the engine process %s",
                     waited == WAIT_TIMEOUT ? "said nothing in time" : "ended while starting");
            return false;
        }
        if (byte != '\n') {
            if (length < sizeof line) line[length++] = byte;
            continue;
        }
        size_t start = strlen(READY_START);
        if (length > start && memcmp(line, READY_START, start) == 0)
            return read_ready(process, line, length, error);
        length = 0;
    }
}

static bool pipes(int input[2], int output[2]) {
    if (pipe2(input, O_CLOEXEC) != 0) return false;
    if (pipe2(output, O_CLOEXEC) == 0) return true;
    close(input[0]);
    close(input[1]);
    return false;
}

bool process_start(struct process *process, const struct patience *patience, char *error) {
    char python[PATH_ROOM], origin[PATH_ROOM];
    int input[2], output[2];
    error[0] = 0;
    if (!find_python(python, origin, error) || !make_folder(process->folder, error)) return false;
    if (!pipes(input, output)) {
        snprintf(error, ERROR_ROOM, "cannot make a pipe: %m");
        remove_folder(process->folder);
        return false;
    }
    int problem = spawn(process, python, input[0], output[1]);
    close(input[0]);
    close(output[1]);
    if (problem != 0) {
        errno = problem;
        snprintf(error, ERROR_ROOM, "cannot run %s: %m; run `python3 install/install.py env`, or set "
                 "FACEGRAFT_PYTHON to the engine's Python", python);
        process->pid = 0;
        close(input[1]);
        close(output[0]);
        remove_folder(process->folder);
        return false;
    }
    process->life = input[1];
    bool good = wait_ready(process, output[0], patience, error);
    close(output[0]);
    if (!good) process_end(process, error);
    if (!good && origin[0] == 0 && error[0] != 0) {
        size_t end = strlen(error);
        snprintf(error + end, ERROR_ROOM - end, "\nno engine was named, so python3 of PATH was "
                 "tried; run `python3 install/install.py env`, or set FACEGRAFT_PYTHON");
    }
    return good;
}

/* --- ending --------------------------------------------------------------------------------- */

static void forget(struct process *process) {
    close(process->life);
    remove_folder(process->folder);
    process->pid = 0;
}

/* Whether it ended; a host that collects all children has taken the status, which is 0 then. */
static bool has_ended(pid_t pid, int *status) {
    int raw = 0;
    pid_t found;
    while ((found = waitpid(pid, &raw, WNOHANG)) < 0 && errno == EINTR) {}
    *status = found <= 0 ? 0 : WIFSIGNALED(raw) ? -WTERMSIG(raw) : WEXITSTATUS(raw);
    return found != 0;
}

bool process_collect(struct process *process, int *status) {
    if (!has_ended(process->pid, status)) return false;
    forget(process);
    return true;
}

static bool ends_within(pid_t pid, int ms, int *status) {
    for (int64_t deadline = now_ms() + ms;;) {
        if (has_ended(pid, status)) return true;
        if (now_ms() >= deadline) return false;
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
}

/* Append the end of the log to a text. */
static void add_log(const char *folder, char *error) {
    char path[PATH_ROOM + 16];
    size_t end = strlen(error);
    snprintf(path, sizeof path, "%s/log.txt", folder);
    FILE *log = fopen(path, "re");
    if (log == NULL) return;
    if (fseek(log, -LOG_TAIL, SEEK_END) != 0) rewind(log);
    char tail[LOG_TAIL + 1];
    tail[fread(tail, 1, LOG_TAIL, log)] = 0;
    fclose(log);
    if (tail[0] != 0) snprintf(error + end, ERROR_ROOM - end, "; its log ends:\n%s", tail);
}

void process_end(struct process *process, char *error) {
    bool tell = error != NULL && error[0] != 0;
    int status = 0;
    /* a dying process needs a moment until it has a status; its log goes with its folder when it
     * ends in order, so that is read before its life line closes */
    bool ended = ends_within(process->pid, tell ? 1000 : 0, &status);
    if (tell && ended) {
        size_t end = strlen(error);
        snprintf(error + end, ERROR_ROOM - end, " (exit status %d)", status);
    }
    if (tell) add_log(process->folder, error);
    close(process->life);
    if (!ended) ended = ends_within(process->pid, LEAVE_MS, &status);
    if (!ended) {
        kill(process->pid, SIGTERM);
        ended = ends_within(process->pid, 500, &status);
    }
    if (!ended) {
        kill(process->pid, SIGKILL);
        ends_within(process->pid, 5000, &status);
    }
    remove_folder(process->folder);
    process->pid = 0;
}

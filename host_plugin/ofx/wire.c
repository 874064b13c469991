#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "rows.h"

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

static bool send_request(const struct request *request) {
    uint32_t length = (uint32_t)request->message->length;
    unsigned char prefix[4] = {length & 255, length >> 8 & 255, length >> 16 & 255, length >> 24};
    return send_all(request->file, prefix, 4)
           && send_all(request->file, request->message->data, length);
}

/* Read one message into memory of its own; `*ended` also where its length is out of step. */
static enum waited receive_answer(int file, const struct patience *patience, char **body,
                                  size_t *length, bool *ended) {
    unsigned char prefix[4];
    enum waited waited = receive_all(file, prefix, 4, patience, ended);
    if (waited != WAIT_READY || *ended) return waited;
    *length = prefix[0] | (size_t)prefix[1] << 8 | (size_t)prefix[2] << 16 | (size_t)prefix[3] << 24;
    *body = *length > FACEGRAFT_MAX_MESSAGE ? NULL : malloc(*length + 1);
    *ended = *body == NULL;
    if (*ended) return WAIT_READY;
    (*body)[*length] = 0;
    struct patience rest = *patience;
    rest.deadline_ms = now_ms() + MESSAGE_MS;
    return receive_all(file, *body, *length, &rest, ended);
}

enum called wire_call(const struct request *request, const struct patience *patience,
                      const char *const *names, struct json_value *values, size_t count,
                      char **body, char *error) {
    static const char *const heads[] = {"type", "id", "text"};
    struct json_value head[3];
    char digits[40], type[32];
    int64_t answered = 0;
    size_t length = 0;
    bool ended;
    *body = NULL;
    snprintf(digits, sizeof digits, ",\"id\":%lld}", (long long)request->id);
    text_add(request->message, digits);
    snprintf(error, ERROR_ROOM, "the node has no memory left for its message");
    if (request->message->failed || request->message->length > FACEGRAFT_MAX_MESSAGE)
        return CALL_REFUSED;
    snprintf(error, ERROR_ROOM, "the engine died while it worked");
    if (!send_request(request)) return CALL_BROKEN;
    enum waited waited = receive_answer(request->file, patience, body, &length, &ended);
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
    if (strcmp(type, request->expected) != 0 || !json_to_integers(head[1], &answered, 1)
        || answered != request->id)
        return CALL_BROKEN;
    return json_members(*body, length, names, values, count) ? CALL_ANSWERED : CALL_BROKEN;
}

enum called wire_call_plain(const struct request *request, const struct patience *patience,
                            char *error) {
    char *body;
    enum called called = wire_call(request, patience, NULL, NULL, 0, &body, error);
    free(body);
    return called;
}

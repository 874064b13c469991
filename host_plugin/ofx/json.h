/* Strict JSON for the worker's messages, whatever the host's locale is. */
#ifndef FACEGRAFT_JSON_H
#define FACEGRAFT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A text that grows. After an allocation failed it is `failed` and stays as it was. */
struct text {
    char *data; /* ends with a zero once something was added */
    size_t length, room;
    bool failed;
};

void text_add(struct text *text, const char *part);
void text_add_bytes(struct text *text, const char *part, size_t length);
void text_free(struct text *text);

/* Values of a message: quoted and escaped UTF-8 (what is not UTF-8 becomes U+FFFD), and the shortest
 * of "%.15g" and "%.17g" that reads back as the same number; a number must be finite. */
void json_add_string(struct text *text, const char *value);
void json_add_number(struct text *text, double value);

/* A part of a message that json_members found; `at` is NULL where the member is missing. */
struct json_value {
    const char *at;
    size_t length;
};

/* Check that the bytes are one JSON object and nothing else, and find the values of `count` of its
 * members by name; of a name that comes twice, the last. False where they are no such object. */
bool json_members(const char *data, size_t length, const char *const *names,
                  struct json_value *values, size_t count);

/* The value as a zero-terminated UTF-8 text, cut at a character where `room` is too small. */
bool json_to_string(struct json_value value, char *to, size_t room);

/* The first text of an array; empty where the array is. */
bool json_first_string(struct json_value value, char *to, size_t room);

/* The value as exactly `count` whole numbers: an array of them, or one number where count is 1. */
bool json_to_integers(struct json_value value, int64_t *to, size_t count);

#endif

#include "json.h"

#include <string.h>

enum { MAX_DEPTH = 64 };

struct reader {
    const char *at, *end;
};

static void skip_space(struct reader *r) {
    while (r->at < r->end && strchr(" \t\r\n", *r->at) != NULL && *r->at != 0) r->at++;
}

static bool take(struct reader *r, char byte) {
    if (r->at == r->end || *r->at != byte) return false;
    r->at++;
    return true;
}

static bool skip_digits(struct reader *r) {
    const char *start = r->at;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9') r->at++;
    return r->at > start;
}

static bool skip_number(struct reader *r) {
    take(r, '-');
    if (!take(r, '0') && !skip_digits(r)) return false;
    if (take(r, '.') && !skip_digits(r)) return false;
    if (take(r, 'e') || take(r, 'E')) {
        if (!take(r, '+')) take(r, '-');
        return skip_digits(r);
    }
    return true;
}

static bool hex4(const char *at, const char *end, uint32_t *code) {
    *code = 0;
    if (end - at < 4) return false;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0) return false;
        *code = *code << 4 | (uint32_t)digit;
    }
    return true;
}

static bool skip_string(struct reader *r) {
    if (!take(r, '"')) return false;
    while (r->at < r->end) {
        unsigned char byte = (unsigned char)*r->at++;
        uint32_t code;
        if (byte == '"') return true;
        if (byte < 0x20) return false;
        if (byte != '\\') continue;
        if (r->at == r->end) return false;
        char kind = *r->at++;
        if (kind == 'u') {
            if (!hex4(r->at, r->end, &code)) return false;
            r->at += 4;
        } else if (kind == 0 || strchr("\"\\/bfnrt", kind) == NULL) {
            return false;
        }
    }
    return false;
}

static bool skip_word(struct reader *r, const char *word) {
    size_t length = strlen(word);
    if ((size_t)(r->end - r->at) < length || memcmp(r->at, word, length) != 0) return false;
    r->at += length;
    return true;
}

static bool skip_value(struct reader *r, int depth);

static bool skip_items(struct reader *r, int depth, char last, bool named) {
    r->at++; /* the bracket */
    skip_space(r);
    if (take(r, last)) return true;
    for (;;) {
        if (named) {
            skip_space(r);
            if (!skip_string(r)) return false;
            skip_space(r);
            if (!take(r, ':')) return false;
        }
        if (!skip_value(r, depth + 1)) return false;
        if (take(r, last)) return true;
        if (!take(r, ',')) return false;
    }
}

static bool skip_value(struct reader *r, int depth) {
    skip_space(r);
    if (r->at == r->end || depth > MAX_DEPTH) return false;
    bool good;
    switch (*r->at) {
    case '{': good = skip_items(r, depth, '}', true); break;
    case '[': good = skip_items(r, depth, ']', false); break;
    case '"': good = skip_string(r); break;
    case 't': good = skip_word(r, "true"); break;
    case 'f': good = skip_word(r, "false"); break;
    case 'n': good = skip_word(r, "null"); break;
    default: good = skip_number(r);
    }
    skip_space(r);
    return good;
}

bool json_members(const char *data, size_t length, const char *const *names,
                  struct json_value *values, size_t count) {
    struct reader check = {data, data + length}, r;
    for (size_t i = 0; i < count; i++) values[i] = (struct json_value){0};
    skip_space(&check);
    r = check;
    if (check.at == check.end || *check.at != '{') return false;
    if (!skip_value(&check, 0) || check.at != check.end) return false;
    r.at++; /* from here on everything is well formed */
    for (skip_space(&r); *r.at != '}'; skip_space(&r)) {
        take(&r, ',');
        skip_space(&r);
        const char *name = r.at + 1;
        skip_string(&r);
        size_t name_length = (size_t)(r.at - 1 - name);
        skip_space(&r);
        take(&r, ':');
        skip_space(&r);
        const char *start = r.at;
        skip_value(&r, 1);
        for (size_t i = 0; i < count; i++)
            if (strlen(names[i]) == name_length && memcmp(names[i], name, name_length) == 0)
                values[i] = (struct json_value){start, (size_t)(r.at - start)};
    }
    return true;
}

static size_t put_utf8(uint32_t code, char *to) {
    if (code < 0x80) {
        to[0] = (char)code;
        return 1;
    }
    size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, code >>= 6) to[i] = (char)(0x80 | (code & 0x3F));
    to[0] = (char)((0xF0u << (4 - length)) | code);
    return length;
}

/* The character that an escape after the backslash means; a lone surrogate is U+FFFD. */
static uint32_t unescape(struct reader *r) {
    static const char from[] = "bfnrt", into[] = "\b\f\n\r\t";
    char kind = *r->at++;
    if (kind != 'u') {
        const char *found = strchr(from, kind);
        return found == NULL ? (unsigned char)kind : (unsigned char)into[found - from];
    }
    uint32_t code, low;
    hex4(r->at, r->end, &code);
    r->at += 4;
    if (code < 0xD800 || code > 0xDFFF) return code == 0 ? 0xFFFD : code;
    bool pair = code < 0xDC00 && r->end - r->at >= 6 && r->at[0] == '\\' && r->at[1] == 'u'
                && hex4(r->at + 2, r->end, &low) && low >= 0xDC00 && low <= 0xDFFF;
    if (!pair) return 0xFFFD;
    r->at += 6;
    return 0x10000 + ((code - 0xD800) << 10 | (low - 0xDC00));
}

bool json_to_string(struct json_value value, char *to, size_t room) {
    struct reader r = {value.at, value.at + value.length};
    if (value.at == NULL || room == 0 || !take(&r, '"')) return false;
    size_t length = 0;
    while (*r.at != '"') {
        char character[4];
        size_t bytes = 1;
        if (*r.at == '\\') {
            r.at++;
            bytes = put_utf8(unescape(&r), character);
        } else {
            /* a character as a whole, so that cutting never halves one */
            character[0] = *r.at++;
            while (bytes < 4 && (*r.at & 0xC0) == 0x80) character[bytes++] = *r.at++;
        }
        if (length + bytes >= room) break;
        memcpy(to + length, character, bytes);
        length += bytes;
    }
    to[length] = 0;
    return true;
}

bool json_first_string(struct json_value value, char *to, size_t room) {
    struct reader r = {value.at, value.at + value.length};
    if (value.at == NULL || room == 0 || !take(&r, '[')) return false;
    skip_space(&r);
    to[0] = 0;
    if (*r.at == ']') return true;
    return json_to_string((struct json_value){r.at, (size_t)(r.end - r.at)}, to, room);
}

static bool to_integer(struct reader *r, int64_t *to) {
    bool negative = take(r, '-');
    const char *start = r->at;
    int64_t number = 0;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9') {
        if (r->at - start == 18) return false;
        number = number * 10 + (*r->at++ - '0');
    }
    *to = negative ? -number : number;
    return r->at > start;
}

bool json_to_integers(struct json_value value, int64_t *to, size_t count) {
    struct reader r = {value.at, value.at + value.length};
    if (value.at == NULL) return false;
    bool array = take(&r, '[');
    if (!array && count != 1) return false;
    for (size_t i = 0; i < count; i++) {
        skip_space(&r);
        if (!to_integer(&r, &to[i])) return false;
        skip_space(&r);
        if (i + 1 < count && !take(&r, ',')) return false;
    }
    if (array && !take(&r, ']')) return false;
    skip_space(&r);
    return r.at == r.end;
}

#define _GNU_SOURCE
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

void text_add_bytes(struct text *text, const char *part, size_t length) {
    if (text->failed) return;
    if (length >= text->room - text->length || text->room == 0) {
        size_t room = (text->length + length + 1) * 2;
        char *data = realloc(text->data, room);
        if (data == NULL) {
            text->failed = true;
            return;
        }
        text->data = data;
        text->room = room;
    }
    memcpy(text->data + text->length, part, length);
    text->length += length;
    text->data[text->length] = 0;
}

void text_add(struct text *text, const char *part) { text_add_bytes(text, part, strlen(part)); }

void text_free(struct text *text) {
    free(text->data);
    *text = (struct text){0};
}

/* Bytes of the UTF-8 character at `at` (which ends with a zero byte), 0 where it is none. */
static size_t utf8_length(const unsigned char *at) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = at[0] < 0x80 ? 1 : at[0] < 0xC0 ? 0 : at[0] < 0xE0 ? 2 : at[0] < 0xF0 ? 3
                    : at[0] < 0xF8 ? 4 : 0;
    if (length < 2) return length;
    uint32_t code = at[0] & (0xFFu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xC0) != 0x80) return 0;
        code = code << 6 | (at[i] & 0x3Fu);
    }
    bool surrogate = code >= 0xD800 && code < 0xE000;
    return code < least[length] || code > 0x10FFFF || surrogate ? 0 : length;
}

void json_add_string(struct text *text, const char *value) {
    text_add(text, "\"");
    const unsigned char *at = (const unsigned char *)value;
    while (*at != 0) {
        size_t length = utf8_length(at);
        char escaped[8];
        if (length == 0) {
            text_add(text, "\xEF\xBF\xBD");
            length = 1;
        } else if (*at < 0x20 || *at == '"' || *at == '\\') {
            snprintf(escaped, sizeof escaped, "\\u%04x", *at);
            text_add(text, escaped);
        } else {
            text_add_bytes(text, (const char *)at, length);
        }
        at += length;
    }
    text_add(text, "\"");
}

void json_add_number(struct text *text, double value) {
    /* a locale of this thread alone: a host may have set one that writes 0,5 */
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (plain == (locale_t)0) {
        text->failed = true;
        return;
    }
    locale_t before = uselocale(plain);
    char digits[40];
    snprintf(digits, sizeof digits, "%.15g", value);
    if (strtod(digits, NULL) != value) snprintf(digits, sizeof digits, "%.17g", value);
    uselocale(before);
    freelocale(plain);
    text_add(text, digits);
}

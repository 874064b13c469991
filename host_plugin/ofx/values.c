#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node.h"

static bool is_text(enum kind kind) {
    return kind == KIND_TEXT || kind == KIND_FILE || kind == KIND_FOLDER;
}

static int count_of(const char *const *choices) {
    int count = 0;
    while (choices[count] != NULL) count++;
    return count;
}

/* A host may hand over any number; what is none is the preset. */
static double within(const struct row *row, double value) {
    if (isnan(value)) return row->preset;
    if (row->kind == KIND_CHOICE)
        return value >= 0 && value < count_of(row->choices) ? value : row->preset;
    if (row->kind == KIND_BOOL) return value != 0;
    if (row->kind == KIND_POINT) return isfinite(value) ? value : 0;
    return value < row->low ? row->low : value > row->high ? row->high : value;
}

static double number_at(const struct row *row, OfxParamHandle param, OfxTime time) {
    double number = row->preset;
    int whole = (int)row->preset;
    if (row->kind == KIND_DOUBLE) {
        if (suites.params->paramGetValueAtTime(param, time, &number) != kOfxStatOK)
            return row->preset;
        return within(row, number);
    }
    if (suites.params->paramGetValueAtTime(param, time, &whole) != kOfxStatOK) return row->preset;
    return within(row, whole);
}

static char *text_at(const struct row *row, OfxParamHandle param, OfxTime time) {
    char *found = NULL;
    bool good = param != NULL
                && suites.params->paramGetValueAtTime(param, time, &found) == kOfxStatOK;
    return strdup(good && found != NULL ? found : row->text);
}

void values_read(struct values *values, const struct instance *instance, OfxTime time) {
    *values = (struct values){.is_whole = true};
    for (int i = 0; i < ROW_COUNT; i++) {
        const struct row *row = &ROWS[i];
        OfxParamHandle param = instance->params[i];
        if (is_text(row->kind)) {
            values->text[i] = text_at(row, param, time);
            if (values->text[i] == NULL) values->is_whole = false;
        } else if (param == NULL) {
            values->number[i] = row->preset;
        } else if (row->kind == KIND_POINT) {
            double x = 0, y = 0;
            if (suites.params->paramGetValueAtTime(param, time, &x, &y) != kOfxStatOK) x = y = 0;
            values->number[i] = within(row, x);
            values->point_y = within(row, y);
        } else {
            values->number[i] = number_at(row, param, time);
        }
    }
}

void values_free(struct values *values) {
    for (int i = 0; i < ROW_COUNT; i++) free(values->text[i]);
}

bool values_are_idle(const struct values *values) {
    const char *model = values->text[ROW_MODEL];
    return values->number[ROW_MIX] <= 0 || model == NULL || model[0] == 0;
}

bool values_are_identity(const struct values *values) {
    return values->number[ROW_OUTPUT] == OUTPUT_RESULT
           && (values_are_idle(values) || values->number[ROW_MODE] == MODE_ORIGINAL);
}

/* --- the worker's message ----------------------------------------------------------------------- */

static void add_text_field(struct text *fields, const char *name, const char *value) {
    text_add(fields, ",\"");
    text_add(fields, name);
    text_add(fields, "\":");
    json_add_string(fields, value);
}

static void add_params(const struct values *values, struct text *fields) {
    const char *separator = ",\"params\":{";
    for (int i = 0; i < ROW_COUNT; i++) {
        const struct row *row = &ROWS[i];
        double number = values->number[i];
        if (!row->is_merge) continue;
        text_add(fields, separator);
        json_add_string(fields, row->id);
        text_add(fields, ":");
        if (row->kind == KIND_CHOICE) json_add_string(fields, row->choices[(int)number]);
        else if (row->kind == KIND_BOOL) text_add(fields, number != 0 ? "true" : "false");
        else json_add_number(fields, number);
        separator = ",";
    }
    text_add(fields, "}");
}

/* The text form of merge/clip/choose.py. */
static void add_choice(const struct values *values, double x, double y, struct text *fields) {
    int kind = (int)values->number[ROW_FACE_CHOICE];
    struct text choice = {0};
    text_add(&choice, ROWS[ROW_FACE_CHOICE].choices[kind]);
    if (kind == FACE_CHOICE_NEAR) {
        text_add(&choice, ":");
        json_add_number(&choice, x);
        text_add(&choice, ",");
        json_add_number(&choice, y);
    } else if (kind == FACE_CHOICE_LIKE) {
        text_add(&choice, ":");
        text_add(&choice, values->text[ROW_FACE_REFERENCE]);
    } else if (kind != FACE_CHOICE_ALL) {
        text_add(&choice, ":");
        json_add_number(&choice, values->number[ROW_FACE_NUMBER]);
    }
    if (choice.failed) fields->failed = true;
    else add_text_field(fields, "choice", choice.data);
    text_free(&choice);
}

/* The frame's name in the faceset: the number where the name has its first run of #. */
static void add_faceset(const struct values *values, long long frame, struct text *fields) {
    const char *name = values->text[ROW_FRAME_NAME], *folder = values->text[ROW_FACESET];
    if (folder[0] == 0) return;
    size_t before = strcspn(name, "#"), digits = strspn(name + before, "#");
    char number[64] = "";
    if (digits > 0)
        snprintf(number, sizeof number, "%0*lld", digits > 30 ? 30 : (int)digits, frame);
    struct text key = {0};
    text_add_bytes(&key, name, before);
    text_add(&key, number);
    text_add(&key, name + before + digits);
    add_text_field(fields, "faceset", folder);
    if (key.failed) fields->failed = true;
    else add_text_field(fields, "frame_key", key.data);
    text_free(&key);
}

void values_add_fields(const struct values *values, OfxTime time, const char *color, double x,
                       double y, struct text *fields) {
    double frame = floor(time + 0.5);
    if (!(frame > -1e9)) frame = -1e9;
    if (frame > 1e9) frame = 1e9;
    add_text_field(fields, "color", color);
    add_text_field(fields, "model", values->text[ROW_MODEL]);
    add_text_field(fields, "segmenter", values->text[ROW_SEGMENTER]);
    add_text_field(fields, "enhancer", values->text[ROW_ENHANCER]);
    add_text_field(fields, "recognition", values->text[ROW_RECOGNITION]);
    add_text_field(fields, "fits", values->text[ROW_FITS]);
    text_add(fields, ",\"likeness\":");
    json_add_number(fields, values->number[ROW_LIKENESS]);
    add_params(values, fields);
    add_choice(values, x, y, fields);
    frame += values->number[ROW_FRAME_OFFSET]; /* of the clip, which may begin elsewhere */
    add_faceset(values, (long long)frame, fields);
    text_add(fields, ",\"frame\":");
    json_add_number(fields, frame < 0 ? 0 : frame);
}

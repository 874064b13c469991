/* One frame: pass the picture through, hand it to the engine, lay the answer over it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"

enum { MAX_SIDE = 16384 }; /* of a frame the engine takes */

static bool is_aborted(void *effect) { return suites.effects->abort(effect) != 0; }

/* --- into the engine ---------------------------------------------------------------------------- */

/* Copy a row where it differs from what lies there; false where it did. */
static bool put_row(float *to, const float *from, size_t values) {
    if (memcmp(to, from, values * sizeof *to) == 0) return true;
    memcpy(to, from, values * sizeof *to);
    return false;
}

/* The source as the engine takes it, top row first; whether the same bytes lay there already.
 * Straight colour goes without its alpha, so that nothing is lost where that is small. */
static bool put_frame(const struct image *source, float *to, float *row) {
    int width = image_width(source), height = image_height(source);
    bool same = true;
    for (int r = 0; r < height; r++, to += (size_t)width * 4) {
        image_read(source, source->bounds.x1, source->bounds.y2 - 1 - r, width, row);
        for (int i = 0; !source->is_premultiplied && i < width; i++) row[i * 4 + 3] = 1;
        same &= put_row(to, row, (size_t)width * 4);
    }
    return same;
}

static bool put_matte(const struct frame *frame, float *to, float *row, float *plane) {
    const OfxRectI *bounds = &frame->source.bounds;
    int width = image_width(&frame->source), height = image_height(&frame->source);
    bool same = true;
    for (int r = 0; r < height; r++, to += width) {
        frame_read_mask(&frame->mask, bounds->x1, bounds->y2 - 1 - r, width, row, plane);
        same &= put_row(to, plane, (size_t)width);
    }
    return same;
}

static double unit(double value) { return value >= 1 ? 1 : value > 0 ? value : 0; }

/* `note`: as color_of. */
static void add_fields(const struct frame *frame, struct text *fields, char *note) {
    const struct image *source = &frame->source;
    double x = frame->values.number[ROW_FACE_POINT] * frame->scale_x / source->pixel_aspect;
    double y = frame->values.point_y * frame->scale_y;
    values_add_fields(&frame->values, frame->time,
                      color_of(&frame->values, frame->instance, source->depth, note),
                      unit((x - source->bounds.x1) / image_width(source)),
                      unit((source->bounds.y2 - y) / image_height(source)), fields);
}

/* --- a frame ------------------------------------------------------------------------------------ */

/* Have the engine swap the frame's faces and write what it answers. The rows are those of
 * frame_compose. */
static enum outcome ask_engine(const struct frame *frame, float *row, float *layer_row,
                               float *plane, char *note, char *error) {
    void *effect = frame->instance->effect;
    bool matte = frame_takes_mask_as_matte(frame), same_matte = false;
    struct connection *connection;
    struct layer layer;
    struct text fields = {0};
    char color_note[NOTE_ROOM];
    enum outcome outcome = engine_take(image_width(&frame->source), image_height(&frame->source),
                                       matte, is_aborted, effect, &connection, error);
    if (outcome != ENGINE_DONE) return outcome;
    bool same = put_frame(&frame->source, engine_frame(connection), row);
    if (matte) same_matte = put_matte(frame, engine_matte(connection), row, plane);
    add_fields(frame, &fields, color_note);
    outcome = engine_merge(connection, &fields, same, same_matte, is_aborted, effect, &layer, note,
                           error);
    if (outcome == ENGINE_DONE) frame_compose(frame, &layer, row, layer_row, plane);
    if (color_note[0] != 0) memcpy(note, color_note, NOTE_ROOM); /* wrong colors weigh more */
    text_free(&fields);
    engine_give(connection);
    return outcome;
}

static enum outcome swap(const struct frame *frame, float *rows, char *note, char *error) {
    int width = image_width(&frame->source), height = image_height(&frame->source);
    float *row = rows, *layer_row = rows + (size_t)width * 4, *plane = rows + (size_t)width * 8;
    if (values_are_idle(&frame->values)) {
        frame_compose(frame, NULL, row, layer_row, plane);
        return ENGINE_DONE;
    }
    if (width > MAX_SIDE || height > MAX_SIDE) {
        snprintf(error, ERROR_ROOM, "the frame has %dx%d pixels; the limit is %d a side", width,
                 height, MAX_SIDE);
        return ENGINE_FAILED;
    }
    enum outcome outcome = ask_engine(frame, row, layer_row, plane, note, error);
    return outcome == ENGINE_LOST ? ask_engine(frame, row, layer_row, plane, note, error) : outcome;
}

/* What a frame that could not be swapped does, its picture being passed through. */
static OfxStatus fail(const struct frame *frame, const char *error) {
    message_show(frame->instance, error);
    int wanted = (int)frame->values.number[ROW_ON_ERROR];
    if (wanted == ON_ERROR_MARK) image_mark(&frame->output, frame->source.bounds, frame->window);
    return wanted == ON_ERROR_FAIL ? kOfxStatFailed : kOfxStatOK;
}

static OfxStatus render_frame(struct frame *frame) {
    char error[ERROR_ROOM] = "", note[NOTE_ROOM] = "";
    image_pass_through(&frame->source, &frame->output, frame->window);
    values_read(&frame->values, frame->instance, frame->time);
    float *rows = NULL;
    enum outcome outcome = ENGINE_DONE;
    if (!frame->values.is_whole || !values_are_identity(&frame->values)) {
        rows = malloc((size_t)image_width(&frame->source) * 9 * sizeof *rows);
        snprintf(error, sizeof error, "the node has no memory left for a row of the picture");
        bool room = frame->values.is_whole && rows != NULL;
        outcome = room ? swap(frame, rows, note, error) : ENGINE_FAILED;
    }
    free(rows);
    OfxStatus status = kOfxStatFailed; /* of a frame that the host wants no longer */
    if (outcome == ENGINE_DONE) {
        message_clear(frame->instance);
        if (note[0] != 0) message_note(frame->instance, note);
        status = kOfxStatOK;
    } else if (outcome != ENGINE_STOPPED) {
        status = fail(frame, error);
    }
    values_free(&frame->values);
    return status;
}

static bool open_clip(OfxImageClipHandle clip, OfxTime time, struct image *image) {
    OfxPropertySetHandle handle = NULL;
    if (clip == NULL) return false;
    if (suites.effects->clipGetImage(clip, time, NULL, &handle) != kOfxStatOK) return false;
    if (handle == NULL) return false; /* some hosts give none while they interrupt a render */
    bool good = image_open(image, handle, suites.props);
    if (!good) suites.effects->clipReleaseImage(handle);
    return good;
}

/* A host may say nothing of an optional clip: then nothing is connected. */
static bool is_connected(OfxImageClipHandle clip) {
    OfxPropertySetHandle set;
    int connected = 0;
    return clip != NULL && suites.effects->clipGetPropertySet(clip, &set) == kOfxStatOK
           && suites.props->propGetInt(set, kOfxImageClipPropConnected, 0, &connected) == kOfxStatOK
           && connected;
}

OfxStatus render(struct instance *instance, OfxPropertySetHandle in) {
    struct frame frame = {.instance = instance, .scale_x = 1, .scale_y = 1};
    double scale[2];
    int window[4];
    if (suites.props->propGetDouble(in, kOfxPropTime, 0, &frame.time) != kOfxStatOK)
        return kOfxStatFailed;
    if (suites.props->propGetDoubleN(in, kOfxImageEffectPropRenderScale, 2, scale) == kOfxStatOK) {
        frame.scale_x = scale[0];
        frame.scale_y = scale[1];
    }
    if (!open_clip(instance->output, frame.time, &frame.output)) return kOfxStatErrImageFormat;
    frame.window = frame.output.bounds;
    if (suites.props->propGetIntN(in, kOfxImageEffectPropRenderWindow, 4, window) == kOfxStatOK)
        frame.window = rect_cut((OfxRectI){window[0], window[1], window[2], window[3]},
                                frame.output.bounds);
    OfxStatus status = kOfxStatFailed;
    if (open_clip(instance->source, frame.time, &frame.source)) {
        frame.has_mask = is_connected(instance->mask)
                         && open_clip(instance->mask, frame.time, &frame.mask);
        status = render_frame(&frame);
        if (frame.has_mask) suites.effects->clipReleaseImage(frame.mask.handle);
        suites.effects->clipReleaseImage(frame.source.handle);
    } else {
        struct image nothing = {.data = NULL}; /* its bounds are empty: everything is 0 */
        image_pass_through(&nothing, &frame.output, frame.window);
    }
    suites.effects->clipReleaseImage(frame.output.handle);
    return status;
}

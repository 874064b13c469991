/* The engine's layer, laid over a frame. */
#include <string.h>

#include "frame.h"

bool frame_takes_mask_as_matte(const struct frame *frame) {
    return frame->has_mask && frame->values.number[ROW_MASK_MODE] == MASK_MODE_HOST;
}

void frame_read_mask(const struct image *mask, int x, int y, int count, float *row, float *to) {
    OfxRectI part = rect_cut((OfxRectI){x, y, x + count, y + 1}, mask->bounds);
    memset(to, 0, (size_t)count * sizeof *to);
    if (rect_is_empty(part)) return;
    image_read(mask, part.x1, y, part.x2 - part.x1, row);
    int channel = mask->components == 3 ? 0 : 3; /* RGB says by its colour what it masks */
    for (int i = 0; i < part.x2 - part.x1; i++) {
        float value = row[i * 4 + channel];
        to[part.x1 - x + i] = value >= 1 ? 1 : value > 0 ? value : 0;
    }
}

/* One pixel of an output other than the result. layer: premultiplied by its alpha, the matte. */
static void show(int output, const float *layer, const float *source, bool source_premultiplied,
                 bool premultiplied, float *to) {
    float matte = layer[3];
    for (int c = 0; c < 3; c++) {
        float straight = source_premultiplied && source[3] > 0 ? source[c] / source[3] : source[c];
        if (output == OUTPUT_MATTE) to[c] = matte;
        else if (output == OUTPUT_SOURCE_WITH_MATTE) to[c] = premultiplied ? straight * matte : straight;
        else to[c] = !premultiplied && matte > 0 ? layer[c] / matte : layer[c];
    }
    to[3] = output == OUTPUT_MATTE ? 1 : matte;
}

/* The layer's row over `count` pixels from column `left` of the source on; 0 outside its part. */
static void read_layer(const struct layer *layer, int left, int row, int count, float *to) {
    memset(to, 0, (size_t)count * 4 * sizeof *to);
    if (layer == NULL || row < layer->y0 || row >= layer->y1) return;
    int first = layer->x0 > left ? layer->x0 : left;
    int last = layer->x1 < left + count ? layer->x1 : left + count;
    if (first >= last) return;
    size_t at = (size_t)(row - layer->y0) * (size_t)(layer->x1 - layer->x0)
                + (size_t)(first - layer->x0);
    memcpy(to + (size_t)(first - left) * 4, layer->pixels + at * 4,
           (size_t)(last - first) * 4 * sizeof *to);
}

static void limit_layer(const struct frame *frame, int y, int x, int count, float *layer,
                        float *row, float *plane) {
    bool keep_out = frame->values.number[ROW_MASK_USE] == MASK_USE_KEEP_OUT;
    frame_read_mask(&frame->mask, x, y, count, row, plane);
    for (int i = 0; i < count * 4; i++)
        layer[i] *= keep_out ? 1 - plane[i / 4] : plane[i / 4];
}

/* Lay the layer over `row` and write the runs of pixels where it is not 0: all others keep the very
 * bits that were passed through. */
static void write_result(const struct frame *frame, int x, int y, int count, const float *layer,
                         float *row) {
    for (int i = 0; i < count;) {
        int start = i;
        for (; i < count && layer[i * 4 + 3] > 0; i++)
            for (int c = 0; c < 3; c++)
                row[i * 4 + c] = layer[i * 4 + c] + row[i * 4 + c] * (1 - layer[i * 4 + 3]);
        if (i > start) image_write(&frame->output, x + start, y, i - start, row + start * 4);
        else i++;
    }
}

static void write_output(const struct frame *frame, int x, int y, int count, const float *layer,
                         float *row) {
    int output = (int)frame->values.number[ROW_OUTPUT];
    bool premultiplied = frame->output.is_premultiplied || frame->output.components == 3;
    for (int i = 0; i < count; i++) {
        float shown[4];
        show(output, layer + i * 4, row + i * 4, frame->source.is_premultiplied, premultiplied,
             shown);
        memcpy(row + i * 4, shown, sizeof shown);
    }
    image_write(&frame->output, x, y, count, row);
}

/* The layer's part of the source, in the host's pixels. */
static OfxRectI covered(const struct layer *layer, const struct image *source) {
    const OfxRectI *bounds = &source->bounds;
    if (layer == NULL) return (OfxRectI){0, 0, 0, 0};
    return (OfxRectI){bounds->x1 + layer->x0, bounds->y2 - layer->y1, bounds->x1 + layer->x1,
                      bounds->y2 - layer->y0};
}

void frame_compose(const struct frame *frame, const struct layer *layer, float *row,
                    float *layer_row, float *plane) {
    const struct image *source = &frame->source;
    bool is_result = frame->values.number[ROW_OUTPUT] == OUTPUT_RESULT;
    OfxRectI part = rect_cut(frame->window, is_result ? covered(layer, source) : source->bounds);
    int count = part.x2 - part.x1;
    bool limits = frame->has_mask && !frame_takes_mask_as_matte(frame)
                  && frame->values.number[ROW_MASK_USE] != MASK_USE_OFF;
    if (rect_is_empty(part)) return;
    for (int y = part.y1; y < part.y2; y++) {
        int left = part.x1 - source->bounds.x1, top = source->bounds.y2 - 1 - y;
        read_layer(layer, left, top, count, layer_row);
        if (limits) limit_layer(frame, y, part.x1, count, layer_row, row, plane);
        image_read(source, part.x1, y, count, row);
        if (is_result)
            write_result(frame, part.x1, y, count, layer_row, row);
        else write_output(frame, part.x1, y, count, layer_row, row);
    }
}

/* A frame that is rendered: its pictures and values, between host and engine. */
#ifndef FACEGRAFT_FRAME_H
#define FACEGRAFT_FRAME_H

#include "node.h"

struct frame {
    struct instance *instance;
    OfxTime time;
    double scale_x, scale_y;
    OfxRectI window; /* to be written, within the output */
    struct image source, output, mask;
    bool has_mask;
    struct values values;
};

/* Whether the engine takes the Mask as the face's own, so that nothing is limited by it again. */
bool frame_takes_mask_as_matte(const struct frame *frame);

/* `count` values 0 to 1 of the mask from (x, y) on; 0 beyond its bounds. `row` has room for RGBA. */
void frame_read_mask(const struct image *mask, int x, int y, int count, float *row, float *to);

/* Write the window's part that the source covers, of the result only where the layer lies, since the
 * rest was passed through. layer: NULL where there is nothing to lay.
 * row, layer_row: room for a row of the source in RGBA; plane: for one value a pixel. */
void frame_compose(const struct frame *frame, const struct layer *layer, float *row,
                   float *layer_row, float *plane);

#endif

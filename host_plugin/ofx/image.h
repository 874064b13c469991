/* A host's image as rows of floats: any depth, components, bounds and order of rows. */
#ifndef FACEGRAFT_IMAGE_H
#define FACEGRAFT_IMAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "ofx_abi.h"

enum depth { DEPTH_BYTE, DEPTH_SHORT, DEPTH_HALF, DEPTH_FLOAT };

struct image {
    OfxPropertySetHandle handle;
    char *data;     /* of the row y1 */
    OfxRectI bounds; /* pixels; x2 and y2 lie outside */
    int row_bytes;  /* negative where the top row comes first in memory */
    enum depth depth;
    int components; /* 1 alpha, 3 RGB, 4 RGBA */
    bool is_premultiplied;
    double pixel_aspect;
};

/* Read an image's properties; false where the node cannot take it. */
bool image_open(struct image *image, OfxPropertySetHandle handle, const OfxPropertySuiteV1 *props);

int image_width(const struct image *image);
int image_height(const struct image *image);
size_t image_pixel_bytes(const struct image *image);

/* Where the pixel lies; x and y within the bounds. */
void *image_at(const struct image *image, int x, int y);

/* `count` pixels from (x, y) on as RGBA floats, whole numbers divided by the depth's largest: alpha of
 * RGB is 1, colour of alpha images is 0. */
void image_read(const struct image *image, int x, int y, int count, float *rgba);

/* The same way back: integers are clipped and rounded to nearest, NaN is 0 in them; halves are the
 * nearest, of two the even one. An image of alpha gets the alpha alone. */
void image_write(const struct image *image, int x, int y, int count, const float *rgba);

/* Set the pixels of `window` to those of the source, and to 0 where it has none. */
void image_pass_through(const struct image *source, const struct image *to, OfxRectI window);

/* A red border, 2 % of the shorter side, inside `frame`, as far as `window` shows it. */
void image_mark(const struct image *image, OfxRectI frame, OfxRectI window);

OfxRectI rect_cut(OfxRectI a, OfxRectI b);
bool rect_is_empty(OfxRectI rect);

#endif

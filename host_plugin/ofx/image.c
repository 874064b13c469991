#include "image.h"

#include <stdint.h>
#include <string.h>

#include "half.h"

enum { CHUNK = 256 }; /* pixels converted at a time, on the stack */

static bool has_text(const OfxPropertySuiteV1 *props, OfxPropertySetHandle handle, const char *name,
                     const char *wanted) {
    char *text = NULL;
    return props->propGetString(handle, name, 0, &text) == kOfxStatOK && text != NULL
           && strcmp(text, wanted) == 0;
}

bool image_open(struct image *image, OfxPropertySetHandle handle, const OfxPropertySuiteV1 *props) {
    static const char *const depths[] = {kOfxBitDepthByte, kOfxBitDepthShort, kOfxBitDepthHalf,
                                         kOfxBitDepthFloat};
    static const char *const kinds[] = {kOfxImageComponentAlpha, NULL, kOfxImageComponentRGB,
                                        kOfxImageComponentRGBA};
    void *data = NULL;
    int bounds[4] = {0};
    *image = (struct image){.handle = handle, .pixel_aspect = 1};
    bool good = props->propGetPointer(handle, kOfxImagePropData, 0, &data) == kOfxStatOK
                && data != NULL
                && props->propGetIntN(handle, kOfxImagePropBounds, 4, bounds) == kOfxStatOK
                && props->propGetInt(handle, kOfxImagePropRowBytes, 0, &image->row_bytes)
                       == kOfxStatOK;
    image->data = data;
    image->bounds = (OfxRectI){bounds[0], bounds[1], bounds[2], bounds[3]};
    bool known = false;
    for (int i = 0; i < 4; i++)
        if (has_text(props, handle, kOfxImageEffectPropPixelDepth, depths[i])) {
            image->depth = (enum depth)i;
            known = true;
        }
    for (int i = 0; i < 4; i++)
        if (kinds[i] != NULL && has_text(props, handle, kOfxImageEffectPropComponents, kinds[i]))
            image->components = i + 1;
    image->is_premultiplied = has_text(props, handle, kOfxImageEffectPropPreMultiplication,
                                       kOfxImagePreMultiplied);
    double aspect = 0;
    if (props->propGetDouble(handle, kOfxImagePropPixelAspectRatio, 0, &aspect) == kOfxStatOK
        && aspect > 0)
        image->pixel_aspect = aspect;
    return good && known && image->components > 0 && !rect_is_empty(image->bounds);
}

int image_width(const struct image *image) { return image->bounds.x2 - image->bounds.x1; }

int image_height(const struct image *image) { return image->bounds.y2 - image->bounds.y1; }

static size_t value_bytes(const struct image *image) {
    static const size_t bytes[] = {1, 2, 2, 4};
    return bytes[image->depth];
}

size_t image_pixel_bytes(const struct image *image) {
    return value_bytes(image) * (size_t)image->components;
}

void *image_at(const struct image *image, int x, int y) {
    return image->data + (ptrdiff_t)(y - image->bounds.y1) * image->row_bytes
           + (ptrdiff_t)(x - image->bounds.x1) * (ptrdiff_t)image_pixel_bytes(image);
}

static float value_at(const struct image *image, const char *at) {
    uint16_t code;
    float value;
    switch (image->depth) {
    case DEPTH_BYTE: return *(const unsigned char *)at / 255.0f;
    case DEPTH_SHORT: memcpy(&code, at, sizeof code); return code / 65535.0f;
    case DEPTH_HALF: memcpy(&code, at, sizeof code); return half_to_float(code);
    default: memcpy(&value, at, sizeof value); return value;
    }
}

static void put_value(const struct image *image, char *at, float value) {
    float most = image->depth == DEPTH_BYTE ? 255.0f : 65535.0f;
    if (image->depth == DEPTH_FLOAT) {
        memcpy(at, &value, sizeof value);
        return;
    }
    uint16_t code = 0; /* also of NaN, which compares false */
    if (image->depth == DEPTH_HALF) code = half_of_float(value);
    else if (value >= 1) code = (uint16_t)most;
    else if (value > 0) code = (uint16_t)(value * most + 0.5f);
    if (image->depth == DEPTH_BYTE) *(unsigned char *)at = (unsigned char)code;
    else memcpy(at, &code, sizeof code);
}

void image_read(const struct image *image, int x, int y, int count, float *rgba) {
    const char *at = image_at(image, x, y);
    size_t step = value_bytes(image);
    int components = image->components;
    if (components == 4 && image->depth == DEPTH_FLOAT) {
        memcpy(rgba, at, (size_t)count * 16);
        return;
    }
    if (components == 4) { /* the common case, in loops that a compiler makes fast */
        uint16_t code;
        for (int i = 0; image->depth == DEPTH_BYTE && i < count * 4; i++)
            rgba[i] = (unsigned char)at[i] / 255.0f;
        for (int i = 0; image->depth == DEPTH_SHORT && i < count * 4; i++) {
            memcpy(&code, at + (size_t)i * sizeof code, sizeof code);
            rgba[i] = code / 65535.0f;
        }
        for (int i = 0; image->depth == DEPTH_HALF && i < count * 4; i++) {
            memcpy(&code, at + (size_t)i * sizeof code, sizeof code);
            rgba[i] = half_to_float(code);
        }
        return;
    }
    for (int i = 0; i < count; i++, rgba += 4) {
        rgba[0] = rgba[1] = rgba[2] = 0;
        rgba[3] = 1;
        for (int c = components == 1 ? 3 : 0; c < (components == 3 ? 3 : 4); c++, at += step)
            rgba[c] = value_at(image, at);
    }
}

void image_write(const struct image *image, int x, int y, int count, const float *rgba) {
    char *at = image_at(image, x, y);
    size_t step = value_bytes(image);
    int components = image->components;
    if (components == 4 && image->depth == DEPTH_FLOAT) {
        memcpy(at, rgba, (size_t)count * 16);
        return;
    }
    for (int i = 0; i < count; i++, rgba += 4)
        for (int c = components == 1 ? 3 : 0; c < (components == 3 ? 3 : 4); c++, at += step)
            put_value(image, at, rgba[c]);
}

static void copy_row(const struct image *source, const struct image *to, int x1, int x2, int y) {
    float pixels[CHUNK * 4];
    if (source->depth == to->depth && source->components == to->components) {
        memmove(image_at(to, x1, y), image_at(source, x1, y),
                (size_t)(x2 - x1) * image_pixel_bytes(to));
        return;
    }
    for (int x = x1; x < x2; x += CHUNK) {
        int count = x2 - x < CHUNK ? x2 - x : CHUNK;
        image_read(source, x, y, count, pixels);
        image_write(to, x, y, count, pixels);
    }
}

void image_pass_through(const struct image *source, const struct image *to, OfxRectI window) {
    window = rect_cut(window, to->bounds);
    if (rect_is_empty(window)) return;
    OfxRectI shared = rect_cut(window, source->bounds);
    for (int y = window.y1; y < window.y2; y++) {
        bool has_source = !rect_is_empty(shared) && y >= shared.y1 && y < shared.y2;
        bool whole = has_source && shared.x1 == window.x1 && shared.x2 == window.x2;
        if (!whole)
            memset(image_at(to, window.x1, y), 0,
                   (size_t)(window.x2 - window.x1) * image_pixel_bytes(to));
        if (has_source) copy_row(source, to, shared.x1, shared.x2, y);
    }
}

static void fill(const struct image *image, OfxRectI rect) {
    static const float red[4] = {1, 0, 0, 1};
    rect = rect_cut(rect, image->bounds);
    for (int y = rect.y1; y < rect.y2; y++)
        for (int x = rect.x1; x < rect.x2; x++) image_write(image, x, y, 1, red);
}

void image_mark(const struct image *image, OfxRectI frame, OfxRectI window) {
    int width = frame.x2 - frame.x1, height = frame.y2 - frame.y1;
    int side = (width < height ? width : height) / 50;
    if (side < 1) side = 1;
    OfxRectI sides[4] = {frame, frame, frame, frame};
    sides[0].x2 = frame.x1 + side;
    sides[1].x1 = frame.x2 - side;
    sides[2].y2 = frame.y1 + side;
    sides[3].y1 = frame.y2 - side;
    for (int i = 0; i < 4; i++) fill(image, rect_cut(sides[i], window));
}

OfxRectI rect_cut(OfxRectI a, OfxRectI b) {
    return (OfxRectI){a.x1 > b.x1 ? a.x1 : b.x1, a.y1 > b.y1 ? a.y1 : b.y1,
                      a.x2 < b.x2 ? a.x2 : b.x2, a.y2 < b.y2 ? a.y2 : b.y2};
}

bool rect_is_empty(OfxRectI rect) { return rect.x1 >= rect.x2 || rect.y1 >= rect.y2; }

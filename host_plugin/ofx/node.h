/* What the node's parts share: the host's suites, an instance, and a frame's values. */
#ifndef FACEGRAFT_NODE_H
#define FACEGRAFT_NODE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "engine.h"
#include "image.h"
#include "json.h"
#include "ofx_abi.h"
#include "rows.h"

#define MASK_CLIP "Mask"

/* What the host offers; written when it loads the node, only read after. */
struct suites {
    const OfxPropertySuiteV1 *props;
    const OfxImageEffectSuiteV1 *effects;
    const OfxParameterSuiteV1 *params;
    const OfxMessageSuiteV1 *message;  /* of one of the two, or of none */
    const OfxMessageSuiteV2 *message2;
    bool manages_color;     /* this host says what its pixels are, as OpenFX 1.5 lets it */
    bool floats_are_linear; /* this host works scene-linear wherever it works in float */
};
extern struct suites suites;

struct instance {
    OfxImageEffectHandle effect;
    OfxParamHandle params[ROW_COUNT]; /* NULL where the host has lost one: its preset counts */
    OfxImageClipHandle source, output, mask; /* mask NULL where the context has none */
    atomic_bool has_message;
};

/* A frame's values, inside their limits. */
struct values {
    double number[ROW_COUNT]; /* of a choice, its index; of a point, x */
    double point_y;           /* canonical, like x */
    char *text[ROW_COUNT];    /* of texts, files and folders; never NULL there */
    bool is_whole;            /* false where memory ran out */
};

void values_read(struct values *values, const struct instance *instance, OfxTime time);
void values_free(struct values *values);

/* Whether the picture stays as it is; `values` of the frame. */
bool values_are_identity(const struct values *values);

/* Whether there is nothing to swap with: the matte is 0 everywhere. */
bool values_are_idle(const struct values *values);

/* The frame's members of the worker's merge message. color: as color_of gives it. x, y: the face
 * point, 0 to 1 of the frame from its top left. */
void values_add_fields(const struct values *values, OfxTime time, const char *color, double x,
                       double y, struct text *fields);

/* Whether a host of these properties tells the colors of its clips. */
bool color_is_managed_by(OfxPropertySetHandle host);

/* Say in the descriptor that the node listens to that. */
void color_describe(OfxPropertySetHandle set);

/* The worker's word for what the source's numbers are. `note` has NOTE_ROOM bytes and gets what the
 * user should know: that the host names a space which the engine does not have. */
const char *color_of(const struct values *values, const struct instance *instance, enum depth depth,
                     char *note);

/* Ask for a source in a space that the engine has; false where there is nothing to ask for. */
bool color_prefer(const struct values *values, const struct instance *instance,
                  OfxPropertySetHandle out);

/* Answer what the output's color is. */
OfxStatus color_of_output(const struct instance *instance, OfxPropertySetHandle out);

/* Describe the node, and its clips and parameters in one context. */
OfxStatus describe(OfxImageEffectHandle effect);
OfxStatus describe_in_context(OfxImageEffectHandle effect, const char *context);

OfxStatus render(struct instance *instance, OfxPropertySetHandle in);

/* Show the user an error until it is cleared. */
void message_show(struct instance *instance, const char *text);

/* Show what a frame that went well could not follow, where the host can without stopping for it. */
void message_note(struct instance *instance, const char *text);

void message_clear(struct instance *instance);

#endif

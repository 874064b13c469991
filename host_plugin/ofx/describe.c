#include <stdio.h>
#include <string.h>

#include "node.h"

static const char *const DEPTHS[] = {kOfxBitDepthByte, kOfxBitDepthShort, kOfxBitDepthHalf,
                                     kOfxBitDepthFloat};

/* A host may lack a property that only later versions know; the node works without. */
static void set_text(OfxPropertySetHandle set, const char *name, int at, const char *value) {
    suites.props->propSetString(set, name, at, value);
}

static void set_whole(OfxPropertySetHandle set, const char *name, int value) {
    suites.props->propSetInt(set, name, 0, value);
}

OfxStatus describe(OfxImageEffectHandle effect) {
    OfxPropertySetHandle set;
    if (suites.effects->getPropertySet(effect, &set) != kOfxStatOK) return kOfxStatErrBadHandle;
    set_text(set, kOfxPropLabel, 0, "FaceGraft");
    set_text(set, kOfxImageEffectPluginPropGrouping, 0, "FaceGraft");
    set_text(set, kOfxPropPluginDescription, 0,
             "Swaps the faces of the picture with a model trained by FaceGraft or DeepFaceLab. The "
             "FaceGraft engine must be installed; it runs in a process of its own.");
    set_text(set, kOfxImageEffectPropSupportedContexts, 0, kOfxImageEffectContextFilter);
    set_text(set, kOfxImageEffectPropSupportedContexts, 1, kOfxImageEffectContextGeneral);
    for (int i = 0; i < 4; i++)
        set_text(set, kOfxImageEffectPropSupportedPixelDepths, i, DEPTHS[i]);
    set_text(set, kOfxImageEffectPluginRenderThreadSafety, 0, kOfxImageEffectRenderFullySafe);
    set_whole(set, kOfxImageEffectPluginPropHostFrameThreading, 0);
    set_whole(set, kOfxImageEffectPluginPropSingleInstance, 0);
    set_whole(set, kOfxImageEffectPropSupportsTiles, 0); /* a face may lie across any tiles */
    set_whole(set, kOfxImageEffectPropSupportsMultiResolution, 1);
    set_whole(set, kOfxImageEffectPropTemporalClipAccess, 0);
    set_whole(set, kOfxImageEffectPropSupportsMultipleClipDepths, 0);
    set_whole(set, kOfxImageEffectPropSupportsMultipleClipPARs, 0);
    /* what these two say of the clips changes with them */
    set_text(set, kOfxImageEffectPropClipPreferencesSlaveParam, 0, ROWS[ROW_OUTPUT].id);
    set_text(set, kOfxImageEffectPropClipPreferencesSlaveParam, 1, ROWS[ROW_INPUT_COLOR].id);
    color_describe(set);
    return kOfxStatOK;
}

/* --- clips -------------------------------------------------------------------------------------- */

static bool define_clip(OfxImageEffectHandle effect, const char *name,
                        OfxPropertySetHandle *set) {
    if (suites.effects->clipDefine(effect, name, set) != kOfxStatOK) return false;
    set_whole(*set, kOfxImageEffectPropSupportsTiles, 0);
    set_whole(*set, kOfxImageEffectPropTemporalClipAccess, 0);
    return true;
}

static bool define_clips(OfxImageEffectHandle effect, bool with_mask) {
    static const char *const names[] = {kOfxImageEffectSimpleSourceClipName,
                                        kOfxImageEffectOutputClipName};
    OfxPropertySetHandle set;
    for (int i = 0; i < 2; i++) {
        if (!define_clip(effect, names[i], &set)) return false;
        set_text(set, kOfxImageEffectPropSupportedComponents, 0, kOfxImageComponentRGBA);
        set_text(set, kOfxImageEffectPropSupportedComponents, 1, kOfxImageComponentRGB);
    }
    if (!with_mask) return true;
    if (!define_clip(effect, MASK_CLIP, &set)) return false;
    set_text(set, kOfxImageEffectPropSupportedComponents, 0, kOfxImageComponentAlpha);
    set_whole(set, kOfxImageClipPropOptional, 1);
    set_whole(set, kOfxImageClipPropIsMask, 1);
    return true;
}

/* --- parameters --------------------------------------------------------------------------------- */

static const char *type_of(enum kind kind) {
    switch (kind) {
    case KIND_BOOL: return kOfxParamTypeBoolean;
    case KIND_INT: return kOfxParamTypeInteger;
    case KIND_DOUBLE: return kOfxParamTypeDouble;
    case KIND_CHOICE: return kOfxParamTypeChoice;
    case KIND_POINT: return kOfxParamTypeDouble2D;
    default: return kOfxParamTypeString;
    }
}

static void describe_number(OfxPropertySetHandle set, const struct row *row) {
    static const char *const names[] = {kOfxParamPropMin, kOfxParamPropMax,
                                        kOfxParamPropDisplayMin, kOfxParamPropDisplayMax};
    const double limits[] = {row->low, row->high, row->soft_low, row->soft_high};
    for (int i = 0; i < 4; i++) {
        if (row->kind == KIND_INT) set_whole(set, names[i], (int)limits[i]);
        else suites.props->propSetDouble(set, names[i], 0, limits[i]);
    }
    if (row->kind == KIND_INT) return;
    suites.props->propSetDouble(set, kOfxParamPropDefault, 0, row->preset);
    suites.props->propSetDouble(set, kOfxParamPropIncrement, 0,
                                (row->soft_high - row->soft_low) / 100);
    set_whole(set, kOfxParamPropDigits, 3);
}

static void describe_text(OfxPropertySetHandle set, const struct row *row) {
    const char *mode = row->kind == KIND_FILE     ? kOfxParamStringIsFilePath
                       : row->kind == KIND_FOLDER ? kOfxParamStringIsDirectoryPath
                                                  : kOfxParamStringIsSingleLine;
    set_text(set, kOfxParamPropDefault, 0, row->text);
    set_text(set, kOfxParamPropStringMode, 0, mode);
    /* else Natron takes it for a file to be written */
    if (row->kind != KIND_TEXT) set_whole(set, kOfxParamPropStringFilePathExists, 1);
}

static void describe_kind(OfxPropertySetHandle set, const struct row *row) {
    switch (row->kind) {
    case KIND_INT:
    case KIND_DOUBLE: describe_number(set, row); break;
    case KIND_CHOICE:
        for (int i = 0; row->choices[i] != NULL; i++) {
            set_text(set, kOfxParamPropChoiceOption, i, row->choices[i]);
            set_text(set, kOfxParamPropChoiceEnum, i, row->choices[i]);
        }
        break;
    case KIND_POINT:
        set_text(set, kOfxParamPropDoubleType, 0, kOfxParamDoubleTypeXYAbsolute);
        set_text(set, kOfxParamPropDefaultCoordinateSystem, 0, kOfxParamCoordinatesCanonical);
        for (int i = 0; i < 2; i++)
            suites.props->propSetDouble(set, kOfxParamPropDefault, i, 0);
        break;
    case KIND_TEXT:
    case KIND_FILE:
    case KIND_FOLDER: describe_text(set, row); break;
    case KIND_BOOL: break;
    }
    if (row->kind == KIND_BOOL || row->kind == KIND_INT || row->kind == KIND_CHOICE)
        set_whole(set, kOfxParamPropDefault, (int)row->preset);
}

static bool define_row(OfxParamSetHandle params, const struct row *row) {
    OfxPropertySetHandle set;
    char group[64];
    if (suites.params->paramDefine(params, type_of(row->kind), row->id, &set) != kOfxStatOK)
        return false;
    snprintf(group, sizeof group, "group_%s", row->group);
    set_text(set, kOfxPropLabel, 0, row->label);
    set_text(set, kOfxParamPropHint, 0, row->hint);
    set_text(set, kOfxParamPropParent, 0, group);
    set_whole(set, kOfxParamPropAnimates, row->animates);
    describe_kind(set, row);
    return true;
}

static void define_groups(OfxParamSetHandle params) {
    for (int i = 0; GROUPS[i] != NULL; i++) {
        OfxPropertySetHandle set;
        char name[64];
        snprintf(name, sizeof name, "group_%s", GROUPS[i]);
        if (suites.params->paramDefine(params, kOfxParamTypeGroup, name, &set) == kOfxStatOK)
            set_text(set, kOfxPropLabel, 0, GROUPS[i]);
    }
}

static void define_page(OfxParamSetHandle params) {
    OfxPropertySetHandle set;
    if (suites.params->paramDefine(params, kOfxParamTypePage, "page_main", &set) != kOfxStatOK)
        return; /* some hosts have no pages */
    set_text(set, kOfxPropLabel, 0, "FaceGraft");
    for (int i = 0; i < ROW_COUNT; i++) set_text(set, kOfxParamPropPageChild, i, ROWS[i].id);
}

OfxStatus describe_in_context(OfxImageEffectHandle effect, const char *context) {
    OfxParamSetHandle params;
    bool general = context != NULL && strcmp(context, kOfxImageEffectContextGeneral) == 0;
    /* the standard wants a single input in a filter */
    if (!define_clips(effect, general)) return kOfxStatFailed;
    if (suites.effects->getParamSet(effect, &params) != kOfxStatOK) return kOfxStatErrBadHandle;
    define_groups(params);
    for (int i = 0; i < ROW_COUNT; i++)
        if (!define_row(params, &ROWS[i])) return kOfxStatFailed;
    define_page(params);
    return kOfxStatOK;
}

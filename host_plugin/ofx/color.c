/* What the numbers of a frame are: as the user says, as a host of OpenFX 1.5 says, or as hosts are
 * known to work. */
#include <stdio.h>
#include <string.h>

#include "node.h"

/* The only set of names that OpenFX 1.5 has. */
#define CONFIG "ofx-native-v1.5_aces-v1.3_ocio-v2.3"

/* Its names for what the engine takes, in the order of preference: scene-linear first, since a
 * display's tone curve loses highlights on the way there and back. The generic names, of the style
 * Basic, begin with ofx_. */
static const struct {
    const char *name;
    int color;
} KNOWN[] = {
    {"lin_rec709_srgb", INPUT_COLOR_SCENE_LINEAR},
    {"ACEScg", INPUT_COLOR_ACESCG},
    {"lin_rec2020", INPUT_COLOR_LINEAR_REC2020},
    {"ACES2065-1", INPUT_COLOR_ACES2065_1},
    {"srgb_tx", INPUT_COLOR_DISPLAY},
    {"srgb_display", INPUT_COLOR_DISPLAY},
    {"rec1886_rec709_display", INPUT_COLOR_DISPLAY},
    {"g24_rec709_tx", INPUT_COLOR_DISPLAY},
    {"g22_rec709_tx", INPUT_COLOR_DISPLAY},
    {"rec2100_pq_display", INPUT_COLOR_REC2100_PQ},
    {"rec2100_hlg_display", INPUT_COLOR_REC2100_HLG},
    {"ofx_scene_linear", INPUT_COLOR_SCENE_LINEAR},
    {"ofx_display_sdr", INPUT_COLOR_DISPLAY},
};
enum { KNOWN_COUNT = sizeof KNOWN / sizeof *KNOWN };

static bool text_of(OfxPropertySetHandle set, const char *name, const char **text) {
    char *found = NULL;
    bool good = suites.props->propGetString(set, name, 0, &found) == kOfxStatOK && found != NULL;
    *text = good ? found : "";
    return good && found[0] != 0;
}

bool color_is_managed_by(OfxPropertySetHandle host) {
    const char *style;
    return text_of(host, kOfxImageEffectPropColourManagementStyle, &style)
           && strcmp(style, kOfxImageEffectColourManagementNone) != 0;
}

/* Only to hosts that know these properties: others warn of every one that they do not know. */
void color_describe(OfxPropertySetHandle set) {
    if (!suites.manages_color) return;
    suites.props->propSetString(set, kOfxImageEffectPropColourManagementStyle, 0,
                                kOfxImageEffectColourManagementCore);
    suites.props->propSetString(set, kOfxImageEffectPropColourManagementAvailableConfigs, 0, CONFIG);
}

/* The host's word for the source's color; "" where it says nothing. */
static const char *word_for_source(const struct instance *instance) {
    OfxPropertySetHandle set;
    const char *word = "";
    if (instance->source != NULL
        && suites.effects->clipGetPropertySet(instance->source, &set) == kOfxStatOK)
        text_of(set, kOfxImageClipPropColourspace, &word);
    return word;
}

/* Its place among the known ones; -1 where it is none of them. */
static int find(const char *word) {
    for (int i = 0; i < KNOWN_COUNT; i++)
        if (strcmp(word, KNOWN[i].name) == 0) return i;
    return -1;
}

const char *color_of(const struct values *values, const struct instance *instance, enum depth depth,
                     char *note) {
    int color = (int)values->number[ROW_INPUT_COLOR];
    note[0] = 0;
    if (color == INPUT_COLOR_AUTO) {
        const char *word = word_for_source(instance);
        int found = find(word);
        bool linear = depth >= DEPTH_HALF && suites.floats_are_linear;
        color = found >= 0 ? KNOWN[found].color
                : linear   ? INPUT_COLOR_SCENE_LINEAR
                           : INPUT_COLOR_DISPLAY;
        if (found < 0 && word[0] != 0)
            snprintf(note, NOTE_ROOM, "the host says that the picture is %.100s, which the engine "
                     "does not know: it is taken for %s. Convert it before the node, or set Input "
                     "color", word, ROWS[ROW_INPUT_COLOR].choices[color]);
    }
    return ROWS[ROW_INPUT_COLOR].choices[color];
}

static bool is_basic(const struct instance *instance) {
    OfxPropertySetHandle set;
    const char *style;
    return suites.effects->getPropertySet(instance->effect, &set) == kOfxStatOK
           && text_of(set, kOfxImageEffectPropColourManagementStyle, &style)
           && strcmp(style, kOfxImageEffectColourManagementBasic) == 0;
}

bool color_prefer(const struct values *values, const struct instance *instance,
                  OfxPropertySetHandle out) {
    static const char name[] = kOfxImageClipPropPreferredColourspaces "_Source";
    int count = 0, now = find(word_for_source(instance));
    bool basic = is_basic(instance);
    /* who says what the pixels are wants them as they are */
    if (!suites.manages_color || values->number[ROW_INPUT_COLOR] != INPUT_COLOR_AUTO) return false;
    /* what the source is in now comes first: it needs no conversion */
    if (now >= 0) suites.props->propSetString(out, name, count++, KNOWN[now].name);
    for (int i = 0; i < KNOWN_COUNT; i++)
        if (i != now && (!basic || strncmp(KNOWN[i].name, "ofx_", 4) == 0))
            suites.props->propSetString(out, name, count++, KNOWN[i].name);
    return true;
}

OfxStatus color_of_output(const struct instance *instance, OfxPropertySetHandle out) {
    struct values values;
    values_read(&values, instance, 0); /* the output does not animate */
    bool is_matte = values.number[ROW_OUTPUT] == OUTPUT_MATTE;
    values_free(&values);
    return suites.props->propSetString(out, kOfxImageClipPropColourspace, 0,
                                       is_matte ? "ofx_raw" : "OfxColourspace_Source");
}

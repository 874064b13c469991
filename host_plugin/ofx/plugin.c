/* The FaceGraft node for OpenFX hosts: entry points and actions. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node.h"

#define EXPORT __attribute__((visibility("default")))

struct suites suites;
static OfxHost *host;

/* --- the host ----------------------------------------------------------------------------------- */

static bool works_in_linear(void) {
    char *name = NULL;
    if (suites.props->propGetString(host->host, kOfxPropName, 0, &name) != kOfxStatOK) return false;
    return name != NULL && (strcmp(name, "fr.inria.Natron") == 0
                            || strncmp(name, "uk.co.thefoundry.nuke", 21) == 0);
}

/* Hosts load the node more than once, from several threads, and unload it before they use it. */
static OfxStatus load(void) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static OfxHost *loaded;
    if (host == NULL || host->fetchSuite == NULL) return kOfxStatErrMissingHostFeature;
    struct suites found = {
        .props = host->fetchSuite(host->host, kOfxPropertySuite, 1),
        .effects = host->fetchSuite(host->host, kOfxImageEffectSuite, 1),
        .params = host->fetchSuite(host->host, kOfxParameterSuite, 1),
        .message = host->fetchSuite(host->host, kOfxMessageSuite, 1),
        .message2 = host->fetchSuite(host->host, kOfxMessageSuite, 2),
    };
    if (found.props == NULL || found.effects == NULL || found.params == NULL)
        return kOfxStatErrMissingHostFeature;
    pthread_mutex_lock(&lock);
    if (loaded != host) { /* else others may read them just now */
        suites = found;
        suites.manages_color = color_is_managed_by(host->host);
        suites.floats_are_linear = works_in_linear();
        loaded = host;
    }
    pthread_mutex_unlock(&lock);
    return kOfxStatOK;
}

/* --- instances ---------------------------------------------------------------------------------- */

static struct instance *instance_of(OfxImageEffectHandle effect) {
    OfxPropertySetHandle set;
    void *instance = NULL;
    if (suites.effects->getPropertySet(effect, &set) != kOfxStatOK) return NULL;
    suites.props->propGetPointer(set, kOfxPropInstanceData, 0, &instance);
    return instance;
}

static OfxImageClipHandle clip_of(OfxImageEffectHandle effect, const char *name) {
    OfxImageClipHandle clip = NULL;
    return suites.effects->clipGetHandle(effect, name, &clip, NULL) == kOfxStatOK ? clip : NULL;
}

/* Never fails for what a project may lack, such as the model: it must open. */
static OfxStatus create(OfxImageEffectHandle effect) {
    OfxPropertySetHandle set;
    OfxParamSetHandle params;
    char *context = NULL;
    if (suites.effects->getPropertySet(effect, &set) != kOfxStatOK) return kOfxStatErrBadHandle;
    if (suites.effects->getParamSet(effect, &params) != kOfxStatOK) return kOfxStatErrBadHandle;
    struct instance *instance = calloc(1, sizeof *instance);
    if (instance == NULL) return kOfxStatErrMemory;
    instance->effect = effect;
    for (int i = 0; i < ROW_COUNT; i++)
        if (suites.params->paramGetHandle(params, ROWS[i].id, &instance->params[i], NULL)
            != kOfxStatOK)
            instance->params[i] = NULL;
    instance->source = clip_of(effect, kOfxImageEffectSimpleSourceClipName);
    instance->output = clip_of(effect, kOfxImageEffectOutputClipName);
    bool general = suites.props->propGetString(set, kOfxImageEffectPropContext, 0, &context)
                       == kOfxStatOK
                   && context != NULL && strcmp(context, kOfxImageEffectContextGeneral) == 0;
    if (general) instance->mask = clip_of(effect, MASK_CLIP);
    return suites.props->propSetPointer(set, kOfxPropInstanceData, 0, instance);
}

static OfxStatus destroy(OfxImageEffectHandle effect, struct instance *instance) {
    OfxPropertySetHandle set;
    message_clear(instance);
    if (suites.effects->getPropertySet(effect, &set) == kOfxStatOK)
        suites.props->propSetPointer(set, kOfxPropInstanceData, 0, NULL);
    free(instance);
    return kOfxStatOK;
}

/* --- messages ----------------------------------------------------------------------------------- */

void message_show(struct instance *instance, const char *text) {
    if (suites.message2 != NULL) {
        suites.message2->setPersistentMessage(instance->effect, kOfxMessageError, "", "%s", text);
        atomic_store(&instance->has_message, true);
    } else if (suites.message != NULL) {
        suites.message->message(instance->effect, kOfxMessageError, "", "%s", text);
    } else {
        fprintf(stderr, "FaceGraft: %s\n", text);
    }
}

void message_note(struct instance *instance, const char *text) {
    if (suites.message2 == NULL) return;
    suites.message2->setPersistentMessage(instance->effect, kOfxMessageWarning, "", "%s", text);
    atomic_store(&instance->has_message, true);
}

void message_clear(struct instance *instance) {
    if (atomic_exchange(&instance->has_message, false))
        suites.message2->clearPersistentMessage(instance->effect);
}

/* --- actions ------------------------------------------------------------------------------------ */

static OfxStatus is_identity(struct instance *instance, OfxPropertySetHandle in,
                             OfxPropertySetHandle out) {
    struct values values;
    OfxTime time = 0;
    suites.props->propGetDouble(in, kOfxPropTime, 0, &time);
    values_read(&values, instance, time);
    bool identity = values.is_whole && values_are_identity(&values);
    values_free(&values);
    if (!identity) return kOfxStatReplyDefault;
    suites.props->propSetString(out, kOfxPropName, 0, kOfxImageEffectSimpleSourceClipName);
    suites.props->propSetDouble(out, kOfxPropTime, 0, time);
    return kOfxStatOK;
}

/* A face may lie anywhere, so every part of the output needs the whole source. */
static OfxStatus regions_of_interest(struct instance *instance, OfxPropertySetHandle in,
                                     OfxPropertySetHandle out) {
    OfxTime time = 0;
    OfxRectD whole;
    suites.props->propGetDouble(in, kOfxPropTime, 0, &time);
    if (instance->source == NULL
        || suites.effects->clipGetRegionOfDefinition(instance->source, time, &whole) != kOfxStatOK)
        return kOfxStatReplyDefault;
    const double corners[4] = {whole.x1, whole.y1, whole.x2, whole.y2};
    suites.props->propSetDoubleN(out, "OfxImageClipPropRoI_Source", 4, corners);
    if (instance->mask != NULL)
        suites.props->propSetDoubleN(out, "OfxImageClipPropRoI_" MASK_CLIP, 4, corners);
    return kOfxStatOK;
}

/* Outputs that write an alpha of their own say what it means; others keep the source's. */
static OfxStatus clip_preferences(struct instance *instance, OfxPropertySetHandle out) {
    struct values values;
    values_read(&values, instance, 0); /* neither output nor color animates */
    int output = (int)values.number[ROW_OUTPUT];
    bool asks = color_prefer(&values, instance, out);
    values_free(&values);
    if (output == OUTPUT_FACE || output == OUTPUT_SOURCE_WITH_MATTE) {
        suites.props->propSetString(out, kOfxImageEffectPropPreMultiplication, 0,
                                    output == OUTPUT_FACE ? kOfxImagePreMultiplied
                                                          : kOfxImageUnPreMultiplied);
        asks = true;
    }
    return asks ? kOfxStatOK : kOfxStatReplyDefault;
}

static OfxStatus act_on_instance(const char *action, OfxImageEffectHandle effect,
                                 OfxPropertySetHandle in, OfxPropertySetHandle out) {
    struct instance *instance = instance_of(effect);
    if (instance == NULL) return kOfxStatErrBadHandle;
    if (strcmp(action, kOfxImageEffectActionRender) == 0) return render(instance, in);
    if (strcmp(action, kOfxImageEffectActionIsIdentity) == 0)
        return is_identity(instance, in, out);
    if (strcmp(action, kOfxImageEffectActionGetRegionsOfInterest) == 0)
        return regions_of_interest(instance, in, out);
    if (strcmp(action, kOfxImageEffectActionGetClipPreferences) == 0)
        return clip_preferences(instance, out);
    if (strcmp(action, kOfxImageEffectActionGetOutputColourspace) == 0)
        return color_of_output(instance, out);
    if (strcmp(action, kOfxActionInstanceChanged) == 0) {
        message_clear(instance); /* some hosts do not render again before */
        return kOfxStatOK;
    }
    return destroy(effect, instance);
}

static bool is_one_of(const char *action, const char *const *actions) {
    for (; *actions != NULL; actions++)
        if (strcmp(action, *actions) == 0) return true;
    return false;
}

static OfxStatus act(const char *action, const void *handle, OfxPropertySetHandle in,
                     OfxPropertySetHandle out) {
    static const char *const of_instances[] = {
        kOfxImageEffectActionRender, kOfxImageEffectActionIsIdentity,
        kOfxImageEffectActionGetRegionsOfInterest, kOfxImageEffectActionGetClipPreferences,
        kOfxImageEffectActionGetOutputColourspace,
        kOfxActionInstanceChanged, kOfxActionDestroyInstance, NULL};
    static const char *const nothing_to_do[] = {kOfxActionUnload,
                                                kOfxImageEffectActionBeginSequenceRender,
                                                kOfxImageEffectActionEndSequenceRender, NULL};
    OfxImageEffectHandle effect = (OfxImageEffectHandle)handle;
    char *context = NULL;
    if (action == NULL) return kOfxStatFailed;
    if (strcmp(action, kOfxActionLoad) == 0) return load();
    if (is_one_of(action, nothing_to_do)) return kOfxStatOK;
    if (suites.props == NULL) return kOfxStatErrMissingHostFeature;
    if (strcmp(action, kOfxActionDescribe) == 0) return describe(effect);
    if (strcmp(action, kOfxImageEffectActionDescribeInContext) == 0) {
        suites.props->propGetString(in, kOfxImageEffectPropContext, 0, &context);
        return describe_in_context(effect, context);
    }
    if (strcmp(action, kOfxActionCreateInstance) == 0) return create(effect);
    if (is_one_of(action, of_instances)) return act_on_instance(action, effect, in, out);
    return kOfxStatReplyDefault;
}

static void set_host(OfxHost *given) { host = given; }

static OfxPlugin plugin = {
    .pluginApi = kOfxImageEffectPluginApi,
    .apiVersion = 1,
    .pluginIdentifier = "org.facegraft.faceswap", /* projects and caches hang on it: never changed */
    .pluginVersionMajor = 1,
    .pluginVersionMinor = 1, /* raised when parameters are added */
    .setHost = set_host,
    .mainEntry = act,
};

EXPORT int OfxGetNumberOfPlugins(void) { return 1; }

EXPORT OfxPlugin *OfxGetPlugin(int nth) { return nth == 0 ? &plugin : NULL; }

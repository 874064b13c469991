/* Drives the real MLT OpenFX host frame by frame, with exact pixels.
 *
 *   mlt_driver PROFILE SERVICE WIDTH HEIGHT FORMAT FRAMES NAME=VALUE...
 *
 * reads FRAMES pictures from stdin and writes what the filter made of them to stdout. FORMAT: 2 for
 * RGBA of 8 bits, 10 for 16. Nothing of MLT is needed to compile it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FROM_MLT(type, name, arguments) type(*name) arguments = find(library, #name)

static void *find(void *library, const char *name) {
    void *found = dlsym(library, name);
    if (found == NULL) {
        fprintf(stderr, "MLT lacks %s\n", name);
        exit(2);
    }
    return found;
}

int main(int count, char **arguments) {
    void *library = dlopen("libmlt-7.so.7", RTLD_NOW | RTLD_GLOBAL);
    if (library == NULL || count < 7) {
        fprintf(stderr, "%s\n", library == NULL ? dlerror() : "too few arguments");
        return 2;
    }
    FROM_MLT(void *, mlt_factory_init, (const char *));
    FROM_MLT(void *, mlt_profile_load_file, (const char *));
    FROM_MLT(void *, mlt_factory_filter, (void *, const char *, const void *));
    FROM_MLT(int, mlt_properties_set, (void *, const char *, const char *));
    FROM_MLT(int, mlt_properties_set_int, (void *, const char *, int));
    FROM_MLT(void, mlt_filter_set_in_and_out, (void *, int, int));
    FROM_MLT(void *, mlt_frame_init, (void *));
    FROM_MLT(void *, mlt_pool_alloc, (int));
    FROM_MLT(void, mlt_pool_release, (void *));
    FROM_MLT(int, mlt_frame_set_image, (void *, void *, int, void (*)(void *)));
    FROM_MLT(void, mlt_frame_set_position, (void *, int));
    FROM_MLT(void *, mlt_filter_process, (void *, void *));
    FROM_MLT(int, mlt_frame_get_image, (void *, void **, int *, int *, int *, int));
    FROM_MLT(void, mlt_frame_close, (void *));
    FROM_MLT(void, mlt_filter_close, (void *));
    FROM_MLT(void, mlt_factory_close, (void));
    int width = atoi(arguments[3]), height = atoi(arguments[4]), format = atoi(arguments[5]);
    int frames = atoi(arguments[6]), size = width * height * (format == 10 ? 8 : 4);
    if (mlt_factory_init(NULL) == NULL) return 2;
    void *profile = mlt_profile_load_file(arguments[1]);
    void *filter = mlt_factory_filter(profile, arguments[2], NULL);
    if (filter == NULL) {
        fprintf(stderr, "MLT does not know %s\n", arguments[2]);
        return 3;
    }
    for (int i = 7; i < count; i++) {
        char *value = strchr(arguments[i], '=');
        *value = 0;
        mlt_properties_set(filter, arguments[i], value + 1);
    }
    mlt_filter_set_in_and_out(filter, 0, frames - 1);
    for (int i = 0; i < frames; i++) {
        void *frame = mlt_frame_init(NULL), *image = mlt_pool_alloc(size);
        int wanted = format, w = width, h = height;
        if (fread(image, 1, (size_t)size, stdin) != (size_t)size) return 4;
        mlt_frame_set_image(frame, image, size, mlt_pool_release);
        mlt_properties_set_int(frame, "format", format);
        mlt_properties_set_int(frame, "width", width);
        mlt_properties_set_int(frame, "height", height);
        mlt_frame_set_position(frame, i);
        mlt_filter_process(filter, frame);
        if (mlt_frame_get_image(frame, &image, &wanted, &w, &h, 1) != 0 || wanted != format
            || w != width || h != height) {
            fprintf(stderr, "frame %d came as format %d, %dx%d\n", i, wanted, w, h);
            return 5;
        }
        if (fwrite(image, 1, (size_t)size, stdout) != (size_t)size) return 4;
        mlt_frame_close(frame);
    }
    mlt_filter_close(filter);
    mlt_factory_close();
    return 0;
}

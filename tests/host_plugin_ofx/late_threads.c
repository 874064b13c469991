/* Every new thread waits 20 ms before it begins. melt's writer starts threads that may finish before
 * it has noted them, and then waits for ever, in some of a hundred short runs on two cores, with and
 * without an OpenFX node. Preloaded into melt alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct job {
    void *(*begin)(void *);
    void *argument;
};

static void *begin_late(void *given) {
    struct job job = *(struct job *)given;
    struct timespec wait = {0, 20000000};
    free(given);
    nanosleep(&wait, NULL);
    return job.begin(job.argument);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*begin)(void *),
                   void *argument) {
    int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
        dlsym(RTLD_NEXT, "pthread_create");
    struct job *job = malloc(sizeof *job);
    if (job == NULL) abort();
    job->begin = begin;
    job->argument = argument;
    return create(thread, attributes, begin_late, job);
}

/* The environment: "NAME=VALUE\0" repeated, ended by an empty one. Secrets that an edge gives, then what the image was
 * built with. Read-only. */
#include "base.h"

const char *env_next(const char *entry) {
    entry = entry ? entry + strlen(entry) + 1 : (const char *)NK_ENV_ADDRESS;
    return *entry ? entry : NULL;
}

const char *env_value(const char *name) {
    size_t length = strlen(name);
    for (const char *entry = env_next(NULL); entry; entry = env_next(entry))
        if (!strncmp(entry, name, length) && entry[length] == '=')
            return entry + length + 1;
    return NULL;
}

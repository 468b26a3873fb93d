/* A program of the build machine: `precompile NAME < SOURCE > BYTECODE`, a script as the engine's own bytecode.
 *
 * It is compiled from the same engine as the runtime, whose machines then evaluate what they need without parsing, and
 * hold no source text. Names of files and lines of the prelude stay, so a stack trace can say them; those of parts, whose
 * lines are a bundler's, would be a sixth of what they weigh. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quickjs.h"

static void refuse(JSContext *context) {
    JSValue error = JS_GetException(context);
    const char *text = JS_ToCString(context, error);
    fprintf(stderr, "%s\n", text ? text : "no bytecode");
    exit(1);
}

int main(int count, char **arguments) {
    char *source = NULL;
    size_t size = 0, room = 0, got = 0;
    do {
        if (room - size < 2)
            source = realloc(source, room = room ? 2 * room : 1 << 16);
        got = source ? fread(source + size, 1, room - size - 1, stdin) : 0;
        size += got;
    } while (got);
    if (count != 2 || !source)
        return 2;
    source[size] = 0;
    JSRuntime *runtime = JS_NewRuntime();
    JSContext *context = JS_NewContext(runtime);
    JSValue script = JS_Eval(context, source, size, arguments[1], JS_EVAL_TYPE_GLOBAL | JS_EVAL_FLAG_COMPILE_ONLY);
    if (JS_IsException(script))
        refuse(context);
    size_t made;
    bool part = !strncmp(arguments[1], "lazy/", 5);
    int options = JS_WRITE_OBJ_BYTECODE | JS_WRITE_OBJ_STRIP_SOURCE | (part ? JS_WRITE_OBJ_STRIP_DEBUG : 0);
    uint8_t *code = JS_WriteObject(context, &made, script, options);
    if (!code)
        refuse(context);
    return fwrite(code, 1, made, stdout) == made && !fflush(stdout) ? 0 : 1;
}

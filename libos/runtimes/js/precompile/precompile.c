/* A program of the build machine: `precompile NAME < SOURCE > BYTECODE`, a script as the engine's own bytecode.
 *
 * It is compiled from the same engine as the runtime, whose machines then evaluate what they need without parsing, and
 * hold no source text. Names of files and lines of the prelude stay, so a stack trace can say them; those of parts, whose
 * lines are a bundler's, would be a sixth of what they weigh. Names and scopes of variables go: only eval() within a
 * function asks for them, which none of these scripts has, and messages of errors in them. */
#include "quickjs.c"

static void refuse(JSContext *context) {
    JSValue error = JS_GetException(context);
    const char *text = JS_ToCString(context, error);
    fprintf(stderr, "%s\n", text ? text : "no bytecode");
    exit(1);
}

/* Of a function and of those within it. The variables of others are found by number. */
static void forget_variables(JSContext *context, JSValueConst value) {
    if (JS_VALUE_GET_TAG(value) != JS_TAG_FUNCTION_BYTECODE)
        return;
    JSFunctionBytecode *function = JS_VALUE_GET_PTR(value);
    for (int n = 0; function->vardefs && n < function->arg_count + function->var_count; n++) {
        JSVarDef *variable = &function->vardefs[n];
        JS_FreeAtom(context, variable->var_name);
        variable->var_name = JS_ATOM_NULL;
        variable->scope_level = 0;
        variable->scope_next = -1;
    }
    for (int n = 0; n < function->closure_var_count; n++) {
        JSClosureVar *variable = &function->closure_var[n];
        bool by_number = variable->closure_type == JS_CLOSURE_LOCAL || variable->closure_type == JS_CLOSURE_ARG ||
                         variable->closure_type == JS_CLOSURE_REF;
        if (by_number) {
            JS_FreeAtom(context, variable->var_name);
            variable->var_name = JS_ATOM_NULL;
        }
    }
    for (int n = 0; n < function->cpool_count; n++)
        forget_variables(context, function->cpool[n]);
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
    forget_variables(context, script);
    size_t made;
    bool part = !strncmp(arguments[1], "lazy/", 5);
    int options = JS_WRITE_OBJ_BYTECODE | JS_WRITE_OBJ_STRIP_SOURCE | (part ? JS_WRITE_OBJ_STRIP_DEBUG : 0);
    uint8_t *code = JS_WriteObject(context, &made, script, options);
    if (!code)
        refuse(context);
    return fwrite(code, 1, made, stdout) == made && !fflush(stdout) ? 0 : 1;
}

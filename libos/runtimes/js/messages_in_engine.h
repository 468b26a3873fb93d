/* Messages of errors that say of what they speak, in V8's words; part of engine.c, after quickjs.c.
 *
 * The engine says "not a function". What it is that was called is in the bytecode: the instruction that put the value
 * where the call found it. It is looked for when the error is thrown, so what throws none pays nothing. Where it cannot be
 * said, since another way leads there (`(a ? b : c)()`), it is V8's "(intermediate value)". Libraries look for the words of
 * some of these messages, and people know them. */
#include <stdarg.h>

#define WINDOW 256      /* instructions before the place that are looked at */
#define NESTING_MAX 8   /* of a name like a.b.c.d */
#define NAME_BYTES 192  /* as much as fits into the engine's message with its other words */

/* Where a function of JavaScript is; `index` 0 is the instruction that it carries out, 1 the one before it in its code. */
struct place {
    JSContext *ctx;
    const JSFunctionBytecode *function;
    const uint8_t *instructions[WINDOW]; /* a ring */
    unsigned count;                      /* of instructions up to this one */
    char name[NAME_BYTES];
    size_t size;
    int nesting;
};

static bool place_find(JSContext *ctx, struct place *place) {
    JSStackFrame *frame = ctx->rt->current_stack_frame;
    const JSFunctionBytecode *function = frame ? JS_GetFunctionBytecode(frame->cur_func) : NULL;
    if (!function || !frame->cur_pc)
        return false;
    const uint8_t *pc = function->byte_code_buf, *end = frame->cur_pc;
    if (end <= pc || end > pc + function->byte_code_len)
        return false;
    place->ctx = ctx;
    place->function = function;
    place->count = place->size = place->nesting = 0;
    place->name[0] = 0;
    for (; pc < end; pc += short_opcode_info(*pc).size)
        place->instructions[place->count++ % WINDOW] = pc;
    return true;
}

/* NULL: not among those that are looked at. */
static const uint8_t *place_instruction(const struct place *place, unsigned index) {
    if (index >= WINDOW || index >= place->count)
        return NULL;
    return place->instructions[(place->count - 1 - index) % WINDOW];
}

static int values_taken(const uint8_t *pc) {
    int taken = short_opcode_info(*pc).n_pop;
    switch (short_opcode_info(*pc).fmt) {
    case OP_FMT_npop:
    case OP_FMT_npop_u16:
        return taken + get_u16(pc + 1);
    case OP_FMT_npopx:
        return taken + *pc - OP_call0;
    default:
        return taken;
    }
}

/* The instruction that put the value there which lies `*depth` below the top before instruction `index`; *depth is then
 * how far from the last of those that it put there. 0: not known, since control may have come from elsewhere. */
static unsigned place_of_value(const struct place *place, unsigned index, int *depth) {
    const uint8_t *pc;
    while ((pc = place_instruction(place, ++index))) {
        int put = short_opcode_info(*pc).n_push;
        if (*pc == OP_goto || *pc == OP_goto8 || *pc == OP_goto16)
            return 0;
        if (*depth < put)
            return index;
        *depth += values_taken(pc) - put;
    }
    return 0;
}

static void name_text(struct place *place, const char *text) {
    size_t size = strlen(text), room = NAME_BYTES - 1 - place->size;
    size = size < room ? size : room;
    memcpy(place->name + place->size, text, size);
    place->size += size;
    place->name[place->size] = 0;
}

static void name_of_atom(struct place *place, JSAtom atom) {
    char text[ATOM_GET_STR_BUF_SIZE];
    name_text(place, atom == JS_ATOM_NULL ? "(intermediate value)" : JS_AtomGetStr(place->ctx, text, sizeof(text), atom));
}

static void name_variable(struct place *place, int number) {
    const JSFunctionBytecode *function = place->function;
    name_of_atom(place, function->vardefs ? function->vardefs[number].var_name : JS_ATOM_NULL);
}

static void name_value(struct place *place, unsigned index, int depth);

static void name_element(struct place *place, unsigned index) {
    name_value(place, index, 1);
    name_text(place, "[");
    name_value(place, index, 0);
    name_text(place, "]");
}

static void name_result(struct place *place, unsigned index, const uint8_t *pc) {
    int taken = values_taken(pc), method = *pc == OP_call_method;
    name_value(place, index, taken - 1 - method);
    name_text(place, "(...)");
}

/* What the instruction put `depth` below the last value that it put there, as the source has it. */
static void name_put(struct place *place, unsigned index, int depth) {
    const uint8_t *pc = place_instruction(place, index);
    int locals = place->function->arg_count;
    char number[16];
    switch (*pc) {
    case OP_get_var:
    case OP_get_var_undef:
        return name_of_atom(place, get_u32(pc + 1));
    case OP_get_loc:
    case OP_get_loc_check:
        return name_variable(place, locals + get_u16(pc + 1));
    case OP_get_loc8:
        return name_variable(place, locals + pc[1]);
    case OP_get_loc0_loc1:
        return name_variable(place, locals + 1 - depth);
    case OP_get_loc0 ... OP_get_loc3:
        return name_variable(place, locals + *pc - OP_get_loc0);
    case OP_get_arg:
        return name_variable(place, get_u16(pc + 1));
    case OP_get_arg0 ... OP_get_arg3:
        return name_variable(place, *pc - OP_get_arg0);
    case OP_get_var_ref:
    case OP_get_var_ref_check:
        return name_of_atom(place, place->function->closure_var[get_u16(pc + 1)].var_name);
    case OP_get_var_ref0 ... OP_get_var_ref3:
        return name_of_atom(place, place->function->closure_var[*pc - OP_get_var_ref0].var_name);
    case OP_push_this:
        return name_text(place, "this");
    case OP_undefined:
        return name_text(place, "undefined");
    case OP_null:
        return name_text(place, "null");
    case OP_push_0 ... OP_push_7:
        snprintf(number, sizeof(number), "%d", *pc - OP_push_0);
        return name_text(place, number);
    case OP_push_i8:
        snprintf(number, sizeof(number), "%d", (int8_t)pc[1]);
        return name_text(place, number);
    case OP_push_atom_value:
        return name_of_atom(place, get_u32(pc + 1));
    case OP_get_field:
    case OP_get_field2:
        name_value(place, index, 0);
        if (depth > 0) /* the object, which stays under the value */
            return;
        name_text(place, ".");
        return name_of_atom(place, get_u32(pc + 1));
    case OP_get_length:
        name_value(place, index, 0);
        return name_text(place, ".length");
    case OP_get_private_field:
        name_value(place, index, 1);
        name_text(place, ".");
        return name_value(place, index, 0);
    case OP_get_array_el:
        return name_element(place, index);
    case OP_get_array_el2:
        return depth > 0 ? name_value(place, index, 1) : name_element(place, index);
    case OP_dup:
    case OP_to_propkey:
    case OP_set_loc:
    case OP_set_loc8:
    case OP_set_loc0 ... OP_set_loc3:
        return name_value(place, index, 0);
    case OP_call:
    case OP_call_method:
    case OP_call0 ... OP_call3:
        return name_result(place, index, pc);
    default:
        return name_text(place, "(intermediate value)");
    }
}

static void name_value(struct place *place, unsigned index, int depth) {
    unsigned found = place->nesting < NESTING_MAX ? place_of_value(place, index, &depth) : 0;
    place->nesting++;
    if (found)
        name_put(place, found, depth);
    else
        name_text(place, "(intermediate value)");
    place->nesting--;
}

/* What the instruction at hand called, made or went through; false: none that does so. `what` is what that should be. */
static bool name_of_subject(struct place *place, const char **what) {
    const uint8_t *pc = place_instruction(place, 0);
    int taken = values_taken(pc), depth;
    switch (*pc) {
    case OP_call:
    case OP_tail_call:
    case OP_call0 ... OP_call3:
        *what = "a function", depth = taken - 1;
        break;
    case OP_call_method:
    case OP_tail_call_method:
        *what = "a function", depth = taken - 2;
        break;
    case OP_call_constructor:
        *what = "a constructor", depth = taken - 1;
        break;
    case OP_apply:
        *what = get_u16(pc + 1) ? "a constructor" : "a function", depth = taken - 1;
        break;
    case OP_for_of_start:
    case OP_for_await_of_start:
    case OP_append:
        *what = "iterable", depth = 0;
        break;
    default:
        return false;
    }
    name_value(place, 0, depth);
    return true;
}

static JSValue thrown(JSContext *ctx, int kind, const char *format, ...) {
    va_list values;
    va_start(values, format);
    JSValue result = engine_throw(ctx, kind, format, values);
    va_end(values);
    return result;
}

/* The engine's messages that name nothing, and those that name a property or a variable in other words than V8's. */
static const struct {
    const char *said, *instead; /* NULL: what name_of_subject() finds */
} messages[] = {
    {"not a function", NULL},
    {"not a constructor", NULL},
    {"value is not iterable", NULL},
    {"cannot read property '%s' of undefined", "Cannot read properties of undefined (reading '%s')"},
    {"cannot read property '%s' of null", "Cannot read properties of null (reading '%s')"},
    {"cannot set property '%s' of undefined", "Cannot set properties of undefined (setting '%s')"},
    {"cannot set property '%s' of null", "Cannot set properties of null (setting '%s')"},
    {"%s is not initialized", "Cannot access '%s' before initialization"},
};

static JSValue hooked_throw(JSContext *ctx, int kind, const char *format, va_list values) {
    struct place place;
    const char *what;
    size_t n = 0;
    while (n < countof(messages) && strcmp(messages[n].said, format))
        n++;
    if (n == countof(messages) || ctx->rt->in_out_of_memory)
        return engine_throw(ctx, kind, format, values);
    const char *instead = messages[n].instead;
    bool iterates = instead && strstr(format, "read property"); /* what is undefined has no iterator, too */
    if ((!instead || iterates) && place_find(ctx, &place) && name_of_subject(&place, &what) &&
        (!iterates || !strcmp(what, "iterable")))
        return thrown(ctx, kind, "%s is not %s", place.name, what);
    return engine_throw(ctx, kind, instead ? instead : format, values);
}

#undef WINDOW
#undef NESTING_MAX
#undef NAME_BYTES

/* Messages of errors that say of what they speak, in V8's words; part of engine.c, after quickjs.c.
 *
 * The engine says "not a function". What it is that was called is in the bytecode: the instruction that put the value
 * where the call found it. It is looked for when the error is thrown, so what throws none pays nothing. Where it cannot be
 * said, since another way leads there (`(a ? b : c)()`), it is V8's "(intermediate value)". Libraries look for the words of
 * some of these messages, and people know them. */
#include <stdarg.h>

#define CODE_MAX (16 << 10) /* bytes of a function that is looked through */
#define STEPS_MAX 64        /* back from where a value is used */
#define JOINS_MAX 16
#define NOWHERE UINT_MAX
#define NESTING_MAX 8  /* of a name like a.b.c.d */
#define NAME_BYTES 192 /* as much as fits into the engine's message with its other words */

/* Where a function of JavaScript is. Its instructions go by their numbers in the order of the code. */
struct place {
    JSContext *ctx;
    const JSFunctionBytecode *function;
    uint16_t *starts; /* of the instructions: offsets in the code */
    unsigned count, at;
    char name[NAME_BYTES];
    size_t size;
    int nesting;
};

static bool place_find(JSContext *ctx, struct place *place) {
    JSStackFrame *frame = ctx->rt->current_stack_frame;
    const JSFunctionBytecode *function = frame ? JS_GetFunctionBytecode(frame->cur_func) : NULL;
    if (!function || !frame->cur_pc || function->byte_code_len > CODE_MAX)
        return false;
    *place = (struct place){.ctx = ctx, .function = function};
    place->starts = malloc(function->byte_code_len * sizeof(*place->starts));
    if (!place->starts)
        return false;
    const uint8_t *code = function->byte_code_buf, *end = code + function->byte_code_len;
    for (const uint8_t *pc = code; pc < end; pc += short_opcode_info(*pc).size) {
        if (pc < frame->cur_pc)
            place->at = place->count;
        place->starts[place->count++] = pc - code;
    }
    return true;
}

static const uint8_t *place_code(const struct place *place, unsigned number) {
    return place->function->byte_code_buf + place->starts[number];
}

/* The offset to which an instruction may go instead of to the next; below 0: none. */
static int place_target(const struct place *place, unsigned number) {
    const uint8_t *pc = place_code(place, number);
    int from = place->starts[number] + 1;
    switch (short_opcode_info(*pc).fmt) {
    case OP_FMT_label8:
        return from + (int8_t)pc[1];
    case OP_FMT_label16:
        return from + (int16_t)get_u16(pc + 1);
    case OP_FMT_label:
        return from + (int32_t)get_u32(pc + 1);
    case OP_FMT_atom_label_u8:
    case OP_FMT_atom_label_u16:
        return from + 4 + (int32_t)get_u32(pc + 5);
    default:
        return -1;
    }
}

/* Whether the next instruction may follow. */
static bool goes_on(const uint8_t *pc) {
    switch (*pc) {
    case OP_goto:
    case OP_goto8:
    case OP_goto16:
    case OP_return:
    case OP_return_undef:
    case OP_return_async:
    case OP_throw:
    case OP_throw_error:
    case OP_ret:
    case OP_tail_call:
    case OP_tail_call_method:
        return false;
    default:
        return true;
    }
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

/* Instructions that lead to one which was passed on the way back, and were not passed themselves yet. */
struct joins {
    unsigned numbers[JOINS_MAX], count;
};

/* One that may come before the instruction; the others that may are noted. NOWHERE: the first, or too many. */
static unsigned place_before(const struct place *place, unsigned number, struct joins *joins) {
    unsigned before = number > 0 && goes_on(place_code(place, number - 1)) ? number - 1 : NOWHERE;
    for (unsigned n = 0; n < place->count; n++) {
        if (place_target(place, n) != place->starts[number] || n == before)
            continue;
        if (before == NOWHERE)
            before = n;
        else if (joins->count == JOINS_MAX)
            return NOWHERE;
        else
            joins->numbers[joins->count++] = n;
    }
    return before;
}

static void joins_pass(struct joins *joins, unsigned number) {
    unsigned left = 0;
    for (unsigned n = 0; n < joins->count; n++)
        if (joins->numbers[n] != number)
            joins->numbers[left++] = joins->numbers[n];
    joins->count = left;
}

/* The instruction that put the value there which lies `*depth` below the top before instruction `number`; *depth is then
 * how far from the last of those that it put there. NOWHERE: it may come from several. */
static unsigned place_of_value(const struct place *place, unsigned number, int *depth) {
    struct joins joins = {.count = 0};
    for (int steps = 0; steps < STEPS_MAX; steps++) {
        number = place_before(place, number, &joins);
        if (number == NOWHERE)
            return NOWHERE;
        joins_pass(&joins, number);
        const uint8_t *pc = place_code(place, number);
        int put = short_opcode_info(*pc).n_push;
        if (*depth < put)
            return joins.count ? NOWHERE : number;
        *depth += values_taken(pc) - put;
    }
    return NOWHERE;
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

static void name_value(struct place *place, unsigned number, int depth);

static void name_element(struct place *place, unsigned number) {
    name_value(place, number, 1);
    name_text(place, "[");
    name_value(place, number, 0);
    name_text(place, "]");
}

static void name_result(struct place *place, unsigned number, const uint8_t *pc) {
    int taken = values_taken(pc), method = *pc == OP_call_method;
    name_value(place, number, taken - 1 - method);
    name_text(place, "(...)");
}

/* What the instruction put `depth` below the last value that it put there, as the source has it. */
static void name_put(struct place *place, unsigned number, int depth) {
    const uint8_t *pc = place_code(place, number);
    int locals = place->function->arg_count;
    char digits[16];
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
        snprintf(digits, sizeof(digits), "%d", *pc - OP_push_0);
        return name_text(place, digits);
    case OP_push_i8:
        snprintf(digits, sizeof(digits), "%d", (int8_t)pc[1]);
        return name_text(place, digits);
    case OP_push_atom_value:
        return name_of_atom(place, get_u32(pc + 1));
    case OP_get_field:
    case OP_get_field2:
        name_value(place, number, 0);
        if (depth > 0) /* the object, which stays under the value */
            return;
        name_text(place, ".");
        return name_of_atom(place, get_u32(pc + 1));
    case OP_get_length:
        name_value(place, number, 0);
        return name_text(place, ".length");
    case OP_get_private_field:
        name_value(place, number, 1);
        name_text(place, ".");
        return name_value(place, number, 0);
    case OP_get_array_el:
        return name_element(place, number);
    case OP_get_array_el2:
        return depth > 0 ? name_value(place, number, 1) : name_element(place, number);
    case OP_dup:
    case OP_to_propkey:
    case OP_set_loc:
    case OP_set_loc8:
    case OP_set_loc0 ... OP_set_loc3:
        return name_value(place, number, 0);
    case OP_call:
    case OP_call_method:
    case OP_call0 ... OP_call3:
        return name_result(place, number, pc);
    default:
        return name_text(place, "(intermediate value)");
    }
}

static void name_value(struct place *place, unsigned number, int depth) {
    unsigned found = place->nesting < NESTING_MAX ? place_of_value(place, number, &depth) : NOWHERE;
    place->nesting++;
    if (found != NOWHERE)
        name_put(place, found, depth);
    else
        name_text(place, "(intermediate value)");
    place->nesting--;
}

/* What the instruction at hand called, made or went through; false: none that does so. `what` is what that should be. */
static bool name_of_subject(struct place *place, const char **what) {
    const uint8_t *pc = place_code(place, place->at);
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
    name_value(place, place->at, depth);
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
    if ((!instead || iterates) && place_find(ctx, &place)) {
        bool known = name_of_subject(&place, &what) && (!iterates || !strcmp(what, "iterable"));
        free(place.starts);
        if (known)
            return thrown(ctx, kind, "%s is not %s", place.name, what);
    }
    return engine_throw(ctx, kind, instead ? instead : format, values);
}

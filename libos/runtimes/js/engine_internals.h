/* What the headers named ..._in_engine.h use of QuickJS beside quickjs.h. The engine's source is part of engine.c, with
 * them: it comes in here.
 *
 * Nothing promises that these names stay or mean what they mean. So the engine is the one whose quickjs.c has this
 * SHA-256, each name below is checked as far as a compiler can, and tests/unit/test_js_internals.py fails where the pin
 * has moved or where one of them uses a name that is not here. After a change of the pin: read each of them in the new
 * source, what they say about it, and run tests/property/test_js_json.py; then write the new digest here. */
#ifndef ENGINE_INTERNALS_H
#define ENGINE_INTERNALS_H

#include "engine_hooks.h"
#include "quickjs.c"

#define ENGINE_SOURCE_SHA256 "9fd0e0e68856d165e2872140ac38889845b53eb1bc55150f8598a53eb86948f5"
_Static_assert(QJS_VERSION_MAJOR == 0 && QJS_VERSION_MINOR == 17 && QJS_VERSION_PATCH == 0, "another QuickJS");

#define IS(expression, type) _Static_assert(__builtin_types_compatible_p(__typeof__(expression), type), #expression)
#define FIELD(of, name) (((of *)0)->name)
#define BITS(of, name) IS(FIELD(of, name) + 0, int) /* a field of bits */

/* A string: `len` characters of 8 bits or of 16 (`is_wide_char`); halves of a pair may stand alone. */
_Static_assert(sizeof(JSString) == 24, "JSString");
BITS(JSString, len);
BITS(JSString, is_wide_char);
IS(JS_VALUE_GET_STRING((JSValue){0}), JSString *);
IS(str8, uint8_t *(JSString *));
IS(str16, uint16_t *(JSString *));
IS(is_surrogate, bool(uint32_t));
IS(is_hi_surrogate, bool(uint32_t));
IS(is_lo_surrogate, bool(uint32_t));

/* A string that grows. Once one of these has failed the exception is thrown and the others do nothing. */
IS(FIELD(StringBuffer, len), int);
IS(FIELD(StringBuffer, error_status), int);
IS(string_buffer_init, int(JSContext *, StringBuffer *, int));
IS(string_buffer_putc8, int(StringBuffer *, uint32_t));
IS(string_buffer_write8, int(StringBuffer *, const uint8_t *, int));
IS(string_buffer_write16, int(StringBuffer *, const uint16_t *, int));
IS(string_buffer_set_error, int(StringBuffer *));
IS(string_buffer_end, JSValue(StringBuffer *));
IS(string_buffer_free, void(StringBuffer *));

/* An object: its shape has prototype, names and flags, `prop` the values in the same order. Names that were deleted are
 * JS_ATOM_NULL. A fast array has its elements in u.array, without holes, and its length as the first property. */
_Static_assert(sizeof(JSObject) == 72 && sizeof(JSProperty) == 16 && sizeof(JSShapeProperty) == 8, "JSObject");
IS(JS_VALUE_GET_OBJ((JSValue){0}), JSObject *);
IS(FIELD(JSObject, class_id), uint16_t);
BITS(JSObject, is_exotic); /* properties are not, or not all, in the shape; of arrays only their elements */
BITS(JSObject, fast_array);
IS(FIELD(JSObject, shape), JSShape *);
IS(FIELD(JSObject, prop), JSProperty *);
IS(FIELD(JSObject, u.array.count), uint32_t);
IS(FIELD(JSObject, u.array.u.values), JSValue *);
IS(FIELD(JSProperty, u.value), JSValue);
IS(FIELD(JSShape, proto), JSObject *);
IS(FIELD(JSShape, prop_count), int);
IS(FIELD(JSShapeProperty, atom), JSAtom);
BITS(JSShapeProperty, flags);
IS(get_shape_prop, JSShapeProperty *(JSShape *));
IS(find_own_property, JSShapeProperty *(JSProperty **, JSObject *, JSAtom));
IS(JS_GetOwnPropertyNamesInternal, int(JSContext *, JSPropertyEnum **, uint32_t *, JSObject *, int));
IS(js_free_prop_enum, void(JSContext *, JSPropertyEnum *, uint32_t));
_Static_assert(JS_CLASS_OBJECT == 1 && JS_CLASS_ARRAY == 2, "classes");
_Static_assert(JS_PROP_NORMAL == 0 && JS_PROP_TMASK == 0x30, "flags");

/* A name: an integer, or an index into the runtime's strings and symbols. */
IS(FIELD(JSContext, rt), JSRuntime *);
IS(FIELD(JSRuntime, atom_array), JSAtomStruct **);
IS((JSString *)0, JSAtomStruct *);
IS(__JS_AtomIsTaggedInt, bool(JSAtom));
IS(__JS_AtomToUInt32, uint32_t(JSAtom));
IS(JS_AtomGetKind, JSAtomKindEnum(JSContext *, JSAtom));
IS(JS_AtomIsArrayIndex, bool(JSContext *, uint32_t *, JSAtom));
_Static_assert(JS_ATOM_NULL == 0 && JS_ATOM_toJSON > 0 && JS_ATOM_KIND_STRING == 0, "names");

/* What the collector of cycles looks at: a ring of all objects, whose two ends are in the runtime. */
IS(FIELD(JSRuntime, gc_obj_list), struct list_head);
IS(FIELD(struct list_head, next), struct list_head *);
IS(FIELD(struct list_head, prev), struct list_head *);
IS(init_list_head, void(struct list_head *));
IS(FIELD(JSRuntime, malloc_state.malloc_size), size_t); /* bytes that the engine has allocated */

/* Numbers in text; what is kept free of the stack; a hint for the compiler; and the function in whose place json_in_engine.h puts its own. */
IS(u64toa, size_t(char *, uint64_t));
IS(i32toa, size_t(char *, int32_t));
IS(i64toa, size_t(char *, int64_t));
IS(js_dtoa, int(char *, double, int, int, int, JSDTOATempMem *));
_Static_assert(JS_DTOA_FORMAT_FREE == 0, "js_dtoa");
IS(js_check_stack_overflow, bool(JSRuntime *, size_t));
IS(likely(1), __typeof__(__builtin_expect(1, 1)));
IS(js_json_stringify, JSValue(JSContext *, JSValueConst, int, JSValueConst *));

/* Jobs: a reaction's arguments are the two functions that settle the promise derived, the handler or undefined, whether
 * it is a rejection, and the value. A C function's data are dup'ed into its record. */
IS(engine_then, int(JSContext *, JSValueConst, JSValueConst *, JSValueConst *));
IS(engine_enqueue, int(JSContext *, JSJobFunc *, int, JSValueConst *));
IS(promise_reaction_job, JSValue(JSContext *, int, JSValueConst *));
IS(js_promise_resolve_thenable_job, JSValue(JSContext *, int, JSValueConst *));
IS(js_microtask_job, JSValue(JSContext *, int, JSValueConst *));
IS(FIELD(JSCFunctionDataRecord, func), JSCFunctionData *);
IS(FIELD(JSCFunctionDataRecord, data)[0], JSValue);
_Static_assert(JS_CLASS_C_FUNCTION_DATA > 0, "classes");
IS(vc((JSValue *)0), JSValueConst *);

/* Memory: small blocks in pages of one size each, whose free ones are a chain of numbers; all else is malloc's. Beyond the
 * threshold the collector is asked before an object is made. */
IS(engine_trigger, void(JSRuntime *, size_t));
IS(FIELD(JSRuntime, malloc_gc_threshold), size_t);
BITS(JSRuntime, gc_phase);
_Static_assert(JS_GC_PHASE_NONE != JS_GC_PHASE_DECREF && JS_GC_PHASE_NONE != JS_GC_PHASE_REMOVE_CYCLES, "phases");
IS(FIELD(JSRuntime, arena_state.free_arena_list)[0], struct list_head);
IS(arena_block_sizes[0], const uint16_t);
IS(arena_get_block, void *(JSArena *, unsigned, unsigned));
IS(list_entry((struct list_head *)0, JSArena, free_link), JSArena *);
IS(FIELD(JSArena, first_free_block), uint16_t);
IS(FIELD(JSMallocBlockHeader, u.free_next), uint16_t);
IS(FIELD(JSMallocBlockHeader, ref_count), int);
IS(FIELD(JSMallocBlockHeader, user_data), uint8_t[]);
BITS(JSMallocBlockHeader, gc_obj_type);
BITS(JSMallocBlockHeader, mark);
_Static_assert(sizeof(JSMallocBlockHeader) == 8 && JS_ARENA_FREE_NIL == 0xffff && JS_ARENA_BLOCK_SIZE_COUNT == 31, "blocks");

/* Errors, and where a function is: `cur_pc` is behind the first byte of the instruction that it carries out, at the latest at
 * its end. Instructions have a size and values that they take and put, but for those of calls also their arguments. */
IS(engine_throw, JSValue(JSContext *, JSErrorEnum, const char *, va_list));
_Static_assert(JS_TYPE_ERROR != JS_REFERENCE_ERROR, "JSErrorEnum");
IS(FIELD(JSRuntime, in_out_of_memory) + 0, int);
IS(FIELD(JSRuntime, current_stack_frame), JSStackFrame *);
IS(FIELD(JSStackFrame, cur_func), JSValue);
IS(FIELD(JSStackFrame, cur_pc), uint8_t *);
IS(JS_GetFunctionBytecode, JSFunctionBytecode *(JSValueConst));
IS(FIELD(JSFunctionBytecode, byte_code_buf), uint8_t *);
IS(FIELD(JSFunctionBytecode, byte_code_len), int);
IS(FIELD(JSFunctionBytecode, arg_count), uint16_t);
IS(FIELD(JSFunctionBytecode, vardefs), JSVarDef *);
IS(FIELD(JSFunctionBytecode, closure_var), JSClosureVar *);
IS(FIELD(JSVarDef, var_name), JSAtom);
IS(FIELD(JSClosureVar, var_name), JSAtom);
IS(short_opcode_info(0), const JSOpCode);
IS(FIELD(JSOpCode, size), uint8_t);
IS(FIELD(JSOpCode, n_pop), uint8_t);
IS(FIELD(JSOpCode, n_push), uint8_t);
IS(FIELD(JSOpCode, fmt), uint8_t);
IS(get_u16, uint32_t(const uint8_t *));
IS(get_u32, uint32_t(const uint8_t *));
IS(JS_AtomGetStr, const char *(JSContext *, char *, int, JSAtom));
_Static_assert(ATOM_GET_STR_BUF_SIZE == 64 && countof(opcode_info) > OP_invalid, "names");
_Static_assert(OP_FMT_label8 && OP_FMT_label16 && OP_FMT_label && OP_FMT_atom_label_u8 && OP_FMT_atom_label_u16, "jumps");
_Static_assert(OP_FMT_npop != OP_FMT_npopx && OP_FMT_npop_u16 != OP_FMT_npopx, "arguments");
_Static_assert(OP_call3 - OP_call0 == 3 && OP_push_7 - OP_push_0 == 7, "in a row");
_Static_assert(OP_get_loc3 - OP_get_loc0 == 3 && OP_set_loc3 - OP_set_loc0 == 3, "in a row");
_Static_assert(OP_get_arg3 - OP_get_arg0 == 3 && OP_get_var_ref3 - OP_get_var_ref0 == 3, "in a row");
_Static_assert(OP_append && OP_apply && OP_call && OP_call_constructor && OP_call_method && OP_dup &&
               OP_for_await_of_start && OP_for_of_start && OP_get_arg && OP_get_array_el && OP_get_array_el2 &&
               OP_get_field && OP_get_field2 && OP_get_length && OP_get_loc && OP_get_loc0_loc1 && OP_get_loc8 &&
               OP_get_loc_check && OP_get_private_field && OP_get_var && OP_get_var_ref && OP_get_var_ref_check &&
               OP_get_var_undef && OP_goto && OP_goto16 && OP_goto8 && OP_null && OP_push_atom_value && OP_push_i8 &&
               OP_ret && OP_return && OP_return_async && OP_return_undef && OP_throw && OP_throw_error &&
               OP_push_this && OP_set_loc && OP_set_loc8 && OP_tail_call && OP_tail_call_method && OP_to_propkey &&
               OP_undefined, "instructions");

#undef IS
#undef FIELD
#undef BITS
#endif

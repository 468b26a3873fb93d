/* The engine as one unit with what works on its insides. Each of these says what it does for the others in a header of
 * its own; engine_internals.h brings quickjs.c and says which of its insides are used. */
#include "engine_internals.h"

#include "async_context_in_engine.h"
#include "erasing_in_engine.h"
#include "json_in_engine.h"
#include "lasting_in_engine.h"
#include "messages_in_engine.h"

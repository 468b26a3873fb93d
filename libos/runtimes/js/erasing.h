/* Memory that is given back while an image is made is erased: no image carries what nobody reads any more, and images of one
 * base differ in less. Machines do not do that: it would cost them time.
 *
 * Freed blocks of the engine and what lies under the stack keep their bytes otherwise: texts of scripts, tokens, pointers. */
#ifndef ERASING_H
#define ERASING_H

#include "quickjs.h"

JSRuntime *erasing_runtime(void);
void erase_bytes(void *at, size_t size);
void erase_freed(JSContext *ctx); /* what the engine has free within pages that it keeps */
void erase_stack(void);           /* what earlier calls have left below the caller */

#endif

/* lasting_in_engine.h: objects that the collector of cycles leaves alone, and when it works. */
#ifndef LASTING_H
#define LASTING_H

#include "quickjs.h"

void lasting_objects(JSContext *ctx); /* all that there are now */
void collect_cycles(JSContext *ctx);  /* if they may be worth it */
void collect_when_full(JSRuntime *runtime);
bool collect_for(size_t size); /* there is no room for so many bytes: whether it is worth to ask again */

#endif

/* How the request loops below come to ask for assets: once an image is complete, where it has some. */
#include "assets.h"

static void begin(void) {
    if (index_open()) {
        early_answers.take = assets_take;
        early_answers.push = body_push;
    }
}

void assets_hook(void) {
    early_answers.begin = begin;
}

/* The loops over pages of `page_sets`, which says what they do; there the same is written with numpy.
 *
 * Everything comes as buffers, whose sizes and page numbers are checked here before a page is touched. Nothing is kept,
 * and no page that the functions do not name is read or written.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

enum { PAGE_SIZE = 4096, WORDS = PAGE_SIZE / 8, MASKS = WORDS / 64, BUFFERS_MAX = 16, LAYERS_MAX = 2 };
static const uint64_t WRITABLE = 1 << 1, DIRTY = 1 << 6; /* as in `guest_memory` */

/* Buffers of one call, given back together. */
typedef struct {
    Py_buffer of[BUFFERS_MAX];
    int count;
} Buffers;

/* Pages by number, each XORed into what lies under it: packed, a bit of its masks for each word that is not zero. */
typedef struct {
    const uint32_t *page_nos;
    const uint64_t *masks, *words; /* `words` are those from page `at` on */
    Py_ssize_t count, at;
} Layer;

/* What pages are to hold: a base's, under layers. */
typedef struct {
    const uint8_t *base, *present;
    Py_ssize_t present_count;
    Layer layers[LAYERS_MAX];
    int layer_count;
} Contents;

static void give_back(Buffers *buffers)
{
    while (buffers->count)
        PyBuffer_Release(&buffers->of[--buffers->count]);
}

/* The memory of an object; its size in items of so many bytes, of which it must be whole. */
static void *take(Buffers *buffers, PyObject *object, int writable, size_t item, Py_ssize_t *count)
{
    if (buffers->count == BUFFERS_MAX) {
        PyErr_SetString(PyExc_ValueError, "fewer buffers expected");
        return NULL;
    }
    Py_buffer *buffer = &buffers->of[buffers->count];
    if (PyObject_GetBuffer(object, buffer, writable ? PyBUF_WRITABLE : PyBUF_SIMPLE))
        return NULL;
    buffers->count++;
    if (buffer->len % (Py_ssize_t)item || (uintptr_t)buffer->buf % (item < 8 ? item : 8)) {
        PyErr_SetString(PyExc_ValueError, "a buffer of whole items expected");
        return NULL;
    }
    *count = buffer->len / (Py_ssize_t)item;
    return buffer->buf;
}

/* Page numbers, which must increase and be below `end`. */
static const uint32_t *take_page_nos(Buffers *buffers, PyObject *object, Py_ssize_t end, Py_ssize_t *count)
{
    const uint32_t *page_nos = take(buffers, object, 0, sizeof *page_nos, count);
    if (page_nos == NULL)
        return NULL;
    for (Py_ssize_t n = 0; n < *count; n++)
        if (page_nos[n] >= end || (n && page_nos[n] <= page_nos[n - 1])) {
            PyErr_SetString(PyExc_ValueError, "page numbers that increase, inside of memory, expected");
            return NULL;
        }
    return page_nos;
}

static Py_ssize_t words_of(const uint64_t *masks)
{
    Py_ssize_t count = 0;
    for (int n = 0; n < MASKS; n++)
        count += __builtin_popcountll(masks[n]);
    return count;
}

/* Page numbers and packed rows, as many words of them as the masks have bits. */
static int take_layer(Buffers *buffers, Layer *layer, PyObject *pair, Py_ssize_t end)
{
    Py_ssize_t mask_count, word_count, wanted = 0;
    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2 || !PyTuple_Check(PyTuple_GET_ITEM(pair, 1)) ||
        PyTuple_GET_SIZE(PyTuple_GET_ITEM(pair, 1)) != 2) {
        PyErr_SetString(PyExc_ValueError, "page numbers and packed rows expected");
        return -1;
    }
    PyObject *packed = PyTuple_GET_ITEM(pair, 1);
    if ((layer->page_nos = take_page_nos(buffers, PyTuple_GET_ITEM(pair, 0), end, &layer->count)) == NULL ||
        (layer->masks = take(buffers, PyTuple_GET_ITEM(packed, 0), 0, sizeof *layer->masks, &mask_count)) == NULL ||
        (layer->words = take(buffers, PyTuple_GET_ITEM(packed, 1), 0, sizeof *layer->words, &word_count)) == NULL)
        return -1;
    int fits = mask_count == layer->count * MASKS;
    for (Py_ssize_t n = 0; fits && n < layer->count; n++)
        wanted += words_of(layer->masks + n * MASKS);
    if (!fits || word_count != wanted) {
        PyErr_SetString(PyExc_ValueError, "masks for each page number, and as many words as they say, expected");
        return -1;
    }
    return 0;
}

/* `base` and `present` may be None: then the base is zero. `layers` is a tuple of (page numbers, (masks, words)). */
static int take_contents(Buffers *buffers, Contents *c, PyObject *base, PyObject *present, PyObject *layers, Py_ssize_t end)
{
    Py_ssize_t pages;
    memset(c, 0, sizeof *c);
    if (base != Py_None) {
        if ((c->base = take(buffers, base, 0, PAGE_SIZE, &pages)) == NULL ||
            (c->present = take(buffers, present, 0, 1, &c->present_count)) == NULL)
            return -1;
        if (pages < c->present_count)
            c->present_count = pages;
    }
    if (!PyTuple_Check(layers) || PyTuple_GET_SIZE(layers) > LAYERS_MAX) {
        PyErr_SetString(PyExc_ValueError, "a tuple of at most two layers expected");
        return -1;
    }
    for (Py_ssize_t n = 0; n < PyTuple_GET_SIZE(layers); n++)
        if (take_layer(buffers, &c->layers[c->layer_count++], PyTuple_GET_ITEM(layers, n), end))
            return -1;
    return 0;
}

/* XORs the layer's words of a page in. Pages are asked for in rising order. */
static void xor_layer(Layer *layer, uint32_t page_no, uint64_t *into)
{
    for (; layer->at < layer->count && layer->page_nos[layer->at] <= page_no; layer->at++) {
        const uint64_t *masks = layer->masks + layer->at * MASKS;
        if (layer->page_nos[layer->at] != page_no) {
            layer->words += words_of(masks);
            continue;
        }
        for (int n = 0; n < MASKS; n++)
            for (uint64_t mask = masks[n]; mask; mask &= mask - 1)
                into[n * 64 + __builtin_ctzll(mask)] ^= *layer->words++;
    }
}

/* Writes masks and words of a row; how many words. */
static Py_ssize_t pack_row(const uint64_t *row, uint64_t *masks, uint64_t *words)
{
    Py_ssize_t count = 0;
    for (int n = 0; n < MASKS; n++, row += 64) {
        uint64_t mask = 0;
        for (int block = 0; block < 64; block += 8) {
            const uint64_t *w = row + block;
            if (!(w[0] | w[1] | w[2] | w[3] | w[4] | w[5] | w[6] | w[7]))
                continue;
            for (int bit = 0; bit < 8; bit++)
                if (w[bit]) {
                    mask |= (uint64_t)1 << (block + bit);
                    words[count++] = w[bit];
                }
        }
        masks[n] = mask;
    }
    return count;
}

/* What a page is to hold. */
static void contents_of(Contents *c, uint32_t page_no, uint64_t *into)
{
    if (page_no < c->present_count && c->present[page_no])
        memcpy(into, c->base + (size_t)page_no * PAGE_SIZE, PAGE_SIZE);
    else
        memset(into, 0, PAGE_SIZE);
    for (int n = 0; n < c->layer_count; n++)
        xor_layer(&c->layers[n], page_no, into);
}

/* find_dirty(entries, found, skip, first_bare, changeable) -> how many of `found` are page numbers now */
static PyObject *find_dirty(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    Buffers buffers = {.count = 0};
    PyObject *result = NULL;
    Py_ssize_t entry_count, room, skipped = 0, count = 0;
    if (nargs != 5) {
        PyErr_SetString(PyExc_TypeError, "five arguments expected");
        return NULL;
    }
    const uint64_t *entries = take(&buffers, args[0], 0, sizeof *entries, &entry_count);
    uint32_t *found = entries == NULL ? NULL : take(&buffers, args[1], 1, sizeof *found, &room);
    const uint32_t *skip = NULL;
    if (found != NULL && args[2] != Py_None)
        skip = take(&buffers, args[2], 0, sizeof *skip, &skipped);
    long first_bare = PyLong_AsLong(args[3]);
    int changeable = PyObject_IsTrue(args[4]);
    if (PyErr_Occurred())
        goto end;
    if (room < entry_count) {
        PyErr_SetString(PyExc_ValueError, "room for all pages expected");
        goto end;
    }
    for (Py_ssize_t block = 0; block < entry_count; block += 16) {
        Py_ssize_t stop = block + 16 < entry_count ? block + 16 : entry_count;
        uint64_t any = 0;
        for (Py_ssize_t n = block; n < stop; n++)
            any |= entries[n];
        if (!(any & DIRTY))
            continue;
        for (Py_ssize_t n = block; n < stop; n++) {
            int wanted = (entries[n] & DIRTY) && (!changeable || (entries[n] & WRITABLE) || n < first_bare);
            for (Py_ssize_t s = 0; wanted && s < skipped; s++)
                wanted = skip[s] != n;
            found[count] = (uint32_t)n;
            count += wanted;
        }
    }
    result = PyLong_FromSsize_t(count);
end:
    give_back(&buffers);
    return result;
}

/* mark_dirty(entries, page_nos): the entries of these pages say that they were written */
static PyObject *mark_dirty(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    Buffers buffers = {.count = 0};
    PyObject *result = NULL;
    Py_ssize_t entry_count, count;
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "two arguments expected");
        return NULL;
    }
    uint64_t *entries = take(&buffers, args[0], 1, sizeof *entries, &entry_count);
    const uint32_t *page_nos = entries == NULL ? NULL : take_page_nos(&buffers, args[1], entry_count, &count);
    if (page_nos == NULL)
        goto end;
    for (Py_ssize_t n = 0; n < count; n++)
        entries[page_nos[n]] |= DIRTY;
    result = Py_NewRef(Py_None);
end:
    give_back(&buffers);
    return result;
}

/* write_back(pages, page_nos, base, present, layers, watched) -> which watched pages changed by it */
static PyObject *write_back(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    Buffers buffers = {.count = 0};
    Contents contents;
    PyObject *result = NULL;
    Py_ssize_t page_count, count, watched_count = 0;
    const uint8_t *watched = NULL;
    if (nargs != 6) {
        PyErr_SetString(PyExc_TypeError, "six arguments expected");
        return NULL;
    }
    uint8_t *pages = take(&buffers, args[0], 1, PAGE_SIZE, &page_count);
    const uint32_t *page_nos = pages == NULL ? NULL : take_page_nos(&buffers, args[1], page_count, &count);
    if (page_nos == NULL || take_contents(&buffers, &contents, args[2], args[3], args[4], page_count))
        goto end;
    if (args[5] != Py_None && (watched = take(&buffers, args[5], 0, 1, &watched_count)) == NULL)
        goto end;
    if ((result = PyList_New(0)) == NULL)
        goto end;
    for (Py_ssize_t n = 0; n < count; n++) {
        uint64_t *page = (uint64_t *)(pages + (size_t)page_nos[n] * PAGE_SIZE);
        if (page_nos[n] >= watched_count || !watched[page_nos[n]]) {
            contents_of(&contents, page_nos[n], page);
            continue;
        }
        uint64_t row[WORDS];
        contents_of(&contents, page_nos[n], row);
        if (memcmp(page, row, PAGE_SIZE) == 0)
            continue;
        memcpy(page, row, PAGE_SIZE);
        PyObject *number = PyLong_FromUnsignedLong(page_nos[n]);
        if (number == NULL || PyList_Append(result, number)) {
            Py_XDECREF(number);
            Py_CLEAR(result);
            break;
        }
        Py_DECREF(number);
    }
end:
    give_back(&buffers);
    return result;
}

/* differences(pages, page_nos, base, present, layers, found, masks, words) -> how many pages and words are filled now */
static PyObject *differences(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    Buffers buffers = {.count = 0};
    Contents contents;
    PyObject *result = NULL;
    Py_ssize_t page_count, count, found_room = 0, mask_room = 0, word_room = 0, filled = 0, word_count = 0;
    if (nargs != 8) {
        PyErr_SetString(PyExc_TypeError, "eight arguments expected");
        return NULL;
    }
    const uint8_t *pages = take(&buffers, args[0], 0, PAGE_SIZE, &page_count);
    const uint32_t *page_nos = pages == NULL ? NULL : take_page_nos(&buffers, args[1], page_count, &count);
    if (page_nos == NULL || take_contents(&buffers, &contents, args[2], args[3], args[4], page_count))
        goto end;
    uint32_t *found = take(&buffers, args[5], 1, sizeof *found, &found_room);
    uint64_t *masks = found == NULL ? NULL : take(&buffers, args[6], 1, sizeof *masks, &mask_room);
    uint64_t *words = masks == NULL ? NULL : take(&buffers, args[7], 1, sizeof *words, &word_room);
    if (words == NULL)
        goto end;
    if (found_room < count || mask_room < count * MASKS || word_room < count * WORDS) {
        PyErr_SetString(PyExc_ValueError, "room for all pages expected");
        goto end;
    }
    for (Py_ssize_t n = 0; n < count; n++) {
        uint64_t row[WORDS];
        const uint64_t *page = (const uint64_t *)(pages + (size_t)page_nos[n] * PAGE_SIZE);
        contents_of(&contents, page_nos[n], row);
        for (int word = 0; word < WORDS; word++)
            row[word] ^= page[word];
        Py_ssize_t packed = pack_row(row, masks + filled * MASKS, words + word_count);
        if (!packed)
            continue;
        found[filled++] = page_nos[n];
        word_count += packed;
    }
    result = Py_BuildValue("nn", filled, word_count);
end:
    give_back(&buffers);
    return result;
}

/* pack_into(rows, masks, words) -> how many words are filled now */
static PyObject *pack_into(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    Buffers buffers = {.count = 0};
    PyObject *result = NULL;
    Py_ssize_t count, mask_room, word_room, word_count = 0;
    if (nargs != 3) {
        PyErr_SetString(PyExc_TypeError, "three arguments expected");
        return NULL;
    }
    const uint8_t *rows = take(&buffers, args[0], 0, PAGE_SIZE, &count);
    uint64_t *masks = rows == NULL ? NULL : take(&buffers, args[1], 1, sizeof *masks, &mask_room);
    uint64_t *words = masks == NULL ? NULL : take(&buffers, args[2], 1, sizeof *words, &word_room);
    if (words == NULL)
        goto end;
    if (mask_room < count * MASKS || word_room < count * WORDS) {
        PyErr_SetString(PyExc_ValueError, "room for all rows expected");
        goto end;
    }
    for (Py_ssize_t n = 0; n < count; n++)
        word_count += pack_row((const uint64_t *)(rows + n * PAGE_SIZE), masks + n * MASKS, words + word_count);
    result = PyLong_FromSsize_t(word_count);
end:
    give_back(&buffers);
    return result;
}

/* same_words(these, those, ignored) -> whether all 64-bit words are alike, but for some bits */
static PyObject *same_words(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    Buffers buffers = {.count = 0};
    PyObject *result = NULL;
    Py_ssize_t count, other_count;
    if (nargs != 3) {
        PyErr_SetString(PyExc_TypeError, "three arguments expected");
        return NULL;
    }
    const uint64_t *these = take(&buffers, args[0], 0, sizeof *these, &count);
    const uint64_t *those = these == NULL ? NULL : take(&buffers, args[1], 0, sizeof *those, &other_count);
    uint64_t ignored = PyLong_AsUnsignedLongLong(args[2]), differ = 0;
    if (those == NULL || PyErr_Occurred())
        goto end;
    if (count != other_count) {
        PyErr_SetString(PyExc_ValueError, "as many words expected");
        goto end;
    }
    for (Py_ssize_t n = 0; n < count; n++)
        differ |= these[n] ^ those[n];
    result = PyBool_FromLong((differ & ~ignored) == 0);
end:
    give_back(&buffers);
    return result;
}

static PyMethodDef methods[] = {
    {"same_words", (PyCFunction)(void (*)(void))same_words, METH_FASTCALL, NULL},
    {"find_dirty", (PyCFunction)(void (*)(void))find_dirty, METH_FASTCALL, NULL},
    {"mark_dirty", (PyCFunction)(void (*)(void))mark_dirty, METH_FASTCALL, NULL},
    {"write_back", (PyCFunction)(void (*)(void))write_back, METH_FASTCALL, NULL},
    {"differences", (PyCFunction)(void (*)(void))differences, METH_FASTCALL, NULL},
    {"pack_into", (PyCFunction)(void (*)(void))pack_into, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_page_sets", .m_size = 0, .m_methods = methods,
};

PyMODINIT_FUNC PyInit__page_sets(void)
{
    return PyModuleDef_Init(&definition);
}

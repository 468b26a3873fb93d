/* The loops over pages of `page_sets`, which says what they do; there the same is written with numpy.
 *
 * Everything comes as buffers, whose sizes and page numbers are checked here before a page is touched. Nothing is kept,
 * and no page that the functions do not name is read or written.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

enum { PAGE_SIZE = 4096, WORDS = PAGE_SIZE / 8, BUFFERS_MAX = 12, LAYERS_MAX = 2 };
static const uint64_t WRITABLE = 1 << 1, DIRTY = 1 << 6; /* as in `guest_memory` */

/* Buffers of one call, given back together. */
typedef struct {
    Py_buffer of[BUFFERS_MAX];
    int count;
} Buffers;

/* Pages by number, each XORed into what lies under it. */
typedef struct {
    const uint32_t *page_nos;
    const uint8_t *rows;
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

/* `base` and `present` may be None: then the base is zero. `layers` is a tuple of (page numbers, rows). */
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
    for (Py_ssize_t n = 0; n < PyTuple_GET_SIZE(layers); n++) {
        PyObject *pair = PyTuple_GET_ITEM(layers, n);
        Layer *layer = &c->layers[c->layer_count++];
        Py_ssize_t rows;
        if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
            PyErr_SetString(PyExc_ValueError, "page numbers and rows expected");
            return -1;
        }
        layer->page_nos = take_page_nos(buffers, PyTuple_GET_ITEM(pair, 0), end, &layer->count);
        if (layer->page_nos == NULL)
            return -1;
        layer->rows = take(buffers, PyTuple_GET_ITEM(pair, 1), 0, PAGE_SIZE, &rows);
        if (layer->rows == NULL)
            return -1;
        if (rows != layer->count) {
            PyErr_SetString(PyExc_ValueError, "a row for each page number expected");
            return -1;
        }
    }
    return 0;
}

/* The row of a layer for a page, or NULL. Pages are asked for in rising order. */
static const uint64_t *row_of(Layer *layer, uint32_t page_no)
{
    while (layer->at < layer->count && layer->page_nos[layer->at] < page_no)
        layer->at++;
    if (layer->at == layer->count || layer->page_nos[layer->at] != page_no)
        return NULL;
    return (const uint64_t *)(layer->rows + layer->at * PAGE_SIZE);
}

static void xor_row(uint64_t *into, const uint64_t *row)
{
    for (int n = 0; n < WORDS; n++)
        into[n] ^= row[n];
}

/* What a page is to hold. */
static void contents_of(Contents *c, uint32_t page_no, uint64_t *into)
{
    if (page_no < c->present_count && c->present[page_no])
        memcpy(into, c->base + (size_t)page_no * PAGE_SIZE, PAGE_SIZE);
    else
        memset(into, 0, PAGE_SIZE);
    for (int n = 0; n < c->layer_count; n++) {
        const uint64_t *row = row_of(&c->layers[n], page_no);
        if (row != NULL)
            xor_row(into, row);
    }
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

/* differences(pages, page_nos, base, present, layers, found, rows) -> how many of `found` and `rows` are filled now */
static PyObject *differences(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    Buffers buffers = {.count = 0};
    Contents contents;
    PyObject *result = NULL;
    Py_ssize_t page_count, count, found_room = 0, row_room = 0, filled = 0;
    if (nargs != 7) {
        PyErr_SetString(PyExc_TypeError, "seven arguments expected");
        return NULL;
    }
    const uint8_t *pages = take(&buffers, args[0], 0, PAGE_SIZE, &page_count);
    const uint32_t *page_nos = pages == NULL ? NULL : take_page_nos(&buffers, args[1], page_count, &count);
    if (page_nos == NULL || take_contents(&buffers, &contents, args[2], args[3], args[4], page_count))
        goto end;
    uint32_t *found = take(&buffers, args[5], 1, sizeof *found, &found_room);
    uint8_t *rows = found == NULL ? NULL : take(&buffers, args[6], 1, PAGE_SIZE, &row_room);
    if (rows == NULL)
        goto end;
    if (found_room < count || row_room < count) {
        PyErr_SetString(PyExc_ValueError, "room for all pages expected");
        goto end;
    }
    for (Py_ssize_t n = 0; n < count; n++) {
        uint64_t row[WORDS], any = 0;
        const uint64_t *page = (const uint64_t *)(pages + (size_t)page_nos[n] * PAGE_SIZE);
        contents_of(&contents, page_nos[n], row);
        for (int word = 0; word < WORDS; word++) {
            row[word] ^= page[word];
            any |= row[word];
        }
        if (!any)
            continue;
        found[filled] = page_nos[n];
        memcpy(rows + filled++ * PAGE_SIZE, row, PAGE_SIZE);
    }
    result = PyLong_FromSsize_t(filled);
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
    {"write_back", (PyCFunction)(void (*)(void))write_back, METH_FASTCALL, NULL},
    {"differences", (PyCFunction)(void (*)(void))differences, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_page_sets", .m_size = 0, .m_methods = methods,
};

PyMODINIT_FUNC PyInit__page_sets(void)
{
    return PyModuleDef_Init(&definition);
}

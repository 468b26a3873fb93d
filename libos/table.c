/* The call table, first in the blob: every program finds it at LIBOS_ADDRESS. */
#include "libos.h"

__attribute__((noreturn)) static void exit_machine(int code) {
    for (;;)
        HYPERCALL(NK_PORT_EXIT, code, 0);
}

__attribute__((section(".table"), used)) const struct nk_table nk_table = {
    .magic = NK_TABLE_MAGIC,
    .version = NK_TABLE_VERSION,
    .memcpy = memcpy,
    .memmove = memmove,
    .memset = memset,
    .memcmp = memcmp,
    .strlen = strlen,
    .strcmp = strcmp,
    .strncmp = strncmp,
    .strchr = strchr,
    .serve = serve,
    .exit = exit_machine,
    .var = request_var,
    .next_var = request_next_var,
    .query = text_query,
    .read = request_read,
    .status = response_status,
    .header = response_header,
    .write = response_write,
    .printf = response_printf,
    .html = text_html,
    .json = text_json,
    .flush = response_flush,
    .env = env_value,
    .next_env = env_next,
    .log = log_line,
    .puts = console_line,
    .snprintf = format_buffer,
    .vsnprintf = format_buffer_v,
    .malloc = heap_alloc,
    .calloc = heap_zeroed,
    .realloc = heap_resize,
    .free = heap_free,
    .random = random_bytes,
    .sleep_until = time_sleep_until,
    .refresh_clock = time_refresh,
    .upstream_open = upstream_open,
    .upstream_write = upstream_write,
    .upstream_status = upstream_status,
    .upstream_next_field = upstream_next_field,
    .upstream_read = upstream_read,
    .upstream_error = upstream_error,
    .upstream_close = upstream_close,
};

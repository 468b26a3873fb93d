/* Lines for the publisher's log: a gate record each, so that the edge knows whose request it was. */
#include "requests.h"

void log_line(const char *format, ...) {
    char line[500];
    va_list arguments;
    va_start(arguments, format);
    format_buffer_v(line, sizeof line, format, arguments);
    va_end(arguments);
    gate_send(NK_RECORD_LOG, 0, current ? current->stream : 0, line, (uint32_t)strlen(line));
}

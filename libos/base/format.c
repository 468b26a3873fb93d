/* printf formats, without floating point, into a buffer that may be emptied on the way. */
#include "base.h"

static void emit_in_parts(struct sink *sink, const char *text, size_t length) {
    while (length) {
        size_t room = (size_t)(sink->end - sink->at), piece = MIN(length, room);
        memcpy(sink->at, text, piece);
        sink->at += piece;
        text += piece;
        length -= piece;
        if (length && (!sink->full || !sink->full(sink))) {
            sink->full = NULL;
            return;
        }
    }
}

static inline void emit(struct sink *sink, const char *text, size_t length) {
    if (length <= (size_t)(sink->end - sink->at)) {
        memcpy(sink->at, text, length);
        sink->at += length;
    } else {
        emit_in_parts(sink, text, length);
    }
}

static void pad(struct sink *sink, char with, int count) {
    while (count--)
        emit(sink, &with, 1);
}

struct directive {
    bool left, zero, upper;
    int width, precision; /* precision -1: none */
    int length;           /* bytes of the integer argument */
};

/* Digits of `value` ending at `end`; where they begin. */
static char *digits(char *end, uint64_t value, unsigned base, bool upper) {
    const char *symbols = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    if (base == 16) {
        do
            *--end = symbols[value & 15];
        while (value >>= 4);
    } else {
        do
            *--end = (char)('0' + value % 10);
        while (value /= 10);
    }
    return end;
}

static int field(struct sink *sink, const struct directive *d, const char *sign, int zeros, const char *text,
                 int size) {
    if (!d->width && !zeros && !*sign) {
        emit(sink, text, (size_t)size);
        return size;
    }
    int sign_size = (int)strlen(sign), fill = d->width - sign_size - zeros - size;
    if (fill < 0)
        fill = 0;
    if (d->zero && !d->left && d->precision < 0) {
        zeros += fill;
        fill = 0;
    }
    if (!d->left)
        pad(sink, ' ', fill);
    emit(sink, sign, (size_t)sign_size);
    pad(sink, '0', zeros);
    emit(sink, text, (size_t)size);
    if (d->left)
        pad(sink, ' ', fill);
    return sign_size + zeros + size + fill;
}

static uint64_t integer(va_list *arguments, int length, bool is_signed) {
    if (length == 8)
        return va_arg(*arguments, uint64_t);
    uint32_t value = va_arg(*arguments, uint32_t);
    int drop = 32 - 8 * length;
    return is_signed ? (uint64_t)(int64_t)((int32_t)(value << drop) >> drop) : value << drop >> drop;
}

static const char *number(const char *at, int *value, va_list *arguments) {
    *value = 0;
    if (*at == '*') {
        *value = va_arg(*arguments, int);
        return at + 1;
    }
    for (; *at >= '0' && *at <= '9'; at++)
        *value = *value % 100000 * 10 + (*at - '0');
    return at;
}

static const char *parse(const char *at, struct directive *d, va_list *arguments) {
    *d = (struct directive){.precision = -1, .length = 4};
    if (*at < 'A') { /* more than a letter */
        for (; *at == '-' || *at == '0'; at++)
            *(*at == '-' ? &d->left : &d->zero) = true;
        at = number(at, &d->width, arguments);
        if (*at == '.')
            at = number(at + 1, &d->precision, arguments);
    }
    for (;; at++) {
        if (*at == 'h')
            d->length /= 2;
        else if (*at == 'l' || *at == 'z' || *at == 'j')
            d->length = 8;
        else
            return at;
    }
}

static int text_field(struct sink *sink, struct directive *d, const char *text) {
    int size = 0;
    if (d->precision < 0)
        size = (int)strlen(text);
    else
        while (size < d->precision && text[size])
            size++;
    d->zero = false;
    return field(sink, d, "", 0, text, size);
}

/* Bytes the whole text has, also where the sink did not take them. */
int format_to(struct sink *sink, const char *format, va_list given) {
    char buffer[24], *end = buffer + sizeof buffer;
    int count = 0;
    va_list arguments;
    va_copy(arguments, given);
    for (;;) {
        size_t literal = span_until(format, '%');
        emit(sink, format, literal);
        count += (int)literal;
        format += literal;
        if (!*format)
            break;

        struct directive d;
        format = parse(format + 1, &d, &arguments);
        const char *text, *sign = "";
        uint64_t value;
        switch (*format++) {
        case 's':
            text = va_arg(arguments, const char *);
            count += text_field(sink, &d, text ? text : "(null)");
            continue;
        case 'c':
            buffer[0] = (char)va_arg(arguments, int);
            d.zero = false;
            count += field(sink, &d, "", 0, buffer, 1);
            continue;
        case '%':
            emit(sink, "%", 1);
            count++;
            continue;
        case 'd':
        case 'i':
            value = integer(&arguments, d.length, true);
            if ((int64_t)value < 0) {
                value = -value;
                sign = "-";
            }
            text = digits(end, value, 10, false);
            break;
        case 'u':
            text = digits(end, integer(&arguments, d.length, false), 10, false);
            break;
        case 'X':
        case 'x':
            text = digits(end, integer(&arguments, d.length, false), 16, format[-1] == 'X');
            break;
        case 'p':
            sign = "0x";
            text = digits(end, integer(&arguments, 8, false), 16, false);
            break;
        default: /* not a directive of ours: stop rather than guess at the arguments */
            va_end(arguments);
            return -1;
        }
        int size = (int)(end - text);
        count += field(sink, &d, sign, d.precision > size ? d.precision - size : 0, text, size);
    }
    va_end(arguments);
    return count;
}

/* Cut to size and always ended by NUL (if size is not 0); the length it would have had. */
int format_buffer_v(char *to, size_t size, const char *format, va_list arguments) {
    struct sink sink = {to, to + (size ? size - 1 : 0), NULL, NULL};
    int count = format_to(&sink, format, arguments);
    if (size)
        *sink.at = 0;
    return count;
}

int format_buffer(char *to, size_t size, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int count = format_buffer_v(to, size, format, arguments);
    va_end(arguments);
    return count;
}

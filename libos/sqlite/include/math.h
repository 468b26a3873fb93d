/* What SQLite wants of <math.h>: two functions that the processor has. */
#ifndef NK_MATH_H
#define NK_MATH_H

#define INFINITY __builtin_inf()
#define fabs(value) __builtin_fabs(value)

static inline double log(double value) {
    long double result;
    __asm__("fldln2\n\tfxch\n\tfyl2x" : "=t"(result) : "0"((long double)value) : "st(1)");
    return (double)result;
}

#endif

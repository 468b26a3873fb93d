/* What SQLite wants of <math.h>: a few functions that the processor has, the others from the archive of mathematics.py. */
#ifndef NK_MATH_H
#define NK_MATH_H

#define INFINITY __builtin_inf()
#define M_PI 3.141592653589793238462643383279502884
#define isnan(value) __builtin_isnan(value)
#define isinf(value) __builtin_isinf(value)
#define fabs(value) __builtin_fabs(value)

double acos(double), acosh(double), asin(double), asinh(double), atan(double), atanh(double), ceil(double), cos(double),
    cosh(double), exp(double), floor(double), log(double), log10(double), log2(double), sin(double), sinh(double),
    sqrt(double), tan(double), tanh(double), trunc(double);
double atan2(double y, double x), fmod(double value, double by), pow(double value, double exponent);

#endif

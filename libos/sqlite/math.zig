// The functions of <math.h> that the compiler has in its own standard library; mathematics.py takes the others from musl's C.
const math = @import("std").math;

export fn acos(x: f64) f64 {
    return math.acos(x);
}
export fn asin(x: f64) f64 {
    return math.asin(x);
}
export fn atan(x: f64) f64 {
    return math.atan(x);
}
export fn cosh(x: f64) f64 {
    return math.cosh(x);
}
export fn tanh(x: f64) f64 {
    return math.tanh(x);
}
export fn log1p(x: f64) f64 {
    return math.log1p(x);
}

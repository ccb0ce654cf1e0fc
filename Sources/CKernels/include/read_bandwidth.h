// Reading memory as fast as the machine can, to know what bounds decoding.
#pragma once

/// The sum of `x[0 ..< count]`, each element read once, in f32 lanes. Threaded.
double coppice_read_sum(const float *x, long count);

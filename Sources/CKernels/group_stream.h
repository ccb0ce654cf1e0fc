// Products of one or two rows of rounded activations with a group-sparse weight as one stream of kept groups. Internal.
#pragma once

#include "group_sparse.h"
#include "rounded_rows.h"

/// Bytes that `coppice_group_stream_product` needs for so many rows of activations.
long coppice_group_stream_bytes(const coppice_group_sparse *w, long x_rows);

/// y[i] for x_rows (1 or 2) rows of x from x_first on, with VNNI. `memory` is aligned to 64 bytes.
void coppice_group_stream_product(
    const coppice_group_sparse *w, const coppice_rounded_rows *x, long x_first, long x_rows, float *y, long y_stride,
    void *memory);

// Conversions between arrays of any two element types.
//
// Numbers to floating point round to nearest, ties to even; NaN stays NaN. Numbers to integers truncate toward zero
// and saturate, NaN becomes 0; to bool is != 0. The arrays may have any alignment (they may lie in a mapped file) and
// must not overlap.
#pragma once

/// Element types, with the values of Tensors' `DataType`.
typedef enum coppice_data_type {
    COPPICE_DATA_F32, COPPICE_DATA_F64, COPPICE_DATA_BF16, COPPICE_DATA_F16, COPPICE_DATA_I8, COPPICE_DATA_U8,
    COPPICE_DATA_I32, COPPICE_DATA_I64, COPPICE_DATA_BOOL,
} coppice_data_type;

/// Converts `count` contiguous elements. Multithreaded.
void coppice_convert(
    coppice_data_type from, coppice_data_type to, long count, const void *source, void *destination);

/// Converts `count` contiguous elements on the calling thread.
void coppice_convert_serially(
    coppice_data_type from, coppice_data_type to, long count, const void *source, void *destination);

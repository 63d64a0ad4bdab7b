// Rows of an image plane, padded and split by phase, so that windows read them without testing for edges and with unit stride:
// padded column x lies at [x mod stride][x / stride]. Output column j of tap kx then reads [kx d mod stride][kx d / stride + j].
#pragma once

#include <cstdint>

#include "kernels/cpu/per_isa.h"
#include "kernels/cpu/tiling.h"

namespace konv::KONV_ISA {
namespace {

/// What a window operation (convolution, pooling) asks of the buffer.
struct PhaseRows {
  std::int64_t in_h, in_w, out_w;
  std::int64_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;

  /// Floats of one phase of one row: outputs rounded up to whole vectors, and the reach of the last tap.
  std::int64_t phase_floats() const {
    const std::int64_t reach = (kernel_w - 1) * dilation_w / stride_w;
    return (out_w + kLanes - 1) / kLanes * kLanes + (reach + kLanes - 1) / kLanes * kLanes;
  }
  std::int64_t row_floats() const { return stride_w * phase_floats(); }
  /// Buffer rows behind `rows` output rows.
  std::int64_t rows(std::int64_t outputs) const { return (outputs - 1) * stride_h + (kernel_h - 1) * dilation_h + 1; }
  std::int64_t plane_floats(std::int64_t outputs) const { return rows(outputs) * row_floats(); }

  /// Offset of what tap (ky, kx) of output column 0 reads, counted from the buffer row of its output row.
  std::int64_t tap(std::int64_t ky, std::int64_t kx) const {
    return ky * dilation_h * row_floats() + kx * dilation_w % stride_w * phase_floats() + kx * dilation_w / stride_w;
  }

  std::int64_t taps() const { return kernel_h * kernel_w; }
  /// All taps row by row, in a table: their divisions take longer than the multiply-adds behind them.
  void write_taps(std::int64_t* table) const {
    for (std::int64_t ky = 0; ky < kernel_h; ++ky) {
      for (std::int64_t kx = 0; kx < kernel_w; ++kx) *table++ = tap(ky, kx);
    }
  }
};

[[maybe_unused]] void fill_floats(float* to, std::int64_t count, float value) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = value;
}

/// Fills the buffer for output rows [outputs.begin, outputs.end) from one plane, whose pixels lie `pixel` floats apart.
[[maybe_unused]] void gather_phases(const PhaseRows& p, const float* plane, std::int64_t row_stride, std::int64_t pixel, Range outputs,
                                    float padding, float* to) {
  const std::int64_t first_row = outputs.begin * p.stride_h - p.pad_top, rows = p.rows(outputs.size());
  const std::int64_t size = p.phase_floats(), pitch = p.row_floats(), step = p.stride_w * pixel;
  for (std::int64_t phase = 0; phase < p.stride_w; ++phase) {
    // Slot i holds input column i stride + phase - pad.
    const std::int64_t shift = phase - p.pad_left;
    const std::int64_t first = clamped(shift >= 0 ? 0 : (-shift + p.stride_w - 1) / p.stride_w, 0, size);
    const std::int64_t last = clamped(p.in_w <= shift ? 0 : (p.in_w - shift + p.stride_w - 1) / p.stride_w, first, size);
    float* slots = to + phase * size;
    for (std::int64_t r = 0; r < rows; ++r, slots += pitch) {
      const std::int64_t y = first_row + r;
      if (y < 0 || y >= p.in_h) {
        fill_floats(slots, size, padding);
        continue;
      }
      const float* from = plane + y * row_stride + shift * pixel;
      fill_floats(slots, first, padding);
      if (step == 1) {
        for (std::int64_t i = first; i < last; ++i) slots[i] = from[i];
      } else if (step == 2) {
        for (std::int64_t i = first; i < last; ++i) slots[i] = from[2 * i];
      } else {
        for (std::int64_t i = first; i < last; ++i) slots[i] = from[i * step];
      }
      fill_floats(slots + last, size - last, padding);
    }
  }
}

}  // namespace
}  // namespace konv::KONV_ISA

#include "engine/run/pipeline.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "engine/plan/pipelines.h"

namespace konv::run {
namespace {

std::int64_t blocks(const TensorView& v) { return ceil_div(v.dims[1], v.block); }

void zero_rows(const TensorView& band, float* to, std::int64_t left, Range rows) {
  for (std::int64_t b = 0; b < blocks(band); ++b) {
    std::memset(to + b * band.strides[1] + rows.begin * band.strides[2] - left * band.strides[3], 0,
                static_cast<std::size_t>(rows.size() * band.strides[2]) * sizeof(float));
  }
}

/// The columns beside a band's rows, which no kernel writes.
void zero_columns(const Stage& stage, float* to) {
  const TensorView& band = stage.args.out;
  const auto bytes = [&](int pixels) { return static_cast<std::size_t>(pixels * band.strides[3]) * sizeof(float); };
  for (std::int64_t b = 0; b < blocks(band); ++b) {
    for (std::int64_t y = 0; y < stage.band_rows; ++y) {
      float* row = to + b * band.strides[1] + y * band.strides[2];
      std::memset(row - stage.left * band.strides[3], 0, bytes(stage.left));
      std::memset(row + band.dims[3] * band.strides[3], 0, bytes(stage.right));
    }
  }
}

/// Rows from `row` on to the front.
void move_rows(const TensorView& band, float* to, std::int64_t left, std::int64_t row, std::int64_t rows) {
  for (std::int64_t b = 0; b < blocks(band); ++b) {
    float* first = to + b * band.strides[1] - left * band.strides[3];
    std::memmove(first, first + row * band.strides[2], static_cast<std::size_t>(rows * band.strides[2]) * sizeof(float));
  }
}

}  // namespace

PipelineCall::PipelineCall(std::vector<Stage> stages, std::int64_t rows, std::int64_t chunk_rows, std::int64_t kernels)
    : stages_(std::move(stages)), rows_(rows), chunk_rows_(chunk_rows), kernels_(kernels) {}

std::int64_t PipelineCall::chunks() const {
  const ConvShape& s = stages_.back().args.shape;
  return s.batch * ceil_div(s.out_h(), chunk_rows_);
}

void PipelineCall::run(std::int64_t chunk, void* workspace) const {
  const std::size_t last = stages_.size() - 1;
  const std::int64_t out_h = stages_[last].args.shape.out_h(), chunks = ceil_div(out_h, chunk_rows_), image = chunk / chunks;
  const Range mine = piece(out_h, chunk_rows_, chunk % chunks);
  auto* bytes = static_cast<std::byte*>(workspace);
  const auto band = [&](std::size_t i) { return reinterpret_cast<float*>(bytes + stages_[i].band); };

  // Rows of each output, of the padding too: those in its band, and those that the next rows of the last output need.
  std::array<Range, plan::kMostStages> held{}, wanted{};
  for (std::size_t i = 0; i < last; ++i) zero_columns(stages_[i], band(i));
  for (std::int64_t y = mine.begin; y < mine.end; y += rows_) {
    wanted[last] = {y, std::min(y + rows_, mine.end)};
    for (std::size_t i = last; i > 0; --i) wanted[i - 1] = plan::rows_read(stages_[i].args.shape, wanted[i]);
    for (std::size_t i = 0; i <= last; ++i) {
      const Stage& stage = stages_[i];
      ConvArgs args = stage.args;
      const std::int64_t height = stage.args.shape.out_h();
      Range rows = wanted[i];
      if (i < last) {
        const std::int64_t kept = held[i].size() > 0 ? std::max<std::int64_t>(0, held[i].end - rows.begin) : 0;
        if (kept > 0 && rows.begin > held[i].begin) move_rows(args.out, band(i), stage.left, rows.begin - held[i].begin, kept);
        rows.begin += kept;
        const Range real{std::clamp<std::int64_t>(rows.begin, 0, height), std::clamp<std::int64_t>(rows.end, 0, height)};
        if (rows.begin < real.begin) zero_rows(args.out, band(i), stage.left, {rows.begin - wanted[i].begin, real.begin - wanted[i].begin});
        if (rows.end > real.end)
          zero_rows(args.out, band(i), stage.left, {std::max(rows.begin, real.end) - wanted[i].begin, rows.end - wanted[i].begin});
        held[i] = wanted[i];
        rows = real;
        args.out.data = band(i) + (rows.begin - wanted[i].begin) * args.out.strides[2];
      } else {
        args.out.data = args.out.f32() + image * args.out.strides[0] + rows.begin * args.out.strides[2];
        if (args.residual.data)
          args.residual.data = args.residual.f32() + image * args.residual.strides[0] + rows.begin * args.residual.strides[2];
      }
      if (rows.begin >= rows.end) continue;
      const Range there = i == 0 ? Range{0, args.shape.in_h} : wanted[i - 1];
      const std::int64_t first = std::max(plan::rows_read(args.shape, rows).begin, there.begin);
      args.in.data = i == 0 ? args.in.f32() + image * args.in.strides[0] + first * args.in.strides[2]
                            : band(i - 1) + (first - there.begin) * args.in.strides[2];
      args.shape = plan::band_shape(args.shape, rows, there);
      const std::int64_t count = stage.code->chunks(args.shape);
      for (std::int64_t c = 0; c < count; ++c) stage.code->run(args, c, bytes + kernels_);
    }
  }
}

}  // namespace konv::run

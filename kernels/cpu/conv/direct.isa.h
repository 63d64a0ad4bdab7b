// Direct convolution, vectorised along the rows: for few input channels, where nothing is gained by interleaving them, and for depthwise.
// A chunk copies the rows that it needs into a padded buffer, phases of the stride apart, so the loops know no edge and no stride;
// without padding and stride it reads the image itself.
//   accumulators: output channels x vectors of a row; per tap one load for each vector, one broadcast weight for each channel
// Rows of a vector or more whose epilogue is bias and ReLU are finished in registers.
#include "kernels/cpu/conv/conv.h"
#include "kernels/cpu/epilogue.h"
#include "kernels/cpu/phase_rows.h"

namespace konv {

extern const ConvCode KONV_ISA_CODE(conv_direct_f32);
extern const ConvCode KONV_ISA_CODE(conv_depthwise_f32);

namespace KONV_ISA {
namespace {

PhaseRows buffer_of(const ConvShape& s) {
  return {s.in_h, s.in_w, s.out_w(), s.kernel_h, s.kernel_w, s.stride_h, s.stride_w, s.dilation_h, s.dilation_w, s.pad_top, s.pad_left};
}

/// A "plane" here is one group of one image.
PlaneTiles tiles(const ConvShape& s) {
  const std::int64_t macs = round_up(s.out_w(), kLanes) * s.k() * s.group_out();
  const std::int64_t rows = 128 * (s.group_in() * s.stride_h + s.group_out());  // to pad and finish a row takes as long
  return tile_planes(s.batch * s.groups, s.out_h(), macs + rows, kChunkMacs);
}

/// Taps of one output row: buffer rows of consecutive input channels lie `channel` floats apart.
struct Taps {
  const std::int64_t* offsets;
  std::int64_t count, channels, channel;
};

/// Where a row's sums go: into a buffer whose rows lie `row` floats apart, or - `bias` not null - finished into the output.
struct Sink {
  float* to;
  std::int64_t row;
  const float* bias;  ///< of each output channel
  bool relu;
};

/// Sums for `Outputs` output channels and vectors of pixels that begin at x[v]. Weights of consecutive output channels lie k apart.
template <int Outputs, int Vectors>
inline __attribute__((always_inline)) void accumulate(const Taps& taps, const float* in, const float* weight, std::int64_t k,
                                                      const Sink& sink, const std::int64_t (&at)[Vectors]) {
  Vector acc[Outputs][Vectors] = {};
  for (std::int64_t c = 0; c < taps.channels; ++c, in += taps.channel) {
    for (std::int64_t t = 0; t < taps.count; ++t, ++weight) {
      const float* from = in + taps.offsets[t];
      Vector x[Vectors];
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) x[v] = load(from + at[v]);
#pragma GCC unroll 8
      for (int o = 0; o < Outputs; ++o) {
        const float w = weight[o * k];
#pragma GCC unroll 8
        for (int v = 0; v < Vectors; ++v) acc[o][v] += w * x[v];
      }
    }
  }
#pragma GCC unroll 8
  for (int o = 0; o < Outputs; ++o) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) {
      Vector y = acc[o][v];
      if (sink.bias) {
        y += sink.bias[o];
        if (sink.relu) y = y < 0 ? Vector{} : y;
      }
      store(sink.to + o * sink.row + at[v], y);
    }
  }
}

/// One row of `Outputs` output channels, `width` pixels. Where it has one vector at least, the last one overlaps the one before instead of reaching behind
/// the row; a narrower row reaches behind it.
template <int Outputs>
void row(const Taps& taps, const float* in, const float* weight, std::int64_t k, const Sink& sink, std::int64_t width) {
  constexpr int most = (kRegisters == 32 ? 24 : 12) / Outputs >= 4 ? 4 : (kRegisters == 32 ? 24 : 12) / Outputs >= 2 ? 2 : 1;
  const std::int64_t last = larger(0, width - kLanes);
  std::int64_t x = 0;
  for (; x + (most - 1) * kLanes < width; x += most * kLanes) {
    std::int64_t at[most];
    for (int v = 0; v < most; ++v) at[v] = smaller(x + v * kLanes, last);
    accumulate<Outputs, most>(taps, in, weight, k, sink, at);
  }
  if constexpr (most > 2) {
    for (; x + kLanes < width; x += 2 * kLanes)
      accumulate<Outputs, 2>(taps, in, weight, k, sink, {smaller(x, last), smaller(x + kLanes, last)});
  }
  if constexpr (most > 1) {
    for (; x < width; x += kLanes) accumulate<Outputs, 1>(taps, in, weight, k, sink, {smaller(x, last)});
  }
}

void finish(const ConvArgs& args, std::int64_t n, std::int64_t o, std::int64_t y, const float* sums) {
  const TensorView &out = args.out, &residual = args.residual;
  float* to = out.f32() + n * out.strides[0] + o * out.strides[1] + y * out.strides[2];
  const float* add = residual.data ? residual.f32() + n * residual.strides[0] + o * residual.strides[1] + y * residual.strides[2] : nullptr;
  const float bias = args.bias ? args.bias[o] : 0.0f;
  if (out.strides[3] == 1 && (!add || residual.strides[3] == 1)) {
    epilogue_row(sums, to, args.shape.out_w(), bias, add, args.activation);
  } else {
    epilogue_strided(sums, to, out.strides[3], args.shape.out_w(), bias, add, residual.strides[3], args.activation);
  }
}

/// Output channels that share the loads of a row: as many as there are registers for, and not one alone at the end where that can be.
std::int64_t outputs_together(std::int64_t left) {
  constexpr std::int64_t most = kRegisters == 32 ? 8 : 6;
  if (left == 5) return 3;
  if (left == 7) return 4;
  if (left == 9) return 6;
  return left >= most ? most : left >= 6 ? 6 : left;
}

void rows_of(const Taps& taps, const float* in, const float* weight, std::int64_t k, const Sink& sink, std::int64_t width,
             std::int64_t outputs) {
  switch (outputs) {
    case 8: return row < kRegisters == 32 ? 8 : 6 > (taps, in, weight, k, sink, width);
    case 6: return row<6>(taps, in, weight, k, sink, width);
    case 4: return row<4>(taps, in, weight, k, sink, width);
    case 3: return row<3>(taps, in, weight, k, sink, width);
    case 2: return row<2>(taps, in, weight, k, sink, width);
    default: return row<1>(taps, in, weight, k, sink, width);
  }
}

/// Windows that lie inside the image, one apart, under rows of a vector at least, are read where the image lies.
bool reads_in_place(const ConvArgs& args) {
  const ConvShape& s = args.shape;
  return s.pad_top == 0 && s.pad_left == 0 && s.pad_bottom == 0 && s.pad_right == 0 && s.stride_h == 1 && s.stride_w == 1 &&
         args.in.strides[3] == 1 && s.out_w() >= kLanes;
}

void write_taps(const ConvArgs& args, std::int64_t* offsets) {
  const ConvShape& s = args.shape;
  if (!reads_in_place(args)) return buffer_of(s).write_taps(offsets);
  for (std::int64_t ky = 0; ky < s.kernel_h; ++ky) {
    for (std::int64_t kx = 0; kx < s.kernel_w; ++kx) *offsets++ = ky * s.dilation_h * args.in.strides[2] + kx * s.dilation_w;
  }
}

void run_group(const ConvArgs& args, std::int64_t plane, Range rows, const std::int64_t* offsets, float* workspace) {
  const ConvShape& s = args.shape;
  const std::int64_t n = plane / s.groups, g = plane % s.groups, k = s.k(), width = round_up(s.out_w(), kLanes);
  const PhaseRows buffer = buffer_of(s);
  const std::int64_t buffered = buffer.plane_floats(rows.size());
  const float* image = args.in.f32() + n * args.in.strides[0] + g * s.group_in() * args.in.strides[1];
  const bool in_place = reads_in_place(args);
  if (!in_place) {
    for (std::int64_t c = 0; c < s.group_in(); ++c) {
      gather_phases(buffer, image + c * args.in.strides[1], args.in.strides[2], args.in.strides[3], rows, 0.0f, workspace + c * buffered);
    }
  }
  const Taps taps{offsets, buffer.taps(), s.group_in(), in_place ? args.in.strides[1] : buffered};
  const float* const first = in_place ? image + rows.begin * args.in.strides[2] : workspace;
  const std::int64_t step = in_place ? args.in.strides[2] : s.stride_h * buffer.row_floats();
  float* sums = workspace + s.group_in() * buffered;
  float no_bias[8] = {};
  const bool relu = args.activation.kind == ActivationKind::relu;
  const bool straight =
      s.out_w() >= kLanes && args.out.strides[3] == 1 && !args.residual.data && (relu || args.activation.kind == ActivationKind::none);
  for (std::int64_t o = 0; o < s.group_out();) {
    const std::int64_t channel = g * s.group_out() + o, outputs = outputs_together(s.group_out() - o);
    const float* weight = static_cast<const float*>(args.weight) + channel * k;
    for (std::int64_t y = rows.begin; y < rows.end; ++y) {
      const float* in = first + (y - rows.begin) * step;
      if (straight) {
        float* to = args.out.f32() + n * args.out.strides[0] + channel * args.out.strides[1] + y * args.out.strides[2];
        rows_of(taps, in, weight, k, {to, args.out.strides[1], args.bias ? args.bias + channel : no_bias, relu}, s.out_w(), outputs);
        continue;
      }
      rows_of(taps, in, weight, k, {sums, width, nullptr, false}, s.out_w(), outputs);
      for (std::int64_t i = 0; i < outputs; ++i) finish(args, n, channel + i, y, sums + i * width);
    }
    o += outputs;
  }
}

std::int64_t chunks(const ConvShape& s) { return tiles(s).count(); }

std::size_t workspace(const ConvShape& s) {
  const std::int64_t rows = smaller(tiles(s).rows_per_chunk, larger(1, s.out_h()));
  const std::int64_t floats = s.group_in() * buffer_of(s).plane_floats(rows) + 8 * round_up(s.out_w(), kLanes);
  return static_cast<std::size_t>(buffer_of(s).taps()) * sizeof(std::int64_t) + static_cast<std::size_t>(floats) * sizeof(float);
}

void run(const ConvArgs& args, std::int64_t chunk, void* workspace) {
  const ConvShape& s = args.shape;
  const PlaneTiles t = tiles(s);
  const Range planes = piece(s.batch * s.groups, t.planes_per_chunk, chunk / t.row_chunks);
  const Range rows = piece(s.out_h(), t.rows_per_chunk, chunk % t.row_chunks);
  auto* offsets = static_cast<std::int64_t*>(workspace);
  write_taps(args, offsets);
  auto* floats = reinterpret_cast<float*>(offsets + s.kernel_h * s.kernel_w);
  for (std::int64_t p = planes.begin; p < planes.end; ++p) run_group(args, p, rows, offsets, floats);
}

}  // namespace
}  // namespace KONV_ISA

const ConvCode KONV_ISA_CODE(conv_direct_f32) = {{KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run}, 1, 1, nullptr, nullptr, nullptr};
const ConvCode KONV_ISA_CODE(conv_depthwise_f32) = {
    {KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run}, 1, 1, nullptr, nullptr, nullptr};

}  // namespace konv
